"""Runs a plan on NumPy arrays: the outputs, and the adjoint written by hand.

Everything that depends on the weights alone is built once, in float64, by :func:`bind`; samples
then run in the working precision, in chunks that stay in the processor's cache. All arrays carry
the agents as an axis of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qmarl.circuits.bound import Bound
from qmarl.circuits.dense_executor import DenseBound
from qmarl.circuits.derived_executor import DerivedBound, extend_weights
from qmarl.circuits.layered_executor import LayeredBound
from qmarl.circuits.plan import PRECISIONS, DensePlan, Plan
from qmarl.circuits.single_executor import SingleBound, is_single
from qmarl.errors import ConfigurationError
from qmarl.types import Array

RESERVE = 31 << 20
"""Bytes; a block just below the largest that glibc's allocator still adapts to."""

CHUNK = 1 << 17
"""Amplitudes of one state that are worked on together: 1 MiB in complex64."""


def keep_memory() -> None:
    """Tells the allocator to keep freed arrays instead of handing them back to the kernel.

    Freeing one large block raises glibc's thresholds for that; without it every call pays page
    faults for each array of more than 128 KiB, which doubles its time. No memory is touched.
    """
    np.empty(RESERVE, np.uint8)


keep_memory()


def bind(plan: Plan, weights: Array, dtype: npt.DTypeLike) -> Bound:
    """Builds everything that depends on the weights alone.

    Args:
        plan: The plan.
        weights: ``(A, P)`` flat weights.
        dtype: float32 or float64.

    Raises:
        ConfigurationError: It is another.
    """
    real = np.dtype(dtype)
    if real not in PRECISIONS:
        raise ConfigurationError(f"circuits run on float32 or float64, got inputs of {real}")
    if plan.derived is None:
        return _bind_circuit(plan, weights, real)
    weights = weights.astype(np.float64)
    inner = _bind_circuit(plan, extend_weights(plan.derived, weights), real)
    return DerivedBound(plan.derived, inner, weights)


def _bind_circuit(plan: Plan, weights: Array, dtype: np.dtype) -> Bound:
    if isinstance(plan, DensePlan):
        return (SingleBound if is_single(plan) else DenseBound)(plan, weights, dtype)
    return LayeredBound(plan, weights, dtype)


def forward(bound: Bound, inputs: Array) -> tuple[Array, list[Any]]:
    """Evaluates the circuit.

    Args:
        bound: The plan under its weights.
        inputs: ``(A, B, F)`` in the working precision.

    Returns:
        Outputs ``(A, B, outputs)`` and the traces of its chunks, which :func:`backward` wants.
    """
    results = [bound.forward(chunk) for chunk in _chunks(bound, inputs)]
    return _joined([output for output, _ in results], 1), [trace for _, trace in results]


def evaluate(bound: Bound, inputs: Array) -> Array:
    """Outputs of :func:`forward` alone: nothing is kept from chunk to chunk."""
    return _joined([bound.evaluate(chunk) for chunk in _chunks(bound, inputs)], 1)


def _chunks(bound: Bound, inputs: Array) -> list[Array]:
    """Features ``(F, A, b)`` of batches that are worked on together."""
    agents, batch, _ = inputs.shape
    step = max(1, CHUNK // (2**bound.plan.qubits * agents))
    features = inputs.transpose(2, 0, 1)
    if batch <= step:
        return [features]
    return [np.ascontiguousarray(features[..., k : k + step]) for k in range(0, batch, step)]


def _joined(parts: list[Array], axis: int) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis)


def backward(
    bound: Bound, traces: list[Any], gradient: Array, *, need_inputs: bool
) -> tuple[Array | None, Array]:
    """Pulls the gradient of the outputs back to inputs and weights.

    Args:
        bound: The plan under its weights.
        traces: What :func:`forward` kept.
        gradient: ``(A, B, outputs)``.
        need_inputs: Whether the inputs' gradient is wanted.

    Returns:
        Gradients of the inputs ``(A, B, F)`` or None, and of the flat weights ``(A, P)`` float64.
    """
    sums, pulled, first = bound.sums(), [], 0
    for trace in traces:
        stop = first + trace.features.shape[-1]
        inputs = np.zeros_like(trace.features) if need_inputs else None
        bound.backward(trace, gradient[:, first:stop], sums, inputs)
        pulled.append(inputs)
        first = stop
    whole = [part.transpose(1, 2, 0) for part in pulled if part is not None]
    return (_joined(whole, 1) if whole else None), bound.finish(sums)
