"""Values and gradients without autograd equal those through torch; chunks change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pennylane as qp
import pytest
import torch

from qmarl.circuits import Circuit, CircuitConfig, build_circuit
from qmarl.errors import ConfigurationError, RunError

PARTS: list[dict[str, Any]] = [
    {"qubits": 4, "layers": 2},
    {
        "qubits": 3,
        "layers": 2,
        "reupload": True,
        "encoding": {"rotations": "xyz", "scales": True},
        "ansatz": {"kind": "hardware_efficient"},
        "readout": {"kind": "z_pairs"},
    },
    {"qubits": 6, "layers": 2},
    {"qubits": 6, "layers": 2, "reupload": True, "encoding": {"rotations": "y", "scales": True}},
]


@pytest.fixture(scope="module", params=PARTS, ids=lambda parts: "-".join(map(str, parts.values())))
def circuit(request: pytest.FixtureRequest) -> Circuit:
    rotations = request.param.get("encoding", {}).get("rotations", "x")
    return build_circuit(
        CircuitConfig.model_validate(request.param), request.param["qubits"] * len(rotations)
    )


def draw(circuit: Circuit, lead: tuple[int, ...], batch: int) -> tuple[Any, dict[str, Any], Any]:
    rng = np.random.default_rng(3)
    inputs = rng.uniform(-3, 3, (*lead, batch, circuit.n_inputs))
    weights = {n: rng.uniform(-3, 3, (*lead, *s.shape)) for n, s in circuit.layout.items()}
    return inputs, weights, rng.normal(size=(*lead, batch, circuit.n_outputs))


@pytest.mark.parametrize("lead", [(), (3,), (2, 2)])
def test_the_direct_path_equals_autograd(circuit: Circuit, lead: tuple[int, ...]) -> None:
    inputs, weights, cotangent = draw(circuit, lead, 6)
    x = torch.as_tensor(inputs).requires_grad_()
    leaves = {name: torch.as_tensor(array).requires_grad_() for name, array in weights.items()}
    outputs = circuit(x, leaves)
    outputs.backward(torch.as_tensor(cotangent))
    pulled = circuit.value_and_gradients(inputs, weights, cotangent)
    np.testing.assert_array_equal(pulled.outputs, outputs.detach().numpy())
    assert pulled.inputs is not None
    np.testing.assert_array_equal(pulled.inputs, x.grad)
    for name, leaf in leaves.items():
        np.testing.assert_array_equal(pulled.weights[name], leaf.grad)


def test_the_inputs_gradient_is_left_out_where_it_is_not_wanted(circuit: Circuit) -> None:
    inputs, weights, cotangent = draw(circuit, (2,), 6)
    whole = circuit.value_and_gradients(inputs, weights, cotangent)
    less = circuit.value_and_gradients(inputs, weights, cotangent, need_inputs=False)
    assert less.inputs is None
    for name, gradient in whole.weights.items():
        np.testing.assert_allclose(less.weights[name], gradient, rtol=0, atol=1e-12)


def test_chunks_change_nothing(circuit: Circuit, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, weights, cotangent = draw(circuit, (2,), 50)
    whole = circuit.value_and_gradients(inputs, weights, cotangent)
    again = circuit.value_and_gradients(inputs, weights, cotangent)
    monkeypatch.setattr("qmarl.circuits.numpy_executor.CHUNK", 2**6 * 14)
    parts = circuit.value_and_gradients(inputs, weights, cotangent)
    assert whole.inputs is not None
    assert parts.inputs is not None
    np.testing.assert_array_equal(again.outputs, whole.outputs)
    np.testing.assert_allclose(parts.outputs, whole.outputs, rtol=0, atol=1e-13)
    np.testing.assert_allclose(parts.inputs, whole.inputs, rtol=0, atol=1e-12)
    for name, gradient in whole.weights.items():
        np.testing.assert_array_equal(again.weights[name], gradient)
        np.testing.assert_allclose(parts.weights[name], gradient, rtol=0, atol=1e-11)


def test_float32_stays_float32() -> None:
    circuit = build_circuit(CircuitConfig(qubits=2, layers=1), 2)
    inputs, weights, cotangent = draw(circuit, (), 5)
    single = {name: array.astype(np.float32) for name, array in weights.items()}
    pulled = circuit.value_and_gradients(inputs.astype(np.float32), single, cotangent)
    assert pulled.inputs is not None
    arrays = [pulled.outputs, pulled.inputs, *pulled.weights.values()]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


def many_weights_on_a_wire(inputs: Any, weights: Any) -> Any:
    for k in range(11):
        [qp.RX, qp.RY, qp.RZ][k % 3](weights[k % 7] * (1 + k / 4) + 0.1, wires=0)
    qp.RY(inputs[..., 0], wires=0)
    qp.RX(weights[0], wires=0)
    return [qp.expval(qp.Z(0)), qp.expval(qp.Y(0))]


def test_long_chains_of_rotations_are_exact() -> None:
    circuit = Circuit(many_weights_on_a_wire, 1, (7,))
    rng = np.random.default_rng(0)
    inputs, weights = rng.uniform(-3, 3, (4, 1)), rng.uniform(-3, 3, 7)
    pulled = circuit.value_and_gradients(inputs, weights, np.ones((4, 2)))
    leaf = torch.as_tensor(weights).requires_grad_()
    exact = circuit.on("pennylane:default.qubit")(torch.as_tensor(inputs), leaf)
    exact.sum().backward()
    np.testing.assert_allclose(pulled.outputs, exact.detach(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(pulled.weights["weights"], leaf.grad, rtol=0, atol=1e-12)


def test_bad_arguments_of_the_direct_path_are_named() -> None:
    circuit = build_circuit(CircuitConfig(qubits=2, layers=1), 2)
    inputs, weights, cotangent = draw(circuit, (), 5)
    with pytest.raises(ConfigurationError, match=r"cotangent must be \(5, 2\), got \(5, 3\)"):
        circuit.value_and_gradients(inputs, weights, np.ones((5, 3)))
    with pytest.raises(ConfigurationError, match="only fused circuits have gradients"):
        circuit.on("pennylane:default.qubit").value_and_gradients(inputs, weights, cotangent)
    inputs[0, 0] = np.nan
    with pytest.raises(RunError, match="its inputs are not all finite"):
        circuit.value_and_gradients(inputs, weights, cotangent)
