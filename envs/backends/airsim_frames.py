"""From our axes to AirSim's and back: x, y level and z up; north, east and down.

Our x axis is north; y points west and z up. Headings count from x counter-clockwise, AirSim's yaw
from north clockwise. Both turns are half a turn about north, so the same function goes both ways.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from envs.airsim_wire.codec import WireError

if TYPE_CHECKING:
    from qmarl.types import Array

_FLIP: Final = np.array([1.0, -1.0, -1.0])
_VECTOR: Final = ("x_val", "y_val", "z_val")
_NUMBERS: Final = 10  # of a body: position, velocity, quaternion


def flipped(vectors: Array) -> Array:
    """Vectors ``(..., 3)`` in the other frame's axes, float64."""
    found: Array = vectors * _FLIP
    return found


def vector_map(numbers: Sequence[float]) -> dict[str, float]:
    """The map of a ``Vector3r``."""
    return dict(zip(_VECTOR, numbers, strict=True))


def pose_map(position: Sequence[float], heading: float) -> dict[str, Any]:
    """The map of a level ``Pose``: a place in AirSim's axes, and one of our headings in rad."""
    half = -heading / 2
    turn = {"w_val": math.cos(half), "x_val": 0.0, "y_val": 0.0, "z_val": math.sin(half)}
    return {"position": vector_map(position), "orientation": turn}


def motions(states: Sequence[Mapping[str, Any]]) -> tuple[Array, Array, Array]:
    """Reads positions, velocities and headings out of states of vehicles.

    Args:
        states: Maps of ``MultirotorState`` or ``CarState``.

    Returns:
        Positions and velocities ``(A, 3)`` float64 in AirSim's axes, positions counted from where
        each vehicle was spawned; headings ``(A,)`` rad as ours.

    Raises:
        WireError: Something is missing, no number, or not finite.
    """
    try:
        rows = [_row(state["kinematics_estimated"]) for state in states]
        found = np.array(rows, np.float64).reshape(-1, _NUMBERS)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise WireError(f"a vehicle's state cannot be read: {error!r}") from None
    if not np.isfinite(found).all():
        raise WireError("a vehicle's state holds a number that is not finite")
    w, x, y, z = found[:, 6:].T
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return found[:, :3], found[:, 3:6], -yaw


def _row(kinematics: Any) -> tuple[float, ...]:
    p, v, q = (kinematics[key] for key in ("position", "linear_velocity", "orientation"))
    x, y, z = _VECTOR
    return p[x], p[y], p[z], v[x], v[y], v[z], q["w_val"], q[x], q[y], q[z]
