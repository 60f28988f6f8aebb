"""Lowers programs to plans: on few qubits to dense ones, otherwise to layered ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from qmarl.circuits.data_layers import real_to_state
from qmarl.circuits.diagonal import Z, diagonal_gates, rotation_matrix
from qmarl.circuits.entanglers import entangler
from qmarl.circuits.gates import Angle, Gate, NormalForm, Rotation
from qmarl.circuits.measurement import (
    bloch_reader,
    cast_readout,
    lower_readout,
    wire_signs,
    with_norm,
)
from qmarl.circuits.plan import (
    PRECISIONS,
    Constants,
    DataLayers,
    DensePlan,
    DenseRun,
    FreeLayer,
    LayeredPlan,
    Plan,
    Readout,
    Run,
    Slot,
    Step,
)
from qmarl.circuits.prepared import lower_prepared
from qmarl.circuits.runs import forward_run
from qmarl.circuits.schedule import ChainTable, Layer, make_slot, schedule
from qmarl.circuits.su2 import FRAME, make_chains
from qmarl.types import Array

DENSE_QUBITS = 5
"""Up to here matrices of ``2**n`` rows beat products over the wires."""

GROUP = 4
"""Qubits per Kronecker group: matrices of 16 x 16 are within 10 % of the best size everywhere."""


def lower(form: NormalForm) -> Plan:
    """Lowers a circuit to the form that is fastest at its size.

    Dense plans start from ``|0...0>``: states made of inputs are layered on any number of qubits.
    """
    dense = form.qubits <= DENSE_QUBITS and form.prepared is None
    return lower_dense(form) if dense else lower_layered(form)


def lower_dense(form: NormalForm) -> DensePlan:
    """Lowers a program to matrices and diagonals."""
    qubits, derived = form.qubits, form.derived
    n_weights = form.n_weights + len(derived.weights.wanted)
    layers = schedule(diagonal_gates(form.gates, qubits), qubits, separate=True)
    writer = _DenseWriter(qubits)
    initial, *runs = (writer.run(layers, first, stop) for first, stop in _bounds(layers))
    if not initial.layers:
        runs[0] = _prepend(runs[0], initial.before, qubits)
    first, *others = (
        {(0, wire): chain[0] for wire, chain in layer.rotations.items()}
        for layer in layers
        if layer.has_data
    )
    slot, rows = _distinct(others, qubits)
    readout = lower_readout(form.outputs, qubits)
    return DensePlan(
        qubits=qubits,
        n_weights=n_weights,
        derived=derived if any(part.wanted for part in derived) else None,
        chains=make_chains(writer.chains, n_weights),
        initial=initial,
        runs=tuple(runs),
        owners=_owners((initial, *runs)),
        first=make_slot(first, (1, qubits)),
        slot=slot,
        rows=rows,
        long=tuple(run.layers for run in (initial, *runs) if len(run.layers) > 1),
        constants={
            real: _constants((initial, *runs), writer.after, readout, qubits, real)
            for real in PRECISIONS
        },
    )


def _constants(
    runs: Sequence[DenseRun], after: Sequence[Array], readout: Readout, qubits: int, real: np.dtype
) -> Constants:
    work, size, normed = PRECISIONS[real], 2**qubits, with_norm(readout)
    return Constants(
        before=_before(runs, len(after), qubits).astype(work),
        after=np.array(after, work).reshape(-1, 1, size, size),
        spread=real_to_state(qubits).astype(work),
        signs=np.kron(wire_signs(qubits), [0, 1]).astype(real),
        readout=cast_readout(readout, real, work),
        normed=cast_readout(normed, real, work),
        planes=np.kron(normed.diagonal, [1, 1]).astype(real),
        slopes=np.kron(normed.diagonal, [1, -1]).astype(real),
        reader=(bloch_reader(qubits) @ np.kron(np.eye(qubits), FRAME)).astype(real),
    )


def _before(runs: Sequence[DenseRun], layers: int, qubits: int) -> Array:
    """What is fixed before the first layer of each run, identities before the others."""
    result = np.broadcast_to(np.eye(2**qubits, dtype=complex), (layers, 1, *[2**qubits] * 2)).copy()
    for run in runs:
        if run.layers and run.before is not None:
            result[run.layers[0]] = run.before
    return result


def _owners(runs: Sequence[DenseRun]) -> Array | slice:
    """The run of every free layer; one for all is a slice, and so is one each without gaps."""
    owners = [k for k, run in enumerate(runs) for _ in run.layers]
    if not owners or len(set(owners)) == 1 or owners == list(range(owners[0], owners[-1] + 1)):
        return slice(owners[0], owners[-1] + 1) if owners else slice(0, 0)
    return np.array(owners)


def _prepend(run: DenseRun, initial: Array | None, qubits: int) -> DenseRun:
    """A run that starts from the real product state of the data layer before it."""
    size = 2**qubits
    state = (np.eye(size) if initial is None else initial)[:, :1]
    before = state * real_to_state(qubits)
    return DenseRun(run.layers, before if run.before is None else run.before @ before)


def _bounds(layers: Sequence[Layer]) -> list[tuple[int, int]]:
    """The data layer before each run (-1 for none) and the one after it."""
    data = [k for k, layer in enumerate(layers) if layer.has_data]
    return list(zip([-1, *data], [*data, len(layers)], strict=True))


class _DenseWriter:
    """Collects free layers with weights, and multiplies what is fixed between them."""

    def __init__(self, qubits: int) -> None:
        self.qubits = qubits
        self.chains: list[Sequence[Rotation]] = []
        self.after: list[Array] = []

    def run(self, layers: Sequence[Layer], data: int, stop: int) -> DenseRun:
        start = len(self.after)
        before = fixed = self._identity()
        if data >= 0:
            fixed = self._entangle(layers[data], fixed)
        for layer in layers[data + 1 : stop]:
            if layer.has_weights:
                before = self._close(start, before, fixed)
                self.chains += [layer.rotations.get(wire, []) for wire in range(self.qubits)]
                self.after.append(fixed := self._identity())
            else:
                fixed = self._turn(layer, fixed)
            fixed = self._entangle(layer, fixed)
        before = self._close(start, before, fixed)
        return DenseRun(range(start, len(self.after)), _simplest(before))

    def _close(self, start: int, before: Array, fixed: Array) -> Array:
        """Puts what is fixed behind the run's last free layer; returns what is before its first."""
        if len(self.after) == start:
            return fixed
        self.after[-1] = fixed
        return before

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


