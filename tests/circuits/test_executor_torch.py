"""The torch executor equals the NumPy one; executors are chosen by rule, by name or by timing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pennylane as qp
import pytest
import torch

from qmarl.circuits import Circuit
from qmarl.circuits.executors import Executor, fastest
from qmarl.circuits.torch_executor import TorchExecutor
from qmarl.circuits.torch_function import run_program
from qmarl.errors import ConfigurationError, RunError


def entangled(inputs: Any, weights: Any) -> Any:
    """Nine qubits: more than one group of wires."""
    qp.AngleEmbedding(inputs, wires=range(9))
    qp.StronglyEntanglingLayers(weights, wires=range(9))
    qp.AngleEmbedding(inputs, wires=range(9), rotation="Y")
    return [qp.expval(qp.Z(0) @ qp.Z(8)), qp.expval(qp.X(3) @ qp.Y(5))]


def scaled(inputs: Any, weights: Any) -> Any:
    """Trained scalings, functions before the circuit, other axes, a dense gate, an initial run."""
    for wire in range(3):
        qp.RY(weights[0, wire], wires=wire)
        qp.Rot(inputs[..., wire] * weights[1, wire], 0.3, qp.math.arctan(inputs[..., wire]), wire)
    qp.ISWAP(wires=[2, 0])
    qp.CRX(weights[2, 0] * weights[2, 1], wires=[0, 1])
    qp.CZ(wires=[1, 2])
    qp.RX(inputs[..., 0] * weights[1, 0] + 0.2, wires=1)
    return [qp.expval(0.5 * qp.Z(0) + 0.2 * qp.X(1) @ qp.Z(2)), qp.expval(qp.Y(1))]


def chances(inputs: Any, weights: Any) -> Any:
    """No weight but scalings of the inputs; probabilities."""
    for wire in range(2):
        qp.RX(inputs[..., wire] * weights[0, wire], wires=wire)
    qp.CNOT(wires=[0, 1])
    return qp.probs(wires=[1])


CASES = {"entangled": (entangled, 9, (2, 9, 3)), "scaled": (scaled, 3, (3, 3))}
CASES |= {"chances": (chances, 2, (1, 2))}


@pytest.fixture(scope="module", params=CASES)
def arguments(request: pytest.FixtureRequest) -> tuple[Any, int, tuple[int, ...]]:
    return CASES[request.param]


def draw(circuit: Circuit, lead: tuple[int, ...], dtype: torch.dtype) -> list[torch.Tensor]:
    rng = np.random.default_rng(1)
    shapes = (
        (*lead, 4, circuit.n_inputs),
        (*lead, *circuit.layout["weights"].shape),
        (*lead, 4, circuit.n_outputs),
    )
    return [torch.as_tensor(rng.uniform(-2, 2, shape), dtype=dtype) for shape in shapes]


def pulled(circuit: Circuit, lead: tuple[int, ...], dtype: torch.dtype) -> list[torch.Tensor]:
    inputs, weights, cotangent = draw(circuit, lead, dtype)
    leaves = inputs.requires_grad_(), weights.requires_grad_()
    outputs = circuit(*leaves)
    loss = (outputs * cotangent).sum() / outputs.numel()
    return [outputs.detach(), *torch.autograd.grad(loss, leaves)]


@pytest.mark.parametrize("lead", [(), (2, 2)])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_torch_equals_numpy(
    arguments: tuple[Any, int, tuple[int, ...]],
    lead: tuple[int, ...],
    dtype: torch.dtype,
    most: float,
) -> None:
    results = [
        pulled(Circuit(*arguments, executor=executor), lead, dtype)
        for executor in ("numpy", "torch", "autotune", "auto")
    ]
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            assert one.dtype == other.dtype == dtype
            torch.testing.assert_close(other, one, rtol=0, atol=most)


def test_torch_equals_pennylane(arguments: tuple[Any, int, tuple[int, ...]]) -> None:
    circuit = Circuit(*arguments, executor="torch")
    got = pulled(circuit, (1,), torch.float64)
    exact = pulled(circuit.on("pennylane:default.qubit"), (1,), torch.float64)
    for one, other in zip(got, exact, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_it_runs_where_its_tensors_lie(arguments: tuple[Any, int, tuple[int, ...]]) -> None:
    program = Circuit(*arguments).program
    assert program is not None
    device = torch.device("meta")  # it has shapes alone: any mixture of devices would fail
    run = TorchExecutor(program.layered, device, torch.float32)
    weights = torch.zeros(2, program.n_weights, device=device, requires_grad=True)
    outputs = run(torch.zeros(2, 5, program.n_inputs, device=device), weights)
    [gradient] = torch.autograd.grad(outputs.sum(), [weights])
    assert outputs.shape == (2, 5, program.n_outputs)
    assert outputs.device == gradient.device == device


def test_the_rule_is_numpy_on_the_processor() -> None:
    circuit = Circuit(*CASES["scaled"])
    inputs, weights, _ = draw(circuit, (), torch.float64)
    by_rule = circuit(inputs, weights)
    chosen = Circuit(*CASES["scaled"], executor="numpy")(inputs, weights)
    assert torch.equal(by_rule, chosen)


def test_the_faster_candidate_is_kept() -> None:
    program = Circuit(*CASES["chances"]).program
    assert program is not None
    inputs, weights, _ = draw(Circuit(*CASES["chances"]), (), torch.float64)
    calls: list[str] = []

    def run(name: str) -> Any:
        def call(_: Any, x: torch.Tensor, w: Any) -> torch.Tensor:
            calls.append(name)
            for _ in range(200 if name == "torch" else 1):
                x = x * 1.0
            result: torch.Tensor = x * w[0].sum()
            return result

        return call

    candidates: dict[Executor, Any] = {"numpy": run("numpy"), "torch": run("torch")}
    found = [fastest(program, inputs, [weights], candidates) for _ in range(2)]
    assert found == ["numpy", "numpy"]
    assert calls.count("numpy") == calls.count("torch") == len(calls) / 2
    timed = len(calls)
    fastest(program, inputs[:2], [weights], candidates)
    assert len(calls) == 2 * timed  # another shape is timed anew


def test_what_cannot_run_is_named() -> None:
    with pytest.raises(ConfigurationError, match="executor must be one of auto, numpy, torch"):
        Circuit(*CASES["chances"], executor="gpu")  # type: ignore[arg-type] # so it is
    circuit = Circuit(*CASES["chances"], executor="torch")
    inputs, weights, _ = draw(circuit, (), torch.float32)
    program = circuit.program
    assert program is not None
    with pytest.raises(ConfigurationError, match="weights 'weights' lie on meta"):
        run_program(program, inputs, {"weights": weights.to("meta")})
    executors: tuple[Executor, ...] = ("numpy", "torch")
    for executor in executors:
        with pytest.raises(ConfigurationError, match="float32 or float64, got inputs of"):
            run_program(program, inputs.half(), {"weights": weights.half()}, executor)
    inputs[0, 0] = torch.nan
    with pytest.raises(RunError, match="its inputs are not all finite"):
        circuit(inputs, weights)
