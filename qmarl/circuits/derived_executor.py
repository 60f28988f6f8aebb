"""Runs the functions that stand before a circuit, around an executor of the circuit itself."""

from __future__ import annotations

from typing import Any, NamedTuple, final

import numpy as np

from qmarl.circuits.bound import Bound
from qmarl.circuits.expressions import Derived
from qmarl.types import Array


class Trace(NamedTuple):
    """What the backward pass wants.

    Attributes:
        features: ``(F, A, B)`` inputs.
        values: Values of the expressions' nodes.
        inner: Trace of the circuit.
    """

    features: Array
    values: list[Array]
    inner: Any


class Sums(NamedTuple):
    """Sums over chunks: the gradient ``(A, P)`` through expressions, and the circuit's sums."""

    weights: Array
    inner: Any


def extend_weights(derived: Derived, weights: Array) -> Array:
    """Joins the derived weights to flat weights ``(A, P)``."""
    values = derived.weights.evaluate(np.empty((0, len(weights), 1)), weights)
    return np.concatenate([weights, *(values[k] for k in derived.weights.wanted)], -1)


@final
class DerivedBound:
    """An executor whose circuit has derived inputs or weights.

    Args:
        derived: The expressions.
        inner: The circuit under its extended weights.
        weights: ``(A, P)`` flat weights, float64, without the derived ones.
    """

    def __init__(self, derived: Derived, inner: Bound, weights: Array) -> None:
        self.plan, self.dtype, self.agents = inner.plan, inner.dtype, inner.agents
        self._derived, self._inner, self._weights = derived, inner, weights

    def forward(self, features: Array) -> tuple[Array, Trace]:
        """Outputs ``(A, B, outputs)`` for features ``(F, A, B)``, and the trace."""
        values, extended = self._extend(features)
        outputs, inner = self._inner.forward(extended)
        return outputs, Trace(features, values, inner)

    def evaluate(self, features: Array) -> Array:
        """Outputs of :meth:`forward` alone."""
        return self._inner.evaluate(self._extend(features)[1])

    def _extend(self, features: Array) -> tuple[list[Array], Array]:
        """Values of the expressions, and the features with those that are wanted."""
        graph = self._derived.features
        values = graph.evaluate(features, self._weights.astype(self.dtype))
        shape = features.shape[1:]
        columns = [np.broadcast_to(values[place], shape)[None] for place in graph.wanted]
        return values, np.concatenate([features, *columns])

    def sums(self) -> Sums:
        """Zeros for :meth:`backward` to add to."""
        return Sums(np.zeros_like(self._weights), self._inner.sums())

    def backward(self, trace: Trace, gradient: Array, sums: Sums, inputs: Array | None) -> None:
        """Adds one chunk's gradient to ``sums`` and to that of its inputs ``(F, A, B)``."""
        graph, count = self._derived.features, len(trace.features)
        extended = np.zeros((count + len(graph.wanted), *trace.features.shape[1:]), self.dtype)
        self._inner.backward(trace.inner, gradient, sums.inner, extended)
        given = {place: extended[count + k] for k, place in enumerate(graph.wanted)}
        graph.pull(trace.values, given, inputs, sums.weights)
        if inputs is not None:
            inputs += extended[:count]

    def finish(self, sums: Sums) -> Array:
        """Gradient ``(A, P)`` float64 of the flat weights."""
        graph, count = self._derived.weights, self._weights.shape[1]
        extended = self._inner.finish(sums.inner)
        given = {place: extended[:, count + k, None] for k, place in enumerate(graph.wanted)}
        values = graph.evaluate(np.empty((0, self.agents, 1)), self._weights)
        result = extended[:, :count] + sums.weights
        graph.pull(values, given, None, result)
        return np.asarray(result)
