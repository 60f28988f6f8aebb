"""What a circuit is made of, as plain numbers: angles, rotations, fixed gates, measured terms."""

from __future__ import annotations

from typing import NamedTuple

from qmarl.circuits.expressions import NOTHING, Derived
from qmarl.types import Array


class Angle(NamedTuple):
    """An angle ``factor * weight * feature + offset`` [rad].

    Attributes:
        factor: Constant factor.
        offset: Constant part [rad].
        weight: Index into the flat weights (and derived ones), -1 where none takes part.
        feature: Index into the inputs (and derived ones), -1 where none takes part.
    """

    factor: float
    offset: float
    weight: int = -1
    feature: int = -1


class Rotation(NamedTuple):
    """One-qubit rotation ``exp(-i angle / 2 (axis . sigma))``.

    Attributes:
        wire: Qubit, 0 is the most significant bit of a basis state's index.
        axis: Unit vector ``(x, y, z)``.
        angle: Its angle.
    """

    wire: int
    axis: tuple[float, float, float]
    angle: Angle


class FixedGate(NamedTuple):
    """A gate without parameters on two or more qubits.

    Attributes:
        wires: Qubits, the first is the most significant bit of the matrix's index.
        matrix: ``(2**k, 2**k)`` unitary, complex.
    """

    wires: tuple[int, ...]
    matrix: Array


Gate = Rotation | FixedGate


class PauliWord(NamedTuple):
    """``coefficient * i**|flips & signs| X**flips Z**signs``: a product of Pauli operators.

    Attributes:
        coefficient: Real factor.
        flips: Bit mask (in the index of a basis state) of the qubits with X or Y.
        signs: Bit mask of the qubits with Z or Y.
    """

    coefficient: float
    flips: int
    signs: int


class Projection(NamedTuple):
    """Projector on the basis states whose bits under ``mask`` equal ``bits``."""

    mask: int
    bits: int


Observable = tuple[PauliWord | Projection, ...]
"""A measured quantity: the sum of its terms."""


class Prepared(NamedTuple):
    """A state made of inputs: real amplitudes, normalised.

    Attributes:
        circuit: Name of the circuit, for messages.
        wires: Qubits, the first is the most significant bit of an amplitude's index.
        amplitudes: ``factor * feature + offset`` of each basis state of ``wires``, before they are
            normalised; written as angles without a weight.
    """

    circuit: str
    wires: tuple[int, ...]
    amplitudes: tuple[Angle, ...]


class NormalForm(NamedTuple):
    """What executors need to know of a circuit; :mod:`qmarl.circuits.lowering` makes plans of it.

    Attributes:
        qubits: Number of qubits ``n``.
        n_weights: Length of the flat weights, without derived ones.
        gates: Gates in the order in which they act.
        outputs: Measured quantities, one output each.
        derived: Functions that stand before the circuit.
        prepared: The state that the gates act on, None for ``|0...0>``.
    """

    qubits: int
    n_weights: int
    gates: tuple[Gate, ...]
    outputs: tuple[Observable, ...]
    derived: Derived = NOTHING
    prepared: Prepared | None = None
