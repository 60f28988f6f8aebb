"""Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438)."""

from __future__ import annotations

import numpy as np

from qmarl.types import Array


def generalised_advantages(
    rewards: Array,
    values: Array,
    next_values: Array,
    ends: Array,
    gamma: float,
    gae_lambda: float,
) -> Array:
    """Computes advantages backwards through a rollout.

    ``delta_t = r_t + gamma * next_values_t - values_t`` and
    ``A_t = delta_t + gamma * lambda * (1 - ends_t) * A_{t+1}``.

    Args:
        rewards: ``(T, ...)``.
        values: ``(T, ...)`` of what was seen before acting.
        next_values: ``(T, ...)`` of what came next: 0 where an agent terminated, the value of the
            unseen continuation where it was truncated.
        ends: ``(T, ...)`` bool, terminated or truncated: the sum stops here.
        gamma: Discount in [0, 1].
        gae_lambda: Trade of bias against variance in [0, 1].

    Example:
        >>> generalised_advantages(np.ones((2, 1)), np.zeros((2, 1)), np.zeros((2, 1)),
        ...                        np.array([[False], [True]]), 0.5, 1.0).ravel().tolist()
        [1.5, 1.0]
    """
    deltas = rewards + gamma * next_values - values
    carry = gamma * gae_lambda * ~ends
    advantages = np.empty_like(deltas)
    ahead = np.zeros_like(deltas[0])
    for step in range(len(deltas) - 1, -1, -1):
        ahead = deltas[step] + carry[step] * ahead
        advantages[step] = ahead
    return advantages


def normalised(advantages: Array, alive: Array) -> Array:
    """Advantages with mean 0 and deviation 1 over each learner's living steps, 0 elsewhere.

    Args:
        advantages: ``(S, T, M)``.
        alive: ``(S, T, M)`` bool.
    """
    count = np.maximum(alive.sum((1, 2), keepdims=True), 1)
    mean = (advantages * alive).sum((1, 2), keepdims=True) / count
    centred = (advantages - mean) * alive
    deviation = np.sqrt((centred**2).sum((1, 2), keepdims=True) / count)
    scaled: Array = centred / (deviation + 1e-6)
    return scaled
