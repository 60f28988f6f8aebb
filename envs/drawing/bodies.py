"""Bodies of agents as polygons: drones from above or aslant, vehicles that show where they head."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from envs.drawing.camera import Overhead, opacity
from envs.drawing.meshes import brightness, circle, drone, facing, placed, vehicle
from envs.drawing.palette import INK, PANEL, colour, mix, rgb, rgba
from envs.drawing.strokes import aloft
from envs.world import ARRIVED, CRASHED

if TYPE_CHECKING:
    from envs.drawing.camera import Camera
    from envs.flight import Flight
    from qmarl.types import Array

_SMALLEST = 0.02  # bodies are drawn at least so large, as a share of the arena's width
_NEARER = 1.5  # times as large in space, where they are seen from the side


class Shape(NamedTuple):
    """A polygon on the page.

    Attributes:
        outline: ``(n, 2)``.
        face: ``(4,)`` its colour.
        edge: ``(4,)`` that of its edge.
    """

    outline: Array
    face: Array
    edge: Array


def sizes(flight: Flight, camera: Camera) -> Array:
    """Radii ``(A,)`` that bodies are drawn with, m: their own, unless that is too small to see."""
    across = (flight.arena[1] - flight.arena[0])[:2].astype(float)
    least = np.maximum(flight.radii, _SMALLEST * np.sqrt(across.prod()))
    flying = np.array([kind == "drone" for kind in flight.kinds])
    aslant = flying & (not isinstance(camera, Overhead))
    found: Array = np.where(aslant, _NEARER * least, least)
    return found


def bodies(flight: Flight, camera: Camera, moment: int) -> list[Shape]:
    """All that have not crashed, the farthest first."""
    here, status = flight.positions[moment], flight.status[moment]
    alpha, large = opacity(here, camera, flight.solids), sizes(flight, camera)
    shapes: list[Shape] = []
    for index in np.argsort(-camera.depth(here)).tolist():
        if status[index] == CRASHED:
            continue
        rim = np.array([*rgb(INK if status[index] == ARRIVED else PANEL), alpha[index]])
        draw = _vehicle if flight.kinds[index] == "vehicle" else _drone
        paint = np.array([*rgb(colour(index)), alpha[index]])
        turn = 0.0 if flight.headings is None else float(flight.headings[moment, index])
        shapes += draw(camera, (here[index].astype(float), turn, float(large[index])), paint, rim)
    return shapes


def shadows(flight: Flight, camera: Camera, moment: int) -> list[Shape]:
    """Where drones' shadows fall on the floor."""
    here, large = flight.positions[moment], sizes(flight, camera)
    up = aloft(here, flight)
    spots = here[up] * [1, 1, 0] + [0, 0, flight.arena[0, 2]]
    paint = rgba(
        np.broadcast_to(rgb(INK), spots.shape), 0.16 * opacity(spots, camera, flight.solids)
    )
    discs = [spot + circle(20) * size for spot, size in zip(spots, large[up], strict=True)]
    return [
        Shape(camera.project(disc), face, face * 0) for disc, face in zip(discs, paint, strict=True)
    ]


_Where = tuple["Array", float, float]  # place (3,), heading and size


def _drone(camera: Camera, where: _Where, paint: Array, rim: Array) -> list[Shape]:
    shapes = []
    if isinstance(camera, Overhead):  # the room that it takes up, to scale
        around = camera.project(placed(circle(), *where))
        shapes.append(Shape(around, _shaded(paint, -0.72), paint))
    arrived = (rim[:3] != rgb(PANEL)).any()
    for polygon, shade in drone():
        face = _shaded(paint, shade)
        shapes.append(
            Shape(camera.project(placed(polygon, *where)), face, rim if arrived else face)
        )
    return shapes


def _vehicle(camera: Camera, where: _Where, paint: Array, rim: Array) -> list[Shape]:
    shapes = []
    for facets, shade in vehicle(camera.stretch):
        mesh = placed(facets, *where)
        page = camera.project(mesh)
        seen = facing(page)
        for outline, tone in zip(page[seen], brightness(mesh[seen]), strict=True):
            face = _shaded(paint, shade) * [tone, tone, tone, 1]
            shapes.append(Shape(outline, face, face if shade else rim))
    return shapes


def _shaded(paint: Array, shade: float) -> Array:
    """A colour ``(4,)`` darker by a share, or lighter by a negative one."""
    other = rgb(INK if shade > 0 else PANEL)
    return np.array([*mix(paint[:3], other, abs(shade)), paint[3]])
