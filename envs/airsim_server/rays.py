"""Rays from any place in any direction: how far they reach, and what they meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from envs.bodies import Bodies, Solids
from envs.sensing.geometry import surfaces
from envs.sensing.rays import RayCaster

if TYPE_CHECKING:
    from envs.airsim_server.scene import Scene
    from qmarl.types import Array

NOTHING: Final = -2
"""What a ray meets that goes on for ever."""
BORDER: Final = -1
"""What a ray meets that ends on the ground or on a wall."""

_WORK = 2_000_000  # pairs of a point and a solid that are looked at in one go


class Sight(NamedTuple):
    """What ``R`` rays see.

    Attributes:
        distance: ``(R,)`` float32 m; the rays' reach where they meet nothing.
        met: ``(R,)`` index of the solid, or :data:`BORDER` or :data:`NOTHING`.
        normal: ``(R, 3)`` unit vectors away from what was met.
    """

    distance: Array
    met: Array
    normal: Array


def distances(
    origin: Array, directions: Array, scene: Scene, solids: Solids, reach: float
) -> tuple[Array, Array]:
    """How far ``(R,)`` m rays from ``(3,)`` along ``(R, 3)`` go, and how far the border is."""
    caster = RayCaster(directions, 1, scene.box, reach)
    still = np.zeros((1, 1), np.float32)
    here = origin.astype(np.float32).reshape(1, 1, 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        hits = caster.cast(Bodies(here, np.zeros_like(here), still), solids)
    return np.minimum(hits.border, hits.solid)[0, 0], hits.border[0, 0]


def look(origin: Array, directions: Array, scene: Scene, solids: Solids, reach: float) -> Sight:
    """Casts rays and says what they meet; see :class:`Sight`."""
    distance, border = distances(origin, directions, scene, solids, reach)
    points = (origin + distance[:, None] * directions).astype(np.float32)
    met = np.where(border <= distance, BORDER, 0)
    met[distance >= np.float32(reach)] = NOTHING
    normal = np.zeros_like(points)
    _of_border(points, scene, met == BORDER, normal)
    _of_solids(points, solids, np.flatnonzero(met == 0), met, normal)
    return Sight(distance, met, normal)


def _of_border(points: Array, scene: Scene, there: Array, normal: Array) -> None:
    """Normals on the faces of the world's box."""
    apart = np.abs(points[there, None] - scene.box)  # (k, 2, 3)
    face = apart.reshape(-1, 6).argmin(-1)
    ways = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)
    normal[there] = ways[face]


def _of_solids(points: Array, solids: Solids, rays: Array, met: Array, normal: Array) -> None:
    """Which solid each point lies on, and the normals there."""
    count = sum(part.shape[1] for part in (solids.spheres, solids.boxes, solids.cylinders))
    size = max(1, _WORK // max(1, count))
    for first in range(0, len(rays), size):
        some = rays[first : first + size]
        found = surfaces(points[None, some], solids)
        nearest = np.abs(found.gap[0]).argmin(-1)
        met[some] = nearest
        normal[some] = -found.toward[0, np.arange(len(some)), nearest]
