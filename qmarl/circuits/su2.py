"""One-qubit algebra on whole arrays: SU(2) matrices as pairs, and the Bloch vectors of gradients.

An element of SU(2) is kept as its first column ``(a, b)``: ``U = [[a, -conj(b)], [b, conj(a)]]``.
A rotation ``exp(-i t / 2 (e . sigma))`` is ``a = cos(t/2) - i e_z sin(t/2)`` and
``b = (e_y - i e_x) sin(t/2)``.

The gradient with respect to a one-qubit unitary is a real vector ``g_P = Im(lam^dag P psi)`` for
``P`` in X, Y, Z, where ``dL = 2 Re(lam^dag dpsi)``. A rotation about ``e`` that acted last has
``dL/dt = e . g``; before it, the vector is ``R(-t) g`` (the adjoint representation of SU(2)).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qmarl.types import Array


class Chains(NamedTuple):
    """``K`` products of up to ``c`` rotations whose angles depend on weights alone.

    Rotation ``j`` of chain ``k`` has the angle ``factor * weight + offset``; shorter chains are
    padded with zero angles.

    Attributes:
        axis: ``(c, K, 3)`` unit vectors.
        factor: ``(c, K)``.
        offset: ``(c, K)`` [rad].
        weight: ``(c, K)`` index of the weight, -1 for a constant.
    """

    axis: Array
    factor: Array
    offset: Array
    weight: Array

    def angles(self, weights: Array) -> Array:
        """Returns the angles ``(c, K, A)`` [rad] under flat ``weights`` ``(A, P)``."""
        if not weights.shape[1]:
            return np.repeat(self.offset[..., None], weights.shape[0], -1)
        chosen = np.where((self.weight >= 0)[..., None], weights.T[self.weight], 1.0)
        return chosen * self.factor[..., None] + self.offset[..., None]

    def scatter(self, gradient: Array, n_weights: int) -> Array:
        """Sums the gradients of angles ``(c, K, A)`` into those of weights ``(A, P)``."""
        result = np.zeros((n_weights, gradient.shape[-1]))
        trained = self.weight >= 0
        scaled = gradient[trained] * self.factor[trained][:, None]
        np.add.at(result, self.weight[trained], scaled)
        return result.T


def rotation(axis: Array, angle: Array) -> tuple[Array, Array]:
    """Returns the pair of rotations about ``axis`` ``(..., 3)`` by ``angle`` ``(..., A)``."""
    cosine, sine = np.cos(angle / 2), np.sin(angle / 2)
    x, y, z = (axis[..., k, None] for k in range(3))
    return cosine - 1j * z * sine, (y - 1j * x) * sine


def compose(a2: Array, b2: Array, a1: Array, b1: Array) -> tuple[Array, Array]:
    """Returns the pair of the product ``U2 U1``."""
    return a2 * a1 - b2.conj() * b1, b2 * a1 + a2.conj() * b1


def chain_products(chains: Chains, angles: Array) -> tuple[Array, Array]:
    """Multiplies every chain; later rotations act later.

    Args:
        chains: The rotations.
        angles: ``(c, K, A)`` as returned by :meth:`Chains.angles`.

    Returns:
        The pair ``(K, A)``, ``(K, A)``, complex128.
    """
    a, b = rotation(chains.axis[0], angles[0])
    for axis, angle in zip(chains.axis[1:], angles[1:], strict=True):
        a, b = compose(*rotation(axis, angle), a, b)
    return a, b


def matrices(a: Array, b: Array) -> Array:
    """Returns the matrices ``(..., 2, 2)`` of pairs ``(...)``."""
    rows = np.stack([np.stack([a, -b.conj()], -1), np.stack([b, a.conj()], -1)], -2)
    return np.asarray(rows)


def adjoint(a: Array, b: Array) -> Array:
    """Returns Bloch rotations ``R`` ``(..., 3, 3)``: ``U (v . sigma) U^dag = (R v) . sigma``."""
    w, z, y, x = a.real, -a.imag, b.real, -b.imag
    rows = [
        [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def rotate_back(bloch: Array, axis: Array, cosine: Array, sine: Array) -> Array:
    """Turns gradient vectors to before a rotation: ``R(-t) g`` (Rodrigues' formula).

    Args:
        bloch: ``(3, ..., A)`` gradient vectors after the rotation.
        axis: ``(..., 3)`` unit vectors.
        cosine: ``(..., A)`` cosine of the full angle.
        sine: ``(..., A)`` its sine.
    """
    e = np.moveaxis(axis, -1, 0)[..., None]
    along = (e * bloch).sum(0)
    cross = np.stack(
        [e[1] * bloch[2] - e[2] * bloch[1], e[2] * bloch[0] - e[0] * bloch[2],
         e[0] * bloch[1] - e[1] * bloch[0]]
    )  # fmt: skip
    return np.asarray(cosine * bloch - sine * cross + (1 - cosine) * along * e)


def chain_gradients(chains: Chains, angles: Array, bloch: Array) -> Array:
    """Gradient of every angle of every chain.

    Args:
        chains: The rotations.
        angles: ``(c, K, A)`` their angles.
        bloch: ``(3, K, A)`` gradient vectors after each chain, summed over the batch.

    Returns:
        ``(c, K, A)`` derivatives with respect to the angles.
    """
    result = np.empty(angles.shape)
    for j in range(len(angles) - 1, -1, -1):
        axis = np.moveaxis(chains.axis[j], -1, 0)[..., None]
        result[j] = (axis * bloch).sum(0)
        if j:
            bloch = rotate_back(bloch, chains.axis[j], np.cos(angles[j]), np.sin(angles[j]))
    return result
