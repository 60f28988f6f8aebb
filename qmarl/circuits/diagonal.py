"""Rewrites gates so that all data enter through RZ: then a data layer is one diagonal.

A data rotation about the axis ``e`` becomes ``V RZ(t) V^dag`` with the fixed ``V = RZ(azimuth)
RY(polar)``. What stands between two data rotations of a wire is then a fixed matrix
``C = RZ(p) RY(q) RZ(r)``; its RZs move into the neighbouring data angles, so that only the real
``RY(q)`` is left, and the product over all wires is one real matrix.

On few qubits this is the fastest form: a data layer costs one product per amplitude.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qmarl.circuits.gates import Angle, FixedGate, Gate, Rotation
from qmarl.circuits.su2 import PAULI
from qmarl.types import Array

Y, Z = (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
IDENTITY = np.eye(2, dtype=complex)


def diagonal_gates(gates: Sequence[Gate], qubits: int) -> list[Gate]:
    """Returns an equivalent list of gates, up to a global phase, whose data rotations are RZ."""
    writer = _Writer(qubits)
    for gate in gates:
        if isinstance(gate, FixedGate):
            writer.barrier(gate, gate.wires)
        elif gate.angle.feature >= 0:
            writer.data(gate)
        elif gate.angle.weight >= 0:
            writer.barrier(gate, (gate.wire,))
        else:
            writer.turn(gate.wire, rotation_matrix(gate.axis, gate.angle.offset))
    for wire in range(qubits):
        writer.flush(wire)
    return writer.gates


class _Writer:
    """Collects gates; fixed rotations of a wire are held back and multiplied."""

    def __init__(self, qubits: int) -> None:
        self.gates: list[Gate] = []
        self._held = [IDENTITY] * qubits
        self._data: list[int | None] = [None] * qubits  # place of the wire's last gate, if data

    def turn(self, wire: int, matrix: Array) -> None:
        self._held[wire] = matrix @ self._held[wire]

    def barrier(self, gate: Gate, wires: Sequence[int]) -> None:
        for wire in wires:
            self.flush(wire)
            self._data[wire] = None
        self.gates.append(gate)

    def flush(self, wire: int) -> None:
        axis, angle = axis_angle(self._held[wire])
        if abs(angle) > 1e-15:
            self.gates.append(Rotation(wire, axis, Angle(0.0, angle)))
            self._data[wire] = None
        self._held[wire] = IDENTITY

    def data(self, gate: Rotation) -> None:
        basis = _basis(gate.axis)
        self.turn(gate.wire, basis.conj().T)
        offset = self._split(gate.wire) + gate.angle.offset
        self._data[gate.wire] = len(self.gates)
        self.gates.append(Rotation(gate.wire, Z, gate.angle._replace(offset=offset)))
        self.turn(gate.wire, basis)

    def _split(self, wire: int) -> float:
        """Writes what is held before a data RZ; returns the angle that moves into that RZ."""
        place = self._data[wire]
        if place is None:
            self.flush(wire)
            return 0.0
        before, middle, after = euler_angles(self._held[wire])
        last = self.gates[place]
        assert isinstance(last, Rotation)
        angle = last.angle._replace(offset=last.angle.offset + before)
        self.gates[place] = last._replace(angle=angle)
        self._held[wire] = rotation_matrix(Y, middle)
        self.flush(wire)
        return after


def _basis(axis: tuple[float, float, float]) -> Array:
    """``V`` with ``V Z V^dag = axis . sigma``."""
    x, y, z = axis
    polar = float(np.arctan2(np.hypot(x, y), z))
    return rotation_matrix(Z, float(np.arctan2(y, x))) @ rotation_matrix(Y, polar)


def rotation_matrix(axis: tuple[float, float, float], angle: float) -> Array:
    """``exp(-i angle / 2 (axis . sigma))``."""
    generator = np.tensordot(axis, PAULI, 1)
    return np.asarray(np.cos(angle / 2) * np.eye(2) - 1j * np.sin(angle / 2) * generator)


def axis_angle(unitary: Array) -> tuple[tuple[float, float, float], float]:
    """Axis and angle [rad] of a one-qubit unitary, up to its global phase."""
    special = unitary / np.sqrt(complex(np.linalg.det(unitary)))
    vector = np.array([-np.trace(pauli @ special).imag / 2 for pauli in PAULI])
    sine = float(np.linalg.norm(vector))
    x, y, z = (vector / sine).tolist() if sine > 1e-15 else Z
    return (x, y, z), 2 * float(np.arctan2(sine, np.trace(special).real / 2))


def euler_angles(unitary: Array) -> tuple[float, float, float]:
    """Angles ``(r, q, p)`` [rad] of ``U = RZ(p) RY(q) RZ(r)`` in SU(2)."""
    a, b = unitary[0, 0], unitary[1, 0]
    total, difference = -2 * np.angle(a), 2 * np.angle(b)
    middle = 2 * np.arctan2(abs(b), abs(a))
    return float((total - difference) / 2), float(middle), float((total + difference) / 2)
