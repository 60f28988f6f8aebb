"""The fused program and a PennyLane device train the same team."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e_configs import DRONES

from qmarl import checkpoint
from trainers.config import load_experiment
from trainers.logger import read_metrics
from trainers.progress import SilentProgress
from trainers.rundir import RunDirectory
from trainers.runs import train

TRAINED = """{kind: vqc, precision: float64, backend: BACKEND, circuit:
  {qubits: 4, layers: 1, encoding: {rotations: xyz}, ansatz: {kind: ANSATZ}}}"""


def run_of(path: Path, backend: str, ansatz: str) -> RunDirectory:
    actor = TRAINED.replace("BACKEND", backend).replace("ANSATZ", ansatz).replace("\n", "")
    experiment = load_experiment(path, [f"actor={actor}", "rounds=2"])
    return RunDirectory.open(train(experiment, source="", console=SilentProgress()))


@pytest.mark.parametrize("ansatz", ["hardware_efficient", "strongly_entangling"])
def test_a_device_trains_to_the_numbers_of_the_program(config: Any, ansatz: str) -> None:
    path = config(text=DRONES)
    program = run_of(path, "program", ansatz)
    device = run_of(path, "'pennylane:default.qubit'", ansatz)
    ours, theirs = (checkpoint.load(run.checkpoints).arrays for run in (program, device))
    assert set(ours) == set(theirs)
    for part, params in ours.items():
        for name, array in params.items():
            np.testing.assert_allclose(
                theirs[part][name], array, rtol=1e-6, atol=1e-9, err_msg=f"{part}/{name}"
            )
    for mine, its in zip(read_metrics(program), read_metrics(device), strict=True):
        assert mine["episode/return"] == its["episode/return"]
        assert mine["learn/all/value_loss"] == pytest.approx(its["learn/all/value_loss"], rel=1e-6)
