"""Where a picture is seen from: straight above, or from a corner in perspective."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol, final

import numpy as np

if TYPE_CHECKING:
    from envs.bodies import Solids
    from qmarl.types import Array

_AZIMUTH, _ELEVATION = math.radians(-61), math.radians(32)
_ALONGSIDE = math.radians(-78)  # azimuth before an arena that is long along x
_AWAY = 2.4  # eye's distance from the middle over the arena's diagonal
_LONG = 2.5
_GHOST = 0.3  # opacity of what stands behind an obstacle
_FLATTEST = 0.3  # an arena is drawn at least so high, over its width
_TINY, _TOUCH = 1e-9, 1e-4


class Camera(Protocol):
    """Maps metres in the world to a flat page.

    Attributes:
        stretch: How many times too high things are drawn.
    """

    stretch: int

    def project(self, points: Array) -> Array:
        """Places ``(..., 2)`` on the page of points ``(..., 3)`` in metres."""
        ...

    def depth(self, points: Array) -> Array:
        """How far points ``(..., 3)`` are from the eye, ``(...)`` in a measure of its own."""
        ...


def is_long(arena: Array) -> bool:
    """Tells whether an arena ``(2, 3)`` is much longer along x than across."""
    wide, deep = (arena[1] - arena[0])[:2]
    return bool(wide > _LONG * deep)


@final
class Overhead:
    """Seen from straight above: the page is in metres."""

    stretch = 1

    def project(self, points: Array) -> Array:
        """See :meth:`Camera.project`."""
        return points[..., :2]

    def depth(self, points: Array) -> Array:
        """See :meth:`Camera.depth`."""
        return -points[..., 2]


@final
class Perspective:
    """Seen from a corner, from above, so that all of the arena is in view.

    Args:
        arena: ``(2, 3)`` lower and upper corner, m.

    Attributes:
        stretch: How many times too high things are drawn; 1 unless the arena is flat.
    """

    def __init__(self, arena: Array) -> None:
        size = (arena[1] - arena[0]).astype(float)
        self.stretch = max(
            1, math.ceil(_FLATTEST * np.sqrt(size[0] * size[1]) / max(size[2], 1e-6))
        )
        self._base, self._scale = arena[0].astype(float), np.array([1, 1, self.stretch])
        size = size * self._scale
        turn = _ALONGSIDE if is_long(arena) else _AZIMUTH
        level, lift = math.cos(_ELEVATION), math.sin(_ELEVATION)
        out = np.array([level * math.cos(turn), level * math.sin(turn), lift])
        self._eye = size / 2 + _AWAY * float(np.linalg.norm(size)) * out
        right = np.array([-math.sin(turn), math.cos(turn), 0])
        self._axes = np.stack([right, np.cross(out, right), -out])

    @property
    def eye(self) -> Array:
        """Where it is seen from, ``(3,)`` m of the arena as it is."""
        eye: Array = self._eye / self._scale + self._base
        return eye

    def project(self, points: Array) -> Array:
        """See :meth:`Camera.project`."""
        seen = self._seen(points)
        return seen[..., :2] / seen[..., 2:]

    def depth(self, points: Array) -> Array:
        """See :meth:`Camera.depth`."""
        return self._seen(points)[..., 2]

    def _seen(self, points: Array) -> Array:
        """Metres to the right, up and away from the eye."""
        seen: Array = ((points - self._base) * self._scale - self._eye) @ self._axes.T
        return seen


def opacity(points: Array, camera: Camera, solids: Solids) -> Array:
    """How opaque points ``(n, 3)`` are drawn, ``(n,)``: faint ones are behind an obstacle."""
    if not isinstance(camera, Perspective):
        return np.ones(len(points))
    return np.where(hidden(points, camera.eye, solids), _GHOST, 1.0)


def hidden(points: Array, eye: Array, solids: Solids) -> Array:
    """Tells which points ``(n, 3)`` stand behind something, seen from ``eye``; ``(n,)`` bool."""
    way = eye - points
    way = np.where(np.abs(way) < _TINY, _TINY, way)[:, None]
    balls, blocks, posts = solids.spheres[0], solids.boxes[0], solids.cylinders[0]
    found = [_within(points[:, None] - balls[:, :3], way, balls[:, 3])]
    away = points[:, None] - blocks[:, :3]
    found.append(_overlap([_between(away, way, blocks[:, 3 + axis], axis) for axis in range(3)]))
    away = points[:, None] - posts[:, :3]
    level = _within(away[..., :2], way[..., :2], posts[:, 3])
    found.append(_overlap([level, _between(away, way, posts[:, 4], 2)]))
    blocked = [(enter < leave) & (leave > _TOUCH) & (enter < 1) for enter, leave in found]
    behind: Array = np.any(np.concatenate(blocked, 1), axis=1)
    return behind


_Span = tuple["Array", "Array"]  # where lines enter and leave, ``(n, S)`` in shares of their way


def _within(away: Array, way: Array, radius: Array) -> _Span:
    """Where lines from ``away`` ``(n, S, d)`` of centres are within a radius of them."""
    square = (way * way).sum(-1)
    middle = -(away * way).sum(-1) / square
    spare = radius**2 - (away * away).sum(-1) + middle**2 * square
    half = np.sqrt(np.maximum(spare, 0) / square)
    return middle - half, middle + half


def _between(away: Array, way: Array, half: Array, axis: int) -> _Span:
    """Where lines are no farther from middles than half an extent, along one axis."""
    ends = [(sign * half - away[..., axis]) / way[..., axis] for sign in (-1, 1)]
    return np.minimum(*ends), np.maximum(*ends)


def _overlap(spans: list[_Span]) -> _Span:
    enter = np.max([span[0] for span in spans], axis=0)
    leave = np.min([span[1] for span in spans], axis=0)
    return enter, leave
