"""One-qubit algebra on whole arrays: products of rotations, and gradients as Bloch vectors.

The gradient with respect to a one-qubit unitary is a real vector ``g_P = Im(lam^dag P psi)`` for
``P`` in X, Y, Z, where ``dL = 2 Re(lam^dag dpsi)``. A rotation ``exp(-i t / 2 (e . sigma))`` that
acted last has ``dL/dt = e . g``; before it, the vector is ``R(-t) g``, with ``R`` the rotation of
the Bloch sphere that belongs to it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qmarl.types import Array

PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
"""X, Y, Z."""


def _sphere() -> Array:
    """``(16, 9)``: products of quaternion components to the entries of a Bloch rotation."""
    basis = np.concatenate([np.eye(2)[None], -1j * PAULI])
    form = np.einsum("iab,qbc,jdc,pda->ijpq", basis, PAULI, basis.conj(), PAULI).real / 2
    return np.asarray(form.reshape(16, 9))


SPHERE = _sphere()


class Chains(NamedTuple):
    """``K`` products of up to ``c`` rotations whose angles depend on weights alone.

    Rotation ``j`` of chain ``k`` has the angle ``factor * weight + offset``; shorter chains are
    padded with zero angles.

    Attributes:
        axis: ``(c, K, 3)`` unit vectors.
        factor: ``(c, K, 1)``, 0 for constants.
        offset: ``(c, K, 1)`` [rad].
        weight: ``(c, K)`` index of the weight, 0 for constants.
        generator: ``(c, K, 1, 2, 2)`` the matrices ``-i (e . sigma)``.
    """

    axis: Array
    factor: Array
    offset: Array
    weight: Array
    generator: Array


class BoundChains(NamedTuple):
    """Chains under given weights.

    Attributes:
        rotations: ``(c, K, A, 2, 2)`` every rotation.
        products: ``(K, A, 2, 2)`` product of each chain; later rotations act later.
    """

    rotations: Array
    products: Array


def make_chains(axis: Array, factor: Array, offset: Array, weight: Array) -> Chains:
    """Completes the arrays ``(c, K, 3)`` and ``(c, K)``; see :class:`Chains`."""
    generator = -1j * (axis @ PAULI.reshape(3, 4)).reshape(*weight.shape, 1, 2, 2)
    return Chains(axis, factor[..., None], offset[..., None], weight, generator)


def bind_chains(chains: Chains, weights: Array) -> BoundChains:
    """Multiplies every chain out under flat ``weights`` ``(A, P)``, in complex128."""
    half = np.broadcast_to(chains.offset, (*chains.weight.shape, len(weights))) / 2
    if weights.shape[1]:
        half = half + weights.T[chains.weight] * (chains.factor / 2)
    half = half[..., None, None]
    rotations = np.cos(half) * np.eye(2) + np.sin(half) * chains.generator
    products = rotations[0]
    for rotation in rotations[1:]:
        products = rotation @ products
    return BoundChains(rotations, products)


def pull_chains(chains: Chains, bound: BoundChains, bloch: Array, n_weights: int) -> Array:
    """Gradient of the weights in all chains.

    Args:
        chains: The rotations.
        bound: The same under their weights.
        bloch: ``(3, K, A)`` gradient vector after each chain, summed over the batch.
        n_weights: Length of the flat weights ``P``.

    Returns:
        ``(A, P)`` float64.
    """
    frame = (bloch.transpose(1, 2, 0) @ (0.5j * PAULI.reshape(3, 4))).reshape(bound.products.shape)
    frames = np.empty_like(bound.rotations)  # frame: the matrix (i/2) g . sigma
    for j in range(len(frames) - 1, -1, -1):
        frames[j] = frame
        if j:
            rotation = bound.rotations[j]
            frame = rotation.conj().swapaxes(-1, -2) @ frame @ rotation
    # Im tr((e . sigma) F) with e . sigma = i G
    angles = np.einsum("ckaij,ckzji->cka", frames, chains.generator).real
    result = np.zeros((n_weights, bloch.shape[-1]))
    if n_weights:
        np.add.at(result, chains.weight, angles * chains.factor)
    return result.T


def bloch_rotation(unitary: Array) -> Array:
    """Returns ``R`` ``(..., 3, 3)`` with ``U (v . sigma) U^dag = (R v) . sigma``."""
    parts = np.empty((*unitary.shape[:-2], 4))
    parts[..., 0], parts[..., 3] = unitary[..., 0, 0].real, -unitary[..., 0, 0].imag
    parts[..., 2], parts[..., 1] = unitary[..., 1, 0].real, -unitary[..., 1, 0].imag
    squares = (parts[..., :, None] * parts[..., None, :]).reshape(*parts.shape[:-1], 16)
    return np.asarray((squares @ SPHERE).reshape(*parts.shape[:-1], 3, 3))
