"""Moves in Gymnasium's spaces, made of one choice or of numbers within [-1, 1]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Protocol, final

import numpy as np

if TYPE_CHECKING:
    from qmarl.types import Array

MOST_CHOICES = 256
"""Most combinations of a ``MultiDiscrete`` or ``MultiBinary`` action that become one choice."""


class Mover(Protocol):
    """Makes moves of one action space.

    Attributes:
        count: How many choices there are, 0 where actions are numbers.
        size: How many numbers an action has, 0 where it is a choice.
    """

    @property
    def count(self) -> int:
        """How many choices there are, 0 where actions are numbers."""
        ...

    @property
    def size(self) -> int:
        """How many numbers an action has, 0 where it is a choice."""
        ...

    def move(self, action: Array) -> Any:
        """Returns the move of a choice, or of numbers within [-1, 1] (``(size,)``)."""
        ...

    def mask(self, given: Any) -> Array:
        """Returns a mask in the space's own shape as ``(count,)`` bool."""
        ...


@final
@dataclass(frozen=True)
class _Pick:
    """One of ``count`` choices."""

    count: int
    start: int
    size: int = 0

    def move(self, action: Array) -> Any:
        return int(action) + self.start

    def mask(self, given: Any) -> Array:
        return _mask(given, self.count)


@final
@dataclass(frozen=True)
class _Combination:
    """Several choices at once, counted through with the last one running fastest."""

    counts: tuple[int, ...]
    starts: Array
    dtype: Any
    size: int = 0

    @property
    def count(self) -> int:
        return prod(self.counts)

    def move(self, action: Array) -> Any:
        parts = np.array(np.unravel_index(int(action), self.counts)).reshape(self.starts.shape)
        return (parts + self.starts).astype(self.dtype)

    def mask(self, given: Any) -> Array:
        if not isinstance(given, tuple | list):
            return _mask(given, self.count)
        allowed: Array = np.ones(1, bool)
        for part, count in zip(given, self.counts, strict=True):
            allowed = (allowed[:, None] & _mask(part, count)).ravel()
        return allowed


@final
@dataclass(frozen=True)
class _Scaled:
    """Numbers, from [-1, 1] to the bounds of the space."""

    low: Array
    high: Array
    count: int = 0

    @property
    def size(self) -> int:
        return int(self.low.size)

    def move(self, action: Array) -> Any:
        low, high = self.low.astype(np.float64), self.high.astype(np.float64)
        share = (action.astype(np.float64).reshape(low.shape) + 1) / 2
        found = np.clip(low + share * (high - low), low, high)
        whole = self.low.dtype.kind in "iu"
        return (np.rint(found) if whole else found).astype(self.low.dtype)

    def mask(self, given: Any) -> Array:  # noqa: ARG002 - numbers are not masked
        return np.ones(0, bool)


def mover(space: Any) -> Mover:
    """Returns what makes moves of a space.

    Args:
        space: ``Discrete``, ``Box`` with finite bounds, or a ``MultiDiscrete`` or ``MultiBinary``
            of at most :data:`MOST_CHOICES` combinations.

    Raises:
        ValueError: Any other space.
    """
    kind = type(space).__name__
    if kind == "Discrete":
        return _Pick(int(space.n), int(space.start))
    if kind == "Box":
        if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
            raise ValueError("its bounds must be finite")
        return _Scaled(space.low, space.high)
    if kind in ("MultiDiscrete", "MultiBinary"):
        binary = kind == "MultiBinary"
        starts = np.zeros(space.shape, np.int64) if binary else np.asarray(space.start)
        counts = (2,) * starts.size if binary else tuple(np.ravel(space.nvec).tolist())
        if prod(counts) > MOST_CHOICES:
            raise ValueError(
                f"it has {prod(counts)} combinations, at most {MOST_CHOICES} can be one choice"
            )
        return _Combination(counts, starts, space.dtype)
    raise ValueError("supported are Discrete, MultiDiscrete, MultiBinary and Box")


def _mask(given: Any, count: int) -> Array:
    array = np.ravel(np.asarray(given)).astype(bool)
    if array.size != count:
        raise ValueError(f"has a mask of {array.size} entries for {count} actions")
    return array


def masked(space: Any) -> bool:
    """Whether observations of a space carry an ``action_mask``."""
    return type(space).__name__ == "Dict" and "action_mask" in space.spaces


def given_mask(observation: Any, info: Mapping[str, Any], carried: bool) -> Any:
    """Returns the mask that came with an observation or in the infos, ``None`` where none did."""
    return observation["action_mask"] if carried else info.get("action_mask")
