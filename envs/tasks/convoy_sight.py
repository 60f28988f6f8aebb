"""What drones and vehicles of a convoy see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from envs.tasks.drone_common import mates
from envs.tasks.vehicle_common import speeds

if TYPE_CHECKING:
    from envs.bodies import Bodies
    from envs.tasks.convoy_escort_layout import ConvoyEscortConfig
    from envs.tasks.convoy_road import Ahead
    from qmarl.types import Array

VEHICLE_SEES: Final = 12
"""Numbers in a vehicle's observation."""
DRONE_SEES: Final = 12
"""Numbers in a drone's observation."""

_BESIDE = 1.5  # lengths of a vehicle behind, up to which another lane is not free
_MEET = 5.0  # m: gap beyond which drones do not see each other


def vehicles_see(
    here: Bodies,
    alive: Array,
    lane: Array,
    advice: Array,
    ahead: Ahead,
    config: ConvoyEscortConfig,
) -> Array:
    """What vehicles see: 12 numbers.

    The speed over ``speed``; the place along the road (-1 at its start, 1 at its end) and across it
    (1 on its left edge); the lane that it aims at (1 left, -1 right); the steering towards the
    right and towards the left lane, as an action; then for the right and the left lane each: how
    near the first known hazard ahead is (``1 - d / look``), how near the first unknown cell, how
    near the next vehicle ahead. In the lane that it is not in, a vehicle beside it counts as one
    in touch. Other vehicles are seen within ``look``, whether they are heard or not.

    Args:
        here: ``k`` worlds as they are perceived.
        alive: ``(k, A)`` bool.
        lane: ``(k, V)`` lanes that vehicles aim at.
        advice: ``(k, V, 2)`` steering towards the lanes, over its greatest.
        ahead: What agents know of the road ahead.
        config: Sizes.

    Returns:
        ``(k, V, 12)`` float32, not yet held within [-1, 1].
    """
    ground = slice(config.drones, None)
    place, heading = here.position[:, ground], here.heading[:, ground]
    x, y = place[..., 0], place[..., 1]
    seen = np.zeros((*x.shape, VEHICLE_SEES), np.float32)
    seen[..., 0] = speeds(here.velocity[:, ground], heading) / np.float32(config.speed)
    seen[..., 1] = 2 * x / np.float32(config.road) - 1
    seen[..., 2] = y / np.float32(config.lane)
    seen[..., 3] = lane
    seen[..., 4:6] = advice
    look, length = np.float32(config.look), np.float32(config.length)
    seen[..., 6:8] = _near(ahead.hazard[:, ground], look)
    seen[..., 8:10] = _near(ahead.unknown[:, ground], look)
    there = alive[:, None, ground] & ~np.eye(x.shape[1], dtype=bool)
    offset = x[:, None] - x[..., None]
    for side, sign in enumerate((-1, 1)):
        shared = (sign * y > 0)[..., None]  # the one who looks is in this lane itself
        in_it = there & (sign * y[:, None] > 0)
        beside = in_it & ~shared & (offset > -np.float32(_BESIDE) * length)
        gap = np.where((in_it & shared & (offset > 0)) | beside, offset - length, np.inf)
        seen[..., 10 + side] = _near(np.maximum(gap.min(-1), 0), look)
    return seen


def drones_see(
    here: Bodies, alive: Array, news: Array, ahead: Ahead, config: ConvoyEscortConfig
) -> Array:
    """What drones see: 12 numbers.

    The level velocity over ``drone_speed``; the vector to the foremost vehicle that is heard, along
    and across, over ``look``, that one's speed over ``speed``, and 1 where there is one; the place
    across the road over its width; the distance along the road to the first cell in the right and
    in the left lane ahead of itself that it does not know, over ``look``; the unit vector to the
    nearest other drone that is heard, times how near it is; and 1 where it knows what no vehicle
    knows.

    Args:
        here: ``k`` worlds as they are perceived; ``heard`` is given.
        alive: ``(k, A)`` bool.
        news: ``(k, D)`` bool, drones that know what no vehicle knows.
        ahead: What agents know of the road ahead.
        config: Sizes.

    Returns:
        ``(k, D, 12)`` float32, not yet held within [-1, 1].
    """
    drones, heard = config.drones, here.heard
    assert heard is not None
    place, flying = here.position, here.position[:, :drones]
    seen = np.zeros((*flying.shape[:2], DRONE_SEES), np.float32)
    seen[..., :2] = here.velocity[:, :drones, :2] / np.float32(config.drone_speed)
    offset = place[:, None, drones:] - flying[:, :, None]
    apart = offset[..., 0] ** 2 + offset[..., 1] ** 2 + offset[..., 2] ** 2
    linked = heard[:, :drones, drones:] & alive[:, None, drones:]
    linked &= apart <= np.float32(config.radio_range) ** 2
    which = np.where(linked, place[:, None, drones:, 0], -np.inf).argmax(-1)[..., None]
    there = np.take_along_axis(linked, which, -1)
    look = np.float32(config.look)
    front = np.take_along_axis(offset, which[..., None], -2)[..., 0, :2] / look
    speed = speeds(here.velocity[:, drones:], here.heading[:, drones:]) / np.float32(config.speed)
    seen[..., 2:4] = front * there
    seen[..., 4:5] = np.take_along_axis(speed, which[..., 0], -1)[..., None] * there
    seen[..., 5:6] = there
    seen[..., 6] = flying[..., 1] / np.float32(2 * config.lane)
    seen[..., 7:9] = np.minimum(ahead.unknown[:, :drones] / look, 1)
    reach = 2 * config.drone_radius
    known = heard[:, :drones, :drones]
    seen[..., 9:11] = mates(flying, alive[:, :drones], known, reach, _MEET)[1][..., :2]
    seen[..., 11] = news
    return seen


def _near(distance: Array, look: float | np.floating[Any]) -> Array:
    found: Array = np.clip(1 - distance / look, 0, 1)
    return found
