"""The real command as a process, the same command in this process, and small experiments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from e2e_configs import DRONES

from qmarl import checkpoint
from trainers import cli
from trainers.logger import read_metrics
from trainers.rundir import RunDirectory

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
COMMAND = [sys.executable, "-c", "from trainers.cli import main; main()"]


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Writes the small experiment, with another env section if one is given."""

    def write(env: str = "", text: str = DRONES) -> Path:
        text = text.replace("RUNS", str(tmp_path / "runs"))
        lines = [f"env: {env}" if env and li.startswith("env:") else li for li in text.split("\n")]
        path = tmp_path / "tiny.yaml"
        path.write_text("\n".join(lines))
        return path

    return write


def environment() -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT), str(HERE)])
    return os.environ | {"PYTHONPATH": paths, "PYTHONWARNINGS": "default"}


@pytest.fixture
def start(tmp_path: Path) -> Any:
    """Starts the command as a process, in a directory of its own; ends it with the test."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def qmarl(start: Any) -> Callable[..., tuple[int, str, str]]:
    """Runs the command to its end as a process: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        process = start(*arguments)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    return run


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command to its end in this process, which has the heavy imports behind it."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["qmarl", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture
def latest(tmp_path: Path) -> Callable[[], RunDirectory]:
    """The run directory that was made last."""
    return lambda: RunDirectory.open((tmp_path / "runs" / "tiny" / "latest").resolve())


@pytest.fixture
def bits() -> Callable[[RunDirectory], Any]:
    """All that a run learned and measured, clock readings apart, to be compared with ``==``."""

    def read(run: RunDirectory) -> Any:
        state = checkpoint.load(run.checkpoints)
        arrays = {
            f"{part}/{name}": (array.dtype.str, array.tolist())
            for part, params in state.arrays.items()
            for name, array in params.items()
        }
        lines = [
            {name: value for name, value in line.items() if not name.startswith("clock/")}
            for line in read_metrics(run)
        ]
        return arrays, state.meta, lines, json.loads((run.evaluations / "final.json").read_text())

    return read
