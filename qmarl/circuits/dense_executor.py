"""Runs dense plans: a state is multiplied by diagonals and by matrices, in turn.

The first matrix acts on a real product state, as one real product of twice its height. The fused
matrices of all runs are built together from the Kronecker products ``K_m`` of their free layers.

Of the batch the weights' gradient needs only ``O_r = sum mu psi^T`` over each run (a ``2**n x
2**n`` matrix): at layer ``m`` it becomes ``N_m = X_m O_r^T Y_m`` with what stands before and after
the layer in its run, and the Bloch vectors of all layers are read off together.
"""

from __future__ import annotations

from typing import NamedTuple, final

import numpy as np

from qmarl.circuits.data_layers import (
    add_slot_gradient,
    bind_slot,
    phases,
    real_angle_gradient,
    real_state,
)
from qmarl.circuits.measurement import (
    bloch_reader,
    cast_readout,
    measure,
    measure_planes,
    measured_gradient,
    measured_planes,
)
from qmarl.circuits.plan import DensePlan, DenseRun
from qmarl.circuits.su2 import bind_chains, pull_chains
from qmarl.types import Array


class Trace(NamedTuple):
    """What the backward pass wants of the forward pass of one chunk, with ``D = 2**n``.

    Attributes:
        features: ``(F, A, B)``.
        real: ``(D, A, B)`` real product state of the first data layer.
        planes: ``(2 D, A, B)`` real parts after the first run, then imaginary parts.
        diagonals: ``(U, D, A, B)`` of the other distinct data layers.
        states: ``(D, A, B)`` after each of the other data layers.
        final: ``(D, A, B)`` that was measured; None where the planes were.
    """

    features: Array
    real: Array
    planes: Array
    diagonals: Array | None
    states: tuple[Array, ...]
    final: Array | None


class Built(NamedTuple):
    """Matrices of all free layers and runs, complex128.

    Attributes:
        kron: ``(M, A, D, D)`` Kronecker product ``K_m`` of each free layer.
        left: ``(M, A, D, D)`` with what is fixed after it, ``F_m K_m``.
        runs: ``(A, D, D)`` of each run with weights; of the others ``(D, D)`` or None.
        start: ``(A, D, D)`` makes the true state of the real product state, where the initial run
            has weights; else None, and the first run includes that.
    """

    kron: Array
    left: Array
    runs: tuple[Array | None, ...]
    start: Array | None


