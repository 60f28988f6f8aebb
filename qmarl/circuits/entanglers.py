"""Fixed gates as permutations with phases where they are that, as small matrices otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from qmarl.circuits.gates import FixedGate
from qmarl.circuits.plan import Block, Monomial
from qmarl.types import Array


def entangler(gates: Sequence[FixedGate], qubits: int) -> list[Monomial | Block]:
    """Lowers fixed gates; neighbouring permutations with phases are merged to one."""
    parts = [_as_monomial(gate, qubits) or Block(gate.wires, gate.matrix) for gate in gates]
    steps: list[Monomial | Block] = []
    for is_block, group in groupby(parts, lambda part: isinstance(part, Block)):
        members = list(group)
        steps += members if is_block else _merge(members, qubits)
    return steps


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


def _merge(parts: Sequence[Monomial | Block], qubits: int) -> list[Monomial | Block]:
    order, phase = np.arange(2**qubits), np.ones(2**qubits, complex)
    for part in parts:
        assert isinstance(part, Monomial)
        assert part.order is not None
        assert part.phase is not None
        order, phase = order[part.order], part.phase * phase[part.order]
    moved = not np.array_equal(order, np.arange(2**qubits))
    merged = Monomial(order if moved else None, _phase(phase[:, None, None]))
    return [] if merged.order is None and merged.phase is None else [merged]


def _phase(phase: Array) -> Array | None:
    if np.allclose(phase, 1, rtol=0, atol=1e-15):
        return None
    signs = phase.real.astype(np.float32)
    return signs if np.array_equal(signs, phase) else phase
