"""Frames: AirSim's axes (north, east, down) and ours (x, y, up), attitudes, places on earth.

Ours are AirSim's turned by half a turn about north, so every conversion is a change of signs and
exact. Headings grow counter-clockwise seen from above with us, clockwise with AirSim.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from envs.airsim_wire.structs import GeoPoint, Pose, Quaternionr, Vector3r

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qmarl.types import Array

EARTH_RADIUS: Final = 6378137.0
"""Equatorial radius of the earth, m, as AirSim has it."""

_TURN: Final = np.array([1.0, -1.0, -1.0])
_TURN_ATTITUDE: Final = np.array([1.0, 1.0, -1.0, -1.0])


def turned(vector: Array) -> Array:
    """A vector ``(..., 3)`` of one of the two frames in the other one, float64."""
    found: Array = vector * _TURN
    return found


def turned_attitude(quaternion: Array) -> Array:
    """A quaternion ``(..., 4)``, scalar first, of one of the two frames in the other one."""
    found: Array = quaternion * _TURN_ATTITUDE
    return found


def vector(numbers: Array) -> Vector3r:
    """Three numbers as AirSim's struct."""
    x, y, z = (float(number) for number in numbers)
    return Vector3r(x, y, z)


def quaternion(numbers: Array) -> Quaternionr:
    """Four numbers, scalar first, as AirSim's struct."""
    w, x, y, z = (float(number) for number in numbers)
    return Quaternionr(w, x, y, z)


def numbers(given: Vector3r) -> Array:
    """AirSim's vector as ``(3,)`` float64."""
    return np.array([given.x_val, given.y_val, given.z_val])


def attitude(given: Quaternionr) -> Array:
    """AirSim's quaternion as ``(4,)`` float64 of length 1; level where it has no length."""
    found = np.array([given.w_val, given.x_val, given.y_val, given.z_val])
    size = math.sqrt(float(found @ found))
    return found / size if size > 1e-9 else np.array([1.0, 0.0, 0.0, 0.0])


def pose(position: Array, turn: Array) -> Pose:
    """A place and a quaternion as AirSim's struct."""
    return Pose(vector(position), quaternion(turn))


def from_euler(roll: float, pitch: float, yaw: float) -> Array:
    """The quaternion ``(4,)`` of yaw, then pitch, then roll, in radians."""
    cr, sr = math.cos(roll / 2), math.sin(roll / 2)
    cp, sp = math.cos(pitch / 2), math.sin(pitch / 2)
    cy, sy = math.cos(yaw / 2), math.sin(yaw / 2)
    return np.array(
        [
            cy * cp * cr + sy * sp * sr,
            cy * cp * sr - sy * sp * cr,
            cy * sp * cr + sy * cp * sr,
            sy * cp * cr - cy * sp * sr,
        ]
    )


def to_euler(turn: Array) -> tuple[float, float, float]:
    """Roll, pitch and yaw of a quaternion ``(4,)``, in radians."""
    w, x, y, z = (float(number) for number in turn)
    roll = math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    pitch = math.asin(max(-1.0, min(1.0, 2 * (w * y - z * x))))
    yaw = math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return roll, pitch, yaw


def product(one: Array, other: Array) -> Array:
    """The rotation ``other`` and then ``one``, both ``(4,)``."""
    a, b, c, d = one
    w, x, y, z = other
    return np.array(
        [
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ]
    )


def matrix(turn: Array) -> Array:
    """The rotation matrix ``(3, 3)`` of a quaternion: its columns are the body's axes."""
    w, x, y, z = (float(number) for number in turn)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def wrapped(angle: float) -> float:
    """An angle within [-pi, pi]."""
    return math.remainder(angle, 2 * math.pi)


def on_earth(ned: Iterable[float], origin: GeoPoint) -> GeoPoint:
    """The place on earth of a point, north, east and down of an origin in m."""
    north, east, down = map(float, ned)
    parallel = EARTH_RADIUS * math.cos(math.radians(origin.latitude))
    return GeoPoint(
        origin.latitude + math.degrees(north / EARTH_RADIUS),
        origin.longitude + math.degrees(east / parallel),
        origin.altitude - down,
    )


def from_earth(point: GeoPoint, origin: GeoPoint) -> Array:
    """The inverse of :func:`on_earth`."""
    parallel = EARTH_RADIUS * math.cos(math.radians(origin.latitude))
    north = math.radians(point.latitude - origin.latitude) * EARTH_RADIUS
    east = math.radians(point.longitude - origin.longitude) * parallel
    return np.array([north, east, origin.altitude - point.altitude])
