"""The arrays in which copies of a foreign world are told: one buffer that processes can share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import prod
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from envs.world import View

if TYPE_CHECKING:
    from envs.world import WorldSpec
    from qmarl.types import Array


@dataclass(frozen=True)
class Page:
    """What the agents of ``E`` copies see, in arrays that are written over and over.

    Attributes:
        observations: ``(E, A, D)`` float32.
        state: ``(E, S)`` float32.
        alive: ``(E, A)`` bool.
        action_mask: ``(E, A, N)`` bool.
    """

    observations: Array
    state: Array
    alive: Array
    action_mask: Array

    def copy(self) -> View:
        """Returns what stands here in arrays of its own."""
        return View(
            self.observations.copy(), self.state.copy(), self.alive.copy(), self.action_mask.copy()
        )

    def rows(self, part: slice) -> Page:
        """Returns the same arrays for some of the copies."""
        return Page(
            self.observations[part], self.state[part], self.alive[part], self.action_mask[part]
        )


@dataclass(frozen=True)
class Block:
    """All that passes between the copies and the world.

    Attributes:
        actions: ``(E, A)`` int64, or ``(E, A, C)`` float32; written by the world.
        after: What agents see next, after a reset where an episode ended.
        final: What they would have seen without it.
        rewards: ``(E, A)`` float32.
        terminated: ``(E, A)`` bool.
        truncated: ``(E, A)`` bool.
        ended: ``(E,)`` bool.
        outcomes: ``(E, K)`` float32, valid where ``ended``.
    """

    actions: Array
    after: Page
    final: Page
    rewards: Array
    terminated: Array
    truncated: Array
    ended: Array
    outcomes: Array

    @classmethod
    def over(cls, buffer: Any, spec: WorldSpec, count: int) -> Self:
        """Lays the arrays of ``count`` copies over a writable buffer.

        Args:
            buffer: At least :func:`bytes_of` bytes.
            spec: The world.
            count: Number ``E`` of copies.
        """
        arrays, at = [], 0
        for shape, kind in _shapes(spec, count):
            array = np.frombuffer(buffer, kind, prod(shape), at).reshape(shape)
            arrays.append(array)
            at += _padded(array.nbytes)
        actions, *pages = arrays
        return cls(actions, Page(*pages[:4]), Page(*pages[4:8]), *pages[8:])

    def rows(self, part: slice) -> Block:
        """Returns the same arrays for some of the copies."""
        return Block(*(_rows(getattr(self, field.name), part) for field in fields(self)))


def bytes_of(spec: WorldSpec, count: int) -> int:
    """Returns how many bytes ``count`` copies need."""
    sizes = [prod(shape) * np.dtype(kind).itemsize for shape, kind in _shapes(spec, count)]
    return sum(map(_padded, sizes)) + 1


def _shapes(spec: WorldSpec, count: int) -> list[tuple[tuple[int, ...], str]]:
    agents = count, len(spec.agents)
    choices, numbers = max(spec.action_counts), max(spec.action_sizes, default=0)
    page: list[tuple[tuple[int, ...], str]] = [
        ((*agents, max(spec.observation_sizes)), "f4"),
        ((count, spec.state_size), "f4"),
        (agents, "?"),
        ((*agents, choices), "?"),
    ]
    actions = ((*agents, numbers), "f4") if spec.continuous else (agents, "i8")
    flags = [(agents, "f4"), (agents, "?"), (agents, "?"), ((count,), "?")]
    return [actions, *page, *page, *flags, ((count, len(spec.outcomes)), "f4")]


def _padded(size: int) -> int:
    return -(-size // 64) * 64


def _rows(part: Array | Page, rows: slice) -> Any:
    return part.rows(rows) if isinstance(part, Page) else part[rows]
