"""Fused matrices of a dense plan's free layers, and the gradient of the weights in them.

The matrices of all runs are built together from the Kronecker products ``K_m`` of their free
layers. Of the batch the gradient needs only ``O_r = sum psi mu^T`` over each run (a ``2**n x 2**n``
matrix): at layer ``m`` it becomes ``N_m = X_m O_r Y_m`` with what stands before and after the layer
in its run, and the Bloch vectors of all layers are read off together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from qmarl.circuits.plan import PRECISIONS, Constants, DensePlan, DenseRun
from qmarl.circuits.su2 import BoundChains, bind_chains, pull_chains
from qmarl.types import Array


class Built(NamedTuple):
    """Matrices of all free layers and runs, in the complex working precision.

    Attributes:
        chains: The chains under their weights.
        kron: ``(M, A, D, D)`` Kronecker product ``K_m`` of each free layer.
        left: ``(M, A, D, D)`` with what is fixed after it, ``F_m K_m``.
        before: ``(M, A or 1, D, D)`` what stands before it in its run.
        runs: ``(A, D, D)`` of each run with weights; of the others ``(D, D)`` or None.
        start: ``(A, D, D)`` makes the true state of the real product state, where the initial run
            has weights; else None, and the first run includes that.
    """

    chains: BoundChains
    kron: Array
    left: Array
    before: Array
    runs: tuple[Array | None, ...]
    start: Array | None


def build(plan: DensePlan, weights: Array, dtype: np.dtype) -> Built:
    """Builds all matrices under flat ``weights`` ``(A, P)``, for a real working precision."""
    constants, agents = plan.constants[dtype], len(weights)
    chains = bind_chains(plan.chains, weights)
    products = chains.products.astype(PRECISIONS[dtype], copy=False)
    kron = _kronecker(products.reshape(-1, plan.qubits, agents, 2, 2))
    left = constants.after @ kron
    before = constants.before.repeat(agents, 1) if plan.long else constants.before
    matrices = tuple(_run_matrix(run, left, before) for run in (plan.initial, *plan.runs))
    start = None
    if plan.initial.layers and matrices[0] is not None:
        start = matrices[0][:, :, :1] * constants.spread
    return Built(chains, kron, left, before, matrices, start)


def _run_matrix(run: DenseRun, left: Array, before: Array) -> Array | None:
    """The matrix of a run; of more than one layer, fills in what stands before each of them."""
    if not run.layers:
        return run.before
    *inner, last = run.layers
    if not inner and run.before is None:
        return np.asarray(left[last])
    for m in inner:
        np.matmul(left[m], before[m], out=before[m + 1])
    return np.asarray(left[last] @ before[last])


def _kronecker(factors: Array) -> Array:
    """Kronecker products ``(M, A, 2**n, 2**n)`` of matrices ``(M, n, A, 2, 2)``."""
    count = factors.shape[1]
    if count == 1:
        return np.asarray(factors[:, 0])
    if count % 2:
        return _pairs(_kronecker(factors[:, :-1]), factors[:, -1])
    return _kronecker(_pairs(factors[:, ::2], factors[:, 1::2]))


def _pairs(left: Array, right: Array) -> Array:
    """Kronecker products ``(..., d e, d e)`` of ``(..., d, d)`` and ``(..., e, e)``."""
    size = left.shape[-1] * right.shape[-1]
    products = left[..., :, None, :, None] * right[..., None, :, None, :]
    return np.asarray(products.reshape(*left.shape[:-2], size, size))


def after(matrix: Array | None, before: Array | None) -> Array | None:
    """``matrix @ before``, where None is the identity."""
    if matrix is None or before is None:
        return before if matrix is None else matrix
    return np.asarray(matrix @ before)


def free_gradient(plan: DensePlan, built: Built, outer: Sequence[Array], dtype: np.dtype) -> Array:
    """Gradient ``(A, P)`` float64 of the weights in free layers.

    Args:
        plan: The plan.
        built: Its matrices.
        outer: ``(1 + R, A, D, D)`` of each chunk of the batch: ``sum psi mu^T`` over each run,
            zeros for the initial one, and ``sum r mu^T`` for the one after it.
        dtype: Real working precision.
    """
    agents = built.chains.products.shape[1]
    if not len(built.kron):
        return np.zeros((agents, plan.n_weights))
    constants = plan.constants[dtype]
    total = outer[0] if len(outer) == 1 else np.sum(outer, 0, complex).astype(outer[0].dtype)
    _close_start(constants, built, total)
    behind = _after_layers(plan, constants.after, built.left)
    inside = built.kron @ built.before @ total[plan.owners] @ behind
    count = len(inside)
    frames = inside.reshape(count, agents, -1).view(dtype) @ constants.reader
    frame = frames.reshape(count, agents, plan.qubits, 8).swapaxes(1, 2).reshape(-1, agents, 8)
    return pull_chains(plan.chains, built.chains, frame)


def _close_start(constants: Constants, built: Built, outer: Array) -> None:
    """Makes ``sum psi mu^T`` over the initial and the first run of ``sum r mu^T``."""
    if built.start is None:
        return  # the initial run has no layers
    matrix, first = built.runs[1], outer[1].copy()
    pulled = first if matrix is None else first @ matrix
    outer[0, :, 0] = (pulled * constants.spread.T).sum(-2)
    np.matmul(built.start, first, out=outer[1])


def _after_layers(plan: DensePlan, fixed: Array, left: Array) -> Array:
    """What stands after each ``K_m`` in its run, given what is fixed: ``(M, A or 1, D, D)``."""
    if not plan.long:
        return fixed
    result = fixed.repeat(left.shape[1], 1)
    for layers in plan.long:
        product = left[layers[-1]]
        for m in reversed(layers[:-1]):
            np.matmul(product, fixed[m], out=result[m])
            if m > layers[0]:
                product = product @ left[m]
    return result
