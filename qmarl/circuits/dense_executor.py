"""Runs dense plans with many data layers: a state meets diagonals and matrices, in turn.

States are ``(A, B, 2 D)`` with ``D = 2**n``: agent, sample, and pairs of real and imaginary parts.
A complex matrix acts on them as a real one of twice its size: as many operations, but in real
products, which BLAS does faster for matrices as small as these. The first acts on a real product
state.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
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
)
from qmarl.circuits.plan import PRECISIONS, DensePlan
from qmarl.types import Array


class Trace(NamedTuple):
    """What the backward pass wants of the forward pass of one chunk.

    Attributes:
        features: ``(F, A, B)``.
        real: ``(D, A, B)`` real product state of the first data layer.
        diagonals: ``(U, A, B, D)`` complex, of the other distinct data layers.
        states: ``(A, B, D)`` complex, after each of the other data layers.
        final: ``(A, B, 2 D)`` that was measured.
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
        outer: Of each chunk; see :func:`qmarl.circuits.dense_build.free_gradient`.
    """

    weights: Array
    outer: list[Array]


@final
class DenseBound:
    """A dense plan under given weights.

    Args:
        plan: The plan.
        weights: ``(A, P)`` flat weights, float64.
        dtype: Real working precision.
    """

    def __init__(self, plan: DensePlan, weights: Array, dtype: np.dtype) -> None:
        self.plan, self.dtype, self.agents = plan, dtype, len(weights)
        self._constants, self._built = plan.constants[dtype], build(plan, weights, dtype)
        _, first, *self._rest = self._built.runs
        whole = after(first, self._built.start)
        assert whole is not None  # it makes a state of the real product state
        self._work = PRECISIONS[dtype]
        rows = np.ascontiguousarray(whole.swapaxes(-1, -2), self._work)
        self._rows = rows.view(dtype)
        self._forward = as_real(
            [_transposed(matrix) for matrix in self._rest], self.agents, self._work
        )
        self._first = bind_slot(plan.first, weights, dtype)
        self._slot = None if plan.slot is None else bind_slot(plan.slot, weights, dtype)
        self._trains_data = plan.first.trained is not None or (
            plan.slot is not None and plan.slot.trained is not None
        )

    @cached_property
    def _backward(self) -> list[Array | None]:
        return as_real(self._rest, self.agents, self._work)

    def forward(self, features: Array) -> tuple[Array, Trace]:
        """Outputs ``(A, B, outputs)`` for features ``(F, A, B)``, and the trace."""
        real = real_state(self._first, features)
        psi = real.transpose(1, 2, 0) @ self._rows
        diagonals = None if self._slot is None else _samples_first(phases(self._slot, features))
        states = []
        for row, matrix in zip(self.plan.rows, self._forward, strict=True):
            assert diagonals is not None
            states.append(diagonals[row] * psi.view(self._work))
            psi = _apply(matrix, states[-1].view(self.dtype))
        measured = normalised(self._measure(psi))
        return measured.values, Trace(features, real, diagonals, tuple(states), psi, measured)

    def _measure(self, psi: Array) -> Array:
        if not self._constants.normed.flips:
            return np.asarray((psi * psi) @ self._constants.planes.T)
        return measure(self._constants.normed, _amplitudes_first(psi.view(self._work)))

    def evaluate(self, features: Array) -> Array:
        """Outputs of :meth:`forward` alone."""
        return self.forward(features)[0]

    def sums(self) -> Sums:
        """Nothing yet, for :meth:`backward` to add to."""
        return Sums(np.zeros((self.plan.n_weights, self.agents)), [])

    def backward(self, trace: Trace, gradient: Array, sums: Sums, inputs: Array | None) -> None:
        """Adds one chunk's gradient to ``sums`` and to that of its inputs ``(F, A, B)``."""
        angles = self._trains_data or inputs is not None
        size = 2**self.plan.qubits
        outer = np.zeros((2 + len(self._rest), self.agents, size, size), self._work)
        mu = self._measured_gradient(trace, gradient)
        mu, turned = self._pull_layers(trace, mu, outer, angles=angles)
        np.matmul(trace.real.transpose(1, 0, 2), mu, out=outer[1].view(self.dtype))
        sums.outer.append(outer)
        if not angles:
            return
        if self._slot is not None:
            add_slot_gradient(self._slot, turned, trace.features, sums.weights, inputs)
        imaginary = mu[..., 1::2]
        np.negative(imaginary, out=imaginary)
        half = (self._rows @ mu.swapaxes(1, 2)).transpose(1, 0, 2)
        derivative = real_angle_gradient(trace.real, np.ascontiguousarray(half), self.plan.qubits)
        add_slot_gradient(self._first, derivative, trace.features, sums.weights, inputs)

    def _measured_gradient(self, trace: Trace, gradient: Array) -> Array:
        """``mu`` ``(A, B, 2 D)`` where the state was measured."""
        pulled = pull_normalised(trace.measured, gradient)
        if not self._constants.normed.flips:
            return np.asarray((pulled @ self._constants.slopes) * trace.final)
        psi = _amplitudes_first(trace.final.view(self._work))
        mu = measured_gradient(self._constants.normed, psi, pulled)
        return np.ascontiguousarray(mu.transpose(1, 2, 0)).view(self.dtype)

    def _pull_layers(
        self, trace: Trace, mu: Array, outer: Array, *, angles: bool
    ) -> tuple[Array, Array]:
        """Pulls ``mu`` back to the first run; fills ``outer`` in for the runs after it.

        Returns:
            ``mu`` ``(A, B, 2 D)`` after the first run, and the derivative ``(U, n, A, B)`` by the
            angles of the distinct data layers on the way (zeros where it is not wanted).
        """
        plan, count = self.plan, 0 if trace.diagonals is None else len(trace.diagonals)
        turned = np.zeros((count, mu.shape[0], plan.qubits, mu.shape[1]), self.dtype)
        for k in range(len(trace.states) - 1, -1, -1):
            assert trace.diagonals is not None
            psi, row = trace.states[k], plan.rows[k]
            if plan.runs[k + 1].layers:
                np.matmul(psi.swapaxes(1, 2), mu.view(self._work), out=outer[k + 2])
            pulled = _apply(self._backward[k], mu).view(self._work)
            if angles:
                product = (pulled * psi).view(self.dtype)
                turned[row] += self._constants.signs @ product.swapaxes(1, 2)
            mu = (trace.diagonals[row] * pulled).view(self.dtype)
        return mu, turned.swapaxes(1, 2)

    def finish(self, sums: Sums) -> Array:
        """Gradient ``(A, P)`` float64 of the flat weights."""
        free = free_gradient(self.plan, self._built, sums.outer, self.dtype)
        return free + sums.weights.T if self._trains_data else free


