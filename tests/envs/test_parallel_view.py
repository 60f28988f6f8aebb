"""Every built-in world through PettingZoo: the batch step by step, and PettingZoo's own tests."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from pydantic import BaseModel

from envs import check_env, make
from envs.check import random_actions
from envs.parallel import ParallelView, parallel_env
from envs.registry import ENVS
from envs.world import WorldSpec
from qmarl.errors import ConfigurationError, RunError

with warnings.catch_warnings():  # PettingZoo's own tests import its own deprecated modules
    warnings.simplefilter("ignore", DeprecationWarning)
    from pettingzoo.test import (
        max_cycles_test,
        parallel_api_test,
        parallel_seed_test,
        render_test,
        state_test,
    )
from pettingzoo.utils.conversions import parallel_to_aec


def choices(section: type[BaseModel], key: str) -> list[str]:
    field = section.model_fields.get(key)
    return list(getattr(field.annotation, "__args__", ())) if field else []


def variants() -> list[Any]:
    """Every world as it is, and with continuous actions where it has them."""
    found = []
    for name, entry in ENVS.items():
        found.append(pytest.param({"id": name}, id=name))
        if "continuous" in choices(entry.config, "actions"):
            found.append(pytest.param({"id": name, "actions": "continuous"}, id=f"{name}-numbers"))
    return found


def steps_of(env: ParallelView) -> int:
    return min(2 * env._world.spec.max_steps + 3, 130)


def dealt(spec: WorldSpec, batch: np.ndarray, names: list[str]) -> dict[str, Any]:
    found = {}
    for at, name in enumerate(spec.agents):
        if name in names:
            found[name] = batch[0, at, : spec.action_sizes[at]] if spec.continuous else batch[0, at]
    return found


@pytest.mark.parametrize("config", variants())
def test_it_is_the_batch_step_by_step(config: dict[str, Any]) -> None:
    world, env = make(config, 3), parallel_env(config)
    spec, view = world.spec, world.reset(5)
    seen, infos = env.reset(seed=5)
    for number in range(steps_of(env)):
        assert env.agents == [
            n for n, there in zip(spec.agents, view.alive[0], strict=True) if there
        ]
        actions, acting = random_actions(spec, view, 0, number), list(env.agents)
        step = world.step(actions)
        seen, rewards, over, cut, infos = env.step(dealt(spec, actions, acting))
        assert set(acting) <= set(seen)
        assert set(seen) == set(rewards) == set(over) == set(cut) == set(infos)
        for name in seen:
            at = spec.agents.index(name)
            size = spec.observation_sizes[at]
            assert np.array_equal(vector(seen[name]), step.final.observations[0, at, :size])
            assert env.observation_space(name).contains(seen[name])
            assert rewards[name] == step.rewards[0, at]
            assert over[name] == step.terminated[0, at]
            assert cut[name] == step.truncated[0, at]
        assert np.array_equal(env.state(), step.final.state[0])
        assert env.state_space.contains(env.state())
        assert (not env.agents) == step.ended[0]
        view = step.view
        if step.ended[0]:
            told = {n: v[0] for n, v in step.outcomes.items() if np.isfinite(v[0])}
            assert infos[acting[0]] == told
            seen, _ = env.reset()
            for name in env.agents:
                at = spec.agents.index(name)
                size = spec.observation_sizes[at]
                assert np.array_equal(vector(seen[name]), view.observations[0, at, :size])
    for each in (world, env):
        each.close()


def vector(seen: Any) -> np.ndarray:
    found: np.ndarray = seen["observation"] if isinstance(seen, dict) else seen
    return found


@pytest.mark.parametrize("config", variants())
def test_pettingzoo_accepts_it(config: dict[str, Any]) -> None:
    parallel_api_test(parallel_env(config), 60)
    parallel_seed_test(lambda: parallel_env(config), 60)
    state_test(parallel_to_aec(parallel_env(config)), parallel_env(config))


@pytest.mark.parametrize("config", variants())
def test_every_world_passes_our_own_checks(config: dict[str, Any]) -> None:
    assert check_env(config, steps=60).agents
    assert check_env(parallel_env(config), steps=60).agents


class Module:
    """What ``max_cycles_test`` takes for the module of an environment."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def parallel_env(self, max_cycles: int) -> ParallelView:
        return parallel_env(self.config, max_cycles=max_cycles)

    def env(self, max_cycles: int) -> Any:
        return parallel_to_aec(self.parallel_env(max_cycles))


