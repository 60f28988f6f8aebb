"""One-qubit algebra on whole arrays: products of rotations, and gradients as Bloch vectors.

The gradient with respect to a one-qubit unitary is a real vector ``g_P = Im(lam^dag P psi)`` for
``P`` in X, Y, Z, where ``dL = 2 Re(lam^dag dpsi)``. A rotation ``exp(-i t / 2 (e . sigma))`` that
acted last has ``dL/dt = e . g``; before it, the vector is ``R(-t) g``, with ``R`` the rotation of
the Bloch sphere that belongs to it.

A product of ``c`` rotations is linear in each pair ``(cos(t_j / 2), sin(t_j / 2))``, and so are its
derivatives. All of them are therefore one matrix product of the ``2**c`` products of cosines and
sines with constants that are known when the circuit is lowered.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from qmarl.circuits.gates import Rotation
from qmarl.types import Array

PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
"""X, Y, Z."""

LONGEST = 4
"""Rotations with weights in one chain: the constants of a chain grow as ``2**c``."""

FRAME = (-1j * PAULI).reshape(3, 4).view(float)
"""``(3, 8)``: takes a vector ``g`` to the matrix ``-i (g . sigma)``, as pairs of reals."""


def _sphere() -> Array:
    """``(16, 9)``: products of quaternion components to the entries of a Bloch rotation."""
    basis = np.concatenate([np.eye(2)[None], -1j * PAULI])
    form = np.einsum("iab,qbc,jdc,pda->ijpq", basis, PAULI, basis.conj(), PAULI).real / 2
    return np.asarray(form.reshape(16, 9))


SPHERE = _sphere()


class Chains(NamedTuple):
    """``K`` products of rotations, each with up to ``c`` whose angle is ``factor * weight``.

    Products of cosines and sines of the half angles are sums of cosines and sines of the ``S =
    2**(c - 1)`` half angles ``a_1 +- a_2 ... +- a_c``. Shorter chains are padded with zero factors.

    Attributes:
        sums: ``(S * K, P)`` takes weights to those half angles.
        table: ``(K, 2 S, (1 + c) * 8)`` takes their cosines, then sines, to the matrix and to its
            derivative by each weight, as pairs of real and imaginary parts; ``(1, ...)`` where all
            chains have the same.
        scatter: ``(K * c, P)`` sums derivatives by weight.
    """

    sums: Array
    table: Array
    scatter: Array


class BoundChains(NamedTuple):
    """Chains under given weights.

    Attributes:
        products: ``(K, A, 2, 2)`` product of each chain; later rotations act later.
        slopes: ``(K, A, c, 8)`` its derivative by each weight, as pairs of reals.
    """

    products: Array
    slopes: Array


def make_chains(chains: Sequence[Sequence[Rotation]], n_weights: int) -> Chains:
    """Writes chains of rotations that depend on weights alone as arrays."""
    active = [[gate.angle for gate in chain if gate.angle.weight >= 0] for chain in chains]
    count = max([1, *map(len, active)])
    half, scatter = (np.zeros((len(chains), count, n_weights)) for _ in range(2))
    for k, angles in enumerate(active):
        for j, angle in enumerate(angles):
            half[k, j, angle.weight], scatter[k, j, angle.weight] = angle.factor / 2, 1.0
    signs, turned = _angle_sums(count)
    tables = [turned @ _table(chain, count) for chain in chains]
    table = np.array(tables).reshape(len(chains), 2**count, 8 * (1 + count))
    if len(table) and (table == table[0]).all():
        table = table[:1]
    sums = np.einsum("sj,kjp->skp", signs, half)
    return Chains(
        sums.reshape(-1, n_weights) if chains else np.zeros((0, n_weights)),
        table,
        scatter.reshape(-1, n_weights) if chains else np.zeros((0, n_weights)),
    )


def _angle_sums(count: int) -> tuple[Array, Array]:
    """Signs ``(S, c)`` of ``a_1 +- ... +- a_c``, and how products are made of them.

    The second takes the cosines and sines of the sums to products of cosines and sines of each
    angle, transposed: ``(2 S, 2**c)``. With ``m`` sines, a product is ``2^(1-c) sum_s prod_sines
    (sign / i)`` times the ``cos`` of the sum where ``m`` is even, else ``i sin``.
    """
    bits = np.array(list(product((0, 1), repeat=count)))
    signs = 1.0 - 2.0 * bits[: 2 ** (count - 1)]
    factors = np.where(bits[:, None] == 1, -1j * signs, 1.0).prod(-1).T / len(signs)
    odd = bits.sum(-1) % 2 == 1
    return signs, np.concatenate([np.where(odd, 0, factors.real), np.where(odd, -factors.imag, 0)])


def _table(chain: Sequence[Rotation], count: int) -> Array:
    """Constants ``(2**count, (1 + count) * 8)`` of one chain; see :class:`Chains`."""
    matrices, factors = np.eye(2, dtype=complex)[None], []  # (2**j, 2, 2) of the first j weights
    for gate in chain:
        angle, generator = gate.angle, -1j * np.tensordot(gate.axis, PAULI, 1)
        fixed = np.cos(angle.offset / 2) * np.eye(2) + np.sin(angle.offset / 2) * generator
        matrices = fixed @ matrices
        if angle.weight >= 0:
            factors.append(angle.factor)
            matrices = np.stack([matrices, generator @ matrices], 1).reshape(-1, 2, 2)
    unused = count - len(factors)  # their angles stay zero: only cosines count
    full = np.zeros((2 ** len(factors), 2**unused, 4), complex)
    full[:, 0] = matrices.reshape(-1, 4)
    full = full.reshape(*[2] * count, 4)
    slopes = np.zeros((count, *full.shape), complex)
    for j, factor in enumerate(factors):  # d(cos, sin) = (-sin, cos) factor / 2
        turned = np.flip(np.moveaxis(full, j, 0), 0) * np.array([1, -1]).reshape(-1, *[1] * count)
        slopes[j] = np.moveaxis(turned, 0, j) * (factor / 2)
    parts = np.concatenate([full[None], slopes]).reshape(1 + count, -1, 4)
    return np.ascontiguousarray(parts.transpose(1, 0, 2)).view(float).reshape(2**count, -1)


def bind_chains(chains: Chains, weights: Array) -> BoundChains:
    """Multiplies every chain out under flat ``weights`` ``(A, P)``, in complex128."""
    agents, (_, terms, columns) = len(weights), chains.table.shape
    count = columns // 8 - 1
    size = len(chains.scatter) // count
    half = chains.sums @ weights.T
    waves = np.empty((2, *half.shape))
    np.cos(half, out=waves[0])
    np.sin(half, out=waves[1])
    if len(chains.table) == 1:
        parts = waves.reshape(terms, -1).T @ chains.table[0]
    else:
        parts = waves.reshape(terms, size, agents).transpose(1, 2, 0) @ chains.table
    parts = parts.reshape(size, agents, 1 + count, 8)
    products = parts.view(complex)[:, :, 0].reshape(size, agents, 2, 2)
    return BoundChains(products, parts[:, :, 1:])


def pull_chains(chains: Chains, bound: BoundChains, frame: Array) -> Array:
    """Gradient of the weights in all chains.

    With ``dU_j U^dag = -i/2 (a_j . sigma)`` the derivative ``a_j . g`` is the real product of
    ``dU_j`` with ``-i (g . sigma) U``.

    Args:
        chains: The rotations.
        bound: The same under their weights.
        frame: ``(K, A, 8)`` gradient vector after each chain, summed over the batch, times
            :data:`FRAME`.

    Returns:
        ``(A, P)`` float64.
    """
    matrices = frame.view(np.result_type(frame, 1j)).reshape(bound.products.shape)
    turned = (matrices @ bound.products).view(float).reshape(*frame.shape[:2], 8, 1)
    slopes = (bound.slopes @ turned)[..., 0]
    return np.asarray(slopes.swapaxes(0, 1).reshape(frame.shape[1], -1) @ chains.scatter)


def bloch_rotation(unitary: Array) -> Array:
    """Returns ``R`` ``(..., 3, 3)`` with ``U (v . sigma) U^dag = (R v) . sigma``."""
    parts = np.empty((*unitary.shape[:-2], 4))
    parts[..., 0], parts[..., 3] = unitary[..., 0, 0].real, -unitary[..., 0, 0].imag
    parts[..., 2], parts[..., 1] = unitary[..., 1, 0].real, -unitary[..., 1, 0].imag
    squares = (parts[..., :, None] * parts[..., None, :]).reshape(*parts.shape[:-1], 16)
    return np.asarray((squares @ SPHERE).reshape(*parts.shape[:-1], 3, 3))
