"""``qmarl envs``: what it lists, tells, checks, measures and plays, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from envs.references import POLICIES
from envs.registry import ENVS
from trainers import cli, worlds

ROOT = Path(__file__).parents[2]
COMMANDS = ["list", "show", "check", "bench", "play"]
SPREAD = "mpe2.simple_spread_v3:parallel_env"
BROKEN = """
from pettingzoo import ParallelEnv
from gymnasium.spaces import Box, Discrete
import numpy as np


class Broken(ParallelEnv):
    metadata = {"name": "broken"}
    possible_agents = ["ape"]
    space, acts = Box(-9, 9, (1,)), Discrete(2)

    def observation_space(self, agent):
        return self.space

    def action_space(self, agent):
        return self.acts

    def reset(self, seed=None, options=None):
        self.agents = ["ape"]
        return {"ape": np.zeros(1, np.float32)}, {"ape": {}}

    def step(self, actions):
        none = {"ape": False}
        return {"ape": np.full(1, np.nan)}, {"ape": 0.0}, none, none, {"ape": {}}
"""


@pytest.fixture
def envs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["qmarl", "envs", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(envs: Any, command: str) -> None:
    code, out, _ = envs(command, "--help")
    assert code == 0
    assert f"qmarl envs {command}" in out
    assert command in envs("--help")[1]


@pytest.mark.parametrize("arguments", [[], ["list"]])
def test_the_list_names_every_world(envs: Any, arguments: list[str]) -> None:
    code, out, _ = envs(*arguments)
    assert code == 0
    assert all(name in out for name in ENVS)
    assert "gymnasium/CartPole-v1" in out
    found = json.loads(envs(*arguments, "--json")[1])
    assert found == {name: entry.about for name, entry in ENVS.items()}


@pytest.mark.parametrize("name", ENVS)
def test_show_tells_what_every_world_is(envs: Any, name: str) -> None:
    code, out, _ = envs("show", name)
    assert code == 0
    assert ENVS[name].about in out
    facts = json.loads(envs("show", name, "--json")[1])
    spec = worlds.spec_of(worlds.section_of(name, []))
    assert facts["agents"] == list(spec.agents)
    assert facts["max_steps"] == spec.max_steps
    assert set(facts["settings"]) == set(ENVS[name].config.model_fields)


def test_show_marks_what_is_not_the_default(envs: Any) -> None:
    _, out, _ = envs("show", "drone_navigation", "drones=4", "point.dt=0.05")
    assert "drone_0, drone_1, drone_2, drone_3" in out
    assert "7 choices (each of 4)" in out
    assert "4 (default 3)" in out
    assert "point.dt" in out
    assert "0.05 (default 0.1)" in out
    assert "Drones in the team." in out


def test_show_of_numbers_and_of_foreign_worlds(envs: Any) -> None:
    _, out, _ = envs("show", "gymnasium/Pendulum-v1")
    assert "1 numbers within [-1, 1]" in out
    assert "max_steps  200" in out
    _, out, _ = envs("show", SPREAD, "kwargs={N: 2}")
    assert "agent_0, agent_1" in out


def test_committed_scores_are_shown(
    envs: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scores = {"straight": {"success": {"mean": 0.5, "low": 0.4, "high": 0.625}}, "episodes": 9}
    path = tmp_path / "scores.json"
    monkeypatch.setattr(worlds, "SCORES", path)
    assert "reference score" not in envs("show", "drone_navigation")[1]
    for kept in ({"drone_navigation": scores}, {"worlds": {"drone_navigation": scores}}):
        path.write_text(json.dumps(kept))
        _, out, _ = envs("show", "drone_navigation")
        assert "straight success" in out
        assert "0.5 [0.4, 0.625]" in out


@pytest.mark.parametrize("name", ["drone_navigation", SPREAD, "gymnasium/CartPole-v1"])
def test_check_says_what_it_checked(envs: Any, name: str) -> None:
    code, out, _ = envs("check", name)
    assert code == 0
    assert "ok    the same seed and actions bring the same numbers again" in out
    assert ("ok    check_env" if "gym" in name else "ok    parallel_api_test") in out
    report = json.loads(envs("check", name, "--json")[1])
    assert report["steps"] > 0
    assert report["package_tests"]


def test_check_fails_with_one_sentence(
    envs: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken_world.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    code, out, err = envs("check", "broken_world:Broken", "max_steps=5")
    assert (code, out) == (4, "")
    assert "broken_world:Broken: an observation of ape in world 0 is nan" in err
    assert err.count("\n") == 1


def test_bench_measures_every_number_of_copies(envs: Any) -> None:
    options = ["--copies", "1,8", "--seconds", "0.02"]
    code, out, _ = envs("bench", "drone_navigation", *options)
    assert code == 0
    assert "steps per CPU-second" in out
    paces = json.loads(envs("bench", "coin_game", "walls=mask", *options, "--json")[1])
    assert [pace["num_envs"] for pace in paces] == [1, 8]
    assert all(pace["per_cpu_second"] > 0 < pace["per_second"] for pace in paces)


@pytest.mark.parametrize("name", ENVS)
@pytest.mark.parametrize("policy", ["scripted", "random"])
def test_every_world_can_be_played(envs: Any, name: str, policy: str) -> None:
    code, out, err = envs("play", name, "--policy", policy, "--no-gif", "--json")
    if policy == "scripted" and name not in POLICIES:
        assert (code, out) == (2, "")
        assert f"--policy scripted: there is none for '{name}'" in err
        return
    assert code == 0
    found = json.loads(out)
    spec = worlds.spec_of(worlds.section_of(name, []))
    assert found["policy"] == policy
    assert 1 <= found["length"] <= spec.max_steps
    assert set(spec.outcomes) <= set(found)
    assert json.loads(envs("play", name, "--policy", policy, "--no-gif", "--json")[1]) == found


def test_play_writes_a_moving_picture(envs: Any, tmp_path: Path) -> None:
    small = ["drones=1", "max_steps=6", "--policy", "random"]
    code, out, _ = envs("play", "drone_navigation", *small)
    assert code == 0
    assert "gif           drone_navigation.gif" in out
    code, out, _ = envs("play", "drone_navigation", *small, "--seed", 3, "--out", "other.gif")
    for name in ("drone_navigation.gif", "other.gif"):
        with Image.open(tmp_path / name) as picture:
            assert picture.n_frames > 1  # type: ignore[attr-defined]
    assert (tmp_path / "other.gif").read_bytes() != (tmp_path / "drone_navigation.gif").read_bytes()


def test_play_of_a_foreign_world_draws_only_when_asked(
    envs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    code, out, _ = envs("play", SPREAD, "kwargs={max_cycles: 3}")
    assert code == 0
    assert "gif" not in out
    assert not list(tmp_path.iterdir())
    assert envs("play", SPREAD, "kwargs={max_cycles: 9}", "--out", "s.gif")[0] == 0
    with Image.open(tmp_path / "s.gif") as picture:
        assert picture.n_frames > 3  # type: ignore[attr-defined]


def test_what_cannot_be_drawn_says_so(envs: Any) -> None:
    code, _, err = envs("play", "chsh", "--out", "x.gif")
    assert code == 4
    assert "chsh cannot be drawn" in err


def test_a_run_plays_its_trained_team(envs: Any, small: Any, train: Any, tmp_path: Path) -> None:
    run = train(small("rounds=2"))
    code, out, _ = envs("play", run, "--out", tmp_path / "team.gif", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["policy"] == "trained"
    assert {"return", "success", "collision"} <= set(found)
    assert Path(found["gif"]).read_bytes() == (run / "media" / "flight.gif").read_bytes()
    code, _, err = envs("play", run, "--policy", "random")
    assert (code, err) == (2, "error: --policy: a run plays its own trained policy\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "drone_nav"], "nearest world is 'drone_navigation'"),
        (["show", "drone_navigation", "drones=0"], "env.drones: must be at least 1 (got 0)"),
        (["show", "drone_navigation", "drons=3"], "did you mean 'drones'"),
        (["show", "drone_navigation", "drones"], "settings look like drones=4, got 'drones'"),
        (["check", "no_such_module:env"], "No module named 'no_such_module'"),
        (["check", "sisl/pursuit-v9"], "nearest is 'sisl/pursuit-v5'"),
        (["bench", "drone_navigation", "--copies", "1,x"], "--copies: numbers such as"),
        (["bench", "drone_navigation", "--copies", "0"], "--copies: numbers such as"),
        (["play", "no/such/run"], "is not in PettingZoo's registry"),
    ],
)
def test_what_is_refused_ends_with_2(envs: Any, arguments: list[str], words: str) -> None:
    code, out, err = envs(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [["envs", "--help"], ["envs", "play", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    heavy = (
        "{'torch', 'pennylane', 'matplotlib', 'pettingzoo', 'gymnasium', 'ray', 'envs.registry'}"
    )
    code = (
        f"import sys; sys.argv = ['qmarl', *{arguments}]\n"
        "from trainers.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print({heavy} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert done.stderr == "set()\n"
