"""Drives without learning, to compare with: cross in turn, and keep a gap.

Each policy chooses actions from what the agents see alone, discrete or continuous ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from envs.tasks.vehicle_platoon import GAP_RANGE, PEDALS, SPEED_RANGE

if TYPE_CHECKING:
    from envs.world import View
    from qmarl.types import Array

_ROOM = 0.1  # of the range of sight that is left to where ways meet
_STOPPING = 0.32  # of the range of sight to brake from full speed, gently
_GAS, _BRAKE = 3.0, 6.0  # m/s^2 of full pedals
_HEADWAY = 0.6  # s
_FIRST, _SECOND = 0.5, 0.2  # of the range of sight by which drones fly ahead of the convoy
_STOP = 0.15  # of the range of sight that is left to what is ahead
_FRONT = 0.05  # of the range of sight more to cells that are not known
_TOUCHING = 0.95  # nearness of a vehicle beside
_FLY = ((1, 0), (-1, 0), (0, 1), (0, -1), (0, 0))


def cross(view: View) -> Array:
    """Gives way to those who have come farther, and never enters where somebody is.

    Made for ``vehicle_intersection``, for the default range of sight, speed and brake.
    """
    seen = view.observations
    speed, conflicts = seen[..., 0], seen[..., 5:].reshape(*seen.shape[:2], -1, 3)
    way, inside, occupied = 1 - conflicts[..., 0], conflicts[..., 0] >= 1, conflicts[..., 1] >= 1
    farther = conflicts[..., 2] > 0
    yields = np.where(inside, farther & occupied, (farther | occupied) & (conflicts[..., 0] > 0))
    needed = _ROOM + _STOPPING * speed * speed
    stops = (yields & (way < needed[..., None])).any(-1)
    pedal = np.where(stops, -1.0, 1.0)
    if view.continuous:
        return np.stack([pedal, seen[..., 3]], -1).astype(np.float32)
    chosen: Array = (1 + pedal).astype(np.int64)
    return chosen


def keep_gap(view: View) -> Array:
    """Corrects gap and speed.

    Made for ``vehicle_platoon``, for the default ranges, gas and brake. With the law ``a = (v_ahead
    - v + gap - wanted) / h`` of Ioannou and Chien 1993 (Autonomous intelligent cruise control) a
    speed answers that of the vehicle ahead without overshooting it, where ``h`` is no longer than
    the time gap: the platoon is string stable.
    """
    seen = view.observations
    wanted = (GAP_RANGE * seen[..., 0] + SPEED_RANGE * seen[..., 1]) / _HEADWAY
    pedal = np.clip(np.where(wanted > 0, wanted / _GAS, wanted / _BRAKE), -1, 1)
    if view.continuous:
        return pedal[..., None].astype(np.float32)
    chosen: Array = np.abs(pedal[..., None] - np.array(PEDALS)).argmin(-1)
    return chosen


def escort(view: View) -> Array:
    """Drones fly ahead of the convoy within its radio's reach; vehicles pass what they are told of.

    Made for ``convoy_escort``, for the default distances.
    """
    seen = view.observations
    drives = np.abs(seen[..., 3]) == 1  # the lane that a vehicle aims at; no drone sees such a 1
    fly, drive = _scout(seen), _follow(seen)
    if view.continuous:
        pedal, left = drive
        steer = np.where(left, seen[..., 5], seen[..., 4])
        numbers = np.where(drives[..., None], np.stack([pedal, steer], -1), fly)
        return np.clip(numbers, -1, 1).astype(np.float32)
    chosen: Array = np.where(drives, _drive_action(seen, *drive), _fly_action(seen, fly))
    return chosen


def _scout(seen: Array) -> Array:
    """Velocities ``(..., 2)`` of drones, over their greatest, to a place ahead of the convoy."""
    front, there, mate = seen[..., 2], seen[..., 5] > 0, seen[..., 9]
    lead = np.where(mate > 0, _SECOND, _FIRST)  # who sees a mate ahead stays behind it
    along = np.where(there, 4 * (front + lead + 0.2 * seen[..., 4]), -0.5)
    wanted = np.clip(np.stack([along, -4 * seen[..., 6]], -1), -1, 1)
    found: Array = np.clip(wanted - 2 * seen[..., 9:11], -1, 1)
    return found


def _follow(seen: Array) -> tuple[Array, Array]:
    """Pedals ``(...)`` of vehicles, and whether they take the left lane."""
    speed, hazard, unknown, near = seen[..., 0], seen[..., 6:8], seen[..., 8:10], seen[..., 10:12]
    left = seen[..., 3] > 0
    own, other = (np.where(left, hazard[..., i], hazard[..., 1 - i]) for i in (1, 0))
    taken = np.where(left, near[..., 0], near[..., 1]) >= _TOUCHING
    changes = (own > other) & (own > 0) & ~taken
    left ^= changes
    there = seen[..., 2] > 0
    stopping = _STOP + 0.2 * speed * speed
    first = np.where(there, hazard[..., 1], hazard[..., 0])
    first = np.maximum(first, np.where(there, near[..., 1], near[..., 0]))
    blind = unknown.max(-1)
    waits = np.maximum(first, blind + _FRONT) > 1 - stopping
    crawls = waits & (left != there) & (speed < 0.4) & (blind + _FRONT <= 1 - stopping)
    return np.where(waits & ~crawls, -1.0, 1.0), left


def _drive_action(seen: Array, pedal: Array, left: Array) -> Array:
    """Vehicles' discrete actions: a change of lane first, then the pedal."""
    turns = left != (seen[..., 3] > 0)
    return np.where(turns, np.where(left, 3, 4), 1 + pedal).astype(np.int64)


def _fly_action(seen: Array, wanted: Array) -> Array:
    """Drones' discrete actions: whichever comes nearest to a wanted velocity."""
    aim = 2 * wanted - seen[..., :2]
    missing = ((aim[..., None, :] - np.array(_FLY)) ** 2).sum(-1)
    chosen: Array = missing.argmin(-1)
    return chosen
