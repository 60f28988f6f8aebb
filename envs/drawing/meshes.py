"""Shapes as facets: what stands in a world, and the bodies of drones and vehicles.

Facets are ``(F, 4, 3)`` corners in metres, counter-clockwise seen from outside; a triangle's last
corner stands twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from envs.bodies import Solids
    from qmarl.types import Array

_LIGHT: Final = np.array([-0.35, -0.45, 0.82])
_DARKEST = 0.62

_CORNERS: Final = np.array(
    [
        [[-1, -1, -1], [-1, 1, -1], [1, 1, -1], [1, -1, -1]],
        [[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]],
        [[-1, -1, -1], [1, -1, -1], [1, -1, 1], [-1, -1, 1]],
        [[1, 1, -1], [-1, 1, -1], [-1, 1, 1], [1, 1, 1]],
        [[1, -1, -1], [1, 1, -1], [1, 1, 1], [1, -1, 1]],
        [[-1, 1, -1], [-1, -1, -1], [-1, -1, 1], [-1, 1, 1]],
    ],
    float,
)


def circle(sides: int = 32) -> Array:
    """A level circle of radius 1 around the origin, ``(sides, 3)``, not closed."""
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    return np.stack([np.cos(turn), np.sin(turn), np.zeros(sides)], -1)


def box(centre: Array, half: Array) -> Array:
    """The six faces of a box along the axes: its centre and half extents, both ``(3,)``."""
    faces: Array = centre + _CORNERS * half
    return faces


def cylinder(centre: Array, radius: float, half: float, sides: int = 40) -> Array:
    """An upright cylinder: ``centre`` ``(3,)``, radius and half height."""
    rim = circle(sides) * radius
    after, up = np.roll(rim, -1, 0), np.array([0, 0, half])
    middle = np.broadcast_to(up, rim.shape)
    side = np.stack([rim - up, after - up, after + up, rim + up], 1)
    top = np.stack([rim + up, after + up, middle, middle], 1)
    facets: Array = centre + np.concatenate([side, top, top[:, ::-1] * [1, 1, -1]])
    return facets


def sphere(centre: Array, radius: float, sides: int = 40) -> Array:
    """A sphere: ``centre`` ``(3,)`` and radius."""
    turn = np.linspace(0, 2 * np.pi, sides + 1)
    lift = np.linspace(-np.pi / 2, np.pi / 2, sides // 2 + 1)[:, None]
    ring = np.cos(lift)
    grid = np.stack(np.broadcast_arrays(ring * np.cos(turn), ring * np.sin(turn), np.sin(lift)), -1)
    corners = [grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]]
    facets: Array = centre + radius * np.stack(corners, 2).reshape(-1, 4, 3)
    return facets


def stones(solids: Solids) -> Iterator[Array]:
    """The facets of everything that stands in the first world of ``solids``, one by one."""
    for ball in solids.spheres[0][solids.spheres[0, :, 3] > 0]:
        yield sphere(ball[:3], ball[3])
    for block in solids.boxes[0][(solids.boxes[0, :, 3:] > 0).all(-1)]:
        yield box(block[:3], block[3:])
    for post in solids.cylinders[0][solids.cylinders[0, :, 3] > 0]:
        yield cylinder(post[:3], post[3], post[4])


def brightness(facets: Array) -> Array:
    """How light facets ``(F, 4, 3)`` are, ``(F,)`` within (0, 1]."""
    normal = np.cross(facets[:, 2] - facets[:, 0], facets[:, 3] - facets[:, 1])
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    lit = np.clip(normal @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, 1)
    shade: Array = _DARKEST + (1 - _DARKEST) * lit
    return shade


def facing(page: Array) -> Array:
    """Which facets, as they lie on the page ``(F, 4, 2)``, turn their outside to the eye."""
    first, second = page[:, 2] - page[:, 0], page[:, 3] - page[:, 1]
    toward: Array = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0] > 1e-12
    return toward


def placed(points: Array, at: Array, heading: float, size: float) -> Array:
    """Points ``(..., 3)`` of a shape of size 1 that looks along x, put ``at`` a place ``(3,)``."""
    cos, sin = np.cos(heading), np.sin(heading)
    turn = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    there: Array = at + size * (points @ turn)
    return there


def drone() -> list[tuple[Array, float]]:
    """A quadrotor within radius 1, as polygons and how much darker than its colour they are."""
    disc, parts = circle(20), []
    for sign in (1, -1):
        arm = np.array([[-0.62, -0.08, 0], [0.62, -0.08, 0], [0.62, 0.08, 0], [-0.62, 0.08, 0]])
        parts.append((placed(arm, np.zeros(3), sign * np.pi / 4, 1), 0.45))
    for x, y in ((1, 1), (-1, 1), (-1, -1), (1, -1)):
        parts.append((disc * 0.37 + [0.44 * x, 0.44 * y, 0.05], 0.0))
    parts.append((disc * 0.25 + [0, 0, 0.08], 0.45))
    return parts


def vehicle(flatter: float = 1) -> list[tuple[Array, float]]:
    """A car of half length 1: facets ``(F, 4, 3)`` of its hull, its cabin and an arrow ahead.

    Args:
        flatter: How many times less high it is than a car.

    Returns:
        The parts from the lowest to the highest, and how much darker than its colour they are.
    """
    scale = np.array([1, 1, 1 / flatter])
    hull = box(np.array([0, 0, 0.2]), np.array([1, 0.36, 0.16]))
    cabin = box(np.array([-0.22, 0, 0.46]), np.array([0.46, 0.28, 0.1]))
    arrow = np.array([[[0.42, -0.2, 0.37], [0.8, 0, 0.37], [0.42, 0.2, 0.37], [0.42, 0.2, 0.37]]])
    return [(hull * scale, 0.0), (arrow * scale, -0.8), (cabin * scale, 0.6)]
