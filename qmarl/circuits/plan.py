"""Lowers a program to arrays: layers of one-qubit products, entanglers between them, a readout.

The gates are scheduled into layers: in each, every qubit carries a chain of rotations, and the
fixed gates that follow form its entangler. A layer is a *data layer* if an input takes part in it,
otherwise a *free layer*. The state is then::

    psi = R_L D_L(x) ... R_1 D_1(x) R_0 |0>

with data layers ``D_l(x) = kron of U_q(x)`` and runs ``R_l`` of free layers and entanglers, which
do not depend on the sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import NamedTuple, final

import numpy as np

from qmarl.circuits.program import FixedGate, Gate, PauliWord, Program, Projection, Rotation
from qmarl.circuits.su2 import Chains, make_chains
from qmarl.types import Array

UNIT_AXES = {(1.0, 0.0, 0.0): 0, (0.0, 1.0, 0.0): 1, (0.0, 0.0, 1.0): 2}
"""Place of X, Y and Z among the components of a Bloch vector."""

GROUP = 4
"""Qubits per Kronecker group: matrices of 16 x 16 are within 10 % of the best size everywhere."""


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
    """

    wires: tuple[tuple[int, ...], ...]
    slots: tuple[Slot, ...]
    links: Array


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


@dataclass
class _Layer:
    """One layer while it is filled: rotations per wire, then entangling gates."""

    rotations: dict[int, list[Rotation]] = field(default_factory=dict)
    gates: list[FixedGate] = field(default_factory=list)
    dirty: set[int] = field(default_factory=set)

    @property
    def has_data(self) -> bool:
        return any(r.angle.feature >= 0 for chain in self.rotations.values() for r in chain)


@dataclass
class _ChainTable:
    """Collects chains of rotations and numbers them; number 0 is the empty one."""

    chains: list[tuple[Rotation, ...]] = field(default_factory=lambda: [()])

    def number(self, chain: Sequence[Rotation]) -> int:
        if not chain:
            return 0
        self.chains.append(tuple(chain))
        return len(self.chains) - 1

    def arrays(self) -> Chains:
        shape = (max(1, max(map(len, self.chains))), len(self.chains))
        axis = np.broadcast_to([0.0, 0.0, 1.0], (*shape, 3)).copy()
        factor, offset, weight = np.zeros(shape), np.zeros(shape), np.zeros(shape, int)
        for k, chain in enumerate(self.chains):
            for j, gate in enumerate(chain):
                axis[j, k], angle = gate.axis, gate.angle
                weight[j, k], offset[j, k] = max(angle.weight, 0), angle.offset
                factor[j, k] = angle.factor if angle.weight >= 0 else 0.0
        return make_chains(axis, factor, offset, weight)


def lower(program: Program) -> Plan:
    """Lowers ``program``; see the module's text for the form."""
    layers = _schedule(program.gates)
    table = _ChainTable()
    data = [k for k, layer in enumerate(layers) if layer.has_data]
    bounds = zip([-1, *data], [*data, len(layers)], strict=True)
    runs = [_run(layers, first, stop, program.qubits, table) for first, stop in bounds]
    stacked = _stack([layers[k] for k in data], program.qubits, table)
    return Plan(
        qubits=program.qubits,
        n_weights=program.n_weights,
        chains=table.arrays(),
        initial=runs[0],
        data=stacked,
        runs=tuple(runs[1:]),
        readout=_readout(program),
    )


def _schedule(gates: Sequence[Gate]) -> list[_Layer]:
    layers = [_Layer()]
    for gate in gates:
        if isinstance(gate, FixedGate):
            layers[-1].gates.append(gate)
            layers[-1].dirty.update(gate.wires)
            continue
        if gate.wire in layers[-1].dirty:
            layers.append(_Layer())
        layers[-1].rotations.setdefault(gate.wire, []).append(gate)
    return layers


def _run(layers: list[_Layer], data: int, stop: int, qubits: int, table: _ChainTable) -> Run:
    """The entangler of data layer ``data`` (if any) and the free layers up to ``stop``."""
    steps: list[Step] = []
    if data >= 0:
        steps += _entangler(layers[data].gates, qubits)
    for layer in layers[data + 1 : stop]:
        if layer.rotations:
            steps.append(_free_layer(layer, qubits, table))
        steps += _entangler(layer.gates, qubits)
    return tuple(steps)


