"""Lowers a program with noise to real maps of Pauli coefficients.

The state of ``n`` qubits is the real vector of its ``4**n`` Pauli expectation values, wire 0 being
the most significant digit of the index. Rotations without data and the channels after them become
4 x 4 factors of one wire; data rotations become rotations of X and Y; fixed gates with their
channels become constant maps, and what is constant in a row is multiplied out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple, final

import numpy as np

from qmarl.circuits.gates import Angle, FixedGate, PauliWord, Projection, Rotation
from qmarl.circuits.noise import NoiseConfig, channel, noisy_wires, transfer_matrix
from qmarl.circuits.program import Program
from qmarl.types import Array

PAIR = 2
"""Wires per Kronecker group: products of 16 x 16."""

MERGED_QUBITS = 4
"""Up to here constant maps in a row become one matrix of at most 256 x 256."""

TINY = 1e-14
Z = (0.0, 0.0, 1.0)
CONSTANT = Angle(0.0, 0.0)


class Factor(NamedTuple):
    """A rotation without data, and the constant map ``(4, 4)`` that follows it."""

    axis: tuple[float, float, float]
    angle: Angle
    after: Array


class Group(NamedTuple):
    """One-wire maps on neighbouring wires: the chain on each wire from ``first`` on, or -1."""

    first: int
    chains: tuple[int, ...]


class Data(NamedTuple):
    """Rotations by data about Z: the wire of each, and its row among all data angles."""

    wires: tuple[int, ...]
    rows: tuple[int, ...]


class Monomial(NamedTuple):
    """``v'[i] = scale[i] v[order[i]]``, and its transpose likewise; all ``(4**n,)``."""

    order: Array
    scale: Array
    back_order: Array
    back_scale: Array


class Constant(NamedTuple):
    """A constant map ``(4**k, 4**k)`` on ``k`` wires."""

    wires: tuple[int, ...]
    matrix: Array


Step = Group | Data | Monomial | Constant


@final
@dataclass(frozen=True, eq=False)
class NoisePlan:
    """A program with noise as steps on Pauli coefficients.

    Attributes:
        qubits: Number of qubits ``n``.
        chains: Factors of every one-wire map, the first acting first.
        data: Angle of every data rotation.
        head: Steps before the first data rotation.
        body: Steps from the first to the last of them.
        tail: Steps after the last.
        readout: ``(outputs, 4**n)`` functional, errors of the readout included.
    """

    qubits: int
    chains: tuple[tuple[Factor, ...], ...]
    data: tuple[Angle, ...]
    head: tuple[Step, ...]
    body: tuple[Step, ...]
    tail: tuple[Step, ...]
    readout: Array


def lower_noise(program: Program, noise: NoiseConfig, quiet: int = 0) -> NoisePlan:
    """Lowers ``program`` under ``noise``.

    Args:
        program: The program.
        noise: Channels and where they act.
        quiet: Number of gates at the end without noise.
    """
    writer = _Writer(channel(noise))
    places = noisy_wires(program.gates, program.qubits, noise, quiet)
    for gate, wires in zip(program.gates, places, strict=True):
        writer.gate(gate, wires)
    builder = _Builder(program.qubits)
    steps = [step for moment in writer.moments for step in builder.steps(moment)]
    turns = [k for k, step in enumerate(steps) if isinstance(step, Data)] or [0]
    first, stop = turns[0], turns[-1] + bool(builder.data)
    return NoisePlan(
        qubits=program.qubits,
        chains=tuple(builder.chains),
        data=tuple(builder.data),
        head=tuple(steps[:first]),
        body=tuple(steps[first:stop]),
        tail=tuple(steps[stop:]),
        readout=_readout(program, 1 - 2 * noise.readout_error),
    )


@dataclass
class _Moment:
    """Operations that act together: one-wire factors, data rotations, or constant maps in order."""

    kind: str
    wires: set[int] = field(default_factory=set)
    factors: dict[int, list[Factor]] = field(default_factory=dict)
    data: list[tuple[int, Angle]] = field(default_factory=list)
    maps: list[Constant] = field(default_factory=list)


