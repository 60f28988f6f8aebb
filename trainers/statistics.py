"""Means with intervals: how sure a number of episodes makes us."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from qmarl.seeding import stream
from qmarl.types import Array


class Interval(TypedDict):
    """A mean and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def bootstrap(values: Array, resamples: int = 2000, seed: int = 0) -> Interval:
    """The mean of ``values (n,)`` with the percentile bootstrap's 95 % interval.

    Entries that are not finite (a time to goal that never came) are left out; without any value
    the mean is NaN.

    >>> bootstrap(np.ones(10))
    {'mean': 1.0, 'low': 1.0, 'high': 1.0}
    """
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return {"mean": np.nan, "low": np.nan, "high": np.nan}
    picks = stream(seed, "bootstrap").integers(len(values), size=(resamples, len(values)))
    low, high = np.percentile(values[picks].mean(1), [2.5, 97.5])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}
