"""Point masses: drones that follow a velocity command with a first-order lag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, final

import numpy as np
from pydantic import Field

from qmarl.config import Section

if TYPE_CHECKING:
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
        position: ``(E, A, 3)`` float32 metres.
        velocity: ``(E, A, 3)`` float32 m/s.
    """

    def __init__(self, config: PointConfig, shape: tuple[int, int], arena: Array) -> None:
        self.dt = config.dt
        self.position: Array = np.zeros((*shape, 3), np.float32)
        self.velocity: Array = np.zeros((*shape, 3), np.float32)
        self._response = np.float32(config.response)
        self._low, self._high = arena.astype(np.float32)

    def place(self, rows: Array, position: Array) -> None:
        """Puts the bodies of some worlds at rest at new positions.

        Args:
            rows: ``(k,)`` positions in the batch.
            position: ``(k, A, 3)`` metres.
        """
        self.position[rows] = position
        self.velocity[rows] = 0

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
