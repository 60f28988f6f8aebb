"""Initial states: constant ones are fused, those made of inputs run on PennyLane, as exactly."""

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

ROOT = math.sqrt(0.5)


def basis_state() -> None:
    qp.BasisState(np.array([1, 0, 1]), wires=range(3))


def bell_pair() -> None:
    qp.Hadamard(0)
    qp.CNOT([0, 1])


def bell_pair_given() -> None:
    qp.StatePrep(np.array([0, ROOT, -ROOT, 0]), wires=[2, 0])


def ghz() -> None:
    qp.Hadamard(0)
    qp.CNOT([0, 1])
    qp.CNOT([1, 2])


def ghz_given() -> None:
    qp.StatePrep(np.array([1, 0, 0, 0, 0, 0, 0, 1j]) * ROOT, wires=range(3))


def constant_amplitudes() -> None:
    qp.AmplitudeEmbedding(np.arange(5.0), wires=range(3), pad_with=0.5, normalize=True)


STATES = [basis_state, bell_pair, bell_pair_given, ghz, ghz_given, constant_amplitudes]


@pytest.mark.parametrize("prepare", STATES, ids=lambda one: one.__name__)
def test_constant_states_are_fused(prepare: Callable[[], None]) -> None:
    def function(inputs: Any, weights: Any) -> Any:
        prepare()
        qp.AngleEmbedding(inputs, wires=range(3))
        qp.StronglyEntanglingLayers(weights, wires=range(3))
        return [qp.expval(qp.Z(0)), qp.expval(qp.X(1) @ qp.Y(2)), qp.probs(wires=[0, 2])]

    circuit = Circuit(function, 3, (2, 3, 3))
    assert circuit.path == "program", circuit.reason
    check_circuit(circuit)


def test_a_bell_pair_between_agents_is_read_by_both() -> None:
    """As in entangled critics: each agent turns its own qubit, the pair's parity is measured."""

    def function(inputs: Any, weights: Any) -> Any:
        bell_pair()
        for agent in range(2):
            qp.RY(inputs[..., agent] + weights[agent], agent)
        return qp.expval(qp.Z(0) @ qp.Z(1))

    inputs, weights = torch.rand(4, 2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    found = Circuit(function, 2, (2,))(inputs, weights)[:, 0]
    torch.testing.assert_close(found, torch.cos(inputs[:, 0] - inputs[:, 1]))


def amplitudes(inputs: Any, weights: Any) -> Any:
    qp.AmplitudeEmbedding(inputs, wires=range(2), normalize=True, pad_with=0.0)
    qp.RY(weights[0], 0)
    return [qp.expval(qp.Z(0)), qp.expval(qp.X(1))]


def by_hand(inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    state = torch.nn.functional.pad(inputs / inputs.norm(dim=-1, keepdim=True), (0, 1))
    state = state.reshape(*state.shape[:-1], 2, 2)
    cosine, sine = torch.cos(weights[..., 0] / 2), torch.sin(weights[..., 0] / 2)
    rotation = torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], -2)
    turned = rotation[..., None, :, :] @ state
    z = turned[..., 0, :].square().sum(-1) - turned[..., 1, :].square().sum(-1)
    x = 2 * (turned[..., 0] * turned[..., 1]).sum(-1)
    return torch.stack([z, x], -1)


def test_amplitudes_of_inputs_run_on_pennylane_with_exact_gradients(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "qmarl.circuits"):
        circuit = Circuit(amplitudes, 3, (1,), name="amplitudes")
    assert circuit.describe().path == "pennylane:default.qubit"
    assert "AmplitudeEmbedding prepares a state that depends on inputs" in circuit.reason
    assert len(caplog.records) == 1
    assert "AmplitudeEmbedding" in caplog.text
    numbers = [[[1.0, 2.0, 0.5], [0.0, 0.0, 1.0]], [[-1.0, 0.2, -0.3], [0.0, -2.0, 0.0]]]
    inputs = torch.tensor(numbers, dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([[0.3], [-1.2]], dtype=torch.float64, requires_grad=True)
    results = []
    for run in (circuit, by_hand):
        outputs = run(inputs, weights)
        loss = (outputs * torch.tensor([1.0, -0.7])).sum()
        gradients = torch.autograd.grad(loss, [inputs, weights])
        results.append([outputs.detach(), *gradients])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def trained_state(inputs: Any, weights: Any) -> Any:
    qp.StatePrep(torch.stack([torch.cos(weights[0]), torch.sin(weights[0])]), wires=0)
    qp.RX(inputs[..., 0], 0)
    return qp.expval(qp.Z(0))


def basis_from_data(inputs: Any, weights: Any) -> Any:
    qp.BasisEmbedding((inputs[0] > 0).int().reshape(1), wires=[0])
    qp.RX(weights[0] * inputs[..., 0], 0)
    return qp.expval(qp.Z(0))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (trained_state, "StatePrep prepares a state that depends on inputs or weights"),
        (basis_from_data, "its structure depends on inputs or weights (torch.gt)"),
    ],
)
def test_other_states_of_inputs_and_weights_fall_back_with_their_reason(
    function: Callable[..., Any], words: str
) -> None:
    circuit = Circuit(function, 1, (1,))
    assert circuit.path == "pennylane:default.qubit"
    assert circuit.reason == words
    check_circuit(circuit)
