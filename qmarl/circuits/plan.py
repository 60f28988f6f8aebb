"""A program lowered to arrays: the form that executors run.

The gates stand in layers: in each, every qubit carries a chain of rotations, and the fixed gates
that follow form its entangler. A layer is a *data layer* if an input takes part in it, otherwise a
*free layer*. The state is then::

    psi = R_L D_L(x) ... R_1 D_1(x) R_0 |0>

with data layers ``D_l(x) = kron of U_q(x)`` and runs ``R_l`` of free layers and entanglers, which
do not depend on the sample. :mod:`qmarl.circuits.lowering` makes plans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, final

from qmarl.circuits.su2 import Chains
from qmarl.types import Array


class Monomial(NamedTuple):
    """A permutation with phases: ``psi'[i] = phase[i] psi[order[i]]``; None where trivial.

    Attributes:
        order: ``(2**n,)`` int64 or None.
        phase: ``(2**n, 1, 1)``, float32 where it is only signs (exact in any precision), else
            complex128; or None.
    """

    order: Array | None
    phase: Array | None


class Block(NamedTuple):
    """A fixed matrix ``(2**k, 2**k)`` on ``k`` wires."""

    wires: tuple[int, ...]
    matrix: Array


class Full(NamedTuple):
    """A fixed matrix ``(2**n, 2**n)`` on all wires; real where it can be."""

    matrix: Array


class FreeLayer(NamedTuple):
    """One-qubit products without data: the chain of each wire, by Kronecker groups.

    Attributes:
        groups: ``(first wire, chain of each wire of the group)``; chain 0 is the identity.
    """

    groups: tuple[tuple[int, tuple[int, ...]], ...]


Step = Monomial | Block | Full | FreeLayer
Run = tuple[Step, ...]


class Slot(NamedTuple):
    """The ``s``-th data rotation of every wire of every data layer; padded with zero factors.

    Attributes:
        axis: ``(L, n, 3)`` unit vectors.
        common: 0, 1 or 2 if all turn about X, Y or Z, else None.
        factor: ``(L, n)``.
        offset: ``(L, n)`` [rad].
        trained: ``(L, n)`` whether a weight scales the feature.
        weight: ``(L, n)`` index of that weight, 0 for none.
        feature: ``(L, n)`` index of the input.
    """

    axis: Array
    common: int | None
    factor: Array
    offset: Array
    trained: Array
    weight: Array
    feature: Array


class DataLayers(NamedTuple):
    """All data layers, stacked: ``U_q = link_S data_S ... link_1 data_1 link_0`` on each wire.

    Attributes:
        wires: Wires that are touched, for each of the ``L`` layers.
        slots: The data rotations, ``S`` of them.
        links: ``(S + 1, L, n)`` chain between them; chain 0 is the identity.
        diagonal: Whether all rotations are RZ, one slot without links: the layers are diagonals.
        rows: Where diagonal, which of the distinct layers each one equals.
        distinct: Where diagonal, the slot of the distinct layers alone.
    """

    wires: tuple[tuple[int, ...], ...]
    slots: tuple[Slot, ...]
    links: Array
    diagonal: bool
    rows: tuple[int, ...]
    distinct: tuple[Slot, ...]


class Readout(NamedTuple):
    """Observables by the qubits that they flip.

    ``<O_k> = sum_m sum_i conj(psi_i) O_kmi psi_(i xor m)`` over the masks ``m``.

    Attributes:
        diagonal: ``(outputs, 2**n)`` real, the part that flips nothing.
        flips: Masks ``m`` of the other parts.
        matrices: ``(outputs, 2**n)`` complex for each mask.
    """

    diagonal: Array
    flips: tuple[int, ...]
    matrices: tuple[Array, ...]


@final
@dataclass(frozen=True, eq=False)
class Plan:
    """A program lowered to arrays.

    Attributes:
        qubits: Number of qubits ``n``.
        n_weights: Length of the flat weights.
        chains: Every product of rotations without data; chain 0 is the identity.
        initial: Run before the first data layer.
        data: The data layers.
        runs: Run after each data layer.
        readout: What is measured.
    """

    qubits: int
    n_weights: int
    chains: Chains
    initial: Run
    data: DataLayers
    runs: tuple[Run, ...]
    readout: Readout
