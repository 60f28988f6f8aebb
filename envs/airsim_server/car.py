"""A car of the simulator: throttle, brake, wheel and gears over the backend ``bicycle``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, final

import numpy as np

from envs.airsim_server.flyers import SECOND
from envs.airsim_wire.structs import CarControls
from envs.backends.bicycle import Bicycle
from envs.bodies import Start

if TYPE_CHECKING:
    from envs.backends.bicycle import BicycleConfig
    from qmarl.types import Array

MAX_RPM: Final = 7500.0
"""Revolutions per minute at the end of a gear."""

_IDLE_RPM: Final = 800.0
_GEARS: Final = (0.0, 6.0, 12.0, 19.0, 28.0)  # m/s from which the automatic gear is used
_ROWS: Final = np.zeros(1, np.int64)
_NOTHING: Final = np.zeros((1, 0))
_MOVING: Final = np.ones((1, 1), bool)


@final
class Car:
    """One car; a call of :meth:`advance` is one step of :class:`envs.backends.bicycle.Bicycle`.

    Full throttle is the greatest acceleration, full brake or the handbrake the greatest
    deceleration, and full steering the greatest steering angle; AirSim steers to the right. In
    reverse (manual gear -1, or negative throttle) the same bicycle drives with its front behind.

    Args:
        config: The vehicle.
        box: ``(2, 3)`` lower and upper corner of where it can be, m, in our frame.

    Attributes:
        controls: What the driver does.
        position: ``(3,)`` float32 m.
        velocity: ``(3,)`` float32 m/s.
        acceleration: ``(3,)`` float32 m/s^2, the mean of the last step.
        heading: rad, counter-clockwise seen from above.
        speed: m/s, negative in reverse.
        yaw_rate: rad/s, the mean of the last step.
        longest: Nanoseconds that may pass in one call of :meth:`advance`.
    """

    def __init__(self, config: BicycleConfig, box: Array) -> None:
        self._config, self._box = config, box
        self._bicycles: dict[int, Bicycle] = {}
        self.longest = round(config.dt * SECOND)
        self.controls = CarControls()
        self.position: Array = np.zeros(3, np.float32)
        self.velocity: Array = np.zeros(3, np.float32)
        self.acceleration: Array = np.zeros(3, np.float32)
        self.heading = self.speed = self.yaw_rate = 0.0
        self._steer = np.float32(0)

    @property
    def gear(self) -> int:
        """-1 in reverse, 0 at rest, and from 1 up; the manual one if there is."""
        if self.controls.is_manual_gear:
            return self.controls.manual_gear
        if abs(self.speed) < 0.01:
            return 0
        return -1 if self.speed < 0 else sum(self.speed >= limit for limit in _GEARS)

    @property
    def rpm(self) -> float:
        """Revolutions of the engine per minute."""
        upper = [*_GEARS[1:], self._config.max_speed]
        top = upper[max(0, min(self.gear, len(_GEARS)) - 1)]
        return _IDLE_RPM + (MAX_RPM - _IDLE_RPM) * min(1.0, abs(self.speed) / top)

    def place(self, position: Array, heading: float) -> None:
        """Puts it at rest, wheels straight."""
        self.position[...], self.heading = position, heading
        self.velocity[...] = self.acceleration[...] = 0
        self.speed = self.yaw_rate = 0.0
        self._steer = np.float32(0)

    def halt(self, position: Array, velocity: Array) -> None:
        """Puts it where something stopped it."""
        del velocity
        self.position[...] = position
        self.velocity[...] = 0
        self.speed = 0.0

    def set_velocity(self, velocity: Array) -> None:
        """Has it roll along its heading as fast as ``(3,)`` m/s goes there."""
        ahead = np.array([math.cos(self.heading), math.sin(self.heading), 0.0])
        self.speed = float(velocity @ ahead)
        self.velocity[...] = self.speed * ahead

    def advance(self, nanoseconds: int, driven: bool) -> None:
        """Moves it by at most :attr:`longest`.

        Args:
            nanoseconds: Time that passes.
            driven: Whether the driver's controls count; if not, it rolls.
        """
        push, steer, backwards = self._wishes(driven)
        bicycle, seconds = self._bicycle(nanoseconds), nanoseconds / SECOND
        flip = math.pi if backwards else 0.0
        start = Start(
            self.position[None, None],
            np.full((1, 1), self.heading + flip, np.float32),
            np.full((1, 1), abs(self.speed), np.float32),
        )
        bicycle.place(_ROWS, start, _NOTHING)
        bicycle.steer[...] = -self._steer if backwards else self._steer
        angle = -steer if backwards else steer
        bicycle.advance(np.array([[[push, angle, 0]]], np.float32), _MOVING)
        self._read(bicycle, backwards, flip, seconds)

    def _read(self, bicycle: Bicycle, backwards: bool, flip: float, seconds: float) -> None:
        before, velocity = self.heading, bicycle.velocity[0, 0].copy()
        self.position[...] = bicycle.position[0, 0]
        self.acceleration = (velocity - self.velocity) / np.float32(seconds)
        self.velocity = velocity
        heading = float(bicycle.heading[0, 0])
        self.heading = math.remainder(heading - flip, 2 * math.pi) if backwards else heading
        self.yaw_rate = math.remainder(self.heading - before, 2 * math.pi) / seconds
        speed = float(bicycle.speed[0, 0])
        self.speed = -speed if backwards else speed
        self._steer = -bicycle.steer[0, 0] if backwards else bicycle.steer[0, 0]

    def _wishes(self, driven: bool) -> tuple[float, float, bool]:
        """Acceleration along the way it goes, steering angle to the left, and whether backwards."""
        controls = self.controls if driven else CarControls()
        throttle = max(-1.0, min(1.0, controls.throttle))
        reverse = controls.manual_gear < 0 if controls.is_manual_gear else throttle < 0
        brake = 1.0 if controls.handbrake else max(0.0, min(1.0, controls.brake))
        push = self._config.acceleration * abs(throttle) - self._config.brake * brake
        backwards = self.speed < 0 or (self.speed == 0 and reverse)
        if throttle and backwards != reverse:
            push = -self._config.brake  # it stands before it changes its way
        steer = -max(-1.0, min(1.0, controls.steering)) * self._config.max_steer
        return push, steer, backwards

    def _bicycle(self, nanoseconds: int) -> Bicycle:
        found = self._bicycles.get(nanoseconds)
        if found is None:
            if len(self._bicycles) >= 16:
                self._bicycles.clear()
            seconds = self._config.dt
            if nanoseconds != self.longest:
                seconds = nanoseconds / SECOND
            config = self._config.model_copy(update={"dt": seconds})
            found = self._bicycles[nanoseconds] = Bicycle(config, (1, 1), self._box)
        return found
