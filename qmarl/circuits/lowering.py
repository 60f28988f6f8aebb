"""Lowers programs to plans: on few qubits to dense ones, otherwise to layered ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from qmarl.circuits.diagonal import diagonal_gates, rotation_matrix
from qmarl.circuits.entanglers import entangler
from qmarl.circuits.measurement import lower_readout
from qmarl.circuits.plan import (
    DataLayers,
    DensePlan,
    DenseRun,
    FreeLayer,
    LayeredPlan,
    Plan,
    Run,
    Slot,
    Step,
)
from qmarl.circuits.program import Program, Rotation
from qmarl.circuits.runs import forward_run
from qmarl.circuits.schedule import ChainTable, Layer, make_slot, schedule
from qmarl.types import Array

DENSE_QUBITS = 5
"""Up to here matrices of ``2**n`` rows beat products over the wires."""

GROUP = 4
"""Qubits per Kronecker group: matrices of 16 x 16 are within 10 % of the best size everywhere."""


def lower(program: Program) -> Plan:
    """Lowers ``program`` to the form that is fastest at its size."""
    return lower_dense(program) if program.qubits <= DENSE_QUBITS else lower_layered(program)


def lower_dense(program: Program) -> DensePlan:
    """Lowers a program to matrices and diagonals."""
    gates = diagonal_gates(program.gates, program.qubits)
    layers = schedule(gates, program.qubits, separate=True)
    writer = _DenseWriter(program.qubits)
    runs = [writer.run(layers, first, stop) for first, stop in _bounds(layers)]
    data = [layer for layer in layers if layer.has_data]
    present = {
        (k, wire): chain[0]
        for k, layer in enumerate(data)
        for wire, chain in layer.rotations.items()
    }
    slot = make_slot(present, (len(data), program.qubits))
    distinct, rows = _distinct(slot)
    return DensePlan(
        qubits=program.qubits,
        n_weights=program.n_weights + len(program.derived.weights.wanted),
        derived=program.derived if any(part.wanted for part in program.derived) else None,
        chains=writer.table.arrays(),
        free=np.array(writer.free, int).reshape(-1, program.qubits),
        after=np.array(writer.after).reshape(-1, 1, 2**program.qubits, 2**program.qubits),
        initial=runs[0],
        runs=tuple(runs[1:]),
        slot=slot,
        distinct=distinct,
        rows=rows,
        readout=lower_readout(program),
    )


def _bounds(layers: Sequence[Layer]) -> list[tuple[int, int]]:
    """The data layer before each run (-1 for none) and the one after it."""
    data = [k for k, layer in enumerate(layers) if layer.has_data]
    return list(zip([-1, *data], [*data, len(layers)], strict=True))


class _DenseWriter:
    """Collects free layers with weights, and multiplies what is fixed between them."""

    def __init__(self, qubits: int) -> None:
        self.qubits = qubits
        self.table = ChainTable()
        self.free: list[list[int]] = []
        self.after: list[Array] = []

    def run(self, layers: Sequence[Layer], data: int, stop: int) -> DenseRun:
        first = len(self.free)
        before = fixed = self._identity()
        if data >= 0:
            before = fixed = self._entangle(layers[data], fixed)
        for layer in layers[data + 1 : stop]:
            if layer.has_weights:
                before = before if len(self.free) > first else fixed
                self._close(first, fixed)
                chains = [layer.rotations.get(wire, []) for wire in range(self.qubits)]
                self.free.append([self.table.number(chain) for chain in chains])
                fixed = self._identity()
            else:
                fixed = self._turn(layer, fixed)
            fixed = self._entangle(layer, fixed)
        before = before if len(self.free) > first else fixed
        self._close(first, fixed)
        return DenseRun(range(first, len(self.free)), _simplest(before))

    def _close(self, first: int, fixed: Array) -> None:
        """Ends the last free layer of the run, if it has one."""
        if len(self.free) > first:
            self.after.append(fixed)

    def _identity(self) -> Array:
        return np.eye(2**self.qubits, dtype=complex)

    def _entangle(self, layer: Layer, fixed: Array) -> Array:
        steps = tuple(entangler(layer.gates, self.qubits))
        return forward_run(steps, {}, fixed[:, None])[0][:, 0]

    def _turn(self, layer: Layer, fixed: Array) -> Array:
        matrix = np.eye(1, dtype=complex)
        for wire in range(self.qubits):
            factor = np.eye(2, dtype=complex)
            for gate in layer.rotations.get(wire, []):
                factor = rotation_matrix(gate.axis, gate.angle.offset) @ factor
            matrix = np.kron(matrix, factor)
        return np.asarray(matrix @ fixed)


def _simplest(matrix: Array) -> Array | None:
    """None for the identity, a real array where it can be."""
    if np.allclose(matrix, np.eye(len(matrix)), rtol=0, atol=1e-15):
        return None
    real = np.allclose(matrix.imag, 0, rtol=0, atol=1e-15)
    return matrix.real.copy() if real else matrix


def _distinct(slot: Slot) -> tuple[Slot, tuple[int, ...]]:
    """Finds equal data layers, so that their phases are computed once."""
    keys = [
        tuple(np.concatenate([part[k] for part in slot[2:]]).tolist())
        for k in range(len(slot.axis))
    ]
    unique = list(dict.fromkeys(keys))
    first = [keys.index(key) for key in unique]
    reduced = Slot(slot.axis[first], slot.common, *(part[first] for part in slot[2:]))
    return reduced, tuple(unique.index(key) for key in keys)


def lower_layered(program: Program) -> LayeredPlan:
    """Lowers a program to layers that are applied wire by wire."""
    layers = schedule(program.gates, program.qubits, separate=False)
    table = ChainTable()
    runs = [_run(layers, first, stop, program.qubits, table) for first, stop in _bounds(layers)]
    data = _stack([layer for layer in layers if layer.has_data], program.qubits, table)
    return LayeredPlan(
        qubits=program.qubits,
        n_weights=program.n_weights + len(program.derived.weights.wanted),
        derived=program.derived if any(part.wanted for part in program.derived) else None,
        chains=table.arrays(),
        initial=runs[0],
        data=data,
        runs=tuple(runs[1:]),
        readout=lower_readout(program),
    )


def _run(layers: Sequence[Layer], data: int, stop: int, qubits: int, table: ChainTable) -> Run:
    """The entangler of data layer ``data`` (if any) and the free layers up to ``stop``."""
    steps: list[Step] = []
    if data >= 0:
        steps += entangler(layers[data].gates, qubits)
    for layer in layers[data + 1 : stop]:
        if layer.rotations:
            steps.append(_free_layer(layer, qubits, table))
        steps += entangler(layer.gates, qubits)
    return tuple(steps)


def _free_layer(layer: Layer, qubits: int, table: ChainTable) -> FreeLayer:
    chain = [table.number(layer.rotations.get(wire, [])) for wire in range(qubits)]
    count = -(-qubits // GROUP)
    edges = [round(k * qubits / count) for k in range(count + 1)]
    groups = [(a, tuple(chain[a:b])) for a, b in pairwise(edges)]
    return FreeLayer(tuple(group for group in groups if any(group[1])))


def _stack(layers: Sequence[Layer], qubits: int, table: ChainTable) -> DataLayers:
    split = [[_split(layer.rotations.get(q, [])) for q in range(qubits)] for layer in layers]
    depth = max(len(data) for wires in split for data, _ in wires)
    links = np.zeros((depth + 1, len(layers), qubits), int)
    present: list[dict[tuple[int, int], Rotation]] = [{} for _ in range(depth)]
    for row, wires in enumerate(split):
        for wire, (data, between) in enumerate(wires):
            for k, chain in enumerate(between):
                links[k, row, wire] = table.number(chain)
            for k, gate in enumerate(data):
                present[k][row, wire] = gate
    touched = tuple(tuple(sorted(layer.rotations)) for layer in layers)
    slots = tuple(make_slot(part, (len(layers), qubits)) for part in present)
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
