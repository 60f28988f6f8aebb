"""Drone flights without learning, to compare with: keep a slot, serve users, hunt.

Each policy chooses actions from what the agents see alone, discrete or continuous ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from envs.tasks.drone_common import DIRECTIONS, length

if TYPE_CHECKING:
    from envs.world import View
    from qmarl.types import Array


def steer(wanted: Array, motion: Array, view: View) -> Array:
    """Chooses actions that bring velocities about.

    Args:
        wanted: ``(E, A, 3)`` velocities over the greatest commanded ones; longer than 1 is cut.
        motion: ``(E, A, 3)`` present velocities in the same measure.
        view: Tells by its masks whether actions are discrete.

    Returns:
        ``(E, A, 3)`` float32 within [-1, 1], or ``(E, A)`` int64 commands: the one nearest to the
        wanted velocity and as much again as is missing of it, since bodies lag behind commands.
    """
    wanted = wanted / np.maximum(length(wanted), 1)[..., None]
    if view.continuous:
        return wanted.astype(np.float32)
    aim = 2 * wanted - motion
    table = np.array(DIRECTIONS, np.float32)
    missing = length(aim[..., None, :] - table)
    chosen: Array = missing.argmin(-1)
    return chosen


def apart(near: Array) -> Array:
    """A push ``(E, A, 3)`` away from the nearest drone and to the right of it.

    Args:
        near: ``(E, A, 3)`` unit vectors towards it, times how near it is in [0, 1]; farther than
            the half of it there is no push.
    """
    x, y = near[..., 0], near[..., 1]
    aside = np.stack([y, -x, np.zeros_like(x)], -1)
    push: Array = (aside - near) * np.maximum(2 * length(near) - 1, 0)[..., None]
    return push


def keep_slot(view: View) -> Array:
    """Flies to its slot and along with the leader, and gives way to the nearest drone.

    Made for ``drone_formation``.
    """
    seen = view.observations
    wanted = 1.5 * seen[..., :3] + 2.0 * apart(seen[..., 8:11])
    wanted[..., :2] += seen[..., 6:8]
    return steer(wanted, seen[..., 3:6], view)


def serve_users(view: View) -> Array:
    """Flies to the middle of the users that it serves and to the nearest one that nobody serves.

    Made for ``drone_coverage``. The nearest other drone is left its ground.
    """
    seen = view.observations
    own, left = seen[..., 10:12], seen[..., 13:15]
    wanted = np.zeros((*seen.shape[:2], 3), np.float32)
    wanted[..., :2] = 4.0 * own + 6.0 * left - seen[..., 7:9]
    return steer(wanted, seen[..., 3:6], view)


def hunt(view: View) -> Array:
    """Flies straight to the nearest evader, and gives way to the nearest pursuer.

    Made for ``drone_pursuit``.
    """
    seen = view.observations
    way = seen[..., :3]
    wanted = way / np.maximum(length(way), np.float32(1e-6))[..., None]
    return steer(wanted + 2.0 * apart(seen[..., 11:14]), seen[..., 5:8], view)
