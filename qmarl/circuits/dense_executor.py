"""Runs dense plans: a state is multiplied by diagonals and by matrices, in turn.

The fused matrices of all runs are built together from the Kronecker products ``K_m`` of their free
layers. Of the batch the weights' gradient needs only ``O_r = sum psi mu^T`` over each run (a
``2**n x 2**n`` matrix): at layer ``m`` it becomes ``N_m = X_m O_r Y_m`` with what stands before and
after the layer in its run, and the Bloch vectors of all layers are read off together.
"""

from __future__ import annotations

from typing import NamedTuple, final

import numpy as np

from qmarl.circuits.data_layers import add_slot_gradient, bind_slot, phases
from qmarl.circuits.measurement import measure, measured_gradient, wire_signs
from qmarl.circuits.plan import DensePlan, DenseRun
from qmarl.circuits.su2 import BoundChains, bind_chains, pull_chains
from qmarl.types import Array


class Trace(NamedTuple):
    """What the backward pass wants of the forward pass of one chunk.

    Attributes:
        features: ``(F, A, B)``.
        diagonals: ``(U, 2**n, A, B)`` of the distinct data layers.
        states: ``(2**n, A, B)`` after each data layer.
        final: ``(2**n, A, B)`` that was measured.
    """

    features: Array
    diagonals: Array
    states: tuple[Array, ...]
    final: Array


class Built(NamedTuple):
    """Matrices of all free layers and runs, complex128, ``D = 2**n``.

    Attributes:
        kron: ``(M, A, D, D)`` Kronecker product ``K_m`` of each free layer.
        left: ``(M, A, D, D)`` with what is fixed after it, ``F_m K_m``.
        runs: ``(A, D, D)`` of each run with weights; of the others ``(D, D)`` or None.
    """

    kron: Array
    left: Array
    runs: tuple[Array | None, ...]


class Sums(NamedTuple):
    """Sums over chunks.

    Attributes:
        weights: ``(P, A)`` float64, gradient of the data rotations' scalings.
        outer: ``(runs, A, D, D)`` complex128, ``sum psi mu^T`` over each run, the first included.
    """

    weights: Array
    outer: Array


@final
class DenseBound:
    """A dense plan under given weights.

    Args:
        plan: The plan.
        weights: ``(A, P)`` flat weights, float64.
        dtype: Real working precision.
    """

    def __init__(self, plan: DensePlan, weights: Array, dtype: np.dtype) -> None:
        work = np.dtype(np.complex64 if dtype == np.float32 else np.complex128)
        self.plan, self.dtype, self.agents = plan, dtype, len(weights)
        self._chains = bind_chains(plan.chains, weights)
        self._built = _build(plan, self._chains)
        first, *rest = self._built.runs
        self._start = _first_column(first, plan.qubits, self.agents).astype(work)
        self._matrices = [_cast(matrix, dtype, work) for matrix in rest]
        self._slot = bind_slot(plan.slot, weights, dtype)
        self._distinct = bind_slot(plan.distinct, weights, dtype)
        self._signs = wire_signs(plan.qubits).astype(dtype)

    def forward(self, features: Array) -> tuple[Array, Trace]:
        """Outputs ``(A, B, outputs)`` for features ``(F, A, B)``, and the trace."""
        diagonals = phases(self._distinct, features)
        psi, states = self._start, []
        for row, matrix in zip(self.plan.rows, self._matrices, strict=True):
            psi = diagonals[row] * psi
            states.append(psi)
            psi = _apply(matrix, psi)
        trace = Trace(features, diagonals, tuple(states), psi)
        return measure(self.plan.readout, psi), trace

    def sums(self) -> Sums:
        """Zeros for :meth:`backward` to add to."""
        size = 2**self.plan.qubits
        outer = np.zeros((1 + len(self.plan.runs), self.agents, size, size), complex)
        return Sums(np.zeros((self.plan.n_weights, self.agents)), outer)

    def backward(self, trace: Trace, gradient: Array, sums: Sums, inputs: Array | None) -> None:
        """Adds one chunk's gradient to ``sums`` and to that of its inputs ``(F, A, B)``."""
        plan = self.plan
        mu = measured_gradient(plan.readout, trace.final, gradient)
        angles = np.empty((len(plan.runs), plan.qubits, *mu.shape[1:]), self.dtype)
        for k in range(len(plan.runs) - 1, -1, -1):
            psi = trace.states[k]
            if plan.runs[k].layers:
                sums.outer[k + 1] += mu.transpose(1, 0, 2) @ psi.transpose(1, 2, 0)
            mu = _apply(_transposed(self._matrices[k]), mu)
            angles[k] = _z_gradient(self._signs, psi, mu)
            if k or plan.initial.layers:
                mu = trace.diagonals[plan.rows[k]] * mu
        if plan.initial.layers:
            sums.outer[0, :, :, 0] += mu.sum(-1).T
        add_slot_gradient(self._slot, angles, trace.features, sums.weights, inputs)

    def finish(self, sums: Sums) -> Array:
        """Gradient ``(A, P)`` float64 of the flat weights."""
        bloch = _bloch(self.plan, self._built, sums.outer)
        chains = np.zeros((3, len(self._chains.products), self.agents))
        chains[:, self.plan.free] = bloch
        free = pull_chains(self.plan.chains, self._chains, chains, self.plan.n_weights)
        return np.asarray(sums.weights.T + free)


