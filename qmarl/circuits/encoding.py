"""Encodings: how the numbers an agent observes become rotations of qubits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from pydantic import Field

from qmarl.config import Section
from qmarl.types import Array


class EncodingConfig(Section):
    """How observations enter the circuit."""

    kind: Literal["angle"] = "angle"
    """Angle encoding: feature k turns qubit ``k // len(rotations)``."""

    rotations: str = Field("x", pattern="^[xyz]{1,3}$")
    """Axes of the rotations on each qubit, one feature each, up to three ("xyz")."""

    scales: bool = False
    """Whether every feature of every upload is multiplied by a trainable scale."""

    initial_scale: float = 1.0
    """Mean of the initial scales."""

    initial_spread: float = Field(0.0, ge=0.0)
    """Standard deviation of the initial scales, relative to ``initial_scale``."""


def angle_encoding(features: Any, rotations: str, qubits: int) -> None:
    """Rotates by features: feature ``q * len(rotations) + k`` turns qubit ``q`` about axis ``k``.

    The qubits of one axis are turned together, axis after axis (Schuld and Petruccione 2018);
    features that are missing at the end leave their rotations out.

    Args:
        features: ``(features,)`` or ``(batch, features)`` [rad].
        rotations: Axes, such as ``"xyz"``.
        qubits: Number of qubits.
    """
    import pennylane as qp

    gates = {"x": qp.RX, "y": qp.RY, "z": qp.RZ}
    for k, axis in enumerate(rotations):
        for wire in range(qubits):
            feature = wire * len(rotations) + k
            if feature < features.shape[-1]:
                gates[axis](features[..., feature], wires=wire)


ENCODINGS: dict[str, Callable[[Any, str, int], None]] = {"angle": angle_encoding}
"""Every encoding by its name in the configuration."""


def capacity(config: EncodingConfig, qubits: int) -> int:
    """Returns how many features fit on ``qubits`` qubits.

    >>> capacity(EncodingConfig(rotations="xyz"), 4)
    12
    """
    return qubits * len(config.rotations)


def initial_scales(
    config: EncodingConfig, shape: tuple[int, ...], rng: np.random.Generator
) -> Array:
    """Draws the scales of a new circuit, float64."""
    spread = config.initial_spread * rng.standard_normal(shape)
    return np.asarray(config.initial_scale * (1.0 + spread))
