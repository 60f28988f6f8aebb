"""What the drone tasks share: velocity commands, distances, and who flies nearest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
from pydantic import Field

if TYPE_CHECKING:
    from qmarl.types import Array

Metres = Annotated[float, Field(gt=0, le=100)]
Height = Annotated[float, Field(ge=-100, le=100)]
Weight = Annotated[float, Field(ge=0, le=1e6)]

ACTIONS: Final = ("+x", "-x", "+y", "-y", "+z", "-z", "hover")
"""The discrete velocity commands, in order."""

DIRECTIONS: Final = (
    (1, 0, 0),
    (-1, 0, 0),
    (0, 1, 0),
    (0, -1, 0),
    (0, 0, 1),
    (0, 0, -1),
    (0, 0, 0),
)
"""The same as vectors of length 1, and none for hover."""

_GONE = np.float32(1e12)  # m^2, added to a squared distance: puts what is not there 1000 km away


def square(vectors: Array) -> Array:
    """Squared lengths ``(...)`` of vectors ``(..., 3)``."""
    # Written out: a reduction's order of summation may depend on how many worlds there are.
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    total: Array = x * x + y * y + z * z
    return total


def length(vectors: Array) -> Array:
    """Lengths ``(...)`` of vectors ``(..., 3)``."""
    return np.sqrt(square(vectors))


def unit(vectors: Array) -> Array:
    """Vectors ``(..., 3)`` of length 1 along the given ones; shorter below a micrometre."""
    return vectors / np.maximum(length(vectors), np.float32(1e-6))[..., None]


def total(values: Array) -> Array:
    """Sums ``(...)`` over the last axis, term by term, whatever stands in front of it."""
    found: Array = values[..., 0].copy()
    for index in range(1, values.shape[-1]):
        found += values[..., index]
    return found


def choices(continuous: bool, agents: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Each agent's number of discrete commands and of continuous numbers; one of them is 0."""
    counts = 0 if continuous else len(ACTIONS)
    return (counts,) * agents, (3 if continuous else 0,) * agents


def velocities(actions: Array, limits: Array) -> Array:
    """Turns actions into velocity commands.

    Args:
        actions: ``(E, A)`` indices into :data:`ACTIONS`, or ``(E, A, 3)`` numbers within [-1, 1],
            which are shortened to length 1 where they are longer.
        limits: ``(3,)`` float32 m/s along each axis.

    Returns:
        ``(E, A, 3)`` float32 m/s.
    """
    if actions.ndim == 2:
        return np.take(np.array(DIRECTIONS, np.float32) * limits, actions, axis=0)
    return actions * (limits / np.maximum(length(actions), np.float32(1))[..., None])


def mates(
    here: Array, present: Array, heard: Array | None, reach: float, sensing: float
) -> tuple[Array, Array]:
    """Finds the nearest other drone of each.

    Args:
        here: ``(k, A, 3)`` places, m.
        present: ``(k, A)`` bool, who is there to be met.
        heard: ``(k, A, A)`` bool, whether agent ``i`` knows of agent ``j``; None: all do.
        reach: Distance of contact between centres, m.
        sensing: Gap beyond which nobody is seen, m.

    Returns:
        Gaps ``(k, A)`` in m, and ``(k, A, 3)`` unit vectors towards the nearest times
        ``clip(1 - gap / sensing, 0, 1)``.
    """
    offset = here[:, None] - here[:, :, None]
    apart = square(offset) + ~present[:, None] * _GONE
    apart += np.eye(here.shape[1], dtype=np.float32) * _GONE  # no one is one's own neighbour
    if heard is not None:
        apart += ~heard * _GONE
    which = apart.argmin(-1)[..., None]
    distance = np.sqrt(np.take_along_axis(apart, which, -1))
    gap = distance - np.float32(reach)
    weight = np.clip(1 - gap / np.float32(sensing), 0, 1) / np.maximum(distance, np.float32(1e-6))
    return gap[..., 0], np.take_along_axis(offset, which[..., None], -2)[..., 0, :] * weight


def closest(before: Array, here: Array, present: Array) -> Array:
    """How near drones came to another one during a step, each on a straight way.

    Args:
        before: ``(E, A, 3)`` where they were, m.
        here: ``(E, A, 3)`` where they are, m.
        present: ``(E, A)`` bool, who is there to be met.

    Returns:
        ``(E, A)`` m between centres.
    """
    first = before[:, None] - before[:, :, None]
    change = here[:, None] - here[:, :, None] - first
    toward = total(first * change)
    moment = np.clip(-toward / np.maximum(square(change), np.float32(1e-9)), 0, 1)
    apart = square(first + moment[..., None] * change) + ~present[:, None] * _GONE
    apart += np.eye(here.shape[1], dtype=np.float32) * _GONE
    nearest: Array = np.sqrt(apart.min(-1))
    return nearest
