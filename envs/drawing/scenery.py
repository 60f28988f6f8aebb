"""What stands still in a picture of a flight: ground, lanes and obstacles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from envs.drawing.meshes import brightness, circle, facing, placed, stones
from envs.drawing.palette import FAINT, FRAME, GRID, INK, LINE, PANEL, STONE, rgb

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from envs.drawing.camera import Camera, Perspective
    from envs.flight import Flight
    from qmarl.types import Array

_GROUND = 0.5  # in the order of drawing: before obstacles

Rect = tuple[float, float, float, float]
"""Left, bottom, width and height as shares of the figure."""


def overhead_axes(figure: Figure, rect: Rect, flight: Flight) -> Any:
    """An empty view from above, to scale, with metres at its edges.

    Args:
        figure: Where to.
        rect: Its place.
        flight: What is to be drawn there.
    """
    axes: Any = figure.add_axes(rect)
    low, high = flight.arena
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", facecolor=PANEL)
    axes.tick_params(length=0, labelsize=7.5, labelcolor=FAINT)
    axes.locator_params(nbins=7)
    axes.set_axisbelow(True)
    if flight.lines is None:  # lanes tell enough
        axes.grid(color=GRID, lw=0.8)
    for spine in axes.spines.values():
        spine.set_color(FRAME)
    axes.annotate(
        "m",
        (0, 1),
        xycoords="axes fraction",
        xytext=(-5, 6),
        textcoords="offset points",
        ha="right",
        color=FAINT,
        size=7.5,
    )
    return axes


def space_axes(figure: Figure, rect: Rect, flight: Flight, camera: Perspective) -> Any:
    """An empty view in space: a floor with a grid, and the edges of the walls behind.

    Args:
        figure: Where to.
        rect: Its place.
        flight: What is to be drawn there.
        camera: Where it is seen from.
    """
    axes: Any = figure.add_axes(rect)
    axes.set_axis_off()
    corners = _corners(flight.arena)
    page = camera.project(corners)
    low, high = page.min(0), page.max(0)
    edge = 0.02 * (high - low)
    axes.set(xlim=(low[0] - edge[0], high[0] + edge[0]), ylim=(low[1] - edge[1], high[1] + edge[1]))
    axes.set_aspect("equal")
    floor = page[[0, 1, 3, 2]]
    axes.fill(*floor.T, color=PANEL, lw=0, zorder=_GROUND)
    _segments(axes, camera, _floor_grid(flight.arena), GRID, 0.8)
    _segments(axes, camera, _edges(corners, int(camera.depth(corners).argmin())), FRAME, 0.8)
    if camera.stretch > 1:
        text = f"heights × {camera.stretch}"
        axes.text(0.5, -0.02, text, transform=axes.transAxes, color=FAINT, size=7.5, ha="center")
    return axes


def draw_scenery(axes: Any, camera: Camera, flight: Flight, shadows: bool) -> None:
    """Draws lanes and obstacles, the nearer ones over those behind.

    Args:
        axes: Where to.
        camera: Where they are seen from.
        flight: Says what stands there.
        shadows: Whether obstacles darken the ground under them.
    """
    from matplotlib.collections import PolyCollection

    if flight.lines is not None:
        _segments(axes, camera, flight.lines, LINE, 1.4)
    if shadows:
        rings = [camera.project(ring) for ring in _footprints(flight)]
        axes.add_collection(
            PolyCollection(rings, facecolors=INK, alpha=0.07, lw=0, zorder=_GROUND), False
        )
    found = sorted(stones(flight.solids), key=lambda mesh: -float(camera.depth(mesh).mean()))
    for mesh in found:
        page = camera.project(mesh)
        seen = facing(page)
        tones = brightness(mesh[seen])[:, None] * rgb(STONE)
        facets = PolyCollection(list(page[seen]), facecolors=tones, edgecolors=tones, lw=0.5)
        axes.add_collection(facets, False)


def _footprints(flight: Flight) -> list[Array]:
    """The ground that obstacles stand over."""
    floor, rim = float(flight.arena[0, 2]), circle()
    round_ones = [
        *flight.solids.spheres[0][:, [0, 1, 3]],
        *flight.solids.cylinders[0][:, [0, 1, 3]],
    ]
    rings = [placed(rim, np.array([x, y, floor]), 0, radius) for x, y, radius in round_ones]
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    for block in flight.solids.boxes[0]:
        level = block[:2] + square * block[3:5]
        rings.append(np.concatenate([level, np.full((4, 1), floor)], 1))
    return rings


def _corners(arena: Array) -> Array:
    """The eight corners, ``(8, 3)``; bit 0 of the index is x, bit 1 is y, bit 2 is z."""
    bits = (np.arange(8)[:, None] >> np.arange(3)) & 1
    corners: Array = np.where(bits == 1, arena[1], arena[0])
    return corners


def _edges(corners: Array, nearest: int) -> Array:
    """The arena's edges ``(n, 2, 3)`` but those that would stand in front."""
    pairs = [(at, at | bit) for at in range(8) for bit in (1, 2, 4) if not at & bit]
    top = nearest | 4
    kept = [pair for pair in pairs if top not in pair]
    edges: Array = corners[np.array(kept)]
    return edges


def _floor_grid(arena: Array) -> Array:
    """Lines ``(n, 2, 3)`` on the floor, a round number of metres apart."""
    low, high = arena.astype(float)
    wide = float(max(high[:2] - low[:2])) / 6
    power = 10.0 ** np.floor(np.log10(wide))
    step = power * next(times for times in (1, 2, 5, 10) if times * power >= wide)
    lines = []
    for axis in (0, 1):
        for at in np.arange(np.ceil(low[axis] / step) * step, high[axis], step):
            ends = np.stack([low, [*high[:2], low[2]]])
            ends[:, axis] = at
            lines.append(ends)
    return np.array(lines)


def _segments(axes: Any, camera: Camera, ends: Array, colour: str, width: float) -> None:
    from matplotlib.collections import LineCollection

    page = camera.project(np.asarray(ends, float))
    axes.add_collection(
        LineCollection(list(page), colors=colour, lw=width, capstyle="round", zorder=_GROUND), False
    )
