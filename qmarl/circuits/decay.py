"""Tells an exponential decay with the number of qubits from a slower one, with its doubt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qmarl.seeding import stream
from qmarl.types import Array

RESAMPLES = 500
"""Bootstrap resamples."""

INTERVAL = (2.5, 97.5)
"""Percentiles of a 95 % interval."""

SURE = 0.95
"""Share of resamples that must agree before one law is preferred to the other."""

NOTHING = 1e-28
"""Variances below this are rounding: the gradient is zero."""


@dataclass(frozen=True)
class Decay:
    """How a variance falls with the number of qubits ``n``.

    Attributes:
        layers: Depth of the circuits.
        rate: ``a`` of the fit ``variance = c 2^(-a n)``.
        low: Lower end of its 95 % bootstrap interval.
        high: Its upper end.
        power: ``b`` of the fit ``variance = c n^(-b)``.
        exponential: Share of bootstrap resamples that the exponential fits better than the power.
        verdict: What this says, in words.
    """

    layers: int
    rate: float
    low: float
    high: float
    power: float
    exponential: float
    verdict: str


def resampled_variances(gradients: Array, seed: int) -> Array:
    """Bootstraps the variance averaged over angles.

    Args:
        gradients: ``(samples, angles)``.
        seed: Seed of the resampling.

    Returns:
        ``(RESAMPLES,)``.
    """
    samples = len(gradients)
    rng = stream(seed, "variance", samples, gradients.shape[1])
    share = np.full(samples, 1 / samples)
    counts = rng.multinomial(samples, share, RESAMPLES) / samples
    variances = counts @ np.square(gradients) - np.square(counts @ gradients)
    return np.asarray(variances.mean(1) * samples / (samples - 1))


def fit_decay(
    layers: int, qubits: Sequence[int], means: Sequence[float], resamples: Sequence[Array]
) -> Decay:
    """Fits both laws by least squares on the logarithm of the variances.

    Args:
        layers: Depth, to be told.
        qubits: At least three widths.
        means: Variance at each width.
        resamples: Bootstrapped variances ``(RESAMPLES,)`` at each width.
    """
    widths = np.asarray(qubits, float)
    if min(means) < NOTHING:
        nan = float("nan")
        return Decay(layers, nan, nan, nan, nan, nan, "the gradient is zero at some width")
    drawn = np.log2(np.maximum(np.stack(resamples, 1), NOTHING))
    rates, misfit = _line(widths, drawn)
    _, power_misfit = _line(np.log2(widths), drawn)
    found = np.log2(np.asarray(means))[None]
    rate, power = (float(_line(x, found)[0][0]) for x in (widths, np.log2(widths)))
    low, high = np.percentile(rates, INTERVAL)
    share = float(np.mean(misfit < power_misfit))
    words = verdict(rate, float(low), float(high), power, share)
    return Decay(layers, rate, float(low), float(high), power, share, words)


def verdict(rate: float, low: float, high: float, power: float, exponential: float) -> str:
    """Says in words what a fit has found.

    >>> verdict(1.0, 0.9, 1.1, 4.0, 1.0)
    'decays like 2^(-a n), a = 1.00 [0.90, 1.10]: a barren plateau'
    >>> verdict(0.1, -0.1, 0.3, 0.5, 0.6)
    'no exponential decay seen: a = 0.10 [-0.10, 0.30]'
    >>> verdict(0.6, 0.5, 0.7, 2.0, 0.01)
    'no exponential decay seen: falls like n^(-b), b = 2.00'
    """
    fitted = f"a = {rate:.2f} [{low:.2f}, {high:.2f}]"
    if low <= 0:
        return f"no exponential decay seen: {fitted}"
    if exponential >= SURE:
        return f"decays like 2^(-a n), {fitted}: a barren plateau"
    if exponential <= 1 - SURE:
        return f"no exponential decay seen: falls like n^(-b), b = {power:.2f}"
    return f"decays, {fitted}; these widths cannot tell 2^(-a n) from n^(-{power:.1f})"


def _line(x: Array, y: Array) -> tuple[Array, Array]:
    """Downward slope and squared misfit of straight lines through ``y (R, widths)``."""
    centred, rest = x - x.mean(), y - y.mean(1, keepdims=True)
    slope = rest @ centred / (centred @ centred)
    return -slope, np.square(rest - np.outer(slope, centred)).sum(1)
