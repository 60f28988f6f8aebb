"""Vehicles on level ground: a bicycle that steers, slips at a limit and never drives backwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, final

import numpy as np
from pydantic import Field

from envs.backends.randomisation import CommandDelay, Conditions, RandomisationConfig
from envs.backends.rigid import GRAVITY
from qmarl.config import Section

if TYPE_CHECKING:
    from envs.bodies import Start
    from qmarl.types import Array

_Positive = Annotated[float, Field(gt=0)]


class BicycleConfig(Section):
    """A car; the defaults are a BMW 320i, 4.51 m long and 1.61 m wide.

    Numbers are those of vehicle 2 in Althoff, Koschi and Manzinger 2017 (CommonRoad: composable
    benchmarks for motion planning on roads), whose kinematic single-track model this is.
    """

    dt: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Seconds per decision."""
    wheelbase: _Positive = 2.579
    """Distance between the axles, m."""
    max_steer: Annotated[float, Field(gt=0, le=1.5)] = 1.066
    """Greatest steering angle to either side, rad."""
    steer_rate: _Positive = 0.4
    """Greatest change of the steering angle, rad/s."""
    acceleration: _Positive = 11.5
    """Greatest acceleration at low speed, m/s^2."""
    brake: _Positive = 11.5
    """Greatest deceleration, m/s^2."""
    power_speed: _Positive = 7.319
    """Speed above which the engine's power limits the acceleration, m/s."""
    max_speed: _Positive = 50.8
    """Greatest speed, m/s."""
    friction: _Positive = 1.0489
    """The lateral acceleration stays below this times gravity: beyond it the vehicle slips and
    turns less than it steers."""


