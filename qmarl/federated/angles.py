"""Where absolute parameters of two models have to be joined: means on a circle for angles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qmarl.types import Array, Layout, Params


def circular_mean(angles: Array, period: float, weights: Sequence[float] | None = None) -> Array:
    """Returns the direction of the mean of unit vectors, from ``-period / 2`` to ``period / 2``.

    Args:
        angles: ``(n, ...)``.
        period: Of the angles.
        weights: ``(n,)``, positive; all the same when left out.

    Where the vectors cancel (two opposite angles) no direction is better than another, and the
    first angle is returned as it is.

    >>> float(circular_mean(np.array([0.1, 6.2]), 2 * np.pi).round(3))
    0.008
    """
    share = np.ones(len(angles)) if weights is None else np.asarray(weights, np.float64)
    points = np.exp(2j * np.pi / period * np.asarray(angles, np.float64))
    total = np.tensordot(share / share.sum(), points, 1)
    mean = np.angle(total) * period / (2 * np.pi)
    return np.asarray(np.where(np.abs(total) > 1e-12, mean, angles[0]))


def shorter_way(start: Array, goal: Array, period: float | None) -> Array:
    """Returns ``goal - start``, for angles on the shorter way round."""
    way = np.asarray(goal, np.float64) - np.asarray(start, np.float64)
    return way if period is None else way - period * np.round(way / period)


def halfway(start: Params, goal: Params, layout: Layout) -> Params:
    """Returns the mean of two models, each angle near ``start`` and a circular mean of the two.

    Args:
        start: One model's parameters by name.
        goal: The other's.
        layout: Names and periods.
    """
    return {name: _middle(start[name], goal[name], spec.period) for name, spec in layout.items()}


def _middle(start: Array, goal: Array, period: float | None) -> Array:
    pair = np.stack([start, goal]).astype(np.float64)
    if period is None:
        return np.asarray(pair.mean(0))
    return start + shorter_way(start, circular_mean(pair, period), period)
