"""Data layers: one-qubit unitaries that differ from sample to sample, applied and pulled back.

On every wire ``U_q(x) = link_S data_S(x) ... link_1 data_1(x) link_0`` is multiplied out to one
SU(2) matrix per sample before it touches the state, so a layer costs two products and a sum per
amplitude and qubit, however many rotations it has. The gradient needs the state at one point only:
the Bloch vectors of all wires after the layer are turned back through the chains.

Arrays are ``(L, n, A, B)``: data layer, wire, agent, sample. An SU(2) matrix is kept as its first
column ``(a, b)``; the second is ``(-conj(b), conj(a))``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from qmarl.circuits.plan import Slot
from qmarl.types import Array


class Turn(NamedTuple):
    """One slot's half-angle cosines and sines ``(L, n, A, B)``."""

    cosine: Array
    sine: Array


class BoundSlot(NamedTuple):
    """A slot under given weights, in the working precision.

    Attributes:
        slot: Its declaration.
        slope: ``(L, n, A or 1, 1)`` derivative of the angle by its feature.
        half_slope: Half of it.
        half_offset: ``(L, n, 1, 1)`` half the constant part, None where there is none.
    """

    slot: Slot
    slope: Array
    half_slope: Array
    half_offset: Array | None


def bind_slot(slot: Slot, weights: Array, real: np.dtype) -> BoundSlot:
    """Evaluates a slot's coefficients under flat ``weights`` ``(A, P)``."""
    fixed = slot.coefficients[real]
    if slot.trained is None:
        return BoundSlot(slot, *fixed)
    scales = np.where(slot.trained[..., None], weights.T[slot.weight], 1.0)
    slope = (slot.factor[..., None] * scales).astype(real)[..., None]
    return BoundSlot(slot, slope, slope / 2, fixed.half_offset)


def turn(bound: BoundSlot, features: Array) -> Turn:
    """Half-angle cosines and sines for features ``(F, A, B)``."""
    half = features.take(bound.slot.feature, 0)
    half *= bound.half_slope
    if bound.half_offset is not None:
        half += bound.half_offset
    return Turn(np.cos(half), np.sin(half))


def real_to_state(qubits: int) -> Array:
    """``C`` with ``RZ(t_1) x ... x RZ(t_n) = diag(C r)`` for ``r`` of :func:`real_state`."""
    matrix = np.eye(1)
    for _ in range(qubits):
        matrix = np.kron(matrix, np.array([[1, -1j], [1, 1j]]))
    return matrix


def real_state(bound: BoundSlot, features: Array) -> Array:
    """Products ``r`` ``(2**n, A, B)`` of ``(cos(t / 2), sin(t / 2))`` over the wires of a layer."""
    half = features.take(bound.slot.feature[0], 0)
    half *= bound.half_slope[0]
    if bound.half_offset is not None:
        half += bound.half_offset[0]
    pairs = np.empty((len(half), 2, *half.shape[1:]), half.dtype)
    np.cos(half, out=pairs[:, 0])
    np.sin(half, out=pairs[:, 1])
    return vector_kronecker(pairs)


def vector_kronecker(factors: Array) -> Array:
    """Kronecker product ``(d**n, A, B)`` of ``(n, d, A, B)``, the first most significant."""
    batch, last = factors.shape[2:], None
    while len(factors) > 1:
        if len(factors) % 2:
            factors, tail = factors[:-1], factors[-1]
            last = tail if last is None else (tail[:, None] * last).reshape(-1, *batch)
        pairs = factors[::2, :, None] * factors[1::2, None]
        factors = pairs.reshape(len(pairs), -1, *batch)
    result: Array = factors[0]
    return result if last is None else (result[:, None] * last).reshape(-1, *batch)


def real_angle_gradient(state: Array, gradient: Array, qubits: int) -> Array:
    """Derivative ``(1, n, A, B)`` by the angles of :func:`real_state`.

    Args:
        state: ``r`` ``(2**n, A, B)``.
        gradient: Half the derivative by ``r``, of the same shape.
        qubits: Number of wires ``n``.
    """
    result = np.empty((1, qubits, *state.shape[1:]), state.dtype)
    for wire in range(qubits):
        view = (2**wire, 2, -1, *state.shape[1:])
        r, g = state.reshape(view), gradient.reshape(view)
        turned = g[:, 1] * r[:, 0]
        turned -= g[:, 0] * r[:, 1]
        turned.sum((0, 1), out=result[0, wire])
    return result


