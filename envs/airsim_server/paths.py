"""Flying along a path: a point that runs ahead on it, and a drone that flies after the point."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, final

import numpy as np

from envs.airsim_server.moves import PERIOD, Move, fly
from envs.airsim_wire.structs import Drivetrain, YawMode

if TYPE_CHECKING:
    from envs.airsim_server.vehicle import Vehicle
    from qmarl.types import Array

ACCURACY: Final = 0.5
"""What AirSim takes to be near, m; looking ahead less than this is refused."""

_ARRIVED = 0.1  # m
_BRAKING = 1.0  # 1/s, speed per distance that is left
_NOWHERE = (0.0, 0.0, 0.0)


def look_ahead(given: float, adaptive: float, speed: float) -> float:
    """How far ahead on the path a drone looks, m; AirSim's own choice for a negative number.

    Raises:
        ValueError: It is 0 or too short, in AirSim's words.
    """
    step = speed * 0.02
    if given == 0:
        raise ValueError("lookahead distance cannot be 0")
    if given < 0:
        return max(step * (1.5 if adaptive > 0 else 40), 1.5 * ACCURACY)
    if step > given:
        raise ValueError(
            f"lookahead value {given:f} is too small for velocity {speed:f}. It must be at least "
            f"{step:f}"
        )
    if given < ACCURACY:
        raise ValueError(
            f"lookahead value {given:f} is smaller than drone's distance accuracy {ACCURACY:f}."
        )
    return given


@final
class Path(Move):
    """Flies from where the drone is through some points, and slows down before the last one.

    Args:
        points: ``(k, 3)`` m from where the drone was spawned, the first one where it is.
        speed: m/s.
        timeout: ns.
        yaw: What the heading does, in degrees; an angle is added to the direction of the flight
            where the drive is ``FORWARD_ONLY``.
        drivetrain: Whether the drone looks where it flies.
        ahead: How far ahead on the path it looks, m.
    """

    period = PERIOD
    expired = False

    def __init__(
        self,
        points: Array,
        speed: float,
        timeout: int,
        yaw: YawMode,
        drivetrain: int,
        ahead: float,
    ) -> None:
        super().__init__(timeout)
        self._points, self._speed, self._ahead = points, speed, ahead
        self._yaw, self._forward = yaw, drivetrain == Drivetrain.FORWARD_ONLY and not yaw.is_rate
        along = np.diff(points, axis=0)
        self._lengths: Array = np.linalg.norm(along, axis=1)
        self._ways: Array = along / np.maximum(self._lengths, 1e-9)[:, None]
        self._marks: Array = np.concatenate([[0.0], np.cumsum(self._lengths)])
        self._along = 0.0

    def steer(self, vehicle: Vehicle, seconds: float) -> None:
        """Commands it; see :class:`Move`."""
        here = vehicle.position
        self._advance(here)
        whole = float(self._marks[-1])
        toward = self._at(min(self._along + self._ahead, whole)) - here
        distance = math.dist(toward, _NOWHERE)
        rest = max(whole - self._along, math.dist(self._end, here))
        speed = min(self._speed, _BRAKING * rest + 0.05)
        velocity = toward * (speed / max(distance, 1e-6))
        fly(vehicle, velocity, self._heading(toward), seconds)

    def reached(self, vehicle: Vehicle) -> bool:
        """Whether it is at the end; see :class:`Move`."""
        near = math.dist(self._end, vehicle.position) < _ARRIVED
        return near and self._along >= self._marks[-1] - _ARRIVED - 1e-9

    @property
    def _end(self) -> Array:
        end: Array = self._points[-1]
        return end

    def _heading(self, toward: Array) -> YawMode:
        if not self._forward:
            return self._yaw
        if math.hypot(toward[0], toward[1]) <= ACCURACY:
            return YawMode(True, 0.0)
        course = math.degrees(math.atan2(toward[1], toward[0]))
        return YawMode(False, self._yaw.yaw_or_rate + course)

    def _at(self, along: float) -> Array:
        """The point at a length along the path."""
        segment = min(int(np.searchsorted(self._marks, along, "right")), len(self._ways)) - 1
        place: Array = self._points[segment] + (along - self._marks[segment]) * self._ways[segment]
        return place

    def _advance(self, here: Array) -> None:
        """Goes on along the path to the point nearest to the drone, within what it looks ahead."""
        apart = here - self._points[:-1]
        inside = np.clip((apart * self._ways).sum(1), 0, self._lengths)
        marks = self._marks[:-1] + inside
        distance = ((apart - inside[:, None] * self._ways) ** 2).sum(1)
        far = (marks < self._along) | (marks > self._along + self._ahead)
        nearest = int((distance + far * 1e12).argmin())
        if not far[nearest]:
            self._along = float(marks[nearest])
