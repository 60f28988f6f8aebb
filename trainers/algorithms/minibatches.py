"""Minibatches for a stack of learners, each drawn as if it learned alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qmarl.types import Array


def minibatches(
    alive: Array, epochs: int, parts: int, rngs: Sequence[np.random.Generator]
) -> list[tuple[Array, Array]]:
    """Splits each learner's living steps into minibatches, padded to a rectangle.

    A learner's own minibatches depend on its own steps and random numbers alone, so that a stack
    of learners takes exactly the steps that each would take by itself.

    Args:
        alive: ``(S, T, M)`` bool.
        epochs: Passes over the steps.
        parts: Minibatches of each pass.
        rngs: ``S`` generators.

    Returns:
        Pairs of indices ``(S, m)`` into the flattened ``S * T * M`` steps and weights ``(S, m)``
        that sum to 1 for each learner (to 0 when it has nothing to learn from).
    """
    flat = alive.reshape(len(alive), -1)
    living = [np.flatnonzero(row) for row in flat]
    plans = [_splits(steps, epochs, parts, rng) for steps, rng in zip(living, rngs, strict=True)]
    return [_rectangle(row, flat.shape[1]) for row in zip(*plans, strict=True)]


def _splits(steps: Array, epochs: int, parts: int, rng: np.random.Generator) -> list[Array]:
    orders = (rng.permutation(steps) for _ in range(epochs))
    return [part for order in orders for part in np.array_split(order, parts)]


def _rectangle(parts: Sequence[Array], steps_per_learner: int) -> tuple[Array, Array]:
    width = max(1, max(len(part) for part in parts))
    index = np.zeros((len(parts), width), np.int64)
    weight = np.zeros((len(parts), width))
    for learner, part in enumerate(parts):
        index[learner, : len(part)] = part
        weight[learner, : len(part)] = 1.0 / max(len(part), 1)
        index[learner] += learner * steps_per_learner
    return index, weight
