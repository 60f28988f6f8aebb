"""One-qubit maps that differ from sample to sample, on state vectors, and how they are pulled back.

States are ``(2**n, C, B)``: basis state, column (an agent, or a trajectory of one), sample. As in
:mod:`qmarl.circuits.runs`, what is pulled back is ``mu = conj(lam)``, whose maps are transposes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qmarl.types import Array

Axis = tuple[float, float, float]


class WireMap(NamedTuple):
    """A matrix ``[[p, q], [r, s]]`` for each column and sample: ``(C, B)``, or 1 for either.

    The entries off the diagonal are None where all are zero.
    """

    p: Array
    q: Array | None
    r: Array | None
    s: Array

    @property
    def transpose(self) -> WireMap:
        """The map of ``mu``."""
        return WireMap(self.p, self.r, self.q, self.s)


def rotation(axis: Axis, angle: Array, dtype: np.dtype) -> WireMap:
    """``exp(-i angle / 2 (axis . sigma))`` for angles ``(C, B)`` [rad], complex ``dtype``."""
    x, y, z = axis
    cosine, sine = np.cos(angle / 2), np.sin(angle / 2)
    p, s = (cosine - sign * 1j * z * sine for sign in (1, -1))
    q, r = (sine * (-1j * x - sign * y) for sign in (1, -1))
    entries = [entry.astype(dtype, copy=False) for entry in (p, q, r, s)]
    return WireMap(*entries) if x or y else WireMap(entries[0], None, None, entries[3])


def halves(psi: Array, wire: int) -> tuple[Array, Array]:
    """The parts ``(2**wire, rest, C, B)`` of a state where the wire is 0, and where it is 1."""
    spread = psi.reshape(2**wire, 2, -1, *psi.shape[1:])
    return spread[:, 0], spread[:, 1]


def apply_map(matrix: WireMap, wire: int, psi: Array) -> Array:
    """Applies a map to one wire of a state ``(2**n, C, B)``."""
    zero, one = halves(psi, wire)
    shape = np.broadcast_shapes(psi.shape, matrix.p.shape)
    result = np.empty(shape, psi.dtype)
    up, down = halves(result, wire)
    np.multiply(matrix.p, zero, out=up)
    np.multiply(matrix.s, one, out=down)
    if matrix.q is not None:
        up += matrix.q * one
    if matrix.r is not None:
        down += matrix.r * zero
    return result


def rotation_gradient(axis: Axis, wire: int, psi: Array, mu: Array) -> Array:
    """Gradient ``(C, B)`` of a rotation's angle: ``Im(mu (axis . sigma) psi)`` behind it."""
    x, y, z = axis
    zero, one = halves(psi, wire)
    left, right = halves(mu, wire)
    total: Array = z * (_inner(left, zero) - _inner(right, one))
    if x or y:
        total = total + complex(x, -y) * _inner(left, one) + complex(x, y) * _inner(right, zero)
    return np.asarray(total.imag)


def _inner(left: Array, right: Array) -> Array:
    return np.asarray(np.einsum("pqcb,pqcb->cb", left, right))


def excitation(psi: Array, wire: int) -> tuple[Array, Array]:
    """Weights ``(C, B)`` of the parts where a wire is 0, and where it is 1."""
    zero, one = ((part.real**2 + part.imag**2).sum((0, 1)) for part in halves(psi, wire))
    return zero, one
