"""Data layers: one-qubit unitaries that differ from sample to sample, applied and pulled back.

On every wire ``U_q(x) = link_S data_S(x) ... link_1 data_1(x) link_0`` is multiplied out to one
SU(2) matrix per sample before it touches the state, so a layer costs two products and a sum per
amplitude and qubit, however many rotations it has. The gradient needs the state at one point only:
the Bloch vectors of all wires after the layer are turned back through the chains.

Arrays are ``(L, n, A, B)``: data layer, wire, agent, sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

import numpy as np

from qmarl.circuits.plan import DataLayers, Slot
from qmarl.circuits.su2 import compose, rotate_back
from qmarl.types import Array

AXES = np.eye(3)


class Turn(NamedTuple):
    """Half-angle sines of one slot, kept for the backward pass: ``(L, n, A, B)`` each."""

    cosine: Array
    sine: Array


@final
class BoundSlot:
    """A slot with its coefficients under given weights, in the working precision."""

    def __init__(self, slot: Slot, weights: Array, dtype: np.dtype) -> None:
        self.slot = slot
        self.axis = _common_axis(slot.axis)
        chosen = weights.T[slot.weight] if weights.shape[1] else np.ones((*slot.weight.shape, 1))
        trained = (slot.weight >= 0)[..., None]
        slope = slot.factor[..., None] * np.where(trained, chosen, 1.0)
        self.slope = slope.astype(dtype)[..., None]
        """``(L, n, A, 1)``: derivative of the angle by the feature."""
        self.half_offset = (
            (slot.offset / 2).astype(dtype)[..., None, None] if slot.offset.any() else None
        )

    def turn(self, features: Array) -> Turn:
        """Half-angle cosine and sine for features ``(F, A, B)``."""
        half = features[self.slot.feature]
        half *= self.slope / 2
        if self.half_offset is not None:
            half += self.half_offset
        return Turn(np.cos(half), np.sin(half))

    def pair(self, turn: Turn) -> tuple[Array, Array]:
        """SU(2) pair of the rotation."""
        x, y, z = np.moveaxis(self.slot.axis.astype(turn.sine.dtype), -1, 0)[..., None, None]
        return turn.cosine - 1j * (z * turn.sine), (y - 1j * x) * turn.sine

    def back(self, turn: Turn, bloch: Array) -> Array:
        """Turns gradient vectors ``(3, L, n, A, B)`` to before the rotation."""
        cosine = 2 * turn.cosine * turn.cosine - 1
        sine = 2 * turn.cosine * turn.sine
        if self.axis is None:
            axis = self.slot.axis.astype(sine.dtype)[..., None, :]
            return rotate_back(bloch, axis, cosine, sine)
        i, j = (self.axis + 1) % 3, (self.axis + 2) % 3
        result = np.empty_like(bloch)
        result[self.axis] = bloch[self.axis]
        result[i] = cosine * bloch[i] + sine * bloch[j]
        result[j] = cosine * bloch[j] - sine * bloch[i]
        return result

    def derivative(self, bloch: Array) -> Array:
        """Derivative ``(L, n, A, B)`` by the angle."""
        if self.axis is not None:
            return np.asarray(bloch[self.axis])
        axis = np.moveaxis(self.slot.axis.astype(bloch.dtype), -1, 0)[..., None, None]
        return np.asarray((axis * bloch).sum(0))


def _common_axis(axes: Array) -> int | None:
    for k in range(3):
        if (axes == AXES[k]).all():
            return k
    return None


def unitaries(
    slots: Sequence[BoundSlot], turns: Sequence[Turn], links: Sequence[tuple[Array, Array] | None]
) -> Array:
    """Multiplies every wire's chain.

    Args:
        slots: Data rotations.
        turns: Their half-angle sines.
        links: Pair ``(L, n, A, 1)`` before the first and after each rotation, None for identities.

    Returns:
        ``(L, n, 2, 2, A, B)`` matrices.
    """
    a, b = slots[0].pair(turns[0])
    if links[0] is not None:
        a, b = compose(a, b, *links[0])
    for k, link in enumerate(links[1:], 1):
        if k > 1:
            a, b = compose(*slots[k - 1].pair(turns[k - 1]), a, b)
        if link is not None:
            a, b = compose(*link, a, b)
    result = np.empty((*a.shape[:2], 2, 2, *a.shape[2:]), a.dtype)
    result[:, :, 0, 0], result[:, :, 1, 0] = a, b
    np.conjugate(a, out=result[:, :, 1, 1])
    np.negative(b.conj(), out=result[:, :, 0, 1])
    return result


def apply_layer(matrices: Array, wires: Sequence[int], psi: Array) -> Array:
    """Applies one-qubit matrices ``(n, 2, 2, A, B)`` to the state ``(2**n, A, B or 1)``."""
    batch = matrices.shape[-2:]
    for wire in wires:
        view = psi.reshape(2**wire, 1, 2, -1, *psi.shape[1:])
        columns = matrices[wire][:, :, None]  # (row, column, 1, A, B)
        result = columns[:, 0] * view[:, :, 0]
        result += columns[:, 1] * view[:, :, 1]
        psi = result.reshape(-1, *batch)
    return psi


def product_state(matrices: Array, agents: int, batch: int) -> Array:
    """Applies one-qubit matrices ``(n, 2, 2, A, B)`` to ``|0...0>``."""
    state = matrices[0, :, 0]
    for column in matrices[1:, :, 0]:
        state = (state[:, None] * column).reshape(-1, agents, batch)
    return state


def bloch_vectors(psi: Array, mu: Array, wires: Sequence[int], signs: Array, out: Array) -> None:
    """Writes ``Im(lam^dag P_q psi)`` for each touched wire.

    Args:
        psi: ``(2**n, A, B)`` state after the layer.
        mu: ``(2**n, A, B)`` conjugate of ``lam`` after the layer.
        wires: Wires that the layer touches.
        signs: ``(n, 2**n)`` eigenvalues of Z on each wire.
        out: ``(3, n, A, B)``.
    """
    same = mu * psi
    flat = signs @ same.view(signs.dtype).reshape(len(same), -1)
    out[2] = flat[:, 1::2].reshape(out[2].shape)
    for wire in wires:
        view = (2**wire, 2, -1, *psi.shape[1:])
        crossed = np.add.reduce(mu.reshape(view) * psi.reshape(view)[:, ::-1], (0, 2))
        np.add(crossed[0].imag, crossed[1].imag, out=out[0, wire])
        np.subtract(crossed[1].real, crossed[0].real, out=out[1, wire])


def link_numbers(data: DataLayers) -> tuple[Array | None, ...]:
    """Chain of each link ``(L, n)``, None where all are identities."""
    return tuple(link if link.any() else None for link in data.links)
