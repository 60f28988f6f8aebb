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
        outer: Of each chunk; see :func:`qmarl.circuits.dense_build.free_gradient`.
    """

    weights: Array
    outer: list[Array]


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
        self._trains_data = plan.first.trained is not None
        matrix = after(self._built.runs[1], self._built.start)
        assert matrix is not None  # it makes a state of the real product state
        self._matrix = matrix.astype(PRECISIONS[dtype], copy=False)
        self._rows = np.ascontiguousarray(self._matrix.swapaxes(-1, -2)).view(dtype)
        constants = plan.constants[dtype]
        self._diagonal, self._slopes = constants.planes[:-1], constants.slopes[:-1]

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
        """Nothing yet, for :meth:`backward` to add to."""
        return Sums(np.zeros((self.plan.n_weights, self.agents)), [])

    def backward(self, trace: Trace, gradient: Array, sums: Sums, inputs: Array | None) -> None:
        """Adds one chunk's gradient to ``sums`` and to that of its inputs ``(F, A, B)``."""
        real, size = trace.real, len(trace.real)
        mu = gradient @ self._slopes
        mu *= trace.psi
        outer = np.zeros((2, self.agents, size, size), self._matrix.dtype)
        np.matmul(real.transpose(1, 0, 2), mu, out=outer[1].view(self.dtype))
        sums.outer.append(outer)
        if self._trains_data or inputs is not None:
            imaginary = mu[..., 1::2]
            np.negative(imaginary, out=imaginary)
            half = (self._rows @ mu.swapaxes(1, 2)).transpose(1, 0, 2)
            angles = real_angle_gradient(real, np.ascontiguousarray(half), self.plan.qubits)
            add_slot_gradient(self._slot, angles, trace.features, sums.weights, inputs)

    def finish(self, sums: Sums) -> Array:
        """Gradient ``(A, P)`` float64 of the flat weights."""
        free = free_gradient(self.plan, self._built, sums.outer, self.dtype)
        return free + sums.weights.T if self._trains_data else free
