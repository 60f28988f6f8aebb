"""A conformance check that anyone may run on their own quantum functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qmarl.circuits.circuit import Circuit
from qmarl.circuits.program import Program
from qmarl.errors import ConfigurationError

if TYPE_CHECKING:
    import torch

AGENTS, BATCH = 2, 5
DOUBLE, SINGLE = 1e-10, 1e-5
"""Tolerances in float64 and float32, for circuits of any depth."""

Weights = dict[str, "torch.Tensor"]


def check_circuit(circuit: Circuit, seed: int = 0) -> None:
    """Checks that a circuit keeps every promise of :class:`Circuit`.

    Values and gradients equal PennyLane's ``default.qubit``; agents in one call equal a loop over
    them; float32 agrees with float64; a fused program survives serialisation.

    Args:
        circuit: The circuit, on any backend.
        seed: Of the random inputs and weights.

    Raises:
        AssertionError: A promise is broken; the text says which, and by how much.
        ConfigurationError: The circuit is noisy or has shots: nothing exact is promised of it.
    """
    import torch

    if circuit.shots is not None or not circuit.noise.silent:
        raise ConfigurationError(
            f"circuit '{circuit.name}': its outputs are not exact; check it without noise and shots"
        )

    inputs, weights = _draw(circuit, np.random.default_rng(seed))
    probe = torch.linspace(-1, 1, circuit.n_outputs, dtype=torch.float64) / BATCH
    got = _run(circuit, inputs, weights, probe)
    assert got[0].shape == (AGENTS, BATCH, circuit.n_outputs), tuple(got[0].shape)
    exact = _run(circuit.on("pennylane:default.qubit"), inputs, weights, probe)
    names = ["values", *(f"gradient of {name}" for name in ("inputs", *weights))]
    for what, mine, theirs in zip(names, got, exact, strict=True):
        _compare(f"{what} against default.qubit", mine, theirs, DOUBLE)
    for agent in range(AGENTS):
        own = {name: weight[agent] for name, weight in weights.items()}
        alone = _run(circuit, inputs[agent], own, probe)
        for what, mine, theirs in zip(names, alone, got, strict=True):
            _compare(f"{what} of agent {agent} alone", mine, theirs[agent], DOUBLE)
    single = {name: weight.float() for name, weight in weights.items()}
    for what, mine, theirs in zip(
        names, _run(circuit, inputs.float(), single, probe.float()), got, strict=True
    ):
        assert mine.dtype == torch.float32, f"{what} of float32 inputs: {mine.dtype}"
        _compare(f"{what} in float32", mine.double(), theirs, SINGLE)
    if circuit.program is not None:
        _check_program(circuit.program, inputs, weights, got[0])


def _draw(circuit: Circuit, rng: np.random.Generator) -> tuple[torch.Tensor, Weights]:
    import torch

    inputs = torch.as_tensor(rng.uniform(-1, 1, (AGENTS, BATCH, circuit.n_inputs)))
    return inputs, {
        name: torch.as_tensor(rng.uniform(-3, 3, (AGENTS, *spec.shape)))
        for name, spec in circuit.layout.items()
    }


def _named(circuit: Circuit, weights: Weights) -> torch.Tensor | Weights:
    return weights if circuit.named else next(iter(weights.values()))


def _run(
    circuit: Circuit, inputs: torch.Tensor, weights: Weights, probe: torch.Tensor
) -> list[torch.Tensor]:
    """Values, then the gradients of inputs and weights."""
    import torch

    x = inputs.clone().requires_grad_()
    leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    values = circuit(x, _named(circuit, leaves))
    loss, wanted = (values * probe).sum(), [x, *leaves.values()]
    gradients = torch.autograd.grad(loss, wanted, materialize_grads=True)
    return [values.detach(), *gradients]


def _compare(what: str, got: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    error = float((got - expected).abs().max()) if got.numel() else 0.0
    assert error < tolerance, f"{what}: differs by {error:.1e}, allowed is {tolerance:.0e}"


def _check_program(
    program: Program, inputs: torch.Tensor, weights: Weights, expected: torch.Tensor
) -> None:
    import torch

    read = Program.from_bytes(program.to_bytes())
    bound = read.bind({name: weight.numpy() for name, weight in weights.items()}, np.float64)
    _compare("serialised program", torch.as_tensor(bound(inputs.numpy())), expected, DOUBLE)