class Sums(NamedTuple):
    """What is summed over chunks.

    Attributes:
        weights: ``(P, A)`` float64, gradient of the data rotations' scalings.
        planes: ``(A, 2 D, D)`` of each chunk, ``sum conj(mu) r^T`` over the first run as planes.
        outer: ``(A, D, D)`` of each chunk, ``sum mu psi^T`` over each of the other runs.
    """

    weights: Array
    planes: list[Array]
    outer: tuple[list[Array], ...]


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
        self._built = _build(plan, self._chains.products)
        _, first, *rest = self._built.runs
        self._planes = _as_planes(_after(first, self._built.start), dtype)
        self._matrices = [_cast(matrix, dtype, work) for matrix in rest]
        self._first = bind_slot(plan.first, weights, dtype)
        self._slot = None if plan.slot is None else bind_slot(plan.slot, weights, dtype)
        self._readout = cast_readout(plan.readout, dtype, work)
        self._measures_planes = not rest and not plan.readout.flips
        self._trains_data = plan.first.trained is not None or (
            plan.slot is not None and plan.slot.trained is not None
        )

    def forward(self, features: Array) -> tuple[Array, Trace]:
        """Outputs ``(A, B, outputs)`` for features ``(F, A, B)``, and the trace."""
        readout, real = self._readout, real_state(self._first, features)
        planes = _apply_same(self._planes, real)
        if self._measures_planes:
            trace = Trace(features, real, planes, None, (), None)
            return measure_planes(readout, planes), trace
        psi, states = _joined(planes), []
        diagonals = None if self._slot is None else phases(self._slot, features)
        for row, matrix in zip(self.plan.rows, self._matrices, strict=True):
            assert diagonals is not None
            states.append(diagonals[row] * psi)
            psi = _apply(matrix, states[-1])
        trace = Trace(features, real, planes, diagonals, tuple(states), psi)
        return measure(readout, psi), trace

    def sums(self) -> Sums:
        """Zeros for :meth:`backward` to add to."""
        weights = np.zeros((self.plan.n_weights, self.agents))
        return Sums(weights, [], tuple([] for _ in self._matrices))

    def backward(self, trace: Trace, gradient: Array, sums: Sums, inputs: Array | None) -> None:
        """Adds one chunk's gradient to ``sums`` and to that of its inputs ``(F, A, B)``."""
        angles = self._trains_data or inputs is not None
        planes = self._pull_layers(trace, gradient, sums, inputs, angles=angles)
        sums.planes.append(planes.transpose(1, 0, 2) @ trace.real.transpose(1, 2, 0))
        if angles:
            pulled = _apply_same(self._planes.swapaxes(-1, -2), planes)
            derivative = real_angle_gradient(trace.real, pulled, self.plan.qubits)
            add_slot_gradient(self._first, derivative, trace.features, sums.weights, inputs)

    def _pull_layers(
        self, trace: Trace, gradient: Array, sums: Sums, inputs: Array | None, *, angles: bool
    ) -> Array:
        """Pulls back to the first run; returns ``conj(mu)`` after it, as planes."""
        plan = self.plan
        if trace.final is None:
            return measured_planes(self._readout, trace.planes, gradient)
        mu = measured_gradient(self._readout, trace.final, gradient)
        if self._slot is None or trace.diagonals is None:
            return _conjugate_planes(mu)
        signs = plan.signs.astype(self.dtype)
        turned = np.empty((len(trace.diagonals), plan.qubits, *mu.shape[1:]), self.dtype)
        for k in range(len(trace.states) - 1, -1, -1):
            psi, row = trace.states[k], plan.rows[k]
            if plan.runs[k + 1].layers:
                sums.outer[k].append(mu.transpose(1, 0, 2) @ psi.transpose(1, 2, 0))
            mu = _apply(_transposed(self._matrices[k]), mu)
            if angles:
                own = _z_gradient(signs, psi, mu)
                turned[row] = turned[row] + own if row in plan.rows[k + 1 :] else own
            mu = trace.diagonals[row] * mu
        if angles:
            add_slot_gradient(self._slot, turned, trace.features, sums.weights, inputs)
        return _conjugate_planes(mu)

    def finish(self, sums: Sums) -> Array:
        """Gradient ``(A, P)`` float64 of the flat weights."""
        plan, built = self.plan, self._built
        if not len(built.kron):
            return sums.weights.T
        first = _conjugate_joined(_total(sums.planes))
        outer = [_total(parts) if parts else first for parts in sums.outer]  # first: without use
        inside = _inside(plan, built, [*_outer_start(plan, built, first), *outer])
        shape = (*inside.shape[:2], plan.qubits, 3)
        vectors = inside.reshape(*shape[:2], -1).view(float) @ bloch_reader(plan.qubits)
        bloch = vectors.reshape(shape).swapaxes(1, 2).reshape(-1, shape[1], 3)
        return np.asarray(pull_chains(plan.chains, self._chains, bloch) + sums.weights.T)


def _build(plan: DensePlan, products: Array) -> Built:
    kron = _kronecker(products.reshape(-1, plan.qubits, *products.shape[1:]))
    left = plan.after @ kron
    runs = tuple(_run_matrix(run, left) for run in (plan.initial, *plan.runs))
    start = None
    if plan.initial.layers and runs[0] is not None:
        start = runs[0][:, :, :1] * plan.spread
    return Built(kron, left, runs, start)


def _kronecker(factors: Array) -> Array:
    """Kronecker products ``(M, A, d**n, d**n)`` of ``(M, n, A, d, d)``."""
    count = factors.shape[1]
    if count == 1:
        return np.asarray(factors[:, 0])
    if count % 2:
        return _pairs(_kronecker(factors[:, :-1]), factors[:, -1])
    return _kronecker(_pairs(factors[:, ::2], factors[:, 1::2]))


def _pairs(left: Array, right: Array) -> Array:
    """Kronecker products ``(..., d * e, d * e)`` of ``(..., d, d)`` and ``(..., e, e)``."""
    size = left.shape[-1] * right.shape[-1]
    product = left[..., :, None, :, None] * right[..., None, :, None, :]
    return np.asarray(product.reshape(*left.shape[:-2], size, size))


def _run_matrix(run: DenseRun, left: Array) -> Array | None:
    matrix = run.before
    for m in run.layers:
        matrix = _after(left[m], matrix)
    return matrix


def _after(matrix: Array | None, before: Array | None) -> Array | None:
    """``matrix @ before``, where None is the identity."""
    if matrix is None or before is None:
        return before if matrix is None else matrix
    return np.asarray(matrix @ before)


