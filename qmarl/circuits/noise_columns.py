"""The numbers that enter a program's angles, its derived ones included, and their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

import numpy as np

from qmarl.circuits.gates import Angle
from qmarl.circuits.program import Program
from qmarl.types import Array


class Trace(NamedTuple):
    """What enters the angles of a batch.

    Attributes:
        features: ``(F + derived, A, B)``.
        values: Values of the expressions of inputs.
        given: Number ``F`` of inputs.
    """

    features: Array
    values: list[Array]
    given: int


@final
class Columns:
    """The weights of a program with the derived ones, under which batches are extended.

    Args:
        program: The program.
        flat: ``(A, P)`` flat weights.
        dtype: float32 or float64, of the batches.
    """

    def __init__(self, program: Program, flat: Array, dtype: np.dtype) -> None:
        self._graphs = program.derived
        self._flat = flat.astype(np.float64)
        self._dtype = dtype
        nothing = np.empty((0, len(flat), 1))
        self._values = self._graphs.weights.evaluate(nothing, self._flat)
        extra = [self._values[place] for place in self._graphs.weights.wanted]
        self.weights = np.concatenate([self._flat, *extra], -1)
        """``(A, P + derived)`` float64."""

    def extend(self, inputs: Array) -> Trace:
        """Joins the derived columns to inputs ``(A, B, F)``."""
        graph, features = self._graphs.features, np.moveaxis(inputs, -1, 0)
        values = graph.evaluate(features, self._flat.astype(self._dtype))
        shape = features.shape[1:]
        extra = [np.broadcast_to(values[place], shape)[None] for place in graph.wanted]
        return Trace(np.concatenate([features, *extra]), values, len(features))

    def angles(self, wanted: Sequence[Angle], trace: Trace) -> Array:
        """Angles ``(len(wanted), A, B)`` [rad] that take part of an input."""
        result = np.empty((len(wanted), *trace.features.shape[1:]), trace.features.dtype)
        for row, angle in zip(result, wanted, strict=True):
            np.multiply(trace.features[angle.feature], self._slope(angle), out=row)
            row += angle.offset
        return result

    def free_angles(self, wanted: Sequence[Angle]) -> Array:
        """Angles ``(len(wanted), A)`` [rad] without inputs, float64."""
        return np.stack([self._slope(angle)[:, 0] + angle.offset for angle in wanted])

    def _slope(self, angle: Angle) -> Array:
        """``factor * weight`` ``(A, 1)``; for a constant angle, 0."""
        if angle.weight < 0:
            factor = angle.factor if angle.feature >= 0 else 0.0
            return np.full((len(self.weights), 1), factor, self._dtype)
        column: Array = angle.factor * self.weights[:, angle.weight, None]
        return column.astype(self._dtype) if angle.feature >= 0 else column

    def pull(self, wanted: Sequence[Angle], trace: Trace, gradient: Array, weights: Array) -> Array:
        """Passes the gradient of angles with inputs back.

        Args:
            wanted: As given to :meth:`angles`.
            trace: What entered them.
            gradient: ``(len(wanted), A, B)``.
            weights: ``(A, P + derived)``, added to in place.

        Returns:
            Gradient ``(A, B, F)`` of the inputs.
        """
        extended = np.zeros(trace.features.shape, gradient.dtype)
        for angle, part in zip(wanted, gradient, strict=True):
            extended[angle.feature] += part * self._slope(angle)
            if angle.weight >= 0:
                along = (part * trace.features[angle.feature]).sum(-1)
                weights[:, angle.weight] += angle.factor * along
        inputs, graph = extended[: trace.given], self._graphs.features
        given = {place: extended[trace.given + k] for k, place in enumerate(graph.wanted)}
        graph.pull(trace.values, given, inputs, weights[:, : self._flat.shape[1]])
        return np.moveaxis(inputs, 0, -1)

    def finish(self, weights: Array) -> Array:
        """Gradient ``(A, P)`` of the flat weights from that of all ``(A, P + derived)``."""
        graph, count = self._graphs.weights, self._flat.shape[1]
        given = {place: weights[:, count + k, None] for k, place in enumerate(graph.wanted)}
        result = weights[:, :count].copy()
        graph.pull(self._values, given, None, result)
        return result
