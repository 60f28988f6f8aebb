"""What multirotors do: moves that hold a command for a time, and then leave the drone hovering.

Source of meanings, limits and words: AirSim 1.8.1, ``MultirotorApiBase.cpp``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, final

import numpy as np

from envs.airsim_server import frames
from envs.airsim_server.flyers import ATTITUDE, MOTORS, SECOND, VELOCITY
from envs.airsim_wire.structs import YawMode
from envs.backends.rigid import GRAVITY

if TYPE_CHECKING:
    from collections.abc import Callable

    from envs.airsim_server.vehicle import Vehicle
    from qmarl.types import Array

PERIOD: Final = SECOND // 50
"""Nanoseconds between two looks of a move that steers; AirSim's command period."""
EVER: Final = 10**9 * SECOND
"""The longest time that a move may take, ns; stands for AirSim's 3e38 s."""

_IDLE_PERIOD = SECOND // 10
_TURN_RATE = math.pi / 2  # rad/s at which a heading goes where it is wanted
_CLIMB_GAIN, _CLIMB_DAMPING, _MOST_CLIMB = 2.0, 4.0, 3.0


class Move(ABC):
    """A task that a multirotor has been given.

    Attributes:
        period: Nanoseconds between two calls of :meth:`steer`; 0 for one call alone.
        expired: What the caller is told when its time is over.
        done: Tells the caller what came of it; called once.
    """

    period = 0
    expired = True

    def __init__(self, nanoseconds: int) -> None:
        self.left = nanoseconds
        self.done: Callable[[bool], None] | None = None

    @abstractmethod
    def steer(self, vehicle: Vehicle, seconds: float) -> None:
        """Commands the vehicle for the next ``seconds``."""

    def reached(self, vehicle: Vehicle) -> bool:
        """Whether there is nothing left to do."""
        del vehicle
        return False

    def finish(self, outcome: bool) -> None:
        """Tells who waits for it."""
        if self.done is not None:
            self.done(outcome)
            self.done = None


def nanoseconds(seconds: float) -> int:
    """A duration in ns, within what a clock can count.

    Raises:
        ValueError: It is not a number.
    """
    if math.isnan(seconds):
        raise ValueError("a time must be a number")
    return round(min(max(seconds, 0.0), EVER / SECOND) * SECOND)


def fly(vehicle: Vehicle, velocity: Array, yaw: YawMode, seconds: float) -> None:
    """Commands a velocity ``(3,)`` m/s in AirSim's axes and what the heading does meanwhile."""
    flyers, index = vehicle.flyers, vehicle.index
    assert flyers is not None
    flyers.mode[index] = VELOCITY
    flyers.velocity_command[index] = frames.turned(velocity)
    flyers.turning[index] = -_turning(vehicle, yaw, seconds)


def _turning(vehicle: Vehicle, yaw: YawMode, seconds: float) -> float:
    """Rate in rad/s, clockwise."""
    wanted = math.radians(yaw.yaw_or_rate)
    if yaw.is_rate:
        return wanted
    gap = frames.wrapped(wanted - vehicle.yaw)
    rate = gap / max(seconds, 0.3)
    return max(-_TURN_RATE, min(_TURN_RATE, rate))


def lift_for(vehicle: Vehicle, down: float) -> float:
    """Share of the greatest lift that takes a drone to a height.

    Args:
        vehicle: The drone.
        down: m below where it was spawned.
    """
    assert vehicle.flyers is not None
    gap = float(vehicle.position[2]) - down
    climb = _CLIMB_DAMPING * (_CLIMB_GAIN / 2 * gap + float(vehicle.velocity[2]))
    upright = max(0.5, float(frames.matrix(vehicle.turn)[2, 2]))
    share = vehicle.flyers.hover_share() * (1 + climb / GRAVITY) / upright
    return max(0.0, min(1.0, share))


@final
class Velocity(Move):
    """Holds a velocity ``(3,)`` m/s, or, with ``down``, a level one at a height."""

    def __init__(
        self, velocity: Array, yaw: YawMode, duration: int, down: float | None = None
    ) -> None:
        super().__init__(duration)
        self._velocity, self._yaw, self._down = velocity, yaw, down
        self.period = 0 if down is None and yaw.is_rate else PERIOD

    def steer(self, vehicle: Vehicle, seconds: float) -> None:
        """Commands it; see :class:`Move`."""
        velocity = self._velocity
        if self._down is not None:
            climb = _CLIMB_GAIN * (self._down - vehicle.position[2])
            velocity = np.array([*velocity[:2], np.clip(climb, -_MOST_CLIMB, _MOST_CLIMB)])
        fly(vehicle, velocity, self._yaw, seconds)


