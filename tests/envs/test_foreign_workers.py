"""Foreign worlds in processes of their own: the same numbers, and nothing left behind."""

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from envs.check import random_actions
from envs.front import make
from envs.world import World
from qmarl.errors import ConfigurationError, RunError

SPREAD = {"id": "mpe2.simple_spread_v3:parallel_env", "kwargs": {"N": 2, "max_cycles": 4}}
WORKED = {**SPREAD, "workers": 2}
CARAVAN = {"id": "foreign_worlds:Caravan", "max_steps": 5, "outcomes": ["milk"]}


def pids(world: World) -> list[int]:
    return world._crew.pids  # type: ignore[attr-defined,no-any-return]


def alive(numbers: list[int]) -> list[int]:
    there = [number for number in numbers if psutil.pid_exists(number)]
    return [n for n in there if psutil.Process(n).status() != psutil.STATUS_ZOMBIE]


def gone(numbers: list[int]) -> bool:
    for _ in range(200):
        if not alive(numbers):
            return True
        time.sleep(0.05)
    return False


def story(world: World, first_env: int = 0) -> list[dict[str, Any]]:
    view, told = world.reset(7, first_env), []
    for step in range(9):
        result = world.step(random_actions(world.spec, view, 1, step, first_env))
        view = result.view
        told.append(
            {
                "rewards": result.rewards,
                "over": result.terminated,
                "cut": result.truncated,
                "ended": result.ended,
                **{f"final {name}": array for name, array in vars(result.final).items()},
                **vars(view),
                **result.outcomes,
            }
        )
    return told


@pytest.mark.parametrize("config", [SPREAD, CARAVAN, {**CARAVAN, "id": "foreign_worlds:Nim"}])
def test_processes_change_no_number(config: dict[str, Any]) -> None:
    here, there = make(config, 5), make({**config, "workers": 2}, 5)
    try:
        assert len(set(pids(there)) | {os.getpid()}) == 3
        assert here.spec == there.spec
        for one, other in zip(story(here, 3), story(there, 3), strict=True):
            assert one.keys() == other.keys()
            for name in one:
                assert np.array_equal(one[name], other[name], equal_nan=True), name
    finally:
        there.close()


def test_there_are_no_more_processes_than_copies() -> None:
    world = make({**SPREAD, "workers": 8}, 2)
    numbers = pids(world)
    assert len(numbers) == 2
    world.close()
    assert gone(numbers)
    with pytest.raises(RunError, match="have ended"):
        world.reset(0)
    world.close()


def test_what_a_view_shows_is_not_written_over() -> None:
    world = make({**SPREAD, "workers": 2}, 2)
    view = world.reset(0)
    kept = view.observations.copy()
    world.step(np.ones((2, 2), int))
    assert (view.observations == kept).all()
    world.close()


def test_a_process_that_dies_is_told_and_the_others_end() -> None:
    world = make(
        {**CARAVAN, "id": "foreign_worlds:Fragile", "kwargs": {"doom": 2}, "workers": 2}, 3
    )
    numbers = pids(world)
    world.reset(0, 10)
    world.step(np.array([[1, 2, 3]] * 3))
    with pytest.raises(RunError, match=r"Fragile: the process of worlds 10 to 10 died .*code 7"):
        world.step(np.array([[1, 2, 3]] * 3))
    assert gone(numbers)


def test_a_process_that_is_killed_is_told() -> None:
    world = make({**SPREAD, "workers": 2}, 2)
    numbers = pids(world)
    world.reset(0)
    os.kill(numbers[1], signal.SIGKILL)
    with pytest.raises(RunError, match="the process of worlds 1 to 1 died"):
        world.step(np.zeros((2, 2), int))
    assert gone(numbers)


def test_an_error_over_there_reads_as_it_does_here() -> None:
    config = {**CARAVAN, "kwargs": {"spoil": "raise"}, "workers": 2}
    world = make(config, 2)
    numbers = pids(world)
    world.reset(0)
    with pytest.raises(RunError, match="world 0 raised RuntimeError: a wheel came off"):
        world.step(np.array([[1, 2, 3]] * 2))
    assert gone(numbers)


def test_a_number_that_is_not_finite_stops_at_the_border() -> None:
    world = make({**CARAVAN, "kwargs": {"spoil": "observation"}, "workers": 2}, 2)
    world.reset(0, 4)
    with pytest.raises(RunError, match="an observation of ant in world 4 is nan"):
        world.step(np.array([[1, 2, 3]] * 2))
    world.close()


def test_what_cannot_be_made_over_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import foreign_worlds
    from foreign_worlds import Caravan

    monkeypatch.setattr(foreign_worlds, "OnlyHere", Caravan, raising=False)
    with pytest.raises(ConfigurationError, match="no attribute 'OnlyHere'"):
        make({**CARAVAN, "id": "foreign_worlds:OnlyHere", "workers": 2}, 2)


def test_only_plain_data_reaches_another_process() -> None:
    config = {**CARAVAN, "kwargs": {"spoil": object()}, "workers": 2}
    with pytest.raises(ConfigurationError, match=r"env.workers: the kwargs of .* plain data"):
        make(config, 2)


def test_a_script_without_a_guard_is_told_what_to_do(tmp_path: Path) -> None:
    script = tmp_path / "careless.py"
    script.write_text(f"from envs import make\nmake({WORKED!r}, 2)\n")
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 1
    assert "died (exit code 1); a script must stand under if __name__" in done.stderr


def test_a_forgotten_world_ends_its_processes() -> None:
    world = make({**SPREAD, "workers": 2}, 2)
    numbers = pids(world)
    assert alive(numbers) == numbers
    del world
    gc.collect()
    assert gone(numbers)


@pytest.mark.parametrize("end", ["pass", "raise SystemExit(3)", "os.kill(os.getpid(), 9)"])
def test_nothing_is_left_however_the_program_ends(end: str) -> None:
    code = (
        "import os\n"
        "from envs import make\n"
        "if __name__ == '__main__':\n"
        "    world = make({'id': 'mpe2.simple_spread_v3:parallel_env', 'workers': 2}, 2)\n"
        "    world.reset(0)\n"
        "    print(*world._crew.pids, flush=True)\n"
        f"    {end}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    numbers = [int(word) for word in done.stdout.split()]
    assert len(numbers) == 2, done.stderr
    assert gone(numbers)
    assert "Traceback" not in done.stderr
    assert "leaked" not in done.stderr
