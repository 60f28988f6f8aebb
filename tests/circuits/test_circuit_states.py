"""Initial states: constant ones are fused, and those made of inputs; trained ones fall back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pennylane as qp
import pytest
import torch

from qmarl.circuits import Circuit, check_circuit
from qmarl.circuits.noise import NoiseConfig
from qmarl.errors import ConfigurationError, RunError

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


def complex_torch() -> None:
    qp.StatePrep(torch.tensor([0.6, 0.8j], dtype=torch.complex128), wires=1)


STATES = [
    basis_state,
    bell_pair,
    bell_pair_given,
    ghz,
    ghz_given,
    constant_amplitudes,
    complex_torch,
]


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


def test_amplitudes_of_inputs_are_fused_with_exact_gradients() -> None:
    circuit = Circuit(amplitudes, 3, (1,), name="amplitudes")
    assert circuit.path == "program", circuit.reason
    numbers = [[[1.0, 2.0, 0.5], [0.0, 0.0, 1.0]], [[-1.0, 0.2, -0.3], [0.0, -2.0, 0.0]]]
    inputs = torch.tensor(numbers, dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([[0.3], [-1.2]], dtype=torch.float64, requires_grad=True)
    same(circuit, by_hand, inputs, weights, 1e-12)


def same(ours: Any, theirs: Any, inputs: Any, weights: Any, tolerance: float) -> None:
    """Values and gradients of a loss are equal."""
    results = []
    for run in (ours, theirs):
        outputs = run(inputs, weights)
        probe = torch.linspace(-1, 0.7, outputs.shape[-1], dtype=outputs.dtype)
        gradients = torch.autograd.grad((outputs * probe).sum(), [inputs, weights])
        results.append([outputs.detach(), *gradients])
    for mine, exact in zip(*results, strict=True):
        torch.testing.assert_close(mine, exact, rtol=0, atol=tolerance)


def uploaded_again(inputs: Any, weights: Any) -> Any:
    """Padded on other wires than all, then angles of the same inputs, scaled ones too."""
    qp.AmplitudeEmbedding(inputs, wires=[3, 0, 1], normalize=True, pad_with=0.5)
    qp.CNOT([0, 2])
    for wire in range(3):
        qp.RY(weights[wire], wire)
        qp.RX(weights[3 + wire] * inputs[..., wire] + inputs[..., 4], wire)
    qp.CZ([0, 1])
    return [qp.expval(qp.Z(0)), qp.expval(qp.X(1) @ qp.Y(3)), qp.probs(wires=[0, 2])]


def functions_of_inputs(inputs: Any, weights: Any) -> Any:
    """The same input twice, functions of inputs, and a gate on another wire before."""
    qp.RX(inputs[..., 1] + weights[1], 2)
    numbers = torch.stack([inputs[0], torch.sin(inputs[1]), inputs[0], inputs[2]])
    qp.StatePrep(numbers, wires=[0, 1], normalize=True)
    for wire in range(3):
        qp.RY(weights[wire], wire)
    qp.CNOT([1, 2])
    return [qp.expval(qp.Z(0)), qp.expval(qp.Y(2) @ qp.X(0))]


def wide(inputs: Any, weights: Any) -> Any:
    qp.AmplitudeEmbedding(inputs, wires=range(6), pad_with=0.0)
    qp.StronglyEntanglingLayers(weights, wires=range(6))
    return [qp.expval(qp.Z(wire)) for wire in range(6)]


def trained_nothing(inputs: Any, weights: Any) -> Any:
    """Free of weights on the way: amplitudes are measured almost as they are given."""
    qp.StatePrep(inputs, wires=[0, 1], normalize=True)
    qp.RZ(0.0 * weights[0], 0)
    return [qp.expval(qp.X(0)), qp.expval(qp.Z(1))]


PREPARED: dict[str, tuple[Any, int, tuple[int, ...]]] = {
    "uploaded_again": (uploaded_again, 5, (6,)),
    "functions_of_inputs": (functions_of_inputs, 3, (3,)),
    "wide": (wide, 40, (1, 6, 3)),
    "trained_nothing": (trained_nothing, 4, (1,)),
}


@pytest.mark.parametrize("name", PREPARED)
@pytest.mark.parametrize("executor", ["numpy", "torch"])
def test_prepared_inputs_equal_default_qubit(name: str, executor: Any) -> None:
    function, n_inputs, shape = PREPARED[name]
    circuit = Circuit(function, n_inputs, shape, executor=executor)
    assert circuit.path == "program", circuit.reason
    check_circuit(circuit)
    rng = np.random.default_rng(3)
    arrays = rng.normal(size=(2, 3, n_inputs)), rng.uniform(-3, 3, (2, *shape))
    exact = circuit.on("pennylane:default.qubit")
    leaves = [torch.as_tensor(array).requires_grad_() for array in arrays]
    same(circuit, exact, leaves[0], leaves[1], 1e-12)


@pytest.mark.parametrize("executor", ["numpy", "torch"])
def test_the_length_of_prepared_inputs_is_of_no_account(executor: Any) -> None:
    """Even where the squares of float32 numbers vanish or overflow."""
    circuit = Circuit(trained_nothing, 4, (1,), executor=executor)
    inputs = torch.tensor([[0.3, -1.0, 0.2, 0.5]])
    weights = torch.zeros(1)
    expected = circuit(inputs, weights)
    for factor in (1e-30, 1e30):
        torch.testing.assert_close(circuit(inputs * factor, weights), expected)


@pytest.mark.parametrize("executor", ["numpy", "torch"])
@pytest.mark.parametrize(("number", "words"), [(0.0, "all zero"), (math.nan, "not all finite")])
def test_inputs_that_prepare_no_state_are_refused(executor: Any, number: float, words: str) -> None:
    circuit = Circuit(trained_nothing, 4, (1,), name="mine", executor=executor)
    inputs = torch.ones(3, 4)
    inputs[1] = number
    with pytest.raises(RunError, match=f"circuit 'mine': .*inputs.*{words}"):
        circuit(inputs, torch.zeros(1))


def test_frozen_programs_refuse_inputs_that_prepare_no_state() -> None:
    program = Circuit(trained_nothing, 4, (1,), name="mine").program
    assert program is not None
    bound = program.bind({"weights": np.zeros(1)})
    with pytest.raises(RunError, match=r"circuit 'mine': .* all zero"):
        bound(np.zeros((2, 4), np.float32))


def test_shots_of_prepared_inputs_run_on_pennylane() -> None:
    circuit = Circuit(trained_nothing, 4, (1,), shots=10)
    assert circuit.path == "pennylane:default.qubit"
    assert circuit.reason == "its state is made of inputs, which noise and shots do not know"
    with pytest.raises(ConfigurationError, match="its state is made of inputs"):
        Circuit(trained_nothing, 4, (1,), noise=NoiseConfig(depolarising=0.1))


def angles_of_one_index(inputs: Any, weights: Any) -> Any:
    qp.RY(inputs[..., 0] + weights[0], 0)
    qp.RX(inputs[..., 1] - 0.5 * weights[1], 0)
    return qp.expval(qp.Z(0))


def test_an_input_and_a_weight_of_the_same_index_are_two_things() -> None:
    circuit = Circuit(angles_of_one_index, 2, (2,))
    assert circuit.path == "program", circuit.reason
    check_circuit(circuit)


def weighted_inputs(inputs: Any, weights: Any) -> Any:
    qp.AmplitudeEmbedding(torch.cat([inputs, weights]), wires=0, normalize=True)
    return qp.expval(qp.Z(0))


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
        (weighted_inputs, "AmplitudeEmbedding prepares a state that depends on inputs or weights"),
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