def as_real(matrices: Sequence[Array | None], agents: int, work: np.dtype) -> list[Array | None]:
    """Matrices ``M`` as real ones ``(A, 2 D, 2 D)`` that act on rows of pairs: ``psi M``.

    Args:
        matrices: ``(A, D, D)``, fixed ones ``(D, D)``, or None for the identity.
        agents: Number of agents ``A``.
        work: Complex working precision.
    """
    given = [matrix for matrix in matrices if matrix is not None]
    if not given:
        return [None] * len(matrices)
    size = given[0].shape[-1]
    result = np.empty((len(given), agents, size, 2, size), work)
    for target, matrix in zip(result, given, strict=True):
        target[:, :, 0] = matrix
    np.multiply(result[..., 0, :], 1j, out=result[..., 1, :])
    real = iter(result.view(result.real.dtype).reshape(len(given), agents, 2 * size, 2 * size))
    return [None if matrix is None else next(real) for matrix in matrices]


def _transposed(matrix: Array | None) -> Array | None:
    return None if matrix is None else matrix.swapaxes(-1, -2)


def _apply(matrix: Array | None, psi: Array) -> Array:
    return psi if matrix is None else np.asarray(psi @ matrix)


def _samples_first(phases: Array) -> Array:
    """``(U, A, B, D)`` of ``(U, D, A, B)``."""
    return np.ascontiguousarray(phases.transpose(0, 2, 3, 1))


def _amplitudes_first(psi: Array) -> Array:
    """``(D, A, B)`` of ``(A, B, D)``."""
    return np.ascontiguousarray(psi.transpose(2, 0, 1))
