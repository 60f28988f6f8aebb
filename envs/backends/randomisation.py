"""Domain randomisation: how bodies differ from episode to episode, and late commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, final

import numpy as np
from pydantic import AfterValidator, Field

from qmarl.config import Section

if TYPE_CHECKING:
    from qmarl.types import Array


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"must be [low, high] with low <= high, got {list(value)}")
    return value


_Factor = Annotated[float, Field(gt=0, le=10)]
Range = Annotated[tuple[_Factor, _Factor], Field(strict=False), AfterValidator(_ordered)]
"""Lower and upper end of a factor that is drawn evenly in between."""


class RandomisationConfig(Section):
    """What is drawn anew in every episode: factors on the backend's own numbers.

    Each body draws its own, but for the wind, which is one for a world.
    """

    mass: Range = (1.0, 1.0)
    """Factor on the mass (drones: and inertia; vehicles: divides acceleration and braking)."""
    lag: Range = (1.0, 1.0)
    """Factor on the time that motors, or a point's velocity, take to respond; vehicles steer as
    much slower."""
    drag: Range = (1.0, 1.0)
    """Factor on the drag."""
    friction: Range = (1.0, 1.0)
    """Factor on the road's friction; vehicles alone."""
    wind: Range = (1.0, 1.0)
    """Factor on the wind's mean speed, gusts and all."""
    latency: Annotated[int, Field(ge=0, le=20)] = 0
    """Greatest number of decisions by which a body's commands come late; 0 up to it are equally
    likely, and it stays the same throughout the episode."""


@final
class Conditions:
    """The factors that hold in each episode.

    Args:
        config: Ranges.
        shape: ``(E, A)``.

    Attributes:
        draws: Uniform numbers that an episode needs; 0 when nothing varies.
        mass: ``(E, A)`` float32.
        lag: ``(E, A)`` float32.
        drag: ``(E, A)`` float32.
        friction: ``(E, A)`` float32.
        wind: ``(E,)`` float32.
        latency: ``(E, A)`` int64, decisions.
    """

    def __init__(self, config: RandomisationConfig, shape: tuple[int, int]) -> None:
        ranges = (config.mass, config.lag, config.drag, config.friction)
        factors = [np.full(shape, low, np.float32) for low, _ in ranges]
        self.mass, self.lag, self.drag, self.friction = factors
        self.wind: Array = np.full(shape[0], config.wind[0], np.float32)
        self.latency: Array = np.zeros(shape, np.int64)
        pairs = zip(factors, ranges, strict=True)
        self._varied = [(factor, ends) for factor, ends in pairs if ends[0] < ends[1]]
        self._windy = config.wind[0] < config.wind[1]
        self._config, self._agents = config, shape[1]
        per_body = len(self._varied) + (config.latency > 0)
        self.draws = per_body * self._agents + self._windy

    def begin(self, rows: Array, uniform: Array) -> None:
        """Draws the conditions of some worlds.

        Args:
            rows: ``(k,)`` positions in the batch.
            uniform: ``(k, draws)`` numbers in [0, 1).
        """
        if not self.draws:
            return
        blocks = uniform[:, int(self._windy) :].reshape(len(rows), -1, self._agents)
        for index, (factor, ends) in enumerate(self._varied):
            factor[rows] = _between(ends, blocks[:, index])
        if self._config.latency:
            self.latency[rows] = blocks[:, -1] * (self._config.latency + 1)
        if self._windy:
            self.wind[rows] = _between(self._config.wind, uniform[:, 0])


def _between(ends: tuple[float, float], uniform: Array) -> Array:
    return ends[0] + (ends[1] - ends[0]) * uniform


@final
class CommandDelay:
    """Hands commands on late, body by body.

    Args:
        most: Greatest delay in decisions; with 0 commands pass as they are.
        shape: ``(E, A)``.
        width: Numbers in a command.
    """

    def __init__(self, most: int, shape: tuple[int, int], width: int = 3) -> None:
        self._slots = most + 1
        self._ring: Array = np.zeros((self._slots, *shape, width), np.float32)
        self._worlds, self._bodies = np.ogrid[: shape[0], : shape[1]]
        self._at = 0

    def fill(self, rows: Array, command: Array) -> None:
        """Says what bodies of some worlds follow ``(k, A, width)`` before commands reach them."""
        self._ring[:, rows] = command

    def pass_on(self, command: Array, latency: Array) -> Array:
        """Takes a command and returns the one that arrives now, both ``(E, A, width)``.

        Args:
            command: What is commanded now.
            latency: ``(E, A)`` decisions by which each body's commands come late.
        """
        if self._slots == 1:
            return command
        self._at = (self._at + 1) % self._slots
        self._ring[self._at] = command
        due: Array = self._ring[(self._at - latency) % self._slots, self._worlds, self._bodies]
        return due
