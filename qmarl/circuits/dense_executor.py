"""Runs dense plans with many data layers: a state meets diagonals and matrices, in turn.

The first matrix acts on a real product state, as one real product of twice its height.
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
from qmarl.circuits.dense_build import after, build, free_gradient
from qmarl.circuits.measurement import (
    Normalised,
    measure,
    measured_gradient,
    normalised,
    pull_normalised,
    with_norm,
)
from qmarl.circuits.plan import PRECISIONS, DensePlan
from qmarl.types import Array


class Trace(NamedTuple):
    """What the backward pass wants of the forward pass of one chunk, with ``D = 2**n``.

    Attributes:
        features: ``(F, A, B)``.
        real: ``(D, A, B)`` real product state of the first data layer.
        diagonals: ``(U, D, A, B)`` of the other distinct data layers.
        states: ``(D, A, B)`` after each of the other data layers.
        final: ``(D, A, B)`` that was measured.
        measured: Its outputs.
    """

    features: Array
    real: Array
    diagonals: Array | None
    states: tuple[Array, ...]
    final: Array
    measured: Normalised


class Sums(NamedTuple):
    """What is summed over chunks.

    Attributes:
        weights: ``(P, A)`` float64, gradient of the data rotations' scalings.
        outer: ``(1 + R, A, D, D)`` complex128, ``sum mu psi^T`` over each run, the initial one
            first; of the first run after it, ``sum mu r^T``.
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
        work = PRECISIONS[dtype]
        self.plan, self.dtype, self.agents = plan, dtype, len(weights)
        self._constants, self._built = plan.constants[dtype], build(plan, weights, dtype)
        _, first, *rest = self._built.runs
        self._planes = _as_planes(after(first, self._built.start), dtype)
        self._matrices = [_cast(matrix, dtype, work) for matrix in rest]
        self._first = bind_slot(plan.first, weights, dtype)
        self._slot = None if plan.slot is None else bind_slot(plan.slot, weights, dtype)
        self._readout = with_norm(self._constants.readout)
        self._trains_data = plan.first.trained is not None or (
            plan.slot is not None and plan.slot.trained is not None
        )

    def forward(self, features: Array) -> tuple[Array, Trace]:
        """Outputs ``(A, B, outputs)`` for features ``(F, A, B)``, and the trace."""
        real = real_state(self._first, features)
        planes = _apply_same(self._planes, real)
        psi, states = _joined(planes), []
        diagonals = None if self._slot is None else phases(self._slot, features)
        for row, matrix in zip(self.plan.rows, self._matrices, strict=True):
            assert diagonals is not None
            states.append(diagonals[row] * psi)
            psi = _apply(matrix, states[-1])
        measured = normalised(measure(self._readout, psi))
        return measured.values, Trace(features, real, diagonals, tuple(states), psi, measured)

    def evaluate(self, features: Array) -> Array:
        """Outputs of :meth:`forward` alone."""
        return self.forward(features)[0]

    def sums(self) -> Sums:
        """Zeros for :meth:`backward` to add to."""
        size = 2**self.plan.qubits
        weights = np.zeros((self.plan.n_weights, self.agents))
        return Sums(weights, np.zeros((2 + len(self._matrices), self.agents, size, size), complex))

    def backward(self, trace: Trace, gradient: Array, sums: Sums, inputs: Array | None) -> None:
        """Adds one chunk's gradient to ``sums`` and to that of its inputs ``(F, A, B)``."""
        angles = self._trains_data or inputs is not None
        planes = self._pull_layers(trace, gradient, sums, inputs, angles=angles)
        outer = planes.transpose(1, 0, 2) @ trace.real.transpose(1, 2, 0)
        sums.outer[1].real += outer[:, : len(trace.real)]
        sums.outer[1].imag -= outer[:, len(trace.real) :]
        if angles:
            pulled = _apply_same(self._planes.swapaxes(-1, -2), planes)
            derivative = real_angle_gradient(trace.real, pulled, self.plan.qubits)
            add_slot_gradient(self._first, derivative, trace.features, sums.weights, inputs)

    def _pull_layers(
        self, trace: Trace, gradient: Array, sums: Sums, inputs: Array | None, *, angles: bool
    ) -> Array:
        """Pulls back to the first run; returns ``conj(mu)`` after it, as planes."""
        plan = self.plan
        pulled = pull_normalised(trace.measured, gradient)
        mu = measured_gradient(self._readout, trace.final, pulled)
        if self._slot is None or trace.diagonals is None:
            return _conjugate_planes(mu)
        signs = self._constants.signs
        turned = np.empty((len(trace.diagonals), plan.qubits, *mu.shape[1:]), self.dtype)
        for k in range(len(trace.states) - 1, -1, -1):
            psi, row = trace.states[k], plan.rows[k]
            if plan.runs[k + 1].layers:
                sums.outer[k + 2] += mu.transpose(1, 0, 2) @ psi.transpose(1, 2, 0)
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
        return free_gradient(self.plan, self._built, sums.outer, self.dtype) + sums.weights.T


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
    return matrix.astype(work if np.iscomplexobj(matrix) else real, copy=False)


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
