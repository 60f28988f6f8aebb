"""What happened in every round of the federation, client by client: ``federation.jsonl``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from qmarl.federated.round_report import RoundReport
from trainers.logger import read_lines
from trainers.plain import finite
from trainers.rundir import RunDirectory, told

NAME = "federation.jsonl"
"""The file's name in a run's directory."""
ACCOUNT = "privacy.json"
"""The file that holds what each group's privacy has cost up to the last round."""


class RoundLog:
    """Appends one line for each round; every round stands in it once.

    Args:
        run: The run's directory, held by this process.
        first_round: The round that comes next; lines of it and of later ones are cut off.

    Raises:
        RunError: The log is damaged or cannot be written.
    """

    def __init__(self, run: RunDirectory, first_round: int = 0) -> None:
        self._run, self._path = run, Path(run.path / NAME)
        kept = [line for line in read_lines(self._path) if line["round"] < first_round]
        run.write(NAME, "".join(f"{json.dumps(line)}\n" for line in kept))

    def append(self, round_number: int, reports: Mapping[str, RoundReport]) -> None:
        """Writes what happened in every group, on the disk when this returns.

        Raises:
            RunError: It cannot be written.
        """
        groups = {name: finite(report.plain()) for name, report in reports.items()}
        line = json.dumps({"round": round_number, "groups": groups}, allow_nan=False)
        with told(self._path), self._path.open("ab") as file:
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        accounts = {n: finite(asdict(r.spent)) for n, r in reports.items() if r.spent is not None}
        if accounts:
            account = json.dumps({"round": round_number, "groups": accounts}, indent=1)
            self._run.write(ACCOUNT, account)
