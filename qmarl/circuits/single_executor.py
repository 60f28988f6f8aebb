"""Runs dense plans with one data layer: a single real matrix product takes inputs to the state.

States are ``(A, B, 2 D)`` with ``D = 2**n``: agent, sample, and pairs of real and imaginary parts.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple, final

import numpy as np

from qmarl.circuits.data_layers import (
    add_slot_gradient,
    bind_slot,
    real_angle_gradient,
    real_state,
)
from qmarl.circuits.dense_build import after, build, free_gradient
from qmarl.circuits.plan import PRECISIONS, DensePlan
from qmarl.circuits.trigonometric import TrigonometricForm, pays
from qmarl.types import Array


class Trace(NamedTuple):
    """What the backward pass wants of the forward pass of one chunk.

    Attributes:
        features: ``(F, A, B)``.
        real: ``(D, A, B)`` real product state of the data layer.
        psi: ``(A, B, 2 D)`` that was measured.
    """

    features: Array
    real: Array
    psi: Array


class Sums(NamedTuple):
    """What is summed over chunks.

    Attributes:
        weights: ``(P, A)`` float64, gradient of the data rotations' scalings.
        outer: ``(2, A, D, D)`` complex128; see :func:`qmarl.circuits.dense_build.free_gradient`.
    """

    weights: Array
    outer: Array


def is_single(plan: DensePlan) -> bool:
    """Whether a plan has one data layer and diagonal observables."""
    return len(plan.runs) == 1 and not next(iter(plan.constants.values())).readout.flips


@final
class SingleBound:
    """A plan of which :func:`is_single` holds, under given weights.

    Args:
        plan: The plan.
        weights: ``(A, P)`` flat weights.
        dtype: Real working precision.
    """

    def __init__(self, plan: DensePlan, weights: Array, dtype: np.dtype) -> None:
        self.plan, self.dtype, self.agents = plan, dtype, len(weights)
        self._built, self._slot = build(plan, weights, dtype), bind_slot(plan.first, weights, dtype)
        matrix = after(self._built.runs[1], self._built.start)
        assert matrix is not None  # it makes a state of the real product state
        self._matrix = matrix.astype(PRECISIONS[dtype], copy=False)
        self._rows = np.ascontiguousarray(self._matrix.swapaxes(-1, -2)).view(dtype)
        self._diagonal = plan.constants[dtype].planes

    def forward(self, features: Array) -> tuple[Array, Trace]:
        """Outputs ``(A, B, outputs)`` for features ``(F, A, B)``, and the trace."""
        real = real_state(self._slot, features)
        psi = real.transpose(1, 2, 0) @ self._rows
        return (psi * psi) @ self._diagonal.T, Trace(features, real, psi)

    def evaluate(self, features: Array) -> Array:
        """Outputs of :meth:`forward` alone, the fastest way call after call."""
        return self.forward(features)[0] if self._form is None else self._form(features)

    @cached_property
    def _form(self) -> TrigonometricForm | None:
        readout = self.plan.constants[np.dtype(float)].readout
        if not pays(self.plan.qubits, len(readout.diagonal)):
            return None
        whole = self._matrix.reshape(-1, *self._matrix.shape[-2:])
        return TrigonometricForm(self._slot, whole, readout, self.dtype)

    def sums(self) -> Sums:
        """Zeros for :meth:`backward` to add to."""
        size = 2**self.plan.qubits
        weights = np.zeros((self.plan.n_weights, self.agents))
        return Sums(weights, np.zeros((2, self.agents, size, size), complex))

    def backward(self, trace: Trace, gradient: Array, sums: Sums, inputs: Array | None) -> None:
        """Adds one chunk's gradient to ``sums`` and to that of its inputs ``(F, A, B)``."""
        real = trace.real
        pulled = gradient @ self._diagonal
        pulled *= trace.psi  # the conjugate of mu, as pairs
        outer = (real.transpose(1, 0, 2) @ pulled).view(self._matrix.dtype)
        sums.outer[1] += outer.conj().swapaxes(1, 2)
        if self.plan.first.trained is not None or inputs is not None:
            half = (self._rows @ pulled.swapaxes(1, 2)).transpose(1, 0, 2)
            angles = real_angle_gradient(real, np.ascontiguousarray(half), self.plan.qubits)
            add_slot_gradient(self._slot, angles, trace.features, sums.weights, inputs)

    def finish(self, sums: Sums) -> Array:
        """Gradient ``(A, P)`` float64 of the flat weights."""
        return free_gradient(self.plan, self._built, sums.outer, self.dtype) + sums.weights.T