def _build(plan: DensePlan, chains: BoundChains) -> Built:
    kron = _kronecker(chains.products[plan.free])
    left = plan.after @ kron
    return Built(kron, left, tuple(_run_matrix(run, left) for run in (plan.initial, *plan.runs)))


def _kronecker(factors: Array) -> Array:
    """Kronecker products ``(M, A, 2**n, 2**n)`` of ``(M, n, A, 2, 2)``."""
    result = factors[:, 0]
    for wire in range(1, factors.shape[1]):
        size = 2 ** (wire + 1)
        product = result[..., :, None, :, None] * factors[:, wire, :, None, :, None, :]
        result = product.reshape(*result.shape[:2], size, size)
    return result


def _run_matrix(run: DenseRun, left: Array) -> Array | None:
    matrix = run.before
    for m in run.layers:
        matrix = left[m] if matrix is None else left[m] @ matrix
    return matrix


def _first_column(matrix: Array | None, qubits: int, agents: int) -> Array:
    """State ``(2**n, A, 1)`` that a run makes of ``|0...0>``."""
    size = 2**qubits
    full = np.eye(size, dtype=complex) if matrix is None else matrix
    return np.broadcast_to(full, (agents, size, size))[:, :, :1].transpose(1, 0, 2).copy()


def _cast(matrix: Array | None, real: np.dtype, work: np.dtype) -> Array | None:
    if matrix is None:
        return None
    return matrix.astype(work if np.iscomplexobj(matrix) else real)


def _transposed(matrix: Array | None) -> Array | None:
    return None if matrix is None else matrix.swapaxes(-1, -2)


def _apply(matrix: Array | None, psi: Array) -> Array:
    """Applies ``(A, D, D)``, or a fixed ``(D, D)`` for all agents, to a state ``(D, A, B)``."""
    if matrix is None:
        return psi
    if matrix.ndim == 3:
        result = np.empty_like(psi)
        np.matmul(matrix, psi.transpose(1, 0, 2), out=result.transpose(1, 0, 2))
        return result
    flat = psi.reshape(len(psi), -1)
    if np.iscomplexobj(matrix):
        return np.asarray(matrix @ flat).reshape(psi.shape)
    return np.asarray(matrix @ flat.view(matrix.dtype)).view(psi.dtype).reshape(psi.shape)


def _z_gradient(signs: Array, psi: Array, mu: Array) -> Array:
    """Derivative ``Im(lam^dag Z_q psi)`` ``(n, A, B)`` by the angles of RZ on each wire."""
    same = (mu * psi).view(signs.dtype).reshape(len(psi), -1)
    return np.asarray(signs @ same)[:, 1::2].reshape(len(signs), *psi.shape[1:])


def _bloch(plan: DensePlan, built: Built, outer: Array) -> Array:
    """Gradient vectors ``(3, M, n, A)`` of all free layers."""
    before, after = _surroundings(plan, built)
    owner = [r for r, run in enumerate((plan.initial, *plan.runs)) for _ in run.layers]
    # outer is sum mu psi^T: its transpose stands between what is before and after
    inside = built.kron @ before @ outer[owner].swapaxes(-1, -2) @ after
    signs = wire_signs(plan.qubits)
    index = np.arange(inside.shape[-1])
    result = np.empty((3, *plan.free.shape, inside.shape[1]))
    diagonal = inside[..., index, index].imag @ signs.T
    result[2] = diagonal.transpose(0, 2, 1)
    for wire in range(plan.qubits):
        crossed = inside[..., index ^ (1 << (plan.qubits - 1 - wire)), index]
        result[0, :, wire] = crossed.imag.sum(-1)
        result[1, :, wire] = -(crossed.real @ signs[wire])
    return result


def _surroundings(plan: DensePlan, built: Built) -> tuple[Array, Array]:
    """What stands before each free layer in its run, and after it: ``(M, A, D, D)``."""
    before, after = np.empty_like(built.left), np.empty_like(built.left)
    identity = np.eye(2**plan.qubits)
    for run in (plan.initial, *plan.runs):
        product = identity if run.before is None else run.before
        for m in run.layers:
            before[m], product = product, built.left[m] @ product
        product = identity
        for m in reversed(run.layers):
            after[m], product = product @ plan.after[m], product @ built.left[m]
    return before, after
