"""Every diagnostic of one circuit, and the table that shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agents.actor import ActorConfig
from qmarl.circuits import diagnostics
from qmarl.circuits.diagnostics import (
    EffectiveDimension,
    EntanglingCapability,
    Expressibility,
    GradientRow,
    GradientScan,
    Model,
    Observable,
)
from qmarl.seeding import stream

if TYPE_CHECKING:
    from qmarl.circuits import Circuit

PAIRS = 10
"""Pairs of states for each parameter set of the gradients: a histogram needs more."""

POINTS, SETS = 50, 20
"""Inputs, and parameter sets at most, of the effective dimension."""

N_DATA = 100_000
"""Data that the effective dimension is told for."""


@dataclass(frozen=True)
class Diagnosis:
    """What was measured.

    Attributes:
        gradients: Under uniform angles, then as the configuration draws them.
        expressibility: Of the configuration's circuit, at inputs zero.
        entangling_capability: Likewise.
        effective_dimension: Of its outputs as a policy, over inputs uniform in [-1, 1).
    """

    gradients: tuple[GradientScan, ...]
    expressibility: Expressibility
    entangling_capability: EntanglingCapability
    effective_dimension: EffectiveDimension


def examine(
    actor: ActorConfig,
    circuit: Circuit,
    qubits: Sequence[int],
    layers: Sequence[int],
    samples: int,
    seed: int,
    observable: Observable,
) -> Diagnosis:
    """Runs every diagnostic.

    Args:
        actor: The actor's section.
        circuit: Its circuit.
        qubits: Widths at which gradients are measured.
        layers: Depths likewise, under uniform angles; the configuration's own initialisation is
            measured at its own depth.
        samples: Parameter sets for each width and depth.
        seed: Seed of all of them.
        observable: Cost whose gradients are measured.

    Raises:
        ConfigurationError: There are too few samples, or no such widths or depths.
    """
    config = actor.circuit
    starts = dict.fromkeys(["uniform", config.ansatz.initialisation])
    scans = tuple(
        diagnostics.gradient_variance(
            config,
            qubits,
            [config.layers] if order else layers,
            samples,
            seed,
            observable,
            initialisation=start,
            backend=actor.backend,
            device=actor.device,
        )
        for order, start in enumerate(starts)
    )
    inputs = stream(seed, "inputs").uniform(-1, 1, (POINTS, circuit.n_inputs))
    model: Model = "probabilities" if config.readout.kind == "probabilities" else "softmax"
    return Diagnosis(
        scans,
        diagnostics.expressibility(circuit, PAIRS * samples, seed),
        diagnostics.entangling_capability(circuit, samples, seed),
        diagnostics.effective_dimension(
            circuit, inputs, N_DATA, min(samples, SETS), seed, model=model
        ),
    )


def table(found: Diagnosis) -> str:
    """Returns a diagnosis as text for people."""
    lines = [line for scan in found.gradients for line in _scan(scan)]
    states, entangled = found.expressibility, found.entangling_capability
    dimension = found.effective_dimension
    lines += [
        f"expressibility         {states.divergence:.4f} nat from Haar-random states; "
        f"{states.samples} pairs of those have {states.floor:.4f}",
        f"entangling capability  {entangled.mean:.3f} +- {entangled.error:.3f} of 1; Haar-random "
        f"states have {entangled.haar:.3f}",
        f"effective dimension    {dimension.value:.1f} of {dimension.parameters} parameters "
        f"({dimension.normalised:.2f}) for {dimension.n_data} data; "
        f"rank of the Fisher information {dimension.rank:.1f}",
    ]
    return "\n".join(lines)


def _scan(scan: GradientScan) -> Iterator[str]:
    yield (
        f"variance of the gradient of the {scan.observable} cost, '{scan.initialisation}' angles, "
        f"{scan.samples} samples"
    )
    yield "  layers  qubits  angles  first angle   all angles   95 % interval"
    yield from (_row(row) for row in scan.rows)
    yield from (f"  {decay.layers} layers: {decay.verdict}" for decay in scan.decays)
    yield ""


def _row(row: GradientRow) -> str:
    return (
        f"  {row.layers:>6}  {row.qubits:>6}  {row.angles:>6}  {row.first:>11.2e}  "
        f"{row.mean:>11.2e}   {row.low:.2e} to {row.high:.2e}"
    )