@final
class Bicycle:
    """``E`` worlds of ``A`` vehicles in a box; implements :class:`envs.batch.Backend`.

    Kinematic single-track model: the rear axle does not slip sideways, so that it drives circles of
    radius ``wheelbase / tan(steering angle)``; the vehicle's position is the middle between the
    axles. Within a decision speed and steering angle are taken at their mean, and the arc between
    two headings is exact. A vehicle that reaches a wall stands there.

    Args:
        config: The vehicle.
        shape: ``(E, A)``.
        arena: ``(2, 3)`` lower and upper corner in metres.
        randomisation: What differs from episode to episode; nothing when left out.

    Attributes:
        dt: Seconds per decision.
        draws: Uniform numbers that an episode needs.
        position: ``(E, A, 3)`` float32 m; the height stays as it was at the start.
        velocity: ``(E, A, 3)`` float32 m/s.
        heading: ``(E, A)`` float32 rad.
        speed: ``(E, A)`` float32 m/s of the rear axle, never below 0.
        steer: ``(E, A)`` float32 rad, positive to the left.
    """

    def __init__(
        self,
        config: BicycleConfig,
        shape: tuple[int, int],
        arena: Array,
        randomisation: RandomisationConfig | None = None,
    ) -> None:
        spread = randomisation or RandomisationConfig()
        self._config, self._conditions = config, Conditions(spread, shape)
        self._delay = CommandDelay(spread.latency, shape)
        self._low, self._high = arena.astype(np.float32)
        self.dt, self.draws = config.dt, self._conditions.draws
        self.position: Array = np.zeros((*shape, 3), np.float32)
        self.velocity: Array = np.zeros((*shape, 3), np.float32)
        self.heading, self.speed, self.steer = np.zeros((3, *shape), np.float32)
        self._cos, self._sin = np.ones(shape, np.float32), np.zeros(shape, np.float32)
        self._settle()

    def place(self, rows: Array, start: Start, uniform: Array) -> None:
        """Puts vehicles at their start, wheels straight; see :class:`envs.batch.Backend`."""
        self._conditions.begin(rows, uniform)
        if self.draws:
            self._settle()
        self.position[rows], self.heading[rows] = start.position, start.heading
        self.speed[rows] = np.clip(start.speed, 0, self._config.max_speed)
        self.steer[rows] = 0
        self._cos[rows], self._sin[rows] = np.cos(start.heading), np.sin(start.heading)
        self.velocity[rows] = 0
        self.velocity[rows, :, 0] = self.speed[rows] * self._cos[rows]
        self.velocity[rows, :, 1] = self.speed[rows] * self._sin[rows]
        self._delay.fill(rows, np.zeros_like(self.velocity[rows]))

    def advance(self, command: Array, moving: Array) -> None:
        """Moves the vehicles by one decision.

        Args:
            command: ``(E, A, 3)``: acceleration in m/s^2, steering angle in rad, and a number that
                is not used; what is beyond the vehicle's limits is held at them.
            moving: ``(E, A)`` bool; the others stand still.
        """
        due = self._delay.pass_on(command, self._conditions.latency)
        mean_speed = self._drive(due[..., 0])
        self.speed *= moving
        mean_speed *= moving
        turn = self._turn_rate(mean_speed, self._steer(due[..., 1], moving))
        self._travel(mean_speed, turn)
        inside = np.clip(self.position, self._low, self._high)
        free = (inside == self.position).all(-1)
        self.position[...] = inside
        self.speed *= free
        self.velocity *= free[..., None]

    def close(self) -> None:
        """Lets go of nothing: the backend lives in this process."""

    def _drive(self, wanted: Array) -> Array:
        """Changes the speed; returns its mean over the decision."""
        config, before = self._config, self.speed.copy()
        power = self._most * (config.power_speed / np.maximum(before, config.power_speed))
        change = np.clip(wanted, -self._least, power)
        self.speed += config.dt * change
        np.clip(self.speed, 0, config.max_speed, out=self.speed)
        before += self.speed
        before *= 0.5
        return before

    def _steer(self, wanted: Array, moving: Array) -> Array:
        """Turns the wheels; returns the mean steering angle over the decision."""
        config, before = self._config, self.steer.copy()
        goal = np.clip(wanted, -config.max_steer, config.max_steer)
        self.steer += np.clip(goal - before, -self._swing, self._swing) * moving
        before += self.steer
        before *= 0.5
        return before

    def _turn_rate(self, speed: Array, steer: Array) -> Array:
        """Yaw rate in rad/s, below what would slip."""
        most = self._grip / np.maximum(speed, 1e-3)
        return np.clip(speed * np.tan(steer) / self._config.wheelbase, -most, most)

    def _travel(self, speed: Array, turn: Array) -> None:
        """Moves along an arc of constant speed and yaw rate, and sets the velocity at its end."""
        half = (0.5 * self.dt) * turn
        square = half * half
        chord = (self.dt * speed) * (1 - square * (1 / 6 - square * (1 / 120)))  # sin(half) / half
        middle = self.heading + half
        self.heading += 2 * half
        self.heading -= np.float32(2 * np.pi) * np.rint(self.heading / np.float32(2 * np.pi))
        cos, sin = np.cos(self.heading), np.sin(self.heading)
        ahead = 0.5 * self._config.wheelbase
        x, y = self.position[..., 0], self.position[..., 1]
        x += chord * np.cos(middle) + ahead * (cos - self._cos)
        y += chord * np.sin(middle) + ahead * (sin - self._sin)
        swing = ahead * turn * (self.speed > 0)
        np.subtract(self.speed * cos, swing * sin, out=self.velocity[..., 0])
        np.add(self.speed * sin, swing * cos, out=self.velocity[..., 1])
        self._cos, self._sin = cos, sin

    def _settle(self) -> None:
        """Works out what follows from the conditions."""
        config, conditions = self._config, self._conditions
        self._most: Array = config.acceleration / conditions.mass
        self._least: Array = config.brake / conditions.mass
        self._grip: Array = config.friction * GRAVITY * conditions.friction
        self._swing: Array = config.dt * config.steer_rate / conditions.lag
