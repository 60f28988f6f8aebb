"""Ansatzes: the trainable layers of a circuit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from qmarl.circuits.initialisation import INITIALISATIONS, Initialisation, inverse_pairs
from qmarl.config import Section
from qmarl.types import Array

Kind = Literal["strongly_entangling", "basic_entangler", "hardware_efficient"]


class AnsatzConfig(Section):
    """The trainable layers."""

    kind: Kind = "strongly_entangling"
    """Which layers."""

    initialisation: Initialisation = "normal"
    """How the initial angles are drawn; ``small_angle`` shrinks ``initial_spread`` with the depth,
    ``identity_block`` makes pairs of layers undo each other, where their gates can."""

    initial_spread: float = Field(0.1, ge=0.0)
    """Standard deviation of ``normal`` and ``small_angle`` initial angles [rad]."""


class Ansatz(NamedTuple):
    """One kind of trainable layer.

    Attributes:
        shape: ``shape(layers, qubits)`` of its angles.
        layer: ``layer(angles, index, qubits)`` applies layer ``index`` of ``angles``.
        column: ``column(angles, qubits)`` closes the circuit, None where no gate does.
        period: Period of its angles [rad].
    """

    shape: Callable[[int, int], tuple[int, ...]]
    layer: Callable[[Any, int, int], None]
    column: Callable[[Any, int], None] | None = None
    period: float = 2 * math.pi


def strongly_entangling_shape(layers: int, qubits: int) -> tuple[int, ...]:
    """Shape ``(layers, qubits, 3)``.

    >>> strongly_entangling_shape(2, 4)
    (2, 4, 3)
    """
    return (layers, qubits, 3)


def strongly_entangling_layer(angles: Any, index: int, qubits: int) -> None:
    """One layer of PennyLane's ``StronglyEntanglingLayers`` (Schuld et al. 2020, arXiv:1804.00633).

    A rotation on each qubit, then CNOTs to the qubit ``index mod (qubits - 1) + 1`` further.
    """
    import pennylane as qp

    ranges = (index % (qubits - 1) + 1,) if qubits > 1 else None
    qp.StronglyEntanglingLayers(angles[index : index + 1], wires=range(qubits), ranges=ranges)


def basic_entangler_shape(layers: int, qubits: int) -> tuple[int, ...]:
    """Shape ``(layers, qubits)``.

    >>> basic_entangler_shape(2, 4)
    (2, 4)
    """
    return (layers, qubits)


def basic_entangler_layer(angles: Any, index: int, qubits: int) -> None:
    """One layer of PennyLane's ``BasicEntanglerLayers``: RX on each qubit, then a ring of CNOTs."""
    import pennylane as qp

    qp.BasicEntanglerLayers(angles[index : index + 1], wires=range(qubits))


def hardware_efficient_shape(layers: int, qubits: int) -> tuple[int, ...]:
    """Shape ``(layers + 1, qubits, 3)``; the last is the closing column.

    >>> hardware_efficient_shape(4, 4)
    (5, 4, 3)
    """
    return (layers + 1, qubits, 3)


def hardware_efficient_layer(angles: Any, index: int, qubits: int) -> None:
    """RZ RY RZ on each qubit, then a ring of CZ (Kandala et al. 2017, arXiv:1704.05018)."""
    import pennylane as qp

    for wire in range(qubits):
        qp.RZ(angles[index, wire, 0], wires=wire)
        qp.RY(angles[index, wire, 1], wires=wire)
        qp.RZ(angles[index, wire, 2], wires=wire)
    for wire in range(qubits if qubits > 2 else qubits - 1):
        qp.CZ(wires=[wire, (wire + 1) % qubits])


def hardware_efficient_column(angles: Any, qubits: int) -> None:
    """RZ RY RX on each qubit with the last angles, so that no CZ ring stands before the readout."""
    import pennylane as qp

    for wire in range(qubits):
        qp.RZ(angles[-1, wire, 0], wires=wire)
        qp.RY(angles[-1, wire, 1], wires=wire)
        qp.RX(angles[-1, wire, 2], wires=wire)


ANSATZES: dict[str, Ansatz] = {
    "strongly_entangling": Ansatz(strongly_entangling_shape, strongly_entangling_layer),
    "basic_entangler": Ansatz(basic_entangler_shape, basic_entangler_layer),
    "hardware_efficient": Ansatz(
        hardware_efficient_shape, hardware_efficient_layer, hardware_efficient_column
    ),
}
"""Every ansatz by its name in the configuration."""


def initial_angles(config: AnsatzConfig, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draws the angles of a new circuit, float64 [rad]."""
    if config.initialisation == "identity_block" and ANSATZES[config.kind].column is None:
        return inverse_pairs(shape, config.initial_spread, rng)
    return INITIALISATIONS[config.initialisation](shape, config.initial_spread, rng)
