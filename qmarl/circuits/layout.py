"""Infers from a program what each of its weights is: an angle, of which period, or a scale."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from qmarl.circuits.gates import Rotation
from qmarl.circuits.program import Program
from qmarl.types import ParameterSpec, Params

INITIAL_SPREAD = 0.1
"""Standard deviation of the initial values, about 0 for angles and about 1 for scales."""


def infer_layout(
    shapes: Mapping[str, tuple[int, ...]], program: Program | None
) -> dict[str, ParameterSpec]:
    """Declares the parameters of a circuit.

    A weight that is the angle of rotations has the period of the slowest of them (2 pi; 4 pi where
    a controlled rotation halves it); one that multiplies inputs is a scale. Where there is no
    program to read, nothing is claimed: no period.

    Args:
        shapes: Shape of each named weight.
        program: The fused program, if there is one.
    """
    if program is None:
        return {name: ParameterSpec(shape, None, "angles") for name, shape in shapes.items()}
    factors = _factors(program)
    layout, start = {}, 0
    for name, shape in shapes.items():
        stop = start + int(np.prod(shape))
        layout[name] = _spec(shape, [f for k in range(start, stop) for f in factors[k]])
        start = stop
    return layout


def default_weights(layout: Mapping[str, ParameterSpec], rng: np.random.Generator) -> Params:
    """Draws small angles, and scales near 1, float64."""
    return {
        name: (spec.role == "scales") + INITIAL_SPREAD * rng.standard_normal(spec.shape)
        for name, spec in layout.items()
    }


def _factors(program: Program) -> dict[int, list[float | None]]:
    """How each weight enters angles: its factor, None with an input, 0 inside another function."""
    found: dict[int, list[float | None]] = defaultdict(list)
    for gate in program.gates:
        if isinstance(gate, Rotation) and gate.angle.weight >= 0:
            scales = gate.angle.feature >= 0
            found[gate.angle.weight].append(None if scales else abs(gate.angle.factor))
    for node in program.derived.features.nodes:
        if node.kind == "weight":
            found[node.source].append(None)
    for node in program.derived.weights.nodes:
        if node.kind == "weight":
            found[node.source].append(0.0)
    return found


def _spec(shape: tuple[int, ...], factors: list[float | None]) -> ParameterSpec:
    angles = [factor for factor in factors if factor is not None]
    if factors and not angles:
        return ParameterSpec(shape, None, "scales")
    if len(angles) < len(factors) or not angles or not all(angles):
        return ParameterSpec(shape, None, "angles")
    slowest = min(angles)
    common = all(math.isclose(f / slowest, round(f / slowest)) for f in angles)
    return ParameterSpec(shape, 2 * math.pi / slowest if common else None, "angles")
