"""Worlds that others wrote: every scenario of mpe2, SISL, and cooperative pong."""

import importlib.util
import pkgutil
from typing import Any

import mpe2
import numpy as np
import pytest

from envs import check_env, make
from qmarl.errors import QmarlError

SCENARIOS = sorted(m.name for m in pkgutil.iter_modules(mpe2.__path__) if "_v" in m.name)
NEEDS = {"sisl": ["pymunk", "Box2D"], "butterfly": ["pymunk", "pygame"]}
PONG = {
    "id": "butterfly/cooperative_pong-v6",
    "kwargs": {"render_mode": "rgb_array"},  # without it the game shows agents a black picture
    "resize": [7, 12],
    "grayscale": True,
    "max_steps": 20,
}


def need(family: str) -> None:
    missing = [name for name in NEEDS[family] if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"pettingzoo[{family}] is not installed: {', '.join(missing)} is missing")


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def test_all_scenarios_are_found() -> None:
    assert len(SCENARIOS) >= 12
    assert "simple_world_comm_v3" in SCENARIOS


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_of_mpe2(scenario: str, continuous: bool) -> None:
    settings = {"max_cycles": 6, "continuous_actions": continuous}
    report = check_env({"id": f"mpe2.{scenario}:parallel_env", "kwargs": settings})
    assert report.episodes == 6  # two in each of three copies
    assert not report.notes


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("sisl/pursuit-v5", {"max_cycles": 12, "n_pursuers": 3, "n_evaders": 4}),
        ("sisl/multiwalker-v9", {"max_cycles": 12}),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_sisl(name: str, settings: dict[str, Any]) -> None:
    need("sisl")
    report = check_env({"id": name, "kwargs": settings})
    assert report.episodes >= 6


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_walkers_that_fall_end_an_episode_without_a_state() -> None:
    need("sisl")
    assert check_env({"id": "sisl/multiwalker-v9"}, steps=150).episodes >= 3


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_cooperative_pong_as_84_numbers() -> None:
    need("butterfly")
    report = check_env(PONG)
    assert report.episodes >= 6
    assert not [note for note in report.notes if "never changes" in note]
    world = make(PONG, 1)
    assert world.spec.observation_sizes == (84, 84)
    assert world.spec.state_size == 84
    view = world.reset(0)
    seen = world.step(np.zeros((1, 2), int)).view.observations
    assert 0 < seen.max() <= 1
    assert (seen != view.observations).any()
    world.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_black_picture_is_noted() -> None:
    need("butterfly")
    report = check_env({**PONG, "kwargs": {}})
    assert [note for note in report.notes if "render_mode" in note]


def test_a_game_whose_package_is_missing_says_which() -> None:
    if importlib.util.find_spec("pymunk") is not None:
        pytest.skip("pymunk is installed")
    with pytest.raises(QmarlError, match=r"pettingzoo\[sisl\]"):
        make("sisl/multiwalker-v9", 1)
