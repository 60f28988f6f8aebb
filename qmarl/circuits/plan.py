"""A program lowered to arrays: the two forms that executors run.

Gates stand in layers: in each, every qubit carries a chain of rotations, and the fixed gates that
follow form its entangler. A layer is a *data layer* if an input takes part in it, otherwise a *free
layer*. The state is then::

    psi = R_L D_L(x) ... R_1 D_1(x) R_0 |0>

with data layers ``D_l(x)`` and runs ``R_l`` of free layers and entanglers, which do not depend on
the sample. On few qubits (:class:`DensePlan`) every run is one matrix and every data layer a
diagonal, but for the first: whatever ``R_0`` is, ``D_1(x) R_0 |0> = diag(R_0 |0>) C r(x)`` with a
fixed ``C`` and a *real* product state ``r``, so that the first matrix product is real. Otherwise
(:class:`LayeredPlan`) both are applied wire by wire.
:mod:`qmarl.circuits.lowering` makes plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from qmarl.circuits.expressions import Derived
from qmarl.circuits.prepared import Preparation
from qmarl.circuits.su2 import Chains
from qmarl.types import Array


class Coefficients(NamedTuple):
    """What makes the angles of a slot of features, in one precision.

    Attributes:
        slope: ``(L, n, A or 1, 1)`` derivative of the angle by its feature.
        half_slope: Half of it.
        half_offset: ``(L, n, 1, 1)`` half the constant part, None where there is none.
    """

    slope: Array
    half_slope: Array
    half_offset: Array | None


class Slot(NamedTuple):
    """One data rotation of every wire of every data layer; padded with zero factors.

    Attributes:
        axis: ``(L, n, 3)`` unit vectors.
        common: 0, 1 or 2 if all turn about X, Y or Z, else None.
        factor: ``(L, n)``.
        trained: ``(L, n)`` whether a weight scales the feature, None where none does.
        weight: ``(L, n)`` index of that weight, 0 for none.
        feature: ``(L, n)`` index of the input.
        to_features: ``(F, L * n)`` sums by input, up to the last that takes part.
        to_weights: ``(P, L * n)`` sums by weight, times the factor, up to the last that takes part.
        coefficients: What angles are made with, in each working precision, without weights.
    """

    axis: Array
    common: int | None
    factor: Array
    trained: Array | None
    weight: Array
    feature: Array
    to_features: Array
    to_weights: Array
    coefficients: Mapping[np.dtype, Coefficients]


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


PRECISIONS = {np.dtype(np.float32): np.dtype(np.complex64), np.dtype(float): np.dtype(complex)}
"""Real working precisions, and the complex dtype that belongs to each."""


class DenseRun(NamedTuple):
    """A run as one matrix ``F_b K_b ... F_(a+1) K_a before`` over free layers ``a`` to ``b``.

    Attributes:
        layers: Its free layers with weights, a range of the plan's.
        before: ``(2**n, 2**n)`` what is fixed before them, real if it can be; None for nothing.
    """

    layers: range
    before: Array | None


class Constants(NamedTuple):
    """What of a dense plan takes part in its arithmetic, in one working precision.

    Attributes:
        before: ``(M, 1, 2**n, 2**n)`` complex, what is fixed before each of the ``M`` free layers
            with weights, up to the one before it in its run.
        after: The same for what follows each of them.
        spread: ``(2**n, 2**n)`` the matrix ``C`` above.
        signs: ``(n, 2 * 2**n)`` eigenvalues of Z on each wire for imaginary parts, zeros for real.
        readout: What is measured.
        normed: The same with the squared norm as last output.
        planes: ``(outputs + 1, 2 * 2**n)`` its diagonal, each entry for a real and an imaginary
            part.
        slopes: The same, negative for imaginary parts: takes gradients and a state to ``mu``.
        reader: ``(2 * 4**n, 8 * n)`` :func:`qmarl.circuits.measurement.bloch_reader` of all wires,
            each vector times :data:`qmarl.circuits.su2.FRAME`.
    """

    before: Array
    after: Array
    spread: Array
    signs: Array
    readout: Readout
    normed: Readout
    planes: Array
    slopes: Array
    reader: Array


@final
@dataclass(frozen=True, eq=False)
class DensePlan:
    """A program on few qubits.

    Attributes:
        qubits: Number of qubits ``n``.
        n_weights: Length of the flat weights, derived ones included.
        derived: Functions that stand before the circuit, None where there are none.
        chains: The chains of the ``M`` free layers with weights, ``n`` of each in turn.
        initial: The run before the first data layer.
        runs: The run after each data layer. The first acts on the real product state ``r`` of the
            first data layer: where the initial run has no weights, it includes what makes the
            true state of ``r``.
        owners: ``(M,)`` run of each of those free layers, the initial run counted as 0; a slice
            where that takes the same.
        first: The first data layer: one RZ per wire.
        slot: The other data layers without repetitions, None where there are none.
        rows: Which of those each data layer from the second on is.
        long: The free layers with weights of each run that has more than one.
        constants: What takes part in the arithmetic, in each working precision.
    """

    qubits: int
    n_weights: int
    derived: Derived | None
    chains: Chains
    initial: DenseRun
    runs: tuple[DenseRun, ...]
    owners: Array | slice
    first: Slot
    slot: Slot | None
    rows: tuple[int, ...]
    long: tuple[range, ...]
    constants: Mapping[np.dtype, Constants]


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


class FreeLayer(NamedTuple):
    """One-qubit products without data: the chain of each wire, by Kronecker groups.

    Attributes:
        groups: ``(first wire, chain of each wire of the group)``; chain 0 is the identity.
    """

    groups: tuple[tuple[int, tuple[int, ...]], ...]


Step = Monomial | Block | FreeLayer
Run = tuple[Step, ...]


class DataLayers(NamedTuple):
    """All data layers, stacked: ``U_q = link_S data_S ... link_1 data_1 link_0`` on each wire.

    Attributes:
        wires: Wires that are touched, for each of the ``L`` layers.
        slots: The data rotations, ``S`` of them.
        links: ``(S + 1, L, n)`` chain between them; chain 0 is the identity.
        ends: The last links of each layer once more, by groups of wires.
    """

    wires: tuple[tuple[int, ...], ...]
    slots: tuple[Slot, ...]
    links: Array
    ends: tuple[FreeLayer, ...]


@final
@dataclass(frozen=True, eq=False)
class LayeredPlan:
    """A program on any number of qubits.

    Attributes:
        qubits: Number of qubits ``n``.
        n_weights: Length of the flat weights, derived ones included.
        derived: Functions that stand before the circuit, None where there are none.
        chains: Every product of rotations without data; chain 0 is the identity.
        initial: Run before the first data layer.
        data: The data layers.
        runs: Run after each data layer.
        readout: What is measured.
        prepared: The state that the first data layer acts on, where it is made of inputs; then
            there is no initial run. None for ``|0...0>`` before the initial run.
    """

    qubits: int
    n_weights: int
    derived: Derived | None
    chains: Chains
    initial: Run
    data: DataLayers
    runs: tuple[Run, ...]
    readout: Readout
    prepared: Preparation | None = None


Plan = DensePlan | LayeredPlan
