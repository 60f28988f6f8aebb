"""What episodes begin with, drawn some episodes ahead: one pass of the counter, many resets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, final

import numpy as np

from qmarl.seeding import uniforms

if TYPE_CHECKING:
    from qmarl.types import Array

_AHEAD = 16  # episodes per pass; a pass costs little more for 16 episodes than for one


@final
class EpisodeDraws:
    """Layouts by world and episode, the same whatever else lives in the batch.

    Args:
        seed: Seed of the batch.
        envs: ``(E,)`` global indices of the worlds.
        count: How many random numbers an episode needs.
        lay_out: Makes layouts ``(n, ...)``, and numbers to hand on ``(n, m)``, of uniform numbers
            ``(n, count)`` in [0, 1), row by row.
    """

    def __init__(
        self, seed: int, envs: Array, count: int, lay_out: Callable[[Array], tuple[Array, Array]]
    ) -> None:
        self._seed, self._envs, self._count, self._lay_out = seed, envs, count, lay_out
        self._latest = np.zeros(len(envs), np.int64)
        self._draw()

    def take(self, rows: Array, episodes: Array) -> tuple[Array, Array]:
        """Returns layouts ``(k, ...)`` and numbers ``(k, m)`` for the given episode of each row.

        Args:
            rows: ``(k,)`` positions in the batch.
            episodes: ``(k,)`` episode of each; never one before an episode already taken.
        """
        self._latest[rows] = episodes
        if (episodes - self._first[rows] >= _AHEAD).any():
            self._draw()
        ahead = episodes - self._first[rows]
        return self._layouts[rows, ahead], self._numbers[rows, ahead]

    def _draw(self) -> None:
        self._first = self._latest.copy()
        episodes = self._first[:, None] + np.arange(_AHEAD)
        envs = np.repeat(self._envs, _AHEAD)
        numbers = uniforms(self._seed, envs, episodes.ravel(), self._count)
        layouts, handed = self._lay_out(numbers)
        shape = len(self._envs), _AHEAD
        self._layouts: Array = layouts.reshape(*shape, *layouts.shape[1:])
        self._numbers: Array = handed.reshape(*shape, -1)
