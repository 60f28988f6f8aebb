"""Who came in every round, and with work of which round: ``participation.jsonl``.

Written where that depends on the clock, so that such a run can be computed again without one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qmarl.errors import ConfigurationError, RunError
from trainers.logger import read_lines
from trainers.rundir import RunDirectory, told

NAME = "participation.jsonl"
"""The file's name in a run's directory."""


@dataclass(frozen=True)
class Attendance:
    """Who came in a round.

    Attributes:
        came: By fleet: the round in which the work began that it brought.
        missed: Fleets whose work was given up.
    """

    came: Mapping[str, int]
    missed: Collection[str]


class ParticipationLog:
    """Appends one line for each round; every round stands in it once.

    Args:
        run: The run's directory, held by this process.
        first_round: The round that comes next; lines of it and of later ones are cut off.

    Raises:
        RunError: The log is damaged or cannot be written.
    """

    def __init__(self, run: RunDirectory, first_round: int = 0) -> None:
        self._path = run.path / NAME
        kept = [line for line in read_lines(self._path) if line["round"] < first_round]
        run.write(NAME, "".join(f"{json.dumps(line)}\n" for line in kept))

    def append(self, round_number: int, attendance: Attendance) -> None:
        """Writes who came in a round, on the disk when this returns.

        Raises:
            RunError: It cannot be written.
        """
        told_of = {"came": dict(attendance.came), "missed": sorted(attendance.missed)}
        line = json.dumps({"round": round_number, **told_of})
        with told(self._path), self._path.open("ab") as file:
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())


def read_script(path: Path, rounds: int) -> dict[int, Attendance]:
    """Reads what :class:`ParticipationLog` wrote.

    Args:
        path: The file, or the run directory that it stands in.
        rounds: How many rounds are to follow it.

    Raises:
        ConfigurationError: There is none, it is damaged, or it has fewer rounds.
    """
    file = path / NAME if path.is_dir() else path
    try:
        script = {line["round"]: _attendance(line) for line in read_lines(file)}
    except (RunError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"federation.replay: '{file}' is damaged: {error}") from error
    missing = [number for number in range(rounds) if number not in script]
    if missing:
        raise ConfigurationError(
            f"federation.replay: '{file}' has no round {missing[0]}, and the run has {rounds}"
        )
    return script


def _attendance(line: Mapping[str, Any]) -> Attendance:
    came = {str(name): int(began) for name, began in line["came"].items()}
    return Attendance(came, tuple(str(name) for name in line["missed"]))