def phases(bound: BoundSlot, features: Array) -> Array:
    """Diagonals ``(L, 2**n, A, B)`` of layers of RZ, each divided by its first entry."""
    angle = features.take(bound.slot.feature, 0)
    angle *= bound.slope
    if bound.half_offset is not None:
        angle += 2 * bound.half_offset
    layers, qubits = angle.shape[:2]
    factors = np.empty(angle.shape, np.result_type(angle, 1j))
    np.cos(angle, out=factors.real)
    np.sin(angle, out=factors.imag)
    result = np.empty((layers, 2**qubits, *angle.shape[2:]), factors.dtype)
    result[:, 0] = 1
    for wire in range(qubits):
        half = 2**wire
        np.multiply(
            result[:, :half], factors[:, None, qubits - 1 - wire], out=result[:, half : 2 * half]
        )
    return result


def first_columns(
    slots: Sequence[BoundSlot], turns: Sequence[Turn], links: Sequence[Array | None]
) -> Array:
    """Multiplies every wire's chain.

    Args:
        slots: Data rotations.
        turns: Their half-angle cosines and sines.
        links: Matrices ``(2, 2, L, n, A, 1)`` before the first and after each rotation, None for
            identities.

    Returns:
        First columns ``(2, L, n, A, B)`` of the products.
    """
    shape, work = turns[0].cosine.shape, np.result_type(turns[0].cosine, 1j)
    column = None if links[0] is None else np.broadcast_to(links[0][:, 0], (2, *shape))
    for slot, angle, link in zip(slots, turns, links[1:], strict=True):
        column = _rotate(slot.slot, angle, column, work)
        if link is not None:
            column = link[:, 0] * column[0] + link[:, 1] * column[1]
    assert column is not None
    return column


def _rotate(slot: Slot, angle: Turn, column: Array | None, work: np.dtype) -> Array:
    """Applies a slot's rotations to columns ``(2, L, n, A, B)``, None for ``(1, 0)``."""
    if column is None:
        return _rotated_zero(slot, angle, work)
    if slot.common == 2:
        phase = np.empty((2, *angle.cosine.shape), work)
        phase.real, phase[1].imag = angle.cosine, angle.sine
        np.negative(angle.sine, out=phase[0].imag)
        return np.asarray(phase * column)
    own = _rotated_zero(slot, angle, work)
    result = own * column[0]
    result[0] -= own[1].conj() * column[1]
    result[1] += own[0].conj() * column[1]
    return np.asarray(result)


def _rotated_zero(slot: Slot, angle: Turn, work: np.dtype) -> Array:
    """First column of the rotations: ``(cos - i e_z sin, (e_y - i e_x) sin)``."""
    result = np.zeros((2, *angle.cosine.shape), work)
    result[0].real = angle.cosine
    for k, target in enumerate((result[1].imag, result[1].real, result[0].imag)):
        if slot.common is None:
            target += slot.axis[..., k, None, None] * angle.sine * (1 if k == 1 else -1)
        elif slot.common == k:
            np.multiply(angle.sine, 1 if k == 1 else -1, out=target)
    return result


def full_matrices(column: Array) -> Array:
    """Completes first columns ``(2, L, n, A, B)`` to matrices ``(L, n, 2, 2, A, B)``."""
    result = np.empty((*column.shape[1:3], 2, 2, *column.shape[3:]), column.dtype)
    result[:, :, 0, 0], result[:, :, 1, 0] = column
    np.conjugate(column[0], out=result[:, :, 1, 1])
    np.conjugate(column[1], out=result[:, :, 0, 1])
    np.negative(result[:, :, 0, 1], out=result[:, :, 0, 1])
    return result


def apply_layer(matrices: Array, wires: Sequence[int], psi: Array) -> Array:
    """Applies one-qubit matrices ``(n, 2, 2, A, B)`` to the state ``(2**n, A, B or 1)``."""
    batch = matrices.shape[-2:]
    for wire in wires:
        view = psi.reshape(2**wire, 1, 2, -1, *psi.shape[1:])
        columns = matrices[wire, :, :, None]  # (row, column, 1, A, B)
        result = columns[:, 0] * view[:, :, 0]
        result += columns[:, 1] * view[:, :, 1]
        psi = result.reshape(-1, *batch)
    return psi


