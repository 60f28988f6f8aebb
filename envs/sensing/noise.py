"""Chance within an episode: numbers by world, episode and step, and normal deviates of them."""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, final

import numpy as np

from qmarl.seeding import philox, seed_for

if TYPE_CHECKING:
    from qmarl.types import Array

LEVELS: Final = 1 << 16
"""Draws are whole numbers below this, all equally likely."""

_AHEAD = 16  # steps per pass of the counter; a pass costs little more for 16 steps than for one


@lru_cache(maxsize=1)
def _quantiles() -> Array:
    """Standard normal quantiles at the middle of each level; they reach to 4.3 deviations."""
    quantile = NormalDist().inv_cdf
    half = [quantile((level + 0.5) / LEVELS) for level in range(LEVELS // 2)]
    found = np.array([*half, *(-number for number in reversed(half))], np.float32)
    found.flags.writeable = False
    return found


def normals(draws: Array) -> Array:
    """Standard normal float32 deviates of draws of the same shape, by inversion."""
    found: Array = np.take(_quantiles(), draws)
    return found


def happens(draws: Array, probability: float) -> Array:
    """Whether events of a probability happen, for draws of the same shape; exact to 1 / 65536."""
    found: Array = draws < round(probability * LEVELS)
    return found


@final
class StepDraws:
    """Draws for every step, the same whatever else lives in the batch.

    The draws of a step depend on the seed and on the world, its episode and the step alone. They
    are made some steps ahead: those of the episode under way, and those that the next one begins
    with.

    Args:
        seed: Seed of the batch; the stream is not that of the episodes' layouts.
        envs: ``(E,)`` global indices of the worlds.
        count: Draws ``n`` that a world needs in a step.
    """

    def __init__(self, seed: int, envs: Array, count: int) -> None:
        self._key, self._envs, self._count = seed_for(seed, "sensors"), envs, count
        worlds = len(envs)
        self._rows = np.arange(worlds)
        self._episode, self._first = np.full((2, worlds), -1, np.int64)
        # Whether the draws of this episode are there, and those of the next.
        self._stocked, self._ready = np.zeros((2, worlds), bool)
        self._now, self._next = np.zeros((2, worlds, _AHEAD, count), np.uint16)

    def begin(self, rows: Array, episodes: Array) -> None:
        """Starts episodes ``(k,)`` in worlds ``rows``."""
        self._stocked[rows] = self._ready[rows] & (episodes == self._episode[rows] + 1)
        self._now[rows] = self._next[rows]
        self._ready[rows] = False
        self._episode[rows], self._first[rows] = episodes, 0

    def take(self, rows: Array, steps: Array) -> Array:
        """The draws of some worlds.

        Args:
            rows: ``(k,)`` positions in the batch.
            steps: ``(E,)`` step of every world's episode.

        Returns:
            ``(k, n)`` uint16.
        """
        ahead = (steps - self._first)[rows]
        if not self._stocked[rows].all() or (ahead >= _AHEAD).any():
            self._refill(steps)
            ahead = np.zeros(len(rows), np.int64)
        found: Array = self._now[rows, ahead]
        return found

    def _refill(self, steps: Array) -> None:
        self._first = steps.copy()
        self._now = self._draw(self._rows, self._episode, steps)
        used = np.flatnonzero(~self._ready)
        self._next[used] = self._draw(used, self._episode[used] + 1, np.zeros_like(used))
        self._stocked[:] = self._ready[:] = True

    def _draw(self, rows: Array, episodes: Array, first: Array) -> Array:
        """Draws ``(k, steps ahead, n)`` from step ``first`` on."""
        blocks = -(-self._count // 8)
        counters = np.empty((len(rows), _AHEAD, blocks, 4), np.uint64)
        counters[..., 0] = np.arange(blocks)
        counters[..., 1] = self._envs[rows, None, None]
        counters[..., 2] = episodes[:, None, None]
        counters[..., 3] = (first[:, None] + np.arange(_AHEAD))[..., None]
        words = philox(counters, self._key)
        halves = np.stack([words & (LEVELS - 1), words >> 16], -1).astype(np.uint16)
        return halves.reshape(len(rows), _AHEAD, 8 * blocks)[..., : self._count]
