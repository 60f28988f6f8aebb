"""Frozen circuits that take each input once equal PennyLane, whatever is measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pennylane as qp
import pytest
import torch

from qmarl.circuits import Circuit

MEASURED: dict[str, Callable[[int], Any]] = {
    "z": lambda n: [qp.expval(qp.Z(wire)) for wire in range(n)],
    "sums": lambda n: [qp.expval(0.7 * qp.X(0) @ qp.Z(n - 1) - 0.3 * qp.Y(1) + 0.1 * qp.Z(0))],
    "probabilities": lambda n: qp.probs(wires=range(n)),
    "projector": lambda n: qp.expval(qp.Projector([1] * n, wires=range(n))),
}


def make(measured: str, qubits: int, rotation: str) -> Circuit:
    def function(inputs: Any, weights: Any) -> Any:
        qp.RY(weights["first"][0], wires=0)
        qp.CNOT(wires=[0, qubits - 1])
        for wire in range(qubits):
            angle = weights["scale"][wire] * inputs[..., wire] + 0.1 * wire
            getattr(qp, rotation)(angle, wires=wire)
        qp.StronglyEntanglingLayers(weights["angles"], wires=range(qubits))
        return MEASURED[measured](qubits)

    shapes: dict[str, tuple[int, ...]] = {"first": (1,), "scale": (qubits,)}
    return Circuit(function, qubits, {**shapes, "angles": (2, qubits, 3)})


@pytest.mark.parametrize("measured", MEASURED)
@pytest.mark.parametrize(("qubits", "rotation"), [(2, "RY"), (4, "RX"), (5, "RX")])
def test_frozen_circuits_are_exact(measured: str, qubits: int, rotation: str) -> None:
    circuit = make(measured, qubits, rotation)
    assert circuit.program is not None
    rng = np.random.default_rng(0)
    inputs = rng.uniform(-3, 3, (2, 3, 40, qubits)).astype(np.float32)
    weights = {
        name: rng.uniform(-3, 3, (2, 3, *spec.shape)).astype(np.float32)
        for name, spec in circuit.layout.items()
    }
    exact = circuit.on("pennylane:default.qubit")(
        torch.as_tensor(inputs).double(),
        {name: torch.as_tensor(weight).double() for name, weight in weights.items()},
    ).numpy()
    for dtype, most in ((np.float64, 1e-12), (np.float32, 1e-6)):
        bound = circuit.program.bind(weights, dtype)
        for _ in range(2):
            outputs = bound(inputs.astype(dtype))
            assert outputs.dtype == dtype
            np.testing.assert_allclose(outputs, exact, rtol=0, atol=most)
    one = {name: weight[1, 2] for name, weight in weights.items()}
    alone = circuit.program.bind(one, np.float64)(inputs[1, 2].astype(float))
    np.testing.assert_allclose(alone, exact[1, 2], rtol=0, atol=1e-12)
