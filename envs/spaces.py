"""What is seen in Gymnasium's spaces as one vector of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Protocol, final

import numpy as np

if TYPE_CHECKING:
    from qmarl.types import Array

MOST_KINDS = 4096
"""Most kinds of values of a ``Discrete`` or ``MultiDiscrete`` observation."""
_MOST_COLOURS = 4


@dataclass(frozen=True)
class Pictures:
    """What is done to pictures, which are uint8 arrays ``(H, W)`` or ``(H, W, 1 to 4)``.

    Attributes:
        resize: Height and width after averaging over areas, or ``None``.
        grayscale: Whether the colours are averaged.
    """

    resize: tuple[int, int] | None = None
    grayscale: bool = False


class Reader(Protocol):
    """Reads values of one observation space.

    Attributes:
        size: Length of the vector.
        pictures: How many pictures are in it.
    """

    @property
    def size(self) -> int:
        """Length of the vector."""
        ...

    @property
    def pictures(self) -> int:
        """How many pictures are in it."""
        ...

    def read(self, value: Any) -> Array:
        """Returns a value as ``(size,)`` float32; ``ValueError`` where it is not of the space."""
        ...


@final
@dataclass(frozen=True)
class _Numbers:
    """Numbers as they are."""

    shape: tuple[int, ...]
    pictures: int = 0

    @property
    def size(self) -> int:
        return prod(self.shape)

    def read(self, value: Any) -> Array:
        return _shaped(value, self.shape).astype(np.float32).ravel()


@final
@dataclass(frozen=True)
class _Bytes:
    """Bytes, scaled from their bounds to [0, 1]; pictures also smaller and without colour."""

    low: Array
    high: Array
    rows: Array | None = None
    columns: Array | None = None
    grayscale: bool = False
    pictures: int = 0

    @property
    def size(self) -> int:
        return self.read(self.low).size

    def read(self, value: Any) -> Array:
        low, high = self.low.astype(np.float32), self.high.astype(np.float32)
        seen = (_shaped(value, low.shape) - low) / np.maximum(high - low, 1)
        if self.grayscale and seen.ndim == 3:
            seen = seen.mean(-1)
        if self.rows is not None and self.columns is not None:
            seen = np.einsum("rh,hw...->rw...", self.rows, seen)
            seen = np.einsum("cw,rw...->rc...", self.columns, seen)
        return np.asarray(seen, np.float32).ravel()


@final
@dataclass(frozen=True)
class _Choice:
    """Whole numbers, each as a vector with a single 1."""

    counts: tuple[int, ...]
    starts: tuple[int, ...]
    shape: tuple[int, ...]
    pictures: int = 0

    @property
    def size(self) -> int:
        return sum(self.counts)

    def read(self, value: Any) -> Array:
        chosen = _shaped(value, self.shape).ravel() - np.array(self.starts)
        if ((chosen < 0) | (chosen >= self.counts) | (chosen % 1 != 0)).any():
            last = [start + n - 1 for start, n in zip(self.starts, self.counts, strict=True)]
            raise ValueError(f"is {value}, allowed are {list(self.starts)} to {last}")
        seen = np.zeros(self.size, np.float32)
        seen[(np.cumsum((0, *self.counts[:-1])) + chosen).astype(int)] = 1
        return seen


@final
@dataclass(frozen=True)
class _Parts:
    """Several readers, one after another."""

    parts: tuple[tuple[Any, Reader], ...]

    @property
    def size(self) -> int:
        return sum(part.size for _, part in self.parts)

    @property
    def pictures(self) -> int:
        return sum(part.pictures for _, part in self.parts)

    def read(self, value: Any) -> Array:
        try:
            found = [part.read(value[key]) for key, part in self.parts]
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"lacks a part of its space: {error!r}") from error
        return np.concatenate(found) if found else np.zeros(0, np.float32)


def reader(space: Any, pictures: Pictures) -> Reader:
    """Returns what reads values of a space; parts of a ``Dict`` come in the order of their keys.

    Args:
        space: ``Box``, ``Discrete``, ``MultiBinary``, ``MultiDiscrete``, or a ``Dict`` or ``Tuple``
            of them.
        pictures: What is done to pictures.

    Raises:
        ValueError: Values of the space have no fixed length.
    """
    kind = type(space).__name__
    if kind == "Box":
        return _box(space, pictures)
    if kind == "MultiBinary":
        return _Numbers(tuple(space.shape))
    if kind == "Discrete":
        return _choice([int(space.n)], [int(space.start)], ())
    if kind == "MultiDiscrete":
        counts, starts = np.ravel(space.nvec).tolist(), np.ravel(space.start).tolist()
        return _choice(counts, starts, tuple(space.shape))
    if kind == "Dict":
        inner = sorted((key, part) for key, part in space.spaces.items() if key != "action_mask")
        return _Parts(tuple((key, reader(part, pictures)) for key, part in inner))
    if kind == "Tuple":
        return _Parts(tuple((i, reader(part, pictures)) for i, part in enumerate(space.spaces)))
    raise ValueError(
        "supported are Box, Discrete, MultiBinary, MultiDiscrete, and Dict and Tuple of them"
    )


def _choice(counts: list[int], starts: list[int], shape: tuple[int, ...]) -> Reader:
    if sum(counts) > MOST_KINDS:
        raise ValueError(
            f"it has {sum(counts)} kinds of values, at most {MOST_KINDS} are told apart"
        )
    return _Choice(tuple(counts), tuple(starts), shape)


def _box(space: Any, pictures: Pictures) -> Reader:
    if space.dtype != np.uint8:
        return _Numbers(tuple(space.shape))
    flat = len(space.shape) == 2
    picture = flat or (len(space.shape) == 3 and space.shape[2] <= _MOST_COLOURS)
    if not picture:
        return _Bytes(space.low, space.high)
    if pictures.resize is None:
        return _Bytes(space.low, space.high, grayscale=pictures.grayscale, pictures=1)
    sides = zip(space.shape[:2], pictures.resize, strict=True)
    rows, columns = (_averaging(have, want) for have, want in sides)
    return _Bytes(space.low, space.high, rows, columns, pictures.grayscale, pictures=1)


def _averaging(have: int, want: int) -> Array:
    """Weights ``(want, have)`` that average a line of pixels over stretches of equal length."""
    edges = np.arange(want + 1) * have / want
    pixel = np.arange(have)
    upper = np.minimum(edges[1:, None], pixel + 1)
    covered = np.maximum(upper - np.maximum(edges[:-1, None], pixel), 0)
    weights: Array = (covered * want / have).astype(np.float32)
    return weights


def _shaped(value: Any, shape: tuple[int, ...]) -> Array:
    with np.errstate(over="ignore"):  # what is too large for float32 is found as infinite
        array = np.asarray(value)
    if array.shape != shape or array.dtype.kind not in "fiub":
        raise ValueError(f"is {array.dtype} of shape {array.shape}, its space has {shape}")
    return array
