"""Random circuits of PennyLane's gates, 1 to 10 qubits, equal default.qubit.

The suite draws 40. `pytest -m slow tests/circuits/test_circuit_random.py` draws 200, wider and
deeper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pennylane as qp
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from qmarl.circuits import Circuit

INPUTS = WEIGHTS = 4
DOUBLE, SINGLE = 1e-12, 1e-6
AGENTS, BATCH = 2, 3


class Kind(NamedTuple):
    gate: Callable[..., Any]
    angles: int = 1


TURNED = {
    1: [Kind(g) for g in (qp.RX, qp.RY, qp.RZ, qp.PhaseShift, qp.U1)]
    + [Kind(qp.U2, 2), Kind(qp.Rot, 3), Kind(qp.U3, 3)],
    2: [Kind(g) for g in (qp.CRX, qp.CRY, qp.CRZ, qp.ControlledPhaseShift, qp.PSWAP)]
    + [Kind(g) for g in (qp.IsingXX, qp.IsingYY, qp.IsingZZ, qp.MultiRZ)]
    + [Kind(g) for g in (qp.SingleExcitation, qp.SingleExcitationPlus, qp.FermionicSWAP)]
    + [Kind(qp.CRot, 3)],
    3: [Kind(qp.MultiRZ)],
    4: [Kind(qp.DoubleExcitation)],
}
FIXED = {
    1: [qp.Hadamard, qp.S, qp.T, qp.SX, qp.X, qp.Y, qp.Z],
    2: [qp.CNOT, qp.CZ, qp.CY, qp.CH, qp.SWAP, qp.ISWAP, qp.SISWAP, qp.ECR],
    3: [qp.Toffoli, qp.CSWAP, qp.CCZ, qp.MultiControlledX],
}


class Placed(NamedTuple):
    """A gate with its wires, and what its angles are made of."""

    gate: Callable[..., Any]
    wires: tuple[int, ...]
    angles: tuple[tuple[str, int, float], ...]
    undone: bool


class Drawn(NamedTuple):
    qubits: int
    gates: list[Placed]
    words: list[tuple[str, int, int]]

    def function(self, inputs: Any, weights: Any) -> Any:
        qp.RY(inputs[..., 0], 0)
        for placed in self.gates:
            gate = qp.adjoint(placed.gate) if placed.undone else placed.gate
            gate(*(angle(source, inputs, weights) for source in placed.angles), wires=placed.wires)
        return [
            *(qp.expval(qp.Z(wire)) for wire in range(self.qubits)),
            *(qp.expval(pauli(word, self.qubits)) for word in self.words),
            qp.probs(wires=[self.qubits - 1]),
        ]


def angle(source: tuple[str, int, float], inputs: Any, weights: Any) -> Any:
    kind, index, number = source
    values = {
        "data": lambda: inputs[..., index] + number,
        "weight": lambda: 0.5 * weights[index],
        "constant": lambda: torch.as_tensor(number, dtype=torch.float64),
        "scaled": lambda: weights[index] * inputs[..., 3 - index],
        "function": lambda: torch.arctan(weights[index] * inputs[..., index]) + weights[3 - index],
    }
    return values[kind]()


def pauli(word: tuple[str, int, int], qubits: int) -> Any:
    letters, first, second = word
    axes = {"X": qp.X, "Y": qp.Y, "Z": qp.Z}
    one = axes[letters[0]](first % qubits)
    return one if first % qubits == second % qubits else one @ axes[letters[1]](second % qubits)


@st.composite
def gates(draw: st.DrawFn, qubits: int) -> Placed:
    size = draw(st.sampled_from([k for k in (1, 1, 1, 2, 2, 2, 3, 4) if k <= qubits]))
    wires = tuple(draw(st.permutations(range(qubits)))[:size])
    turned = size not in FIXED or draw(st.booleans())
    undone = draw(st.integers(0, 4)) == 0
    if not turned:
        return Placed(draw(st.sampled_from(FIXED[size])), wires, (), undone)
    kind = draw(st.sampled_from(TURNED[size]))
    names = st.sampled_from(["data", "weight", "weight", "constant", "scaled", "function"])
    source = st.tuples(names, st.integers(0, 3), st.floats(-2, 2, width=16))
    angles = draw(st.lists(source, min_size=kind.angles, max_size=kind.angles))
    return Placed(kind.gate, wires, tuple(angles), undone)


@st.composite
def circuits(draw: st.DrawFn, room: int) -> Drawn:
    """A circuit of at most 10 qubits, the wider the shallower."""
    qubits = draw(st.integers(1, 10))
    depth = max(2, room // qubits)
    letters, wire = st.sampled_from(["XY", "YZ", "ZZ", "XX"]), st.integers(0, 9)
    word = st.tuples(letters, wire, wire)
    return Drawn(
        qubits,
        draw(st.lists(gates(qubits), min_size=1, max_size=depth)),
        draw(st.lists(word, min_size=1, max_size=2)),
    )


def values_and_gradients(circuit: Circuit, dtype: torch.dtype) -> list[torch.Tensor]:
    """Outputs, and the gradients of their mean by inputs and weights."""
    rng = np.random.default_rng(7)
    numbers = rng.uniform(-1, 1, (AGENTS, BATCH, INPUTS)), rng.uniform(-3, 3, (AGENTS, WEIGHTS))
    leaves = [torch.as_tensor(array.astype(np.float32)).to(dtype) for array in numbers]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    outputs = circuit(*leaves)
    assert outputs.dtype == dtype
    gradients = torch.autograd.grad(outputs.mean(), leaves, materialize_grads=True)
    return [outputs.detach(), *gradients]


def compare(drawn: Drawn) -> None:
    circuit = Circuit(drawn.function, INPUTS, (WEIGHTS,))
    assert circuit.path == "program", circuit.reason
    exact = values_and_gradients(circuit.on("pennylane:default.qubit"), torch.float64)
    for dtype, tolerance in ((torch.float64, DOUBLE), (torch.float32, SINGLE)):
        for one, other in zip(values_and_gradients(circuit, dtype), exact, strict=True):
            assert float((one.double() - other).abs().max()) < tolerance, dtype


ANY = list(HealthCheck)
QUICK = (Phase.explicit, Phase.generate)  # to shrink circuits takes minutes


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=ANY, phases=QUICK)
@given(circuits(room=40))
def test_random_circuits_are_exact(drawn: Drawn) -> None:
    compare(drawn)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=ANY, phases=QUICK)
@given(circuits(room=160))
def test_many_random_circuits_are_exact(drawn: Drawn) -> None:
    compare(drawn)
