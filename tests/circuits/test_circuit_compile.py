"""Any PennyLane function becomes a program that equals default.qubit, or falls back and says so."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pennylane as qp
import pytest
import torch

from qmarl.circuits import Circuit, check_circuit

Z = qp.Z


def chain_of_controlled_gates(inputs: Any, weights: Any) -> Any:
    for wire in range(3):
        qp.Hadamard(wire)
        qp.RZ(inputs[..., wire], wire)
        qp.RY(2 * inputs[..., (wire + 1) % 3] - 0.3, wire)
    for wire in range(2):
        qp.RX(0.3, wire)
        qp.CRX(weights[wire, 0], [wire, wire + 1])
        qp.U3(weights[wire, 0], weights[wire, 1], weights[wire, 2], wire)
    return qp.probs(wires=[0, 2]), qp.expval(Z(1))


def many_observables(inputs: Any, weights: Any) -> Any:
    qp.AngleEmbedding(inputs, wires=range(3), rotation="Y")
    qp.StronglyEntanglingLayers(weights[None, :, :], wires=range(3))
    return [
        qp.expval(qp.X(0) @ qp.Y(1)),
        qp.expval(0.5 * Z(2) + 0.3 * qp.X(0) @ qp.X(2) - qp.Y(1)),
        qp.expval(qp.Projector([1, 0], wires=[0, 2])),
        qp.expval(qp.Hermitian(np.array([[1, 2j], [-2j, -1]]), wires=1)),
        qp.expval(qp.Y(0) @ qp.Y(1) @ qp.Y(2)),
    ]


def functions_before_the_circuit(inputs: Any, weights: Any) -> Any:
    scaled = torch.arctan(weights[0] * inputs)
    for wire in range(3):
        qp.RY(scaled[..., wire], wire)
        qp.RZ(torch.arctan(inputs[..., wire] ** 2) + weights[1, wire], wire)
        qp.RX(torch.exp(weights[1, wire]) / 9 + weights[0, 0] * weights[0, 1], wire)
    qp.CNOT([0, 1])
    qp.CNOT([1, 2])
    qp.RX((weights[0] * inputs).sum(-1), 2)
    return [qp.expval(Z(wire)) for wire in range(3)]


def fixed_gates_and_states(inputs: Any, weights: Any) -> Any:
    qp.BasisState(np.array([1, 0, 1]), wires=range(3))
    qp.Hadamard(0)
    qp.CNOT([0, 1])
    for wire in range(3):
        qp.RX(inputs[..., wire] * math.pi, wire)
    qp.IsingZZ(weights[0, 0], [0, 1])
    qp.Toffoli([0, 1, 2])
    qp.ISWAP([1, 2])
    qp.S(0)
    qp.T(1)
    qp.CY([2, 0])
    qp.PhaseShift(weights[1, 1], 2)
    qp.CSWAP([0, 1, 2])
    qp.adjoint(qp.Rot)(weights[1, 0], weights[0, 1], weights[1, 2], 0)
    qp.ctrl(qp.RY, control=1)(weights[0, 2], wires=2)
    return [qp.expval(Z(0)), qp.expval(qp.X(1)), qp.expval(Z(0) @ Z(2))]


FUNCTIONS: list[tuple[Callable[..., Any], tuple[int, ...]]] = [
    (chain_of_controlled_gates, (2, 3)),
    (many_observables, (3, 3)),
    (functions_before_the_circuit, (2, 3)),
    (fixed_gates_and_states, (2, 3)),
]


@pytest.mark.parametrize(("function", "shape"), FUNCTIONS, ids=lambda x: getattr(x, "__name__", ""))
def test_pennylane_functions_are_fused_exactly(
    function: Callable[..., Any], shape: tuple[int, ...]
) -> None:
    circuit = Circuit(function, 3, shape)
    assert circuit.path == "program", circuit.reason
    check_circuit(circuit)


def test_phases_of_the_whole_state_may_be_complex() -> None:
    def function(inputs: Any, weights: Any) -> Any:
        qp.RX(inputs[..., 0], 0)
        qp.FermionicSWAP(weights[0] * inputs[..., 1], wires=[0, 1])
        qp.adjoint(qp.U2)(weights[1], inputs[..., 0], wires=1)
        return [qp.expval(Z(wire)) for wire in range(2)]

    circuit = Circuit(function, 2, (2,))
    assert circuit.path == "program", circuit.reason
    check_circuit(circuit)


def layers_on_many_wires(qubits: int, layers: int) -> Callable[..., Any]:
    def function(inputs: Any, weights: Any) -> Any:
        for layer in range(layers):
            for wire in range(qubits):
                qp.RX(inputs[..., wire], wire)
                qp.RZ(weights[layer, wire, 0] * inputs[..., 0], wire)
                qp.Rot(*weights[layer, wire], wire)
            for wire in range(qubits):
                qp.CNOT([wire, (wire + layer + 1) % qubits])
            qp.Rot(*weights[layer, 0], 1)
            qp.CZ([0, 1])
        return [qp.expval(Z(wire)) for wire in range(qubits)] + [qp.expval(qp.X(0) @ qp.Y(2))]

    return function


@pytest.mark.parametrize("qubits", [6, 7, 9])
def test_more_qubits_run_wire_by_wire_and_are_exact(qubits: int) -> None:
    check_circuit(Circuit(layers_on_many_wires(qubits, 2), qubits, (2, qubits, 3)))


def test_a_batch_of_several_chunks_equals_its_parts() -> None:
    def function(inputs: Any, weights: Any) -> Any:
        qp.AngleEmbedding(inputs, wires=range(6))
        qp.StronglyEntanglingLayers(weights, wires=range(6))
        return [qp.expval(Z(wire)) for wire in range(6)]

    circuit, rng = Circuit(function, 6, (3, 6, 3)), np.random.default_rng(0)
    inputs = torch.as_tensor(rng.uniform(-3, 3, (2, 1100, 6)))  # several chunks
    weights = torch.as_tensor(rng.uniform(-3, 3, (2, 3, 6, 3))).requires_grad_()
    probe = torch.as_tensor(rng.normal(size=(2, 1100, 6)))
    whole = circuit(inputs, weights)
    [together] = torch.autograd.grad((whole * probe).sum(), [weights])
    apart = torch.zeros_like(together)
    for first in range(0, 1100, 50):
        part = slice(first, first + 50)
        outputs = circuit(inputs[:, part], weights)
        assert torch.allclose(outputs, whole[:, part], rtol=0, atol=1e-12)
        apart += torch.autograd.grad((outputs * probe[:, part]).sum(), [weights])[0]
    assert torch.allclose(apart, together, rtol=0, atol=1e-10)


def test_periods_and_roles_are_read_off_the_circuit() -> None:
    def function(inputs: Any, weights: Any) -> Any:
        qp.RX(weights["scale"][0] * inputs[..., 0], 0)
        qp.RY(weights["plain"][0], 1)
        qp.CRX(weights["controlled"][0], [0, 1])
        return qp.expval(Z(1))

    names = ("scale", "plain", "controlled")
    layout = Circuit(function, 1, dict.fromkeys(names, (1,))).layout
    assert [layout[name].period for name in names] == [None, 2 * math.pi, 4 * math.pi]
    assert [layout[name].role for name in names] == ["scales", "angles", "angles"]


def measured_midway(inputs: Any, weights: Any) -> Any:
    qp.RX(inputs[..., 0], 0)
    outcome = qp.measure(0)
    qp.cond(outcome, qp.RY)(weights[0], wires=1)
    return qp.expval(Z(1))


def structure_from_data(inputs: Any, weights: Any) -> Any:
    qp.RX(inputs[..., 0], 0)
    if weights[0] > 0:
        qp.RY(weights[0], 0)
    return qp.expval(Z(0))


def variance(inputs: Any, weights: Any) -> Any:
    qp.RX(inputs[..., 0] * weights[0], 0)
    return qp.var(Z(0))


@pytest.mark.parametrize("function", [measured_midway, structure_from_data, variance])
def test_what_cannot_be_fused_runs_on_pennylane_and_says_so(
    function: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "qmarl.circuits"):
        circuit = Circuit(function, 1, (1,), name="odd")
    assert circuit.path == circuit.describe().path == "pennylane:default.qubit"
    assert [record for record in caplog.records if "odd" in record.message]
    inputs, weights = torch.full((2, 3, 1), 0.4), torch.tensor([[0.3], [-0.2]]).requires_grad_()
    outputs = circuit(inputs, weights)
    assert outputs.shape == (2, 3, 1)
    assert outputs.dtype == torch.float32
    outputs.sum().backward()
    assert weights.grad is not None
