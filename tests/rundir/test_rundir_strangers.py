"""A run directory from a stranger: opening it runs nothing, and leads nowhere else."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from qmarl.errors import RunError
from trainers.report_data import read
from trainers.rundir import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    for name in ("checkpoints", "eval", "media"):
        (made / name).mkdir(parents=True)
    (made / "config.resolved.json").write_text("{}")
    (made / "status.json").write_text("{}")
    return made


@pytest.mark.parametrize(
    "place", ["run.lock", ".status.json.tmp", "metrics.jsonl", "media/flight.gif", "eval/a.json"]
)
def test_a_link_is_refused_and_what_it_leads_to_stays(run: Path, place: str) -> None:
    treasure = run.parent / "treasure"
    treasure.write_text("mine")
    (run / place).symlink_to(treasure)
    with pytest.raises(RunError, match="is a link or a device"):
        RunDirectory.open(run)
    assert treasure.read_text() == "mine"


def test_a_report_does_not_read_through_a_link_either(run: Path) -> None:
    treasure = run.parent / "treasure"
    treasure.write_text("mine")
    (run / "metrics.jsonl").symlink_to(treasure)
    (run / "status.json").unlink()  # a report is written of runs that lost files, too
    with pytest.raises(RunError, match="is a link or a device"):
        read(run)


def test_a_linked_directory_is_refused(run: Path, tmp_path: Path) -> None:
    (run / "checkpoints" / "step-00000001").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(RunError, match="step-00000001' is a link"):
        RunDirectory.open(run)


def test_pipes_and_sockets_are_refused_and_not_waited_for(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(run / "metrics.jsonl")
    with pytest.raises(RunError, match="is a link or a device"):
        RunDirectory.open(run)
    (run / "metrics.jsonl").unlink()
    monkeypatch.chdir(run)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        with pytest.raises(RunError, match="is a link or a device"):
            RunDirectory.open(run)


def test_giants_are_refused(run: Path) -> None:
    with (run / "metrics.jsonl").open("wb") as file:
        file.truncate(2**31 + 1)  # takes no room on the disk
    with pytest.raises(RunError, match="no file of a run is so large"):
        RunDirectory.open(run)


def test_pickles_in_it_are_never_read(run: Path) -> None:
    mark = run.parent / "ran"

    class Bomb:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {mark}",)

    import pickle

    for name in ("checkpoints/state.pkl", "metrics.jsonl", "config.yaml"):
        (run / name).write_bytes(pickle.dumps(Bomb()))
    opened = RunDirectory.open(run)
    from qmarl import checkpoint
    from trainers.logger import read_metrics

    with pytest.raises(RunError):
        checkpoint.load(opened.checkpoints)
    assert read_metrics(opened) == []
    assert not mark.exists()
