"""Runs of a plan: free layers and entanglers, applied forwards and pulled back.

States are arrays ``(2**n, A, B)``: basis state, agent, sample. The backward pass carries
``mu = conj(lam)`` with ``dL = 2 Re(lam^dag dpsi)``, so that nothing has to be conjugated:
``mu_before = U^T mu``, and the outer product ``sum psi mu^T`` holds every gradient of a layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qmarl.circuits.measurement import bloch_reader
from qmarl.circuits.plan import FreeLayer, Monomial, Run
from qmarl.types import Array

SMALL = 1 << 12
"""Amplitudes; up to here copying states costs less than many small matrix products."""

Kronecker = dict[int, tuple[Array, ...]]
"""Matrices ``(A, 2**k, 2**k)`` of each group of each free layer, by the layer's place in a run."""


def layer_matrices(layer: FreeLayer, products: Array) -> tuple[Array, ...]:
    """Kronecker products ``(A, 2**k, 2**k)`` of a free layer's groups.

    Args:
        layer: The layer.
        products: ``(K, A, 2, 2)`` matrix of every chain.
    """
    return tuple(kronecker([products[chain] for chain in chains]) for _, chains in layer.groups)


def kronecker(factors: Sequence[Array]) -> Array:
    """Kronecker product of matrices ``(A, d_k, d_k)``, the first most significant."""
    result = factors[0]
    for factor in factors[1:]:
        size = result.shape[-1] * factor.shape[-1]
        product = result[:, :, None, :, None] * factor[:, None, :, None, :]
        result = product.reshape(-1, size, size)
    return result


def forward_run(run: Run, kron: Kronecker, psi: Array) -> tuple[Array, tuple[Array, ...]]:
    """Applies a run.

    Args:
        run: The steps.
        kron: Matrices of its free layers.
        psi: ``(2**n, A, B)``.

    Returns:
        The new state, and the states after each free layer, which :func:`backward_run` wants.
    """
    states = []
    for place, step in enumerate(run):
        if isinstance(step, FreeLayer):
            for (wire, chains), matrix in zip(step.groups, kron[place], strict=True):
                psi = apply_group(matrix, wire, len(chains), psi)
            states.append(psi)
        elif isinstance(step, Monomial):
            psi = apply_monomial(step, psi)
        else:
            psi = apply_block(step.matrix, step.wires, psi)
    return psi, tuple(states)


def backward_run(
    run: Run, kron: Kronecker, states: Sequence[Array], mu: Array, bloch: Array
) -> Array:
    """Pulls ``mu`` back through a run and adds its free layers' gradients to ``bloch``.

    Args:
        run: The steps.
        kron: Matrices of its free layers.
        states: As returned by :func:`forward_run`.
        mu: ``(2**n, A, B)`` after the run.
        bloch: ``(3, K, A)`` gradient vector of each chain, added to in place.

    Returns:
        ``mu`` before the run.
    """
    left = len(states)
    for place in range(len(run) - 1, -1, -1):
        step = run[place]
        if isinstance(step, FreeLayer):
            left -= 1
            add_layer_gradient(step, states[left], mu, bloch)
            for (wire, chains), matrix in zip(step.groups, kron[place], strict=True):
                mu = apply_group(matrix.swapaxes(-1, -2), wire, len(chains), mu)
        elif isinstance(step, Monomial):
            mu = pull_monomial(step, mu)
        else:
            mu = apply_block(step.matrix.T, step.wires, mu)
    return mu


def apply_group(matrix: Array, wire: int, width: int, psi: Array) -> Array:
    """Applies matrices ``(A, 2**width, 2**width)`` to neighbouring wires from ``wire`` on."""
    size, agents, batch = psi.shape
    before, inside = 2**wire, 2**width
    if agents == 1:
        flat = psi.reshape(before, inside, -1)
        return np.asarray(matrix[0] @ flat).reshape(size, 1, batch)
    view = psi.reshape(before, inside, -1, agents, batch).transpose(0, 2, 3, 1, 4)
    result = np.empty(psi.shape, np.result_type(matrix, psi))
    target = result.reshape(before, inside, -1, agents, batch).transpose(0, 2, 3, 1, 4)
    np.matmul(matrix, view, out=target)
    return result


def apply_monomial(step: Monomial, psi: Array) -> Array:
    """Permutes and phases a state."""
    if step.order is not None:
        psi = psi[step.order]
    return psi if step.phase is None else _phased(step.phase, psi)


def pull_monomial(step: Monomial, mu: Array) -> Array:
    """Applies the transpose of a monomial."""
    if step.phase is not None:
        mu = _phased(step.phase, mu)
    if step.order is None:
        return mu
    result = np.empty_like(mu)
    result[step.order] = mu
    return result


def _phased(phase: Array, psi: Array) -> Array:
    if phase.dtype != np.float32:
        phase = phase.astype(psi.dtype)
    return np.asarray(phase * psi)


def apply_block(matrix: Array, wires: Sequence[int], psi: Array) -> Array:
    """Applies one fixed matrix to any wires."""
    size = psi.shape[0]
    front = range(len(wires))
    tensor = psi.reshape(*[2] * (size.bit_length() - 1), *psi.shape[1:])
    moved = np.moveaxis(tensor, wires, front)
    product = matrix.astype(psi.dtype) @ moved.reshape(len(matrix), -1)
    return np.ascontiguousarray(np.moveaxis(product.reshape(moved.shape), front, wires)).reshape(
        psi.shape
    )


def add_layer_gradient(layer: FreeLayer, psi: Array, mu: Array, bloch: Array) -> None:
    """Adds ``Im(lam^dag P_q psi)``, summed over the batch, for each wire of a free layer.

    Args:
        layer: The layer.
        psi: State ``(2**n, A, B)`` after it.
        mu: ``mu`` there.
        bloch: ``(3, K, A)`` gradient vector of each chain, added to in place.
    """
    for wire, chains in layer.groups:
        outer = outer_product(psi, mu, 2**wire, 2 ** len(chains))
        flat = outer.reshape(len(outer), -1).view(outer.real.dtype).astype(float)
        vectors = (flat @ bloch_reader(len(chains))).reshape(-1, len(chains), 3)
        bloch[:, chains] += vectors.transpose(2, 1, 0)


def outer_product(psi: Array, mu: Array, before: int, inside: int) -> Array:
    """Sums ``psi mu^T`` over batch and other wires: ``(A, inside, inside)``."""
    _, agents, batch = psi.shape
    shape = (before, inside, -1, agents, batch) if agents > 1 else (before, inside, -1)
    left, right = psi.reshape(shape), mu.reshape(shape)
    if agents > 1:
        left, right = left.transpose(0, 2, 3, 1, 4), right.transpose(0, 2, 3, 4, 1)
        return np.asarray((left @ right).sum((0, 1)))
    if psi.size > SMALL:
        return np.asarray((left @ right.swapaxes(1, 2)).sum(0, keepdims=True))
    rows, columns = (part.swapaxes(0, 1).reshape(inside, -1) for part in (left, right))
    return np.asarray(rows @ columns.T)[None]
