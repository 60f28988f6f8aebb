"""Flights that avoid: the scripted reference of ``drone_navigation``."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from envs.tasks.drone_common import DIRECTIONS, length, unit

if TYPE_CHECKING:
    from envs.world import View
    from qmarl.types import Array


class _Care(NamedTuple):
    """How a drone keeps clear of one kind of thing; found by random search over 60 settings.

    Attributes:
        place: Where the observation holds the nearest one.
        weight: Taken for each gap, in sensing ranges, that would be short of the margin.
        margin: Gap to keep, in sensing ranges.
        horizon: Time that is looked ahead, in sensing ranges over the speed.
        side: Given for passing it on the right.
    """

    place: slice
    weight: float
    margin: float
    horizon: float
    side: float


_CARES: Final = (
    _Care(slice(6, 9), weight=3.8, margin=0.38, horizon=0.54, side=0.54),  # the nearest drone
    _Care(slice(9, 12), weight=2.0, margin=0.34, horizon=1.18, side=0.56),  # the nearest obstacle
)


def avoiding(view: View) -> Array:
    """Flies to the goal, and around what it would come too near to.

    Every command that could be given is scored: by its part towards the goal, less what the gaps to
    the nearest drone and the nearest obstacle would be short of a margin some time ahead (as in
    velocity obstacles, Fiorini and Shiller 1998), plus its part along the right-hand side of both,
    so that two who meet give way to the same side. It sees what the agents see, no more.

    Args:
        view: What the agents of a ``drone_navigation`` see, with either kind of actions.

    Returns:
        Actions ``(E, A)`` int64 or ``(E, A, 3)`` float32.
    """
    seen = view.observations
    options = _options(seen[..., :3], view.continuous)
    score = _along(options, seen[..., :3])
    motion = (options + seen[..., None, 3:6]) / 2
    for care in _CARES:
        nearness = length(seen[..., care.place])[..., None]
        toward = unit(seen[..., care.place])
        ahead = 1 - nearness - care.horizon * _along(motion, toward)
        score -= (nearness > 0) * care.weight * np.maximum(care.margin - ahead, 0)
        right = np.stack([toward[..., 1], -toward[..., 0], 0 * toward[..., 2]], -1)
        score += nearness * care.side * _along(options, right)
    best: Array = score.argmax(-1)
    if not view.continuous:
        return best
    chosen: Array = np.take_along_axis(options, best[..., None, None], -2)[..., 0, :]
    return chosen


def _options(goal: Array, continuous: bool) -> Array:
    """Commands ``(E, A, K, 3)`` over the speed: the discrete ones, or many more."""
    if not continuous:
        options = np.array(DIRECTIONS, np.float32)
        return np.broadcast_to(options, (*goal.shape[:2], *options.shape))
    ways = unit(np.array([way for way in product((-1, 0, 1), repeat=3) if any(way)], np.float32))
    fixed = np.concatenate([ways, ways / 2, np.zeros((1, 3), np.float32)])
    fixed = np.broadcast_to(fixed, (*goal.shape[:2], *fixed.shape))
    straight = goal / np.maximum(length(goal), 1e-6)[..., None]
    return np.concatenate([fixed, straight[:, :, None].astype(np.float32)], 2)


def _along(vectors: Array, direction: Array) -> Array:
    """Scalar products ``(E, A, K)`` of ``(E, A, K, 3)`` with ``(E, A, 3)``."""
    found: Array = (vectors * direction[..., None, :]).sum(-1)
    return found
