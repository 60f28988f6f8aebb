"""Lowers programs to plans: schedules gates into layers and writes them as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

import numpy as np

from qmarl.circuits.diagonal import diagonal_gates
from qmarl.circuits.plan import (
    Block,
    DataLayers,
    FreeLayer,
    Full,
    Monomial,
    Plan,
    Readout,
    Run,
    Slot,
    Step,
)
from qmarl.circuits.program import FixedGate, Gate, PauliWord, Program, Projection, Rotation
from qmarl.circuits.runs import forward_run, layer_matrices
from qmarl.circuits.su2 import Chains, bind_chains, make_chains
from qmarl.types import Array

UNIT_AXES = {(1.0, 0.0, 0.0): 0, (0.0, 1.0, 0.0): 1, (0.0, 0.0, 1.0): 2}
"""Place of X, Y and Z among the components of a Bloch vector."""

DIAGONAL_QUBITS = 0
"""Up to here data layers are diagonals between fused matrices; above, products over the wires."""

GROUP = 4
"""Qubits per Kronecker group: matrices of 16 x 16 are within 10 % of the best size everywhere."""


@dataclass
class _Layer:
    """One layer while it is filled: rotations per wire, then entangling gates.

    In a diagonal plan a layer holds data rotations alone, one per wire, or free ones alone.
    """

    kind: str
    rotations: dict[int, list[Rotation]] = field(default_factory=dict)
    gates: list[FixedGate] = field(default_factory=list)
    dirty: set[int] = field(default_factory=set)

    @property
    def has_data(self) -> bool:
        return any(r.angle.feature >= 0 for chain in self.rotations.values() for r in chain)

    def accepts(self, wire: int, kind: str) -> bool:
        crowded = kind == "data" and wire in self.rotations
        return kind == self.kind and wire not in self.dirty and not crowded


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
    diagonal = program.qubits <= DIAGONAL_QUBITS
    gates = diagonal_gates(program.gates, program.qubits) if diagonal else program.gates
    layers = _schedule(gates, program.qubits, diagonal=diagonal)
    table = _ChainTable()
    data = [k for k, layer in enumerate(layers) if layer.has_data]
    bounds = zip([-1, *data], [*data, len(layers)], strict=True)
    runs = [_run(layers, first, stop, program.qubits, table) for first, stop in bounds]
    if diagonal:
        runs[1:] = [_fuse_fixed(run, table, program) for run in runs[1:]]
    stacked = _stack([layers[k] for k in data], program.qubits, table, diagonal=diagonal)
    return Plan(
        qubits=program.qubits,
        n_weights=program.n_weights,
        chains=table.arrays(),
        initial=runs[0],
        data=stacked,
        runs=tuple(runs[1:]),
        readout=_readout(program),
    )


def _schedule(gates: Sequence[Gate], qubits: int, *, diagonal: bool) -> list[_Layer]:
    """Puts every gate into the earliest layer that its wires allow."""
    layers = [_Layer("free" if diagonal else "any")]
    level = [0] * qubits  # last layer that touched each wire
    for gate in gates:
        if isinstance(gate, FixedGate):
            k = max(level[wire] for wire in gate.wires)
            layers[k].gates.append(gate)
            layers[k].dirty.update(gate.wires)
        else:
            k = _place(gate, layers, level[gate.wire], diagonal=diagonal)
            layers[k].rotations.setdefault(gate.wire, []).append(gate)
        for wire in gate.wires if isinstance(gate, FixedGate) else (gate.wire,):
            level[wire] = k
    return layers


def _place(gate: Rotation, layers: list[_Layer], first: int, *, diagonal: bool) -> int:
    """The earliest layer from ``first`` on that accepts the rotation, made if there is none."""
    kind = ("data" if gate.angle.feature >= 0 else "free") if diagonal else "any"
    for k in range(first, len(layers)):
        if layers[k].accepts(gate.wire, kind):
            return k
    layers.append(_Layer(kind))
    return len(layers) - 1


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


def _fuse_fixed(run: Run, table: _ChainTable, program: Program) -> Run:
    """Multiplies a run without weights to one matrix, real if it can be."""
    layers = [step for step in run if isinstance(step, FreeLayer)]
    chains = [table.chains[k] for layer in layers for _, group in layer.groups for k in group]
    if not layers or any(gate.angle.weight >= 0 for chain in chains for gate in chain):
        return run
    products = bind_chains(table.arrays(), np.zeros((1, program.n_weights))).products
    kron = {k: layer_matrices(s, products) for k, s in enumerate(run) if isinstance(s, FreeLayer)}
    matrix, _ = forward_run(run, kron, np.eye(2**program.qubits, dtype=complex)[:, None])
    real = np.allclose(matrix.imag, 0, rtol=0, atol=1e-15)
    return (Full((matrix.real.copy() if real else matrix)[:, 0]),)


def _stack(
    layers: Sequence[_Layer], qubits: int, table: _ChainTable, *, diagonal: bool
) -> DataLayers:
    split = [[_split(layer.rotations.get(q, [])) for q in range(qubits)] for layer in layers]
    depth = max((len(data) for wires in split for data, _ in wires), default=0)
    links = np.zeros((depth + 1, len(layers), qubits), int)
    for row, wires in enumerate(split):
        for wire, (_, between) in enumerate(wires):
            for slot, chain in enumerate(between):
                links[slot, row, wire] = table.number(chain)
    touched = tuple(tuple(sorted(layer.rotations)) for layer in layers)
    slots = tuple(_slot(split, k, (len(layers), qubits)) for k in range(depth))
    rows, distinct = _distinct(slots) if diagonal else ((), ())
    return DataLayers(touched, slots, links, diagonal, rows, distinct)


def _distinct(slots: tuple[Slot, ...]) -> tuple[tuple[int, ...], tuple[Slot, ...]]:
    """Finds equal data layers, so that their phases are computed once."""
    [slot] = slots
    keys = [
        tuple(np.concatenate([part[k] for part in slot[2:]]).tolist())
        for k in range(len(slot.axis))
    ]
    unique = list(dict.fromkeys(keys))
    first = [keys.index(key) for key in unique]
    reduced = Slot(slot.axis[first], slot.common, *(part[first] for part in slot[2:]))
    return tuple(unique.index(key) for key in keys), (reduced,)


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
