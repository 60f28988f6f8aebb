"""What noise is: its configuration, its channels as Pauli-transfer maps, and where they act.

A one-qubit channel is a real 4 x 4 map of the Pauli coefficients ``(1, <X>, <Y>, <Z>)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal

import numpy as np
from pydantic import Field

from qmarl.circuits.gates import FixedGate, Gate, Rotation
from qmarl.circuits.su2 import PAULI
from qmarl.config import Section
from qmarl.types import Array

EXACT_QUBITS = 6
"""Up to here a state of ``4**n`` real numbers is small enough to be exact."""

LETTERS = np.concatenate([np.eye(2)[None], PAULI])
"""I, X, Y, Z: the digits 0 to 3 of a Pauli word's index."""


class NoiseConfig(Section):
    """Noise of the quantum computer that runs the actors; all zero: an ideal one."""

    depolarising: float = Field(0.0, ge=0, le=1)
    """Probability that a Pauli error, drawn evenly from X, Y and Z, strikes a qubit."""
    amplitude_damping: float = Field(0.0, ge=0, le=1)
    """Probability that an excited qubit decays to its ground state."""
    phase_damping: float = Field(0.0, ge=0, le=1)
    """Probability that the environment learns a qubit's basis state."""
    readout_error: float = Field(0.0, ge=0, le=0.5)
    """Probability that a measured bit is read as the other one."""
    placement: Literal["gate", "layer"] = "gate"
    """``gate``: after every gate on its qubits; ``layer``: on all qubits after every layer, that is
    after the entangling gates that follow a block of rotations, and at the end."""
    trajectories: int = Field(64, ge=1)
    """Random trajectories per call beyond 6 qubits, where the exact map grows too large."""

    @property
    def silent(self) -> bool:
        """Whether there is no noise at all."""
        return not (self.acts or self.readout_error)

    @property
    def acts(self) -> bool:
        """Whether any channel acts while the circuit runs."""
        return bool(self.depolarising or self.amplitude_damping or self.phase_damping)

    @property
    def audible(self) -> dict[str, float | str]:
        """Every kind of noise that is not zero, and where channels act; empty without noise."""
        kinds = ("depolarising", "amplitude_damping", "phase_damping", "readout_error")
        found: dict[str, float | str] = {kind: getattr(self, kind) for kind in kinds}
        found = {kind: value for kind, value in found.items() if value}
        return found | ({"placement": self.placement} if self.acts else {})

    def method(self, qubits: int) -> str:
        """How a circuit of so many qubits runs under this noise, in words."""
        if qubits <= EXACT_QUBITS or not self.acts:
            return "exactly"
        return f"by {self.trajectories} random trajectories"


SILENT = NoiseConfig()
"""An ideal quantum computer."""


def channel(noise: NoiseConfig) -> Array:
    """The map ``(4, 4)`` of one qubit: depolarising, then amplitude, then phase damping.

    Nielsen and Chuang, Quantum Computation and Quantum Information, section 8.3.

    >>> channel(NoiseConfig(depolarising=0.75))[3].tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    shrink, decay = 1 - 4 * noise.depolarising / 3, 1 - noise.amplitude_damping
    across = shrink * np.sqrt(decay * (1 - noise.phase_damping))
    transfer = np.diag([1.0, across, across, shrink * decay])
    transfer[3, 0] = noise.amplitude_damping
    return transfer


def words(count: int) -> Array:
    """All Pauli words ``(4**count, 2**count, 2**count)``, the first letter most significant."""
    result = np.ones((1, 1, 1), complex)
    for _ in range(count):
        size = 2 * result.shape[1]
        result = np.einsum("pab,qcd->pqacbd", result, LETTERS).reshape(-1, size, size)
    return result


def transfer_matrix(unitary: Array) -> Array:
    """Pauli-transfer matrix ``R_pq = tr(P_p U P_q U^dag) / 2**k`` of a gate on ``k`` qubits."""
    size = len(unitary)
    basis = words(size.bit_length() - 1)
    images = unitary @ basis @ unitary.conj().T
    flat = basis.reshape(size * size, -1) @ images.swapaxes(1, 2).reshape(size * size, -1).T
    return np.asarray(flat.real / size)


def kron(factors: Sequence[Array]) -> Array:
    """Kronecker product of matrices ``(..., a, b)`` over their last two axes."""
    return reduce(_kron, factors)


def _kron(left: Array, right: Array) -> Array:
    product = left[..., :, None, :, None] * right[..., None, :, None, :]
    rows, columns = left.shape[-2] * right.shape[-2], left.shape[-1] * right.shape[-1]
    return product.reshape(*product.shape[:-4], rows, columns)


def noisy_wires(
    gates: Sequence[Gate], qubits: int, noise: NoiseConfig, quiet: int = 0
) -> list[tuple[int, ...]]:
    """The wires on which the channel acts after each gate.

    Args:
        gates: Gates of a program: one rotation each, or a fixed gate.
        qubits: Number of qubits.
        noise: Its channels and placement.
        quiet: Number of gates at the end without noise (changes of the measured basis).
    """
    loud = len(gates) - quiet
    if not noise.acts:
        return [()] * len(gates)
    if noise.placement == "gate":
        wires = [(g.wire,) if isinstance(g, Rotation) else tuple(g.wires) for g in gates[:loud]]
    else:
        everywhere = tuple(range(qubits))
        wires = [everywhere if _closes(gates[:loud], k) else () for k in range(loud)]
    return wires + [()] * quiet


def _closes(gates: Sequence[Gate], place: int) -> bool:
    """Whether a layer ends with gate ``place``: at the end, or before rotations after fixed gates.

    >>> turn, swap = Rotation(0, (1.0, 0.0, 0.0), None), FixedGate((0, 1), np.eye(4))
    >>> [_closes([turn, swap, swap, turn], k) for k in range(4)]
    [False, False, True, True]
    """
    if place + 1 == len(gates):
        return True
    return isinstance(gates[place], FixedGate) and isinstance(gates[place + 1], Rotation)
