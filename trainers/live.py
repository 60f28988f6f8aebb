"""What a run looks like at this moment, read from its directory, which may be a stranger's."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from qmarl.errors import RunError
from trainers.progress import Pace
from trainers.report_data import Record, read
from trainers.report_text import at, listed, number, section, words
from trainers.rundir import RunDirectory, told

MOST_BYTES = 128 * 2**20
"""A run whose logs are larger in all [bytes] is not shown."""
MOST_EVALUATIONS = 500
"""Nor one with more files in ``eval/``."""
QUIET_S = 15.0
"""Seconds without a change after which it is asked whether the run's process still lives."""
RECENT = 60
"""Rounds that tables and timelines look back on."""

_FILES = (
    "config.resolved.json",
    "env.json",
    "status.json",
    "model.json",
    "metrics.jsonl",
    "federation.jsonl",
    "links.jsonl",
    "origin.json",
    "privacy.json",
    "gap.json",
    "media/flight.gif",
)
_WORK = {
    "worlds": "worlds",
    "circuits": "circuits",
    "learning": "learning",
    "federate": "federating",
    "communication": "communication",
    "waiting": "waiting",
}

Signature = tuple[tuple[str, int, int], ...]
"""Names, sizes and times of all files that are shown; another one means that something changed."""


class Spent(NamedTuple):
    """Where the time of one round went.

    Attributes:
        round: Number of the round, from 0.
        parts: Seconds by what they went to, summed over the workers.
        took: Seconds from the round's beginning to its end.
    """

    round: int
    parts: dict[str, float]
    took: float


@dataclass(frozen=True)
class Look:
    """A run at one moment.

    Attributes:
        record: All that was read.
        signature: Of what was read.
        alive: Whether a process is at work on it, as far as can be told.
    """

    record: Record
    signature: Signature
    alive: bool

    @property
    def state(self) -> str:
        """``running``, ``killed``, or how the run says that it ended."""
        state = str(self.record.status.get("state", "unknown"))
        return "killed" if state == "running" and not self.alive else state

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.state != "running"

    @property
    def version(self) -> str:
        """Another one as soon as there is something else to see."""
        told_of = json.dumps([self.signature, self.state])
        return hashlib.sha256(told_of.encode()).hexdigest()[:16]

    @property
    def total(self) -> int:
        """Rounds of the whole run, 0 where that is not known."""
        return _count(self.record.config.get("rounds"))

    @property
    def done(self) -> int:
        """Rounds that are done."""
        return self.record.done or 0

    @property
    def latest(self) -> dict[str, float]:
        """The last round's metrics, those that are numbers."""
        last = self.record.rounds[-1] if self.record.rounds else {}
        return {name: plain for name in last if (plain := number(last[name])) is not None}

    @property
    def left(self) -> float:
        """Seconds that the remaining rounds will take, NaN where nothing is known."""
        pace, left = Pace(), math.nan
        for number_, took in self._paces():
            left = pace.left({"round": number_, "clock/round_s": took}, self.total)
        return left if self.total else math.nan

    def _paces(self) -> Iterator[tuple[float, float]]:
        for metrics in self.record.rounds[-RECENT:]:
            took = number(metrics.get("clock/round_s"))
            if took is not None:
                yield float(metrics["round"]), took

    def spent(self, rounds: int = RECENT) -> list[Spent]:
        """Where the time of the last rounds went, in order; rounds without a clock left out."""
        found = [_spent(metrics) for metrics in self.record.rounds[-rounds:]]
        return [one for one in found if one.took > 0]

    @property
    def groups(self) -> list[str]:
        """Groups whose clients exchange updates."""
        told_of = [section(line, "groups") for line in self.record.federation[-RECENT:]]
        return list(dict.fromkeys(name for each in told_of for name in each))

    @property
    def recent(self) -> Sequence[dict[str, Any]]:
        """The last lines of ``federation.jsonl``."""
        return self.record.federation[-RECENT:]

    def late(self, group: str) -> dict[str, int]:
        """How many updates of each client in the last rounds' aggregates were of earlier rounds."""
        told_of = (
            one for line in self.recent for one in listed(line, "groups", group, "contributions")
        )
        late = (at(one, "client") for one in told_of if (number(at(one, "staleness")) or 0) > 0)
        return Counter(words(name, 40) for name in late)

    def last_refusals(self, group: str) -> list[Any]:
        """Updates of a group that were refused in the last round."""
        last = self.recent[-1] if self.recent else {}
        return listed(last, "groups", group, "rejected")


class Watcher:
    """Looks at one run again and again, and reads only when something changed.

    Args:
        path: The run's directory, or ``runs/<name>`` for the last run of that name.

    Raises:
        RunError: It is no run, holds a link or a device, or is too large to show.
    """

    def __init__(self, path: Path) -> None:
        self._path = RunDirectory.open(path).path
        self._look = self._read(signature(self._path))

    @property
    def path(self) -> Path:
        """The run's directory."""
        return self._path

    @property
    def size(self) -> int:
        """Bytes of the files that were read."""
        return sum(size for _, size, _ in self._look.signature)

    def look(self) -> Look:
        """Returns the run as it stands now.

        Raises:
            RunError: It is gone, or became what is not shown.
        """
        now = signature(self._path)
        if now != self._look.signature:
            self._look = self._read(now)
        elif self._look.alive and not alive(self._path, self._look.signature):
            self._look = Look(self._look.record, now, alive=False)
        return self._look

    def _read(self, now: Signature) -> Look:
        record = read(RunDirectory.open(self._path).path)
        return Look(record, now, alive(self._path, now))


def signature(run: Path) -> Signature:
    """Returns names, sizes [bytes] and times [ns] of the files that are shown of a run.

    Raises:
        RunError: They are larger in all than :data:`MOST_BYTES`, or too many.
    """
    with told(run):
        evaluations = sorted(path.name for path in (run / "eval").glob("*.json"))
        if len(evaluations) > MOST_EVALUATIONS:
            raise RunError(f"'{run / 'eval'}' has {len(evaluations)} files; no run has so many")
        names = (*_FILES, *(f"eval/{name}" for name in evaluations))
        found = tuple(_stamp(run, name) for name in names)
    size = sum(one[1] for one in found)
    if size > MOST_BYTES:
        raise RunError(f"'{run}': logs of {size >> 20} MiB are too large to be shown")
    return found


def alive(run: Path, seen: Signature) -> bool:
    """Whether a process is at work on a run: something changed lately, or its lock is held.

    The lock is looked at only when nothing changes, so that a run that begins does not meet us.
    """
    import fcntl
    import time

    latest = max((stamp for _, _, stamp in seen), default=0)
    if time.time() - latest / 1e9 < QUIET_S:
        return True
    try:
        handle = os.open(run / "run.lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks cannot say
        return True
    finally:
        os.close(handle)
    return False


def _stamp(run: Path, name: str) -> tuple[str, int, int]:
    try:
        about = (run / name).lstat()
    except FileNotFoundError:
        return name, 0, 0
    return name, about.st_size, about.st_mtime_ns


def _count(value: object) -> int:
    return int(number(value) or 0)


def _spent(metrics: dict[str, Any]) -> Spent:
    parts = {title: number(metrics.get(f"clock/{key}_s")) for key, title in _WORK.items()}
    plain = {title: max(value, 0.0) for title, value in parts.items() if value is not None}
    took = number(metrics.get("clock/round_s")) or 0.0
    return Spent(_count(metrics["round"]), plain, took)