@final
class Hover(Move):
    """Stays at a place, ``(3,)`` m from where the drone was spawned; its own by default."""

    period = _IDLE_PERIOD

    def __init__(self, place: Array, yaw: YawMode, duration: int = EVER) -> None:
        super().__init__(duration)
        self._place, self._yaw = place, yaw
        self.period = _IDLE_PERIOD if yaw.is_rate and not yaw.yaw_or_rate else PERIOD

    def steer(self, vehicle: Vehicle, seconds: float) -> None:
        """Commands it; see :class:`Move`."""
        fly(vehicle, np.clip(self._place - vehicle.position, -1, 1), self._yaw, seconds)


@final
class Rotation(Move):
    """Turns to a heading, in degrees, on the spot, to within a margin."""

    period = PERIOD
    expired = False

    def __init__(self, place: Array, yaw: YawMode, margin: float, timeout: int) -> None:
        super().__init__(timeout)
        self._place, self._yaw, self._margin = place, yaw, math.radians(max(margin, 0.1))

    def steer(self, vehicle: Vehicle, seconds: float) -> None:
        """Commands it; see :class:`Move`."""
        fly(vehicle, np.clip(self._place - vehicle.position, -1, 1), self._yaw, seconds)

    def reached(self, vehicle: Vehicle) -> bool:
        """Whether it looks there; see :class:`Move`."""
        gap = frames.wrapped(math.radians(self._yaw.yaw_or_rate) - vehicle.yaw)
        return abs(gap) <= self._margin and abs(vehicle.rates[2]) < 0.2


@final
class Landing(Move):
    """Sinks until it stands on something."""

    period = PERIOD
    expired = False
    SPEED = 0.2

    def steer(self, vehicle: Vehicle, seconds: float) -> None:
        """Commands it; see :class:`Move`."""
        fly(vehicle, np.array([0, 0, self.SPEED]), YawMode(), seconds)

    def reached(self, vehicle: Vehicle) -> bool:
        """Whether it stands; see :class:`Move`."""
        return vehicle.resting


@final
class Attitude(Move):
    """Holds roll and pitch in rad, a yaw rate, or a heading, and a throttle, or a height.

    Args:
        roll: Positive to the right.
        pitch: Positive with the nose up.
        yaw: Clockwise, rad, or rad/s where ``turns``.
        lift: Share of the greatest lift, or m below the start where ``at_height``.
        turns: Whether the heading is given as a rate.
        at_height: Whether a height is to be held.
        rolls: Whether roll and pitch are rates, rad/s.
        duration: ns.
    """

    def __init__(
        self,
        angles: tuple[float, float, float],
        lift: float,
        duration: int,
        turns: bool = False,
        at_height: bool = False,
        rolls: bool = False,
    ) -> None:
        super().__init__(duration)
        self._angles, self._lift = angles, lift
        self._turns, self._at_height, self._rolls = turns, at_height, rolls
        self.period = 0 if turns and not at_height and not rolls else PERIOD

    def steer(self, vehicle: Vehicle, seconds: float) -> None:
        """Commands it; see :class:`Move`."""
        flyers, index = vehicle.flyers, vehicle.index
        assert flyers is not None
        roll, pitch, yaw = self._angles
        if self._rolls:
            here = frames.to_euler(vehicle.turn)
            roll, pitch = here[0] + 0.2 * roll, here[1] + 0.2 * pitch
        if not self._turns:
            gap = frames.wrapped(yaw - vehicle.yaw)
            yaw = max(-_TURN_RATE, min(_TURN_RATE, gap / max(seconds, 0.3)))
        lift = lift_for(vehicle, self._lift) if self._at_height else self._lift
        flyers.mode[index] = ATTITUDE
        flyers.attitude_command[index] = roll, -pitch, -yaw, lift


@final
class Motors(Move):
    """Holds the rotors' shares of thrust: front right, rear left, front left, rear right."""

    def __init__(self, shares: tuple[float, float, float, float], duration: int) -> None:
        super().__init__(duration)
        self._shares = shares

    def steer(self, vehicle: Vehicle, seconds: float) -> None:
        """Commands it; see :class:`Move`."""
        del seconds
        assert vehicle.flyers is not None
        vehicle.flyers.mode[vehicle.index] = MOTORS
        vehicle.flyers.motor_command[vehicle.index] = self._shares
