"""What is measured in every round: one JSON line each, and the same curves for TensorBoard."""

from __future__ import annotations

import json
import math
import os
import time
import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from qmarl.config import Section
from qmarl.errors import RunError
from trainers.rundir import told

if TYPE_CHECKING:
    from pathlib import Path

    from trainers.rundir import RunDirectory
    from trainers.sinks import Sinks


class LoggingConfig(Section):
    """Where a run is kept and how often it is saved."""

    directory: str = Field(default="runs", min_length=1)
    """Directory of all runs; a run is ``<directory>/<name>/<time>-<hash>``."""
    tensorboard: bool = True
    """Whether curves are written for TensorBoard too."""
    keep: int = Field(default=3, ge=1)
    """How many of the last checkpoints stay; the best one stays anyway."""
    checkpoint_every: int = Field(default=10, ge=1)
    """Rounds between checkpoints; the last round is always saved."""
    sinks: tuple[Literal["wandb", "mlflow", "trackio"], ...] = ()
    """Other places that the curves go to; each needs the extra of its name."""


class Logger:
    """Appends the metrics of each round; every round stands in the log once.

    Args:
        run: The run's directory, held by this process.
        tensorboard: Whether to write TensorBoard events too.
        first_round: The round that comes next; what an earlier attempt logged of it or of later
            ones is cut off, a half-written last line too.
        sinks: Other places that the metrics go to.

    Raises:
        RunError: The log is damaged or cannot be written.
    """

    def __init__(
        self,
        run: RunDirectory,
        tensorboard: bool = True,
        first_round: int = 0,
        sinks: Sinks | None = None,
    ) -> None:
        kept = [line for line in read_metrics(run) if line["round"] < first_round]
        run.write(run.metrics.name, "".join(f"{json.dumps(line)}\n" for line in kept))
        self._next, self._sinks = first_round, sinks
        self._path = run.metrics
        with told(self._path):
            self._file = self._path.open("ab")
        self._events = _Events(run.path, first_round) if tensorboard else None

    def log(self, round_number: int, metrics: Mapping[str, float]) -> None:
        """Appends one round, on the disk when this returns.

        Args:
            round_number: Larger than that of the last call.
            metrics: Numbers by name, in the units that their names say; what is not finite is
                written as ``null``.

        Raises:
            RunError: It cannot be written.
            ValueError: The round was logged before.
        """
        if round_number < self._next:
            raise ValueError(f"round {round_number} was logged before; next is {self._next}")
        numbers = {name: _plain(value) for name, value in metrics.items()}
        line = json.dumps({"round": round_number, **numbers}, allow_nan=False)
        with told(self._path):
            self._file.write(f"{line}\n".encode())
            self._file.flush()
            os.fsync(self._file.fileno())
            if self._events:
                self._events.write(round_number, numbers)
        if self._sinks:
            self._sinks.log(round_number, numbers)
        self._next = round_number + 1

    def close(self) -> None:
        """Closes the files; what was logged is on the disk already."""
        if self._sinks:
            self._sinks.close()
        with told(self._path):
            self._file.close()
            if self._events:
                self._events.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_metrics(run: RunDirectory) -> list[dict[str, Any]]:
    """Reads the log, one map for each round, ``null`` as ``None``; ``[]`` if nothing was logged.

    A last line that was cut off in writing is passed over.

    Raises:
        RunError: It cannot be read, or a line before the last is damaged.
    """
    return read_lines(run.metrics)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Reads any log of one JSON object for each round, as :func:`read_metrics` does."""
    if not path.exists():
        return []
    with told(path):
        lines = path.read_bytes().split(b"\n")
    rounds = []
    for number, line in enumerate(lines[:-1], 1):
        metrics = _parsed(line)
        if metrics is not None:
            rounds.append(metrics)
        elif number < len(lines) - 1:
            raise RunError(f"'{path}': line {number} is damaged; take it out to go on")
    return rounds


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and isinstance(data.get("round"), int) else None


def _plain(value: float) -> float | None:
    number = value if isinstance(value, int) else float(value)
    return number if math.isfinite(number) else None


class _Events:
    """A TensorBoard event file, written without its threads, and without torch."""

    def __init__(self, directory: Path, first_round: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of protobuf, about things nobody here can change
            from tensorboard.compat.proto import (  # type: ignore[import-untyped] # no stubs
                event_pb2,
                summary_pb2,
            )
            from tensorboard.summary.writer.record_writer import (  # type: ignore[import-untyped]
                RecordWriter,
            )
        self._event, self._summary = event_pb2, summary_pb2
        path = directory / f"events.out.tfevents.{time.time_ns():019d}.qmarl"
        with told(path):
            self._writer = RecordWriter(path.open("wb"))
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._put(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))
        # Tells TensorBoard to forget what earlier files say of this round and later ones.
        self._put(event_pb2.Event(wall_time=time.time(), step=first_round, session_log=start))

    def write(self, round_number: int, numbers: Mapping[str, float | None]) -> None:
        values = [
            self._summary.Summary.Value(tag=name, simple_value=value)
            for name, value in numbers.items()
            if value is not None
        ]
        summary = self._summary.Summary(value=values)
        self._put(self._event.Event(wall_time=time.time(), step=round_number, summary=summary))

    def close(self) -> None:
        self._writer.close()

    def _put(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())
        self._writer.flush()
