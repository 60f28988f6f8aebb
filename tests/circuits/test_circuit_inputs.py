"""Bad input to circuits ends in one clear sentence; good input is described and drawn."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pennylane as qp
import pytest
import torch

from qmarl.circuits import Circuit, CircuitConfig, Program, build_circuit
from qmarl.circuits.builtin import circuit_layout, initial_weights
from qmarl.circuits.encoding import EncodingConfig
from qmarl.circuits.readout import ReadoutConfig
from qmarl.errors import ConfigurationError, RunError


def good(inputs: Any, weights: Any) -> Any:
    qp.RX(inputs[..., 0], 0)
    qp.RY(weights[0], 0)
    return qp.expval(qp.Z(0))


def takes_no_weights(inputs: Any) -> Any:
    return good(inputs, inputs)


def ignores_inputs(inputs: Any, weights: Any) -> Any:
    qp.RY(weights[0], 0)
    return qp.expval(qp.Z(0))


def returns_nothing(inputs: Any, weights: Any) -> None:
    qp.RX(inputs[..., 0], 0)


def wants_more_weights(inputs: Any, weights: Any) -> Any:
    qp.RX(inputs[..., 0], 0)
    qp.RY(weights[7], 0)
    return qp.expval(qp.Z(0))


def too_wide(inputs: Any, weights: Any) -> Any:
    for wire in range(21):
        qp.RX(inputs[..., 0], wire)
    return qp.expval(qp.Z(0))


def measures_an_unknown_wire(inputs: Any, weights: Any) -> Any:
    qp.RX(inputs[..., 0], 0)
    qp.RY(weights[0], 1)
    return qp.expval(qp.Z(0)), qp.expval(qp.Z(7))


def measures_a_name_that_no_gate_knows(inputs: Any, weights: Any) -> Any:
    qp.RX(weights[0] * inputs[..., 0], "left")
    return qp.expval(qp.Z("rigth"))


def entangles_a_wire_with_itself(inputs: Any, weights: Any) -> Any:
    qp.RX(weights[0] * inputs[..., 0], 0)
    qp.CNOT([0, 0])
    return qp.expval(qp.Z(0))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (measures_an_unknown_wire, "measures the wire 7, which none of its gates knows; they act"),
        (measures_a_name_that_no_gate_knows, "measures the wire 'rigth', which none of its gates"),
        (entangles_a_wire_with_itself, "fails on 1 inputs and weights"),
        (takes_no_weights, "must take (inputs, weights)"),
        (ignores_inputs, "no gate of its quantum function depends on the inputs"),
        (returns_nothing, "it returns no measurement"),
        (wants_more_weights, "fails on 1 inputs and weights {'weights': (1,)}"),
        (too_wide, "it has 21 qubits, at most 20"),
    ],
)
def test_bad_quantum_functions_are_named(function: Callable[..., Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=r"circuit 'mine': ") as error:
        Circuit(function, 1, (1,), name="mine")
    assert words in str(error.value)


def test_an_idle_wire_among_the_first_is_measured() -> None:
    def idle(inputs: Any, weights: Any) -> Any:
        qp.RX(weights[0] * inputs[..., 0], 0)
        return [qp.expval(qp.Z(wire)) for wire in range(2)]

    outputs = Circuit(idle, 1, (1,))(torch.ones(3, 1), torch.ones(1))
    torch.testing.assert_close(outputs[:, 1], torch.ones(3))


def takes_its_structure_from_data(inputs: Any, weights: Any) -> Any:
    qp.RX(inputs[0], int(inputs[0] > 2))
    qp.RY(weights[0], 0)
    return qp.expval(qp.Z(0))


def test_a_wire_that_the_device_does_not_have_is_named() -> None:
    circuit = Circuit(takes_its_structure_from_data, 1, (1,), name="mine")
    assert circuit.path == "pennylane:default.qubit"
    with pytest.raises(RunError, match=r"circuit 'mine'.*wire"):
        circuit(torch.tensor([[0.5], [2.5]]), torch.ones(1))


def test_a_circuit_without_inputs_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least one input, got 0"):
        Circuit(good, 0, (1,))


def test_an_unknown_device_names_those_installed() -> None:
    with pytest.raises(ConfigurationError, match=r"no device 'defualt.qubit'.*default\.qubit"):
        Circuit(good, 1, (1,), backend="pennylane:defualt.qubit")
    with pytest.raises(ConfigurationError, match=r"got 'qiskit', allowed are 'program'"):
        Circuit(good, 1, (1,), backend="qiskit")


@pytest.mark.parametrize(
    ("inputs", "weights", "words"),
    [
        ((4, 2), (1,), r"inputs must be \(\*agents, batch, 1\), got \(4, 2\)"),
        ((4, 1), (2,), r"weights 'weights' must be \(1,\) .* got \(2,\)"),
        ((3, 4, 1), (1,), r"must be \(3, 1\) for inputs \(3, 4, 1\), got \(1,\)"),
    ],
)
def test_wrong_shapes_are_named(
    inputs: tuple[int, ...], weights: tuple[int, ...], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Circuit(good, 1, (1,))(torch.zeros(inputs), torch.zeros(weights))


def test_wrong_weight_names_are_named() -> None:
    circuit = build_circuit(CircuitConfig(qubits=1, layers=1), 1)
    with pytest.raises(ConfigurationError, match=r"must be named \['angles'\], got \['turns'\]"):
        circuit(torch.zeros(2, 1), {"turns": torch.zeros(1, 1, 3)})


@pytest.mark.parametrize("place", ["inputs", "weights"])
def test_numbers_that_are_not_finite_are_found(place: str) -> None:
    inputs, weights = torch.zeros(4, 1), torch.zeros(1)
    (inputs if place == "inputs" else weights).view(-1)[0] = float("nan")
    with pytest.raises(RunError, match=f"its {place} are not all finite"):
        Circuit(good, 1, (1,))(inputs, weights)


def test_inputs_must_fit_the_encoding() -> None:
    config = CircuitConfig(qubits=4, encoding=EncodingConfig(rotations="xy"))
    with pytest.raises(ConfigurationError, match=r"9 inputs do not fit on 4 qubits.*12 with 3"):
        build_circuit(config, 9)


@pytest.mark.parametrize("payload", [b"", b"nonsense", b"\x80", b"\x81\xa6format\x63"])
def test_damaged_programs_are_refused(payload: bytes) -> None:
    with pytest.raises(RunError, match="not a circuit program"):
        Program.from_bytes(payload)


def test_the_quickstart_circuit_has_its_parameters() -> None:
    config = CircuitConfig(
        qubits=4,
        layers=4,
        reupload=True,
        encoding=EncodingConfig(rotations="xyz", scales=True, initial_scale=1.5),
        ansatz={"kind": "hardware_efficient"},
        readout=ReadoutConfig(kind="z_pairs"),
    )
    layout = circuit_layout(config, 12)
    assert {name: spec.size for name, spec in layout.items()} == {"angles": 60, "scales": 48}
    weights = initial_weights(config, 12, np.random.default_rng(0))
    assert {name: array.shape for name, array in weights.items()} == {
        name: spec.shape for name, spec in layout.items()
    }
    np.testing.assert_array_equal(weights["scales"], 1.5)
    description = build_circuit(config, 12).describe()
    assert (description.qubits, description.outputs, description.parameters) == (4, 10, 108)
    assert description.gates["CZ"] == 16
    assert description.path == "program"


def test_a_drawing_shows_every_wire() -> None:
    lines = build_circuit(CircuitConfig(qubits=3, layers=1), 3).draw().splitlines()
    assert [line[0] for line in lines[:3]] == ["0", "1", "2"]


def test_a_frozen_program_runs_without_torch_and_pennylane() -> None:
    payload = build_circuit(CircuitConfig(qubits=2, layers=1), 2).program
    assert payload is not None
    code = (
        "import sys, numpy as np\n"
        "from qmarl.circuits import Program, CircuitConfig\n"
        "program = Program.from_bytes(sys.stdin.buffer.read())\n"
        "bound = program.bind({'angles': np.zeros((3, 1, 2, 3))}, np.float32)\n"
        "assert bound(np.zeros((3, 5, 2))).shape == (3, 5, 2)\n"
        "assert not {'torch', 'pennylane'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], input=payload.to_bytes(), check=True, timeout=60)
