"""Point masses of the simulator: the steps of the backend ``point``, cut to any length."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from envs.airsim_server.flyers import ATTITUDE, MOTORS, OFF, PARKED, SECOND, Flyers

if TYPE_CHECKING:
    from envs.backends.point import PointConfig
    from qmarl.types import Array

_SINKING = np.array([0, 0, -3], np.float32)  # m/s, where the rotors of one in the air stand still


@final
class Masses(Flyers):
    """``N`` point masses that follow velocities.

    A call that passes the backend's own step does what :class:`envs.backends.point.PointBackend`
    does, bit by bit. In a shorter one the velocity closes as much less of its gap. Masses are level
    and have no weight; one whose rotors stand sinks.

    Args:
        config: Step, response and drag.
        count: ``N``.
        box: ``(2, 3)`` lower and upper corner of where they can be, m.
    """

    def __init__(self, config: PointConfig, count: int, box: Array) -> None:
        super().__init__(count, box)
        self._config = config
        self.longest = round(config.dt * SECOND)
        self._position: Array = np.zeros((count, 3), np.float32)
        self._velocity: Array = np.zeros((count, 3), np.float32)
        self._acceleration: Array = np.zeros((count, 3), np.float32)
        self._heading: Array = np.zeros(count)
        self._dragged = config.drag + config.quadratic_drag > 0

    @property
    def position(self) -> Array:
        """Positions; see :class:`Flyers`."""
        return self._position

    @property
    def velocity(self) -> Array:
        """Velocities; see :class:`Flyers`."""
        return self._velocity

    @property
    def quaternion(self) -> Array:
        """Attitudes, level; see :class:`Flyers`."""
        found, half = np.zeros((self.count, 4)), self._heading / 2
        np.cos(half, out=found[:, 0])
        np.sin(half, out=found[:, 3])
        return found

    @property
    def rates(self) -> Array:
        """Rates of the heading; see :class:`Flyers`."""
        found = np.zeros((self.count, 3), np.float32)
        found[:, 2] = self.turning
        return found

    @property
    def acceleration(self) -> Array:
        """Accelerations; see :class:`Flyers`."""
        return self._acceleration

    def advance(self, nanoseconds: int) -> None:
        """Moves all; see :class:`Flyers`."""
        seconds, velocity = nanoseconds / SECOND, self._velocity
        if nanoseconds == self.longest:
            seconds = self._config.dt
        before = velocity.copy()
        velocity += self._response(nanoseconds) * (self._wanted() - velocity)
        if self._dragged:
            self._drift(seconds)
        velocity *= (self.mode != PARKED)[:, None]
        free = self._position + np.float32(seconds) * velocity
        np.maximum(free, self.box[0], out=self._position)
        np.minimum(self._position, self.box[1], out=self._position)
        velocity *= self._position == free
        self._heading += seconds * self.turning
        np.subtract(velocity, before, out=self._acceleration)
        self._acceleration /= np.float32(seconds)

    def place(self, index: int, position: Array, turn: Array) -> None:
        """Puts one somewhere; see :class:`Flyers`."""
        w, x, y, z = turn
        self._position[index] = position
        self._velocity[index] = self._acceleration[index] = 0
        self._heading[index] = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))

    def halt(self, index: int, position: Array, velocity: Array) -> None:
        """Stops one; see :class:`Flyers`."""
        self._position[index], self._velocity[index] = position, velocity

    def rotors(self, index: int) -> list[tuple[float, float, float]]:
        """Four that stand: a point has none; see :class:`Flyers`."""
        del index
        return [(0.0, 0.0, 0.0)] * 4

    def take_over(self, other: Flyers) -> None:
        """Goes on with a smaller batch; see :class:`Flyers`."""
        assert isinstance(other, Masses)
        self._copy_commands(other)
        known = slice(other.count)
        self._position[known], self._velocity[known] = other._position, other._velocity
        self._heading[known] = other._heading

    def refusal(self, mode: int) -> str:
        """Points have neither attitude nor rotors; see :class:`Flyers`."""
        if mode in (ATTITUDE, MOTORS):
            return "point masses have neither attitude nor rotors: serve with physics quad6dof"
        return ""

    def _wanted(self) -> Array:
        stands = self.mode == OFF
        if stands.any():
            return np.where(stands[:, None], _SINKING, self.velocity_command)
        return self.velocity_command

    def _response(self, nanoseconds: int) -> Array:
        """Share of the gap to the command that is closed."""
        share = self._config.response
        if nanoseconds != self.longest:
            share = 1 - (1 - share) ** (nanoseconds / self.longest)
        return np.asarray(share, np.float32)

    def _drift(self, seconds: float) -> None:
        air = self.air.T
        through = self._velocity - air
        x, y, z = through.T
        speed = np.sqrt(x * x + y * y + z * z)
        rate = self._config.drag + self._config.quadratic_drag * speed
        through /= (1 + seconds * rate)[:, None]
        np.add(air, through, out=self._velocity)