SHORT = {"drone_formation": {"hold_steps": 2}, "vehicle_platoon": {"settle_steps": 1}}
"""What lets a world's episodes have four steps."""

LONG = ("two_step_game", "vehicle_intersection", "convoy_escort")
"""Worlds that refuse episodes in which nobody could arrive."""


@pytest.mark.parametrize("config", variants())
def test_max_cycles(config: dict[str, Any]) -> None:
    if config["id"] in LONG:
        pytest.skip(f"{config['id']} refuses episodes of four steps")
    max_cycles_test(Module({**config, **SHORT.get(config["id"], {})}))


@pytest.mark.parametrize("config", variants())
def test_pictures(config: dict[str, Any]) -> None:
    if not parallel_env(config).metadata["render_modes"]:
        with pytest.raises(ConfigurationError, match="nothing to draw"):
            parallel_env(config, render_mode="rgb_array")
        return
    render_test(lambda render_mode: parallel_to_aec(parallel_env(config, None, render_mode)))


@pytest.mark.parametrize("config", variants())
def test_spaces_are_the_same_objects_at_every_call(config: dict[str, Any]) -> None:
    env = parallel_env(config)
    for name in env.possible_agents:
        assert env.observation_space(name) is env.observation_space(name)
        assert env.action_space(name) is env.action_space(name)
        kind = Box if env._world.spec.continuous else Discrete
        assert isinstance(env.action_space(name), kind)


def test_continuous_actions_are_a_box_of_numbers() -> None:
    env = parallel_env({"drones": 2, "actions": "continuous"})
    space = env.action_space("drone_0")
    assert isinstance(space, Box)
    assert (space.low == -1).all()
    assert (space.high == 1).all()
    env.reset(seed=0)
    good = np.zeros(space.shape, np.float32)
    for bad, words in (
        (good[:-1], "drone_1 chose .* which is not 3 numbers"),
        (good + np.nan, "drone_1 in world 0 chose nan"),
        (good + 2, r"drone_1 in world 0 chose 2.0 .* within \[-1, 1\]"),
    ):
        with pytest.raises(RunError, match=words):
            env.step({"drone_0": good, "drone_1": bad})


def test_a_broken_off_episode_is_followed_by_another() -> None:
    env, twin = parallel_env(), parallel_env()
    first = [e.reset(seed=3)[0]["drone_0"] for e in (env, twin)]
    for e in (env, twin):
        moved = e.step(dict.fromkeys(e.agents, 4))[0]["drone_0"]
        assert moved[5] == 0.5
    second = [e.reset()[0]["drone_0"] for e in (env, twin)]
    assert (second[0][3:6] == 0).all()
    third = [e.reset()[0]["drone_0"] for e in (env, twin)]
    for one, other in (first, second, third):
        assert (one == other).all()
    assert (first[0] != second[0]).any()
    assert (second[0] != third[0]).any()


def test_it_renders_only_when_asked() -> None:
    env = parallel_env(render_mode="rgb_array")
    env.reset(seed=0)
    start = env.render()
    for _ in range(5):
        env.step(dict.fromkeys(env.agents, 0))
    picture = env.render()
    assert picture is not None
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert (picture != start).any()
    silent = parallel_env()
    silent.reset(seed=0)
    assert silent.render() is None


def test_for_people_every_moment_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    from envs.window import Window

    shown: list[np.ndarray] = []
    monkeypatch.setattr(Window, "show", lambda self, picture: shown.append(picture))
    env = parallel_env({"drones": 1}, render_mode="human")
    env.reset(seed=0)
    env.step({"drone_0": 0})
    assert env.render() is None
    assert len(shown) == 2
    assert (shown[0] != shown[1]).any()
    env.close()


