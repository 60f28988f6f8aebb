"""The categorical head: from logits to actions, log-probabilities and entropies, in NumPy."""

from __future__ import annotations

import numpy as np

from qmarl.types import Array

MASKED = np.float32(-1e9)
"""Logit of a forbidden action: finite, so that no arithmetic turns it into NaN."""


def masked(logits: Array, action_mask: Array) -> Array:
    """Puts forbidden actions out of reach.

    Args:
        logits: ``(..., N)``.
        action_mask: ``(..., N)`` bool, true where allowed.
    """
    return logits if action_mask.all() else np.where(action_mask, logits, MASKED)


def log_softmax(logits: Array) -> Array:
    """Normalised log-probabilities over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    normalised: Array = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return normalised


def log_prob(logits: Array, actions: Array) -> Array:
    """Log-probability ``(...)`` of ``actions (...)`` under ``logits (..., N)``."""
    return np.take_along_axis(log_softmax(logits), actions[..., None], -1)[..., 0]


def gumbel(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Standard Gumbel noise, float32: ``argmax(logits + noise)`` draws from the softmax."""
    noise = rng.random(shape, np.float32)
    np.maximum(noise, np.float32(1e-12), out=noise)
    return -np.log(-np.log(noise))
