"""A full disk in the middle of a run, and clocks that jump: nothing is lost, and no bit changes."""

import errno
import os
import time
from datetime import datetime

import pytest
from test_runs import FLEETS, digest

from qmarl import checkpoint
from qmarl.errors import RunError
from trainers.logger import read_metrics
from trainers.progress import SilentProgress
from trainers.rundir import RunDirectory
from trainers.runs import resume
from trainers.runs import train as start

WORDS = (*FLEETS, "actor.kind=mlp", "rounds=4")


class Disk:
    """Has room for so many flushes; then it is full until somebody clears it."""

    def __init__(self, monkeypatch, room):
        self.room, self.calls, self.real = room, 0, os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, handle):
        self.calls += 1
        if self.calls > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.real(handle)


def flushes_of(small, train, monkeypatch):
    with monkeypatch.context() as patch:
        disk = Disk(patch, 10**9)
        run = train(small(*WORDS))
    return disk.calls, digest(run)


def test_a_disk_that_fills_up_ends_the_run_and_costs_nothing(small, train, monkeypatch, tmp_path):
    total, quiet = flushes_of(small, train, monkeypatch)
    assert total > 40
    for room in range(8, total, total // 6):  # before, in and after checkpoints, logs and scores
        config = small(*WORDS)
        with monkeypatch.context() as patch:
            Disk(patch, room)
            with pytest.raises(RunError, match="No space left"):
                start(config, source="# a test\n", console=SilentProgress())
        home = tmp_path / "runs" / "small"
        run = max(home.glob("2*"), key=lambda path: path.stat().st_mtime_ns)
        whole = [line["round"] for line in read_metrics(RunDirectory.open(run))]
        assert whole == list(range(len(whole)))
        if any((run / "checkpoints").glob("step-*")):
            assert checkpoint.load(run / "checkpoints").skipped == ()
            resume(run, SilentProgress())
            assert digest(run) == quiet, room


class Jumps:
    """A wall clock that somebody sets, back and forth by years, at every look."""

    def __init__(self):
        self.looks = 0

    def __call__(self):
        self.looks += 1
        return 1.5e9 + 1e8 * (-1) ** self.looks


def test_jumps_of_the_wall_clock_change_nothing_but_names(small, train, monkeypatch):
    quiet = digest(train(small(*WORDS, "federation.round_timeout_s=500")))
    jumps = Jumps()
    monkeypatch.setattr(time, "time", jumps)
    monkeypatch.setattr(time, "time_ns", lambda: int(jumps() * 1e9))

    class Jumping(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(jumps(), tz)

    monkeypatch.setattr("trainers.rundir.datetime", Jumping)
    run = train(small(*WORDS, "federation.round_timeout_s=500"))
    assert jumps.looks > 0
    assert digest(run) == quiet
    lines = read_metrics(RunDirectory.open(run))
    clocks = [value for line in lines for name, value in line.items() if name.startswith("clock/")]
    assert all(0 <= value < 1e9 for value in clocks)
    assert all(line["clock/round_s"] < 60 for line in lines)