class _Writer:
    """Sorts gates into moments, as early as the wires that they share allow."""

    def __init__(self, transfer: Array) -> None:
        self.moments: list[_Moment] = []
        self._channel = transfer

    def gate(self, gate: Rotation | FixedGate, noisy: tuple[int, ...]) -> None:
        """Writes a gate, then the channel on the ``noisy`` wires."""
        if isinstance(gate, FixedGate):
            self._constant(tuple(gate.wires), transfer_matrix(gate.matrix))
            for wire in noisy:
                self._constant((wire,), self._channel)
            return
        self._rotation(gate, self._channel if gate.wire in noisy else np.eye(4))
        for wire in set(noisy) - {gate.wire}:
            self._factor(wire, Factor(Z, CONSTANT, self._channel))

    def _rotation(self, gate: Rotation, after: Array) -> None:
        if gate.angle.feature < 0:
            self._factor(gate.wire, Factor(gate.axis, gate.angle, after))
            return
        frame = _frame(gate.axis)
        self._fixed_factor(gate.wire, frame.T)
        moment = self._moment("data", {gate.wire})
        moment.data.append((gate.wire, gate.angle))
        self._fixed_factor(gate.wire, after @ frame)

    def _fixed_factor(self, wire: int, matrix: Array) -> None:
        if not np.array_equal(matrix, np.eye(4)):
            self._factor(wire, Factor(Z, CONSTANT, matrix))

    def _factor(self, wire: int, factor: Factor) -> None:
        self._moment("turn", {wire}).factors.setdefault(wire, []).append(factor)

    def _constant(self, wires: tuple[int, ...], matrix: Array) -> None:
        self._moment("map", set(wires)).maps.append(Constant(wires, matrix))

    def _moment(self, kind: str, wires: set[int]) -> _Moment:
        """The earliest moment of this kind that nothing on these wires comes after."""
        found = None
        for moment in reversed(self.moments):
            shared = moment.wires & wires
            if moment.kind == kind and not (kind == "data" and shared):
                found = moment
            if shared:
                break
        if found is None:
            found = _Moment(kind)
            self.moments.append(found)
        found.wires |= wires
        return found


class _Builder:
    """Turns moments into steps."""

    def __init__(self, qubits: int) -> None:
        self.chains: list[tuple[Factor, ...]] = []
        self.data: list[Angle] = []
        self._qubits = qubits

    def steps(self, moment: _Moment) -> list[Step]:
        if moment.kind == "turn":
            return self._groups(moment.factors)
        if moment.kind == "data":
            rows = range(len(self.data), len(self.data) + len(moment.data))
            self.data += [angle for _, angle in moment.data]
            return [Data(tuple(wire for wire, _ in moment.data), tuple(rows))]
        if self._qubits <= MERGED_QUBITS:
            return [_merged(moment.maps, self._qubits)]
        return [
            step
            for monomial, maps in groupby(moment.maps, lambda part: _is_monomial(part.matrix))
            for step in (_composed(list(maps), self._qubits) if monomial else maps)
        ]

    def _groups(self, factors: dict[int, list[Factor]]) -> list[Step]:
        numbers = [self._chain(factors.get(wire, [])) for wire in range(self._qubits)]
        groups = [
            Group(first, tuple(numbers[first : first + PAIR]))
            for first in range(0, self._qubits, PAIR)
        ]
        return [group for group in groups if max(group.chains) >= 0]

    def _chain(self, factors: list[Factor]) -> int:
        if not factors:
            return -1
        self.chains.append(tuple(factors))
        return len(self.chains) - 1


def _merged(maps: Sequence[Constant], qubits: int) -> Step:
    """All maps in one: a monomial where it can be."""
    whole = np.eye(4**qubits)
    for part in maps:
        whole = on_wires(part, whole, qubits)
    return _monomial(whole) if _is_monomial(whole) else Constant(tuple(range(qubits)), whole)