def product_state(columns: Array) -> Array:
    """Tensor product ``(2**n, A, B)`` of one-qubit states ``(n, 2, A, B)``."""
    state = columns[0]
    for column in columns[1:]:
        state = (state[:, None] * column).reshape(-1, *column.shape[1:])
    return np.asarray(state)


def bloch_vectors(psi: Array, mu: Array, signs: Array) -> Array:
    """Gradient vectors ``Im(lam^dag P_q psi)`` of all wires after all layers.

    Args:
        psi: ``(L, 2**n, A, B)`` states after the layers.
        mu: ``(L, 2**n, A, B)`` conjugates of ``lam`` there.
        signs: ``(n, 2**n)`` eigenvalues of Z on each wire.

    Returns:
        ``(3, L, n, A, B)``.
    """
    layers, size, agents, batch = psi.shape
    result = np.empty((3, layers, len(signs), agents, batch), signs.dtype)
    same = (mu * psi).imag.reshape(layers, size, -1)
    np.matmul(signs, same, out=result[2].reshape(layers, len(signs), -1))
    for wire in range(len(signs)):
        view = (layers, 2**wire, 2, -1, agents, batch)
        crossed = (mu.reshape(view) * psi.reshape(view)[:, :, ::-1]).sum((1, 3))
        np.add(crossed[:, 0].imag, crossed[:, 1].imag, out=result[0, :, wire])
        np.subtract(crossed[:, 1].real, crossed[:, 0].real, out=result[1, :, wire])
    return result


def turn_back(slot: Slot, angle: Turn, bloch: Array) -> Array:
    """Gradient vectors ``(3, L, n, A, B)`` before a slot's rotations: ``R(-t) g``."""
    cosine = 2 * angle.cosine * angle.cosine - 1
    sine = 2 * angle.cosine * angle.sine
    if slot.common is None:
        return _rodrigues(slot, cosine, sine, bloch)
    i, j = (slot.common + 1) % 3, (slot.common + 2) % 3
    result = np.empty_like(bloch)
    result[slot.common] = bloch[slot.common]
    result[i] = cosine * bloch[i] + sine * bloch[j]
    result[j] = cosine * bloch[j] - sine * bloch[i]
    return result


def _rodrigues(slot: Slot, cosine: Array, sine: Array, bloch: Array) -> Array:
    axis = np.moveaxis(slot.axis.astype(bloch.dtype), -1, 0)[..., None, None]
    along = (axis * bloch).sum(0)
    crossed = np.roll(axis, -1, 0) * np.roll(bloch, -2, 0)
    crossed -= np.roll(axis, -2, 0) * np.roll(bloch, -1, 0)
    return np.asarray(cosine * bloch - sine * crossed + (1 - cosine) * along * axis)


def angle_gradient(slot: Slot, bloch: Array) -> Array:
    """Derivative ``(L, n, A, B)`` by a slot's angles, from the vectors after its rotations."""
    if slot.common is not None:
        return np.asarray(bloch[slot.common])
    axis = np.moveaxis(slot.axis.astype(bloch.dtype), -1, 0)[..., None, None]
    return np.asarray((axis * bloch).sum(0))


def add_slot_gradient(
    bound: BoundSlot, derivative: Array, features: Array, weights: Array, inputs: Array | None
) -> None:
    """Passes the gradient of a slot's angles on to its scalings and inputs.

    Args:
        bound: The slot under its weights.
        derivative: ``(L, n, A, B)`` by the angles.
        features: ``(F, A, B)``.
        weights: ``(P, A)``, added to in place.
        inputs: ``(F, A, B)``, added to in place; None where it is not wanted.
    """
    slot = bound.slot
    if slot.trained is not None:
        summed = np.einsum("lnab,lnab->lna", derivative, features.take(slot.feature, 0))
        scaled = slot.to_weights @ summed.reshape(slot.feature.size, -1)
        weights[: len(scaled)] += scaled
    if inputs is not None:
        flat = (derivative * bound.slope).reshape(slot.feature.size, -1)
        pulled = slot.to_features.astype(flat.dtype) @ flat
        inputs[: len(pulled)] += pulled.reshape(-1, *inputs.shape[1:])