def test_a_window_shows_and_closes() -> None:
    from matplotlib import pyplot

    from envs.window import Window

    window = Window("demo")
    window.close()
    for value in (0, 255):
        window.show(np.full((20, 30, 3), value, np.uint8))
    assert pyplot.fignum_exists("demo")
    window.close()
    assert not pyplot.fignum_exists("demo")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"drones": 0}, "env.drones: .*greater than or equal to 1"),
        ("drone_nav", "nearest world is 'drone_navigation'"),
        ("mpe2.simple_spread_v3:parallel_env", "PettingZoo environment already"),
    ],
)
def test_what_it_cannot_make(config: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        parallel_env(config)


def test_other_render_modes_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'ansi' .* one of human, rgb_array or None"):
        parallel_env(render_mode="ansi")


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ({"drone_0": 1}, "no action for drone_1, drone_2"),
        (dict.fromkeys(["drone_0", "drone_1", "drone_2", "drone_9"], 1), "an action for drone_9"),
        ({"drone_0": 1, "drone_1": 7, "drone_2": 1}, "drone_1 in world 0 chose action 7"),
        ({"drone_0": 1, "drone_1": -1, "drone_2": 1}, "drone_1 in world 0 chose action -1"),
        ({"drone_0": 1, "drone_1": 0.5, "drone_2": 1}, "drone_1 chose 0.5"),
        ({"drone_0": 1, "drone_1": np.nan, "drone_2": 1}, "drone_1 chose nan"),
        ({"drone_0": 1, "drone_1": [1, 2], "drone_2": 1}, r"drone_1 chose \[1, 2\]"),
        ({"drone_0": 1, "drone_1": None, "drone_2": 1}, "drone_1 chose None"),
    ],
)
def test_bad_actions_are_named(actions: dict[str, Any], words: str) -> None:
    env = parallel_env()
    env.reset(seed=0)
    with pytest.raises(RunError, match=f"drone_navigation: .*{words}"):
        env.step(actions)


def test_an_action_for_who_is_no_longer_there_is_refused() -> None:
    env = ParallelView(make({"id": "foreign_worlds:Caravan", "max_steps": 5}, 1))
    env.reset(seed=0)
    moves = {"ant": 1, "bee": 2, "cow": 3}
    env.step(moves)
    assert env.step(moves)[2] == {"ant": True, "bee": False, "cow": False}
    assert env.agents == ["bee", "cow"]
    with pytest.raises(RunError, match="an action for ant; in the episode now are bee, cow"):
        env.step(moves)


def test_an_episode_that_is_over_must_be_reset() -> None:
    env = parallel_env({"max_steps": 1})
    with pytest.raises(RunError, match="reset"):
        env.step({})
    env.reset(seed=0)
    env.step(dict.fromkeys(env.agents, 6))
    with pytest.raises(RunError, match="the episode is over; reset"):
        env.step(dict.fromkeys(env.possible_agents, 6))


class Gate:
    """A world of one agent in which every second action is forbidden."""

    num_envs = 1

    def __init__(self, inner: Any) -> None:
        self.inner, self.spec = inner, replace(inner.spec, masked=True)

    def reset(self, seed: int, first_env: int = 0) -> Any:
        return self.inner.reset(seed, first_env)

    def step(self, actions: Any) -> Any:
        return self.inner.step(actions)

    def close(self) -> None:
        self.inner.close()


def test_a_world_that_forbids_actions_shows_its_mask() -> None:
    env = ParallelView(Gate(make({"id": "foreign_worlds:Nim", "max_steps": 5}, 1)))
    seen, _ = env.reset(seed=0)
    assert isinstance(env.observation_space("ann"), Dict)
    assert seen["ann"]["action_mask"].tolist() == [1, 1]
    assert seen["bob"]["action_mask"].tolist() == [1, 0]
    assert env.observation_space("bob").contains(seen["bob"])
    parallel_api_test(env, 20)


def test_the_registry_asks_by_name() -> None:
    from envs import parallel

    assert parallel.drone_navigation({"drones": 2}).possible_agents == ["drone_0", "drone_1"]
    with pytest.raises(AttributeError, match="no attribute 'drone_nav'"):
        parallel.drone_nav  # noqa: B018 - asking is the test
