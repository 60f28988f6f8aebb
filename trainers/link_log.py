"""What happened on every client's link in every round: ``links.jsonl``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from trainers.logger import read_lines
from trainers.plain import finite
from trainers.rundir import RunDirectory, told

if TYPE_CHECKING:
    from qmarl.secure.lines import LineReport

NAME = "links.jsonl"
"""The file's name in a run's directory."""


class LinkLog:
    """Appends one line for each round; every round stands in it once. It holds nothing of a key.

    Args:
        run: The run's directory, held by this process.
        first_round: The round that comes next; lines of it and of later ones are cut off.

    Raises:
        RunError: The log is damaged or cannot be written.
    """

    def __init__(self, run: RunDirectory, first_round: int = 0) -> None:
        self._path = Path(run.path / NAME)
        kept = [line for line in read_lines(self._path) if line["round"] < first_round]
        run.write(NAME, "".join(f"{json.dumps(line)}\n" for line in kept))

    def append(self, round_number: int, reports: Mapping[str, LineReport]) -> None:
        """Writes what happened on every line, on the disk when this returns.

        Raises:
            RunError: It cannot be written.
        """
        links = {client: finite(report.plain()) for client, report in reports.items()}
        line = json.dumps({"round": round_number, "links": links}, allow_nan=False)
        with told(self._path), self._path.open("ab") as file:
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())
