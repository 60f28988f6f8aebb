"""Point masses: drones that follow a velocity command with a first-order lag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, final

import numpy as np
from pydantic import Field

from envs.backends.randomisation import CommandDelay, Conditions, RandomisationConfig
from envs.backends.wind import Wind, WindConfig
from qmarl.config import Section
from qmarl.errors import ConfigurationError

if TYPE_CHECKING:
    from envs.bodies import Start
    from qmarl.types import Array


class PointConfig(Section):
    """Settings of the point-mass backend."""

    dt: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Seconds per step."""
    response: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the gap to the commanded velocity that is closed in one step."""
    drag: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Deceleration per speed through the air, 1/s."""
    quadratic_drag: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Deceleration per squared speed through the air, 1/m."""


@final
class PointBackend:
    """``E`` worlds of ``A`` point masses in a box, without gravity.

    One step is ``v += response * (command - v)``; then drag divides the speed through the air
    ``u`` by ``1 + dt (drag + quadratic_drag |u|)``; then ``p += dt * v``. Who reaches a wall stays
    on it and loses the velocity's component across it. Bodies do not push each other: what a
    contact means is the task's affair.

    Args:
        config: Time step, response and drag.
        shape: ``(E, A)``.
        arena: ``(2, 3)`` lower and upper corner in metres.
        wind: The wind; still air when left out.
        randomisation: What differs from episode to episode; nothing when left out.

    Attributes:
        dt: Seconds per step.
        draws: Uniform numbers that an episode needs.
        position: ``(E, A, 3)`` float32 metres.
        velocity: ``(E, A, 3)`` float32 m/s.
        heading: ``(E, A)`` float32 radians, as it was at the start: a point has no front.

    Raises:
        ConfigurationError: There is wind but no drag for it to act by.
    """

    def __init__(
        self,
        config: PointConfig,
        shape: tuple[int, int],
        arena: Array,
        wind: WindConfig | None = None,
        randomisation: RandomisationConfig | None = None,
    ) -> None:
        spread = randomisation or RandomisationConfig()
        self.dt, self._config = config.dt, config
        self.position: Array = np.zeros((*shape, 3), np.float32)
        self.velocity: Array = np.zeros((*shape, 3), np.float32)
        self.heading: Array = np.zeros(shape, np.float32)
        self._low, self._high = arena.astype(np.float32)
        self._conditions = Conditions(spread, shape)
        self._wind = Wind(wind or WindConfig(), shape[0], config.dt)
        self._delay = CommandDelay(spread.latency, shape)
        self._dragged = config.drag + config.quadratic_drag > 0
        if self._wind.draws and not self._dragged:
            raise ConfigurationError(
                "env.wind.speed moves point masses by their drag alone, and they have none: "
                "set env.point.drag or env.point.quadratic_drag above 0"
            )
        self._steady = spread.lag == (1.0, 1.0)
        self.draws = self._conditions.draws + self._wind.draws
        self._settle()

    def place(self, rows: Array, start: Start, uniform: Array) -> None:
        """Puts the bodies of some worlds at their start; see :class:`envs.batch.Backend`."""
        conditions = self._conditions
        conditions.begin(rows, uniform[:, : conditions.draws])
        self._wind.begin(rows, uniform[:, conditions.draws :], conditions.wind[rows])
        if conditions.draws:
            self._settle()
        self.position[rows] = start.position
        ahead = np.stack([np.cos(start.heading), np.sin(start.heading), 0 * start.heading], -1)
        self.velocity[rows] = start.speed[..., None] * ahead
        self.heading[rows] = start.heading
        self._delay.fill(rows, self.velocity[rows])

    def advance(self, command: Array, moving: Array) -> None:
        """Moves the bodies by one step.

        Args:
            command: ``(E, A, 3)`` velocities in m/s.
            moving: ``(E, A)`` bool; the others stand still.
        """
        velocity = self.velocity
        due = self._delay.pass_on(command, self._conditions.latency)
        velocity += self._response * (due - velocity)
        if self._dragged:
            self._drift()
        velocity *= moving[..., None]
        free = self.position + np.float32(self.dt) * velocity
        self.position = np.clip(free, self._low, self._high)
        velocity *= self.position == free

    def close(self) -> None:
        """Lets go of nothing: the backend lives in this process."""

    def _drift(self) -> None:
        """Lets the air slow the bodies down; stable whatever the drag is."""
        air = self._wind.blow().T[:, None]
        through = self.velocity - air
        x, y, z = np.moveaxis(through, -1, 0)
        speed = np.sqrt(x * x + y * y + z * z)
        rate = self._config.drag + self._config.quadratic_drag * speed
        through /= (1 + self.dt * self._share * rate)[..., None]
        np.add(air, through, out=self.velocity)

    def _settle(self) -> None:
        """Works out what follows from the conditions."""
        conditions = self._conditions
        self._share: Array = conditions.drag / conditions.mass
        self._response: Array = np.asarray(self._config.response, np.float32)
        if not self._steady:
            self._response = (1 - (1 - self._response) ** (1 / conditions.lag))[..., None]