def _distinct(
    layers: Sequence[dict[tuple[int, int], Rotation]], qubits: int
) -> tuple[Slot | None, tuple[int, ...]]:
    """Finds equal data layers, so that their phases are computed once."""
    keys = [tuple(sorted(layer.items())) for layer in layers]
    unique = list(dict.fromkeys(keys))
    present = {(row, wire): gate for row, key in enumerate(unique) for (_, wire), gate in key}
    slot = make_slot(present, (len(unique), qubits)) if unique else None
    return slot, tuple(unique.index(key) for key in keys)


def lower_layered(form: NormalForm) -> LayeredPlan:
    """Lowers a program to layers that are applied wire by wire."""
    layers = _data_first(form) if form.prepared else _layers(form.gates, form.qubits)
    table = ChainTable()
    runs = [_run(layers, first, stop, form.qubits, table) for first, stop in _bounds(layers)]
    data = _stack([layer for layer in layers if layer.has_data], form.qubits, table)
    return LayeredPlan(
        qubits=form.qubits,
        n_weights=form.n_weights + len(form.derived.weights.wanted),
        derived=form.derived if any(part.wanted for part in form.derived) else None,
        chains=table.arrays(form.n_weights + len(form.derived.weights.wanted)),
        initial=runs[0],
        data=data,
        runs=tuple(runs[1:]),
        readout=lower_readout(form.outputs, form.qubits),
        prepared=None if form.prepared is None else lower_prepared(form.prepared, form.qubits),
    )


def _layers(gates: Sequence[Gate], qubits: int) -> list[Layer]:
    return schedule(gates, qubits, separate=False)


def _data_first(form: NormalForm) -> list[Layer]:
    """Layers that begin with data, if need be with a rotation by nothing: no initial run."""
    layers = _layers(form.gates, form.qubits)
    if layers[0].has_data:
        return layers
    nothing = Rotation(0, Z, Angle(0.0, 0.0, feature=0))
    return _layers((nothing, *form.gates), form.qubits)


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
    return _grouped([table.number(layer.rotations.get(wire, [])) for wire in range(qubits)])


def _grouped(chain: Sequence[int]) -> FreeLayer:
    """Puts the chain of every wire into groups, and leaves out what has none."""
    qubits = len(chain)
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
    ends = tuple(_grouped(numbers) for numbers in links[-1].tolist())
    return DataLayers(touched, slots, links, ends)


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
