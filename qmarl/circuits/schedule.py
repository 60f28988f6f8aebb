"""Puts gates into layers, and numbers the chains of rotations that do not depend on data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from qmarl.circuits.gates import FixedGate, Gate, Rotation
from qmarl.circuits.plan import PRECISIONS, Coefficients, Slot
from qmarl.circuits.su2 import LONGEST, Chains, make_chains
from qmarl.types import Array

Kind = Literal["any", "data", "free"]

UNIT_AXES = {(1.0, 0.0, 0.0): 0, (0.0, 1.0, 0.0): 1, (0.0, 0.0, 1.0): 2}
"""Place of X, Y and Z among the components of a Bloch vector."""


@dataclass
class Layer:
    """One layer while it is filled: rotations per wire, then entangling gates.

    Attributes:
        kind: ``any`` rotations; or ``data`` rotations alone, one per wire; or ``free`` ones alone.
        rotations: Chain of each wire.
        gates: Fixed gates that follow.
        dirty: Wires that those touch.
    """

    kind: Kind
    rotations: dict[int, list[Rotation]] = field(default_factory=dict)
    gates: list[FixedGate] = field(default_factory=list)
    dirty: set[int] = field(default_factory=set)

    @property
    def has_data(self) -> bool:
        """Whether an input takes part."""
        return any(r.angle.feature >= 0 for chain in self.rotations.values() for r in chain)

    @property
    def has_weights(self) -> bool:
        """Whether a weight takes part."""
        return any(r.angle.weight >= 0 for chain in self.rotations.values() for r in chain)

    def accepts(self, wire: int, kind: Kind) -> bool:
        """Whether a rotation of ``kind`` may still be added on ``wire``."""
        chain = self.rotations.get(wire, [])
        crowded = bool(chain) if kind == "data" else _weights_at_end(chain) >= LONGEST
        return kind == self.kind and wire not in self.dirty and not crowded


def _weights_at_end(chain: Sequence[Rotation]) -> int:
    """Weights behind the last rotation that takes an input."""
    last = max((k for k, gate in enumerate(chain) if gate.angle.feature >= 0), default=-1)
    return sum(gate.angle.weight >= 0 for gate in chain[last + 1 :])


@dataclass
class ChainTable:
    """Collects chains of rotations and numbers them; number 0 is the empty one."""

    chains: list[tuple[Rotation, ...]] = field(default_factory=lambda: [()])

    def number(self, chain: Sequence[Rotation]) -> int:
        """Adds a chain and returns its number."""
        if not chain:
            return 0
        self.chains.append(tuple(chain))
        return len(self.chains) - 1

    def arrays(self, n_weights: int) -> Chains:
        """All chains as arrays, for flat weights of length ``n_weights``."""
        return make_chains(self.chains, n_weights)


def schedule(gates: Sequence[Gate], qubits: int, *, separate: bool) -> list[Layer]:
    """Puts every gate into the earliest layer that its wires allow.

    Args:
        gates: Gates in order.
        qubits: Number of qubits.
        separate: Whether data and free rotations get layers of their own.
    """
    layers = [Layer("free" if separate else "any")]
    level = [0] * qubits  # last layer that touched each wire
    for gate in gates:
        if isinstance(gate, FixedGate):
            k = max(level[wire] for wire in gate.wires)
            layers[k].gates.append(gate)
            layers[k].dirty.update(gate.wires)
        else:
            k = _place(gate, layers, level[gate.wire], separate=separate)
            layers[k].rotations.setdefault(gate.wire, []).append(gate)
        for wire in gate.wires if isinstance(gate, FixedGate) else (gate.wire,):
            level[wire] = k
    return layers


def _place(gate: Rotation, layers: list[Layer], first: int, *, separate: bool) -> int:
    """The earliest layer from ``first`` on that accepts the rotation, made if there is none."""
    own: Kind = "data" if gate.angle.feature >= 0 else "free"
    kind: Kind = own if separate else "any"
    for k in range(first, len(layers)):
        if layers[k].accepts(gate.wire, kind):
            return k
    layers.append(Layer(kind))
    return len(layers) - 1


def make_slot(present: dict[tuple[int, int], Rotation], shape: tuple[int, int]) -> Slot:
    """Writes rotations, by layer and wire, as arrays of ``shape`` ``(L, n)``."""
    axes = {gate.axis for gate in present.values()}
    axis = np.broadcast_to(next(iter(axes)), (*shape, 3)).astype(float)  # padding stays uniform
    factor, offset, trained = np.zeros(shape), np.zeros(shape), np.zeros(shape, bool)
    weight, feature = np.zeros(shape, int), np.zeros(shape, int)
    for place, gate in present.items():
        axis[place] = gate.axis
        factor[place], offset[place] = gate.angle.factor, gate.angle.offset
        trained[place] = gate.angle.weight >= 0
        weight[place], feature[place] = max(gate.angle.weight, 0), gate.angle.feature
    return Slot(
        axis=axis,
        common=UNIT_AXES.get(axes.pop()) if len(axes) == 1 else None,
        factor=factor,
        trained=trained if trained.any() else None,
        weight=weight,
        feature=feature,
        to_features=_one_hot(feature, np.ones(shape)),
        to_weights=_one_hot(weight, factor * trained),
        coefficients={real: _coefficients(factor, offset, real) for real in PRECISIONS},
    )


def _coefficients(factor: Array, offset: Array, real: np.dtype) -> Coefficients:
    slope = factor.astype(real)[..., None, None]
    half_offset = (offset / 2).astype(real)[..., None, None]
    return Coefficients(slope, slope / 2, half_offset if offset.any() else None)


def _one_hot(index: Array, values: Array) -> Array:
    """``(max + 1, L * n)`` with ``values`` in the rows that ``index`` says."""
    result = np.zeros((index.max() + 1, index.size))
    result[index.ravel(), np.arange(index.size)] = values.ravel()
    return result
