"""What the tasks with vehicles share: pedals, bodies as rectangles, and steering to a point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
from pydantic import Field

from envs.backends.bicycle import BicycleConfig

if TYPE_CHECKING:
    from qmarl.types import Array

Metres = Annotated[float, Field(gt=0, le=1000)]
Weight = Annotated[float, Field(ge=0, le=1e6)]
Positive = Annotated[float, Field(gt=0, le=1000)]
Speed = Annotated[float, Field(gt=0, le=50)]

STEERING: Final = 0.5
"""Steering angle that an action of 1 asks for, rad."""

_GONE = np.float32(1e6)  # m: the gap to what is not there


class TownBicycleConfig(BicycleConfig):
    """A car that decides five times a second."""

    dt: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Seconds per decision."""


def angle(turned: Array) -> Array:
    """The same angles within [-pi, pi], radians."""
    found: Array = turned - np.float32(2 * np.pi) * np.rint(turned / np.float32(2 * np.pi))
    return found


def speeds(velocity: Array, heading: Array) -> Array:
    """Speeds ``(...)`` in m/s along headings, of velocities ``(..., 3)``."""
    found: Array = velocity[..., 0] * np.cos(heading) + velocity[..., 1] * np.sin(heading)
    return found


def gaps(position: Array, heading: Array, sides: tuple[float, float], present: Array) -> Array:
    """How far vehicles are apart, as rectangles on the ground.

    Two rectangles touch where no side of either separates them (separating axes).

    Args:
        position: ``(E, A, 3)`` middles, m.
        heading: ``(E, A)`` rad.
        sides: Length and width, m.
        present: ``(E, A)`` bool, who is there to be met.

    Returns:
        ``(E, A, A)`` m: the widest separation along a side of one of the two, no more than their
        distance; below 0 where they overlap.
    """
    offset = position[:, None, :, :2] - position[:, :, None, :2]
    cosine, sine = np.cos(heading)[..., None], np.sin(heading)[..., None]
    ahead = np.abs(offset[..., 0] * cosine + offset[..., 1] * sine)
    aside = np.abs(offset[..., 1] * cosine - offset[..., 0] * sine)
    twist = heading[:, None] - heading[:, :, None]
    along, across = np.abs(np.cos(twist)), np.abs(np.sin(twist))
    long, wide = np.float32(sides[0] / 2), np.float32(sides[1] / 2)
    apart = np.maximum(
        ahead - (long + long * along + wide * across),
        aside - (wide + long * across + wide * along),
    )
    apart = np.maximum(apart, apart.swapaxes(1, 2))
    away = ~present[:, None] | ~present[:, :, None] | np.eye(present.shape[1], dtype=bool)
    return np.where(away, _GONE, apart)


def towards(position: Array, heading: Array, target: Array, wheelbase: float) -> Array:
    """Steering angles that drive rear axles through points on an arc: pure pursuit.

    Coulter 1992, Implementation of the pure pursuit path tracking algorithm: the arc through the
    rear axle, tangent to the heading, and through the target has curvature ``2 sin(a) / d``.

    Args:
        position: ``(..., 3)`` or ``(..., 2)`` middles of vehicles, m.
        heading: ``(...)`` rad.
        target: ``(..., 2)`` m, ahead.
        wheelbase: Distance between the axles, m.

    Returns:
        ``(...)`` rad, positive to the left.
    """
    cosine, sine = np.cos(heading), np.sin(heading)
    half = np.float32(wheelbase / 2)
    x = target[..., 0] - position[..., 0] + half * cosine
    y = target[..., 1] - position[..., 1] + half * sine
    left = y * cosine - x * sine
    square = np.maximum(x * x + y * y, np.float32(1e-3))
    found: Array = np.arctan(2 * np.float32(wheelbase) * left / square)
    return found


def pedals(action: Array, speed: Array, limits: tuple[float, float, float], dt: float) -> Array:
    """Accelerations of pedals, held so that nobody is faster than allowed.

    Args:
        action: ``(E, A)`` numbers within [-1, 1]: the brake below 0, the gas above it.
        speed: ``(E, A)`` present speeds, m/s.
        limits: Acceleration and deceleration of a full pedal in m/s^2, and the speed limit in m/s.
        dt: Seconds per step.

    Returns:
        ``(E, A)`` m/s^2.
    """
    gas, brake, fastest = limits
    wanted = np.where(action > 0, np.float32(gas), np.float32(brake)) * action
    found: Array = np.minimum(wanted, (np.float32(fastest) - speed) / np.float32(dt))
    return found
