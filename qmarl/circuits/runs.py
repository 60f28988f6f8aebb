"""Runs of a plan: free layers and entanglers, applied forwards and pulled back.

States are arrays ``(2**n, A, B)``: basis state, agent, sample. The backward pass carries
``mu = conj(lam)`` with ``dL = 2 Re(lam^dag dpsi)``, so that nothing has to be conjugated:
``mu_before = U^T mu``, and the outer product ``sum psi mu^T`` holds every gradient of a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from qmarl.circuits.plan import FreeLayer, Monomial, Run
from qmarl.types import Array

Kronecker = dict[int, tuple[Array, ...]]
"""Matrices ``(A, 2**k, 2**k)`` of each group of each free layer, by the layer's place in a run."""


class FusedRun(NamedTuple):
    """A run fused to one matrix.

    Attributes:
        matrix: ``(2**n, A, 2**n)`` in the working precision.
        states: States of the identity after each step that has gradients, complex128.
    """

    matrix: Array
    states: tuple[Array, ...]


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
            for wire, chains in step.groups:
                _add_group_gradient(wire, chains, states[left], mu, bloch)
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


def _add_group_gradient(
    wire: int, chains: Sequence[int], psi: Array, mu: Array, bloch: Array
) -> None:
    """Adds ``Im(lam^dag P_q psi)``, summed over the batch, for each wire of a group."""
    outer = outer_product(psi, mu, 2**wire, 2 ** len(chains))
    size = outer.shape[-1]
    index = np.arange(size)
    diagonal = outer[:, index, index].imag
    for k, chain in enumerate(chains):
        if chain:
            bit = size >> (k + 1)
            sign = np.where(index & bit, -1.0, 1.0)
            crossed = outer[:, index ^ bit, index]
            bloch[0, chain] += crossed.imag.sum(-1)
            bloch[1, chain] -= crossed.real @ sign
            bloch[2, chain] += diagonal @ sign


def outer_product(psi: Array, mu: Array, before: int, inside: int) -> Array:
    """Sums ``psi mu^T`` over batch and other wires: ``(A, inside, inside)``."""
    _, agents, batch = psi.shape
    shape = (before, inside, -1, agents, batch)
    left = psi.reshape(shape).transpose(0, 2, 3, 1, 4)
    right = mu.reshape(shape).transpose(0, 2, 3, 4, 1)
    return np.asarray((left @ right).sum((0, 1)))


def fused_run(run: Run, kron: Kronecker, qubits: int, agents: int, dtype: np.dtype) -> FusedRun:
    """Fuses a run to one matrix by applying it to the identity, in complex128."""
    size = 2**qubits
    identity = np.broadcast_to(np.eye(size, dtype=complex)[:, None], (size, agents, size))
    matrix, states = forward_run(run, kron, identity)
    return FusedRun(matrix.astype(dtype), states)


def apply_fused(matrix: Array, psi: Array) -> Array:
    """Applies a matrix ``(2**n, A, 2**n)`` to a state ``(2**n, A, B)``."""
    size, agents, _ = matrix.shape
    result = np.empty((size, agents, psi.shape[2]), psi.dtype)
    np.matmul(matrix.transpose(1, 0, 2), psi.transpose(1, 0, 2), out=result.transpose(1, 0, 2))
    return result


def pull_fused(
    run: Run, kron: Kronecker, dense: FusedRun, psi: Array, mu: Array, bloch: Array
) -> Array:
    """Pulls ``mu`` back through a fused run; ``psi`` ``(2**n, A, B)`` is the state before it."""
    outer = np.matmul(mu.transpose(1, 0, 2), psi.transpose(1, 2, 0))  # (A, 2**n, 2**n)
    backward_run(run, kron, dense.states, outer.transpose(1, 0, 2).astype(complex), bloch)
    result = np.empty_like(mu)
    np.matmul(dense.matrix.transpose(1, 2, 0), mu.transpose(1, 0, 2), out=result.transpose(1, 0, 2))
    return result