def _as_planes(matrix: Array | None, real: np.dtype) -> Array:
    """``(A or none, 2 D, D)``: the real part of a matrix above its imaginary part."""
    assert matrix is not None
    size = matrix.shape[-1]
    result = np.empty((*matrix.shape[:-2], 2 * size, size), real)
    result[..., :size, :], result[..., size:, :] = matrix.real, matrix.imag
    return result


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
    if np.iscomplexobj(matrix):
        return _apply_same(matrix, psi)
    flat = psi.reshape(len(psi), -1).view(matrix.dtype)
    return np.asarray(matrix @ flat).view(psi.dtype).reshape(psi.shape)


def _apply_same(matrix: Array, psi: Array) -> Array:
    """Applies matrices ``(A, C, D)`` or ``(C, D)`` to ``(D, A, B)``, in the same dtype."""
    if matrix.ndim == 2:
        return np.asarray(matrix @ psi.reshape(len(psi), -1)).reshape(-1, *psi.shape[1:])
    result = np.empty((matrix.shape[1], *psi.shape[1:]), psi.dtype)
    np.matmul(matrix, psi.transpose(1, 0, 2), out=result.transpose(1, 0, 2))
    return result


def _joined(planes: Array) -> Array:
    """A complex array ``(D, ...)`` of its real parts above its imaginary parts ``(2 D, ...)``."""
    size = len(planes) // 2
    result = np.empty((size, *planes.shape[1:]), np.result_type(planes, 1j))
    result.real, result.imag = planes[:size], planes[size:]
    return result


def _conjugate_joined(planes: Array) -> Array:
    """Complex conjugates ``(A, D, D)``, complex128, of planes ``(A, 2 D, D)``."""
    size = planes.shape[-1]
    result = np.empty((len(planes), size, size), complex)
    result.real = planes[:, :size]
    np.negative(planes[:, size:], out=result.imag)
    return result


def _total(parts: list[Array]) -> Array:
    """The sum over chunks, in double precision where there is more than one."""
    if len(parts) == 1:
        return parts[0]
    return np.asarray(sum(part.astype(np.result_type(part, float)) for part in parts))


def _conjugate_planes(mu: Array) -> Array:
    """``conj(mu)`` as real parts above imaginary parts."""
    result = np.empty((2, *mu.shape), mu.real.dtype)
    result[0] = mu.real
    np.negative(mu.imag, out=result[1])
    return result.reshape(-1, *mu.shape[1:])


def _z_gradient(signs: Array, psi: Array, mu: Array) -> Array:
    """Derivative ``Im(lam^dag Z_q psi)`` ``(n, A, B)`` by the angles of RZ on each wire."""
    same = (mu * psi).view(signs.dtype).reshape(len(psi), -1)
    return np.asarray(signs @ same)[:, 1::2].reshape(len(signs), *psi.shape[1:])


def _outer_start(plan: DensePlan, built: Built, first: Array) -> tuple[Array, Array]:
    """``sum mu psi^T`` over the initial and the first run, of ``first`` ``= sum mu r^T``."""
    if built.start is None:
        return first, first  # the initial run has no layers
    matrix = built.runs[1]
    pulled = first if matrix is None else matrix.swapaxes(-1, -2) @ first
    initial = np.zeros_like(first)
    initial[:, :, 0] = (pulled * plan.spread).sum(-1)
    return initial, first @ built.start.swapaxes(-1, -2)


def _inside(plan: DensePlan, built: Built, outer: list[Array]) -> Array:
    """``N_m = sum psi mu^T`` after each ``K_m``: ``(M, A, D, D)``."""
    before, after = _surroundings(plan, built.left)
    runs = (plan.initial, *plan.runs)
    owned = np.array([outer[r] for r, run in enumerate(runs) for _ in run.layers], complex)
    return np.asarray(built.kron @ before @ owned.swapaxes(-1, -2) @ after)


def _surroundings(plan: DensePlan, left: Array) -> tuple[Array, Array]:
    """What stands before each free layer in its run, and after it: ``(M, A or 1, D, D)``."""
    runs = [run for run in (plan.initial, *plan.runs) if run.layers]
    if len(runs) == len(left):
        return plan.before, plan.after
    before, after = np.empty_like(left), np.empty_like(left)
    for run in runs:
        product = plan.before[run.layers[0]]
        for m in run.layers[:-1]:
            before[m], product = product, left[m] @ product
        before[run.layers[-1]] = product
        after[run.layers[-1]] = plan.after[run.layers[-1]]
        for m in reversed(run.layers[:-1]):
            product = left[m + 1] if m + 1 == run.layers[-1] else product @ left[m + 1]
            after[m] = product @ plan.after[m]
    return before, after
