"""Point masses: drones that follow a velocity command with a first-order lag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, final

import numpy as np
from pydantic import Field

from qmarl.config import Section

if TYPE_CHECKING:
    from envs.bodies import Start
    from qmarl.types import Array


class PointConfig(Section):
    """Settings of the point-mass backend."""

    dt: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Seconds per step."""
    response: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the gap to the commanded velocity that is closed in one step."""


@final
class PointBackend:
    """``E`` worlds of ``A`` point masses in a box, without gravity.

    One step is ``v += response * (command - v)`` and ``p += dt * v``; who reaches a wall stays on
    it and loses the velocity's component across it. Bodies do not push each other: what a contact
    means is the task's affair.

    Args:
        config: Time step and response.
        shape: ``(E, A)``.
        arena: ``(2, 3)`` lower and upper corner in metres.

    Attributes:
        dt: Seconds per step.
        draws: 0, there are no conditions to draw.
        position: ``(E, A, 3)`` float32 metres.
        velocity: ``(E, A, 3)`` float32 m/s.
        heading: ``(E, A)`` float32 radians, as it was at the start: a point has no front.
    """

    def __init__(self, config: PointConfig, shape: tuple[int, int], arena: Array) -> None:
        self.dt, self.draws = config.dt, 0
        self.position: Array = np.zeros((*shape, 3), np.float32)
        self.velocity: Array = np.zeros((*shape, 3), np.float32)
        self.heading: Array = np.zeros(shape, np.float32)
        self._response = np.float32(config.response)
        self._low, self._high = arena.astype(np.float32)

    def place(self, rows: Array, start: Start, uniform: Array) -> None:  # noqa: ARG002 - protocol
        """Puts the bodies of some worlds at their start; see :class:`envs.batch.Backend`."""
        self.position[rows] = start.position
        ahead = np.stack([np.cos(start.heading), np.sin(start.heading), 0 * start.heading], -1)
        self.velocity[rows] = start.speed[..., None] * ahead
        self.heading[rows] = start.heading

    def advance(self, command: Array, moving: Array) -> None:
        """Moves the bodies by one step.

        Args:
            command: ``(E, A, 3)`` velocities in m/s.
            moving: ``(E, A)`` bool; the others stand still.
        """
        velocity = self.velocity
        velocity += self._response * (command - velocity)
        velocity *= moving[..., None]
        free = self.position + np.float32(self.dt) * velocity
        self.position = np.clip(free, self._low, self._high)
        velocity *= self.position == free

    def close(self) -> None:
        """Lets go of nothing: the backend lives in this process."""
