"""Different bodies in one world: backends side by side along the agent axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import numpy as np

from envs.bodies import Start

if TYPE_CHECKING:
    from envs.batch import Backend
    from qmarl.types import Array


@final
class MixedBackend:
    """Backends that share ``E`` worlds; implements :class:`envs.batch.Backend`.

    The first backend's bodies are the first agents, and so on.

    Args:
        parts: Backends of the same ``E`` and the same seconds per decision.

    Attributes:
        dt: Seconds per decision.
        draws: Uniform numbers that an episode needs, those of all parts.
        position: ``(E, A, 3)`` float32 m.
        velocity: ``(E, A, 3)`` float32 m/s.
        heading: ``(E, A)`` float32 rad.

    Raises:
        ValueError: The parts do not fit together.
    """

    def __init__(self, parts: Sequence[Backend]) -> None:
        worlds, times = {len(part.heading) for part in parts}, {part.dt for part in parts}
        if len(worlds) != 1 or len(times) != 1:
            raise ValueError(
                f"parts of a mixed backend must have the same worlds and seconds per decision, got "
                f"{sorted(worlds)} worlds and {sorted(times)} s"
            )
        ends = np.cumsum([0, *(part.heading.shape[1] for part in parts)]).tolist()
        self._parts = list(zip(parts, map(slice, ends[:-1], ends[1:]), strict=True))
        self.dt, self.draws = parts[0].dt, sum(part.draws for part in parts)
        self.position: Array = np.zeros((*worlds, ends[-1], 3), np.float32)
        self.velocity: Array = np.zeros((*worlds, ends[-1], 3), np.float32)
        self.heading: Array = np.zeros((*worlds, ends[-1]), np.float32)

    def place(self, rows: Array, start: Start, uniform: Array) -> None:
        """Puts bodies at their start; see :class:`envs.batch.Backend`."""
        used = 0
        for part, agents in self._parts:
            own = Start(start.position[:, agents], start.heading[:, agents], start.speed[:, agents])
            part.place(rows, own, uniform[:, used : used + part.draws])
            used += part.draws
        self._gather()

    def advance(self, command: Array, moving: Array) -> None:
        """Moves the bodies by one decision; each part reads ``(E, A, 3)`` in its own way."""
        for part, agents in self._parts:
            part.advance(command[:, agents], moving[:, agents])
        self._gather()

    def close(self) -> None:
        """Lets go of the parts."""
        for part, _ in self._parts:
            part.close()

    def _gather(self) -> None:
        for part, agents in self._parts:
            self.position[:, agents] = part.position
            self.velocity[:, agents] = part.velocity
            self.heading[:, agents] = part.heading