def _free_layer(layer: _Layer, qubits: int, table: _ChainTable) -> FreeLayer:
    chain = [table.number(layer.rotations.get(wire, [])) for wire in range(qubits)]
    count = -(-qubits // GROUP)
    edges = [round(k * qubits / count) for k in range(count + 1)]
    groups = [(a, tuple(chain[a:b])) for a, b in pairwise(edges)]
    return FreeLayer(tuple(group for group in groups if any(group[1])))


def _entangler(gates: Sequence[FixedGate], qubits: int) -> list[Step]:
    parts = [_as_monomial(gate, qubits) or Block(gate.wires, gate.matrix) for gate in gates]
    steps: list[Step] = []
    for is_monomial, group in groupby(parts, lambda part: isinstance(part, Monomial)):
        members = list(group)
        steps += [_merge(members, qubits)] if is_monomial else members
    return [step for step in steps if isinstance(step, Block) or any(x is not None for x in step)]


def _as_monomial(gate: FixedGate, qubits: int) -> Monomial | None:
    rows, columns = np.nonzero(np.abs(gate.matrix) > 1e-12)
    if len(rows) != len(gate.matrix) or len(set(columns)) != len(rows):
        return None
    index = np.arange(2**qubits)
    local = np.zeros_like(index)
    for wire in gate.wires:
        local = 2 * local + ((index >> (qubits - 1 - wire)) & 1)
    order = index.copy()
    for k, wire in enumerate(reversed(gate.wires)):
        bit = qubits - 1 - wire
        order = (order & ~(1 << bit)) | (((columns[local] >> k) & 1) << bit)
    return Monomial(order, gate.matrix[rows, columns][local])


def _merge(parts: Sequence[Step], qubits: int) -> Monomial:
    order, phase = np.arange(2**qubits), np.ones(2**qubits, complex)
    for part in parts:
        assert isinstance(part, Monomial)
        assert part.order is not None
        assert part.phase is not None
        order, phase = order[part.order], part.phase * phase[part.order]
    moved = not np.array_equal(order, np.arange(2**qubits))
    return Monomial(order if moved else None, _phase(phase[:, None, None]))


def _phase(phase: Array) -> Array | None:
    if np.allclose(phase, 1, rtol=0, atol=1e-15):
        return None
    signs = phase.real.astype(np.float32)
    return signs if np.array_equal(signs, phase) else phase


def _stack(layers: Sequence[_Layer], qubits: int, table: _ChainTable) -> DataLayers:
    split = [[_split(layer.rotations.get(q, [])) for q in range(qubits)] for layer in layers]
    depth = max((len(data) for wires in split for data, _ in wires), default=0)
    links = np.zeros((depth + 1, len(layers), qubits), int)
    for row, wires in enumerate(split):
        for wire, (_, between) in enumerate(wires):
            for slot, chain in enumerate(between):
                links[slot, row, wire] = table.number(chain)
    touched = tuple(tuple(sorted(layer.rotations)) for layer in layers)
    slots = tuple(_slot(split, k, (len(layers), qubits)) for k in range(depth))
    return DataLayers(touched, slots, links)


def _split(chain: Sequence[Rotation]) -> tuple[list[Rotation], list[list[Rotation]]]:
    """Separates a wire's chain into its data rotations and the free chains between them."""
    data: list[Rotation] = []
    between: list[list[Rotation]] = [[]]
    for gate in chain:
        if gate.angle.feature >= 0:
            data.append(gate)
            between.append([])
        else:
            between[-1].append(gate)
    return data, between


def _slot(
    split: list[list[tuple[list[Rotation], list[list[Rotation]]]]], k: int, shape: tuple[int, int]
) -> Slot:
    present = {
        (row, wire): data[k]
        for row, wires in enumerate(split)
        for wire, (data, _) in enumerate(wires)
        if k < len(data)
    }
    axes = {gate.axis for gate in present.values()}
    axis = np.broadcast_to(next(iter(axes)), (*shape, 3)).astype(float)  # padding stays uniform
    slot = Slot(
        axis=axis,
        common=UNIT_AXES.get(axes.pop()) if len(axes) == 1 else None,
        factor=np.zeros(shape),
        offset=np.zeros(shape),
        trained=np.zeros(shape, bool),
        weight=np.zeros(shape, int),
        feature=np.zeros(shape, int),
    )
    for place, gate in present.items():
        slot.axis[place] = gate.axis
        slot.factor[place], slot.offset[place] = gate.angle.factor, gate.angle.offset
        slot.trained[place] = gate.angle.weight >= 0
        slot.weight[place], slot.feature[place] = max(gate.angle.weight, 0), gate.angle.feature
    return slot


def _readout(program: Program) -> Readout:
    size = 2**program.qubits
    diagonal = np.zeros((program.n_outputs, size))
    rest: dict[int, Array] = {}
    for row, observable in enumerate(program.outputs):
        for term in observable:
            if isinstance(term, Projection):
                diagonal[row] += (np.arange(size) & term.mask) == term.bits
            elif term.flips:
                matrix = rest.setdefault(term.flips, np.zeros((program.n_outputs, size), complex))
                matrix[row] += _word(term, size)
            else:
                diagonal[row] += _word(term, size).real
    return Readout(diagonal, tuple(rest), tuple(rest.values()))


def _word(term: PauliWord, size: int) -> Array:
    """Entries ``O[i, i ^ flips]`` of a Pauli word."""
    index = np.arange(size) ^ term.flips
    parity = np.bitwise_count(index & term.signs) & 1
    return np.asarray(
        term.coefficient * 1j ** (term.flips & term.signs).bit_count() * (1 - 2.0 * parity)
    )
