"""How far points are from what stands in a world, and in which direction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from envs.bodies import Solids
    from qmarl.types import Array

ABSENT: Final = np.float32(1e6)
"""Gap to a solid that is not there, m."""

_TINY = np.float32(1e-6)


class Surfaces(NamedTuple):
    """Where surfaces are, seen from points; solids in the order spheres, boxes, cylinders.

    Attributes:
        gap: ``(k, A, T)`` float32 m from each point to the nearest point of each solid's surface,
            negative inside; :data:`ABSENT` for solids of size 0.
        toward: ``(k, A, T, 3)`` float32 unit vectors, the direction in which the gap shrinks: from
            outside, towards the nearest point of the surface. Zero for solids that are not there.
    """

    gap: Array
    toward: Array


def surfaces(points: Array, solids: Solids) -> Surfaces:
    """Signed distances from points ``(k, A, 3)`` to the solids of the same ``k`` worlds, exact."""
    parts = [
        found(points, given[:, None])
        for found, given in (
            (_spheres, solids.spheres),
            (_boxes, solids.boxes),
            (_cylinders, solids.cylinders),
        )
        if given.shape[1]
    ]
    if not parts:
        shape = (*points.shape[:2], 0)
        return Surfaces(np.zeros(shape, np.float32), np.zeros((*shape, 3), np.float32))
    return Surfaces(*(np.concatenate(arrays, 2) for arrays in zip(*parts, strict=True)))


def gaps(points: Array, solids: Solids) -> Array:
    """The gaps of :func:`surfaces`, ``(k, A, T)`` m."""
    return surfaces(points, solids).gap


def _spheres(points: Array, spheres: Array) -> Surfaces:
    away = points[:, :, None] - spheres[..., :3]
    radius = spheres[..., 3]
    distance = _length(away)
    return _present(distance - radius, away / _positive(distance)[..., None], radius)


def _boxes(points: Array, boxes: Array) -> Surfaces:
    away, half = points[:, :, None] - boxes[..., :3], boxes[..., 3:]
    beyond = np.abs(away) - half
    outside = np.maximum(beyond, 0)
    distance, depth = _length(outside), beyond.max(-1)
    # Inside, the nearest face is the one across the axis that lies least deep.
    across = np.arange(3) == beyond.argmax(-1)[..., None]
    steepest = np.where((depth > 0)[..., None], outside / _positive(distance)[..., None], across)
    normal = np.where(away < 0, -steepest, steepest)
    return _present(np.where(depth > 0, distance, depth), normal, half.max(-1))


def _cylinders(points: Array, cylinders: Array) -> Surfaces:
    away = points[:, :, None] - cylinders[..., :3]
    radius, half = cylinders[..., 3], cylinders[..., 4]
    x, y, z = away[..., 0], away[..., 1], away[..., 2]
    level = np.sqrt(x * x + y * y)
    side, cap = level - radius, np.abs(z) - half
    out_side, out_cap = np.maximum(side, 0), np.maximum(cap, 0)
    distance, depth = np.sqrt(out_side * out_side + out_cap * out_cap), np.maximum(side, cap)
    inside = depth <= 0
    by_side = np.where(inside, side >= cap, out_side / _positive(distance))
    by_cap = np.where(inside, side < cap, out_cap / _positive(distance))
    ahead = by_side / _positive(level)
    normal = np.stack([x * ahead, y * ahead, np.where(z < 0, -by_cap, by_cap)], -1)
    return _present(np.where(inside, depth, distance), normal, radius)


def _present(gap: Array, normal: Array, size: Array) -> Surfaces:
    there = np.broadcast_to(size > 0, gap.shape)
    gap = np.where(there, gap, ABSENT).astype(np.float32, copy=False)
    toward = np.where(there[..., None], -normal, 0)
    return Surfaces(gap, toward.astype(np.float32, copy=False))


def _length(vectors: Array) -> Array:
    # Written out: a reduction's order of summation may depend on how many worlds there are.
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    found: Array = np.sqrt(x * x + y * y + z * z)
    return found


def _positive(lengths: Array) -> Array:
    found: Array = np.maximum(lengths, _TINY)
    return found
