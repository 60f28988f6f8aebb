"""The conformance check accepts good circuits and finds every kind of broken one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pennylane as qp
import pytest
import torch

from qmarl.circuits import Circuit, Program, check_circuit
from qmarl.circuits.gates import Rotation


def good(inputs: Any, weights: Any) -> Any:
    qp.AngleEmbedding(inputs, wires=range(2))
    qp.StronglyEntanglingLayers(weights, wires=range(2))
    return [qp.expval(qp.Z(wire)) for wire in range(2)]


Call = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Broken:
    """A good circuit whose calls are changed; everything else is the good circuit's."""

    def __init__(self, change: Callable[[Call, torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        self._good = Circuit(good, 2, (2, 2, 3))
        self._change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._good, name)

    def __call__(self, inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return self._change(self._good, inputs, weights)


def off_by_little(call: Call, inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return call(inputs, weights) + 1e-8


def one_output_less(call: Call, inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return call(inputs, weights)[..., :1]


def steep_weights(call: Call, inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return call(inputs, 2 * weights - weights.detach())


def forgotten_inputs(call: Call, inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return call(inputs.detach(), weights)


def mixed_agents(call: Call, inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Right for the samples of the check in one call, wrong for an agent alone."""
    outputs = call(inputs, weights)
    return outputs if inputs.ndim == 3 else outputs.flip(0)


def always_double(call: Call, inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return call(inputs.double(), weights.double())


def coarse_float32(call: Call, inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    outputs = call(inputs, weights)
    return outputs + 1e-3 if inputs.dtype == torch.float32 else outputs


BROKEN = [
    (off_by_little, "values against default.qubit: differs by 1.0e-08"),
    (one_output_less, r"\(2, 5, 1\)"),
    (steep_weights, "gradient of weights against default.qubit"),
    (forgotten_inputs, "gradient of inputs against default.qubit"),
    (mixed_agents, "values of agent 0 alone"),
    (always_double, "values of float32 inputs: torch.float64"),
    (coarse_float32, "values in float32"),
]


@pytest.mark.parametrize(("change", "words"), BROKEN, ids=lambda x: getattr(x, "__name__", ""))
def test_a_broken_promise_is_found(change: Any, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_circuit(Broken(change))  # type: ignore[arg-type] # made to look like a circuit


def test_a_program_that_is_not_read_as_it_was_written_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = Program.from_bytes

    def forgetful(payload: bytes) -> Program:
        program = read(payload)
        first = next(k for k, gate in enumerate(program.gates) if isinstance(gate, Rotation))
        gates = (*program.gates[:first], *program.gates[first + 1 :])
        return Program(
            program.name, program.qubits, program.n_inputs, program.weights, gates, program.outputs
        )

    monkeypatch.setattr(Program, "from_bytes", staticmethod(forgetful))
    with pytest.raises(AssertionError, match="serialised program: differs by"):
        check_circuit(Circuit(good, 2, (2, 2, 3)))


@pytest.mark.parametrize("backend", ["program", "pennylane:lightning.qubit"])
def test_good_circuits_pass_with_any_seed(backend: str) -> None:
    circuit = Circuit(good, 2, (2, 2, 3), backend=backend)
    for seed in range(2):
        check_circuit(circuit, seed)


def test_numpy_arrays_are_constants_and_not_weights() -> None:
    frozen = np.array([0.1, 0.2])

    def function(inputs: Any, weights: Any) -> Any:
        qp.RX(inputs[..., 0] + frozen[0], 0)
        qp.RY(weights["a"] * frozen[1], 0)
        qp.RZ(weights["b"][0], 0)
        return qp.expval(qp.X(0)), qp.probs(wires=0)

    check_circuit(Circuit(function, 1, {"a": (), "b": (1,)}))