def _composed(maps: Sequence[Constant], qubits: int) -> list[Step]:
    """Monomial maps in one, without ever writing a matrix of ``4**n`` rows."""
    order, scale = np.arange(4**qubits), np.ones(4**qubits)
    for part in maps:
        local = _monomial(part.matrix)
        index = np.arange(4**qubits)
        digits = sum(
            ((index >> 2 * (qubits - 1 - wire)) & 3) << 2 * k
            for k, wire in enumerate(reversed(part.wires))
        )
        source = index.copy()
        for k, wire in enumerate(reversed(part.wires)):
            place = 2 * (qubits - 1 - wire)
            source = (source & ~(3 << place)) | (((local.order[digits] >> 2 * k) & 3) << place)
        order, scale = order[source], local.scale[digits] * scale[source]
    return [_both_ways(order, scale)]


def _is_monomial(matrix: Array) -> bool:
    present = np.abs(matrix) > TINY
    return bool((present.sum(0) <= 1).all() and (present.sum(1) <= 1).all())


def _monomial(matrix: Array) -> Monomial:
    order = np.abs(matrix).argmax(1)
    return _both_ways(order, matrix[np.arange(len(matrix)), order])


def _both_ways(order: Array, scale: Array) -> Monomial:
    rows = np.flatnonzero(np.abs(scale) > TINY)
    back_order, back_scale = np.zeros_like(order), np.zeros_like(scale)
    back_order[order[rows]], back_scale[order[rows]] = rows, scale[rows]
    return Monomial(order, scale, back_order, back_scale)


def on_wires(part: Constant, state: Array, qubits: int) -> Array:
    """Applies a constant map to a state ``(..., 4**n, B)``."""
    lead, batch = state.shape[:-2], state.shape[-1]
    spread = state.reshape(*lead, *(4,) * qubits, batch)
    where = [len(lead) + wire for wire in part.wires]
    front = range(len(lead), len(lead) + len(part.wires))
    moved = np.moveaxis(spread, where, front)
    turned = part.matrix @ moved.reshape(*lead, len(part.matrix), -1)
    return np.moveaxis(turned.reshape(moved.shape), front, where).reshape(state.shape)


def _frame(axis: tuple[float, float, float]) -> Array:
    """Rotation ``(4, 4)`` that takes Z to ``axis``."""
    frame, vector = np.eye(4), np.asarray(axis)
    if axis != Z:
        across = np.cross(np.eye(3)[np.abs(vector).argmin()], vector)
        across /= np.linalg.norm(across)
        frame[1:, 1:] = np.stack([across, np.cross(vector, across), vector], 1)
    return frame


def _readout(program: Program, keep: float) -> Array:
    rows = np.zeros((program.n_outputs, 4**program.qubits))
    for row, observable in zip(rows, program.outputs, strict=True):
        for term in observable:
            for word in as_words(term):
                weight = (word.flips | word.signs).bit_count()
                row[_index(word, program.qubits)] += word.coefficient * keep**weight
    return rows


def as_words(term: PauliWord | Projection) -> list[PauliWord]:
    """Writes a term as Pauli words; a projection on ``m`` qubits as ``2**m`` of them."""
    if isinstance(term, PauliWord):
        return [term]
    found, signs = [], term.mask
    scale = 0.5 ** term.mask.bit_count()
    while True:  # goes through the subsets of the mask, downwards
        sign = -1.0 if (signs & term.bits).bit_count() % 2 else 1.0
        found.append(PauliWord(sign * scale, 0, signs))
        if signs == 0:
            return found
        signs = (signs - 1) & term.mask


def _index(word: PauliWord, qubits: int) -> int:
    """Place of a word among all ``4**n``: digits I 0, X 1, Y 2, Z 3."""
    index = 0
    for bit in range(qubits - 1, -1, -1):
        flip, sign = (word.flips >> bit) & 1, (word.signs >> bit) & 1
        index = 4 * index + (3 - flip if sign else flip)
    return index
