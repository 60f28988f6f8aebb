"""One view of a flight: what moves there, drawn anew for every moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import numpy as np

from envs.drawing.bodies import Shape, bodies, shadows
from envs.drawing.camera import Overhead, opacity
from envs.drawing.palette import ALARM, INK, PANEL, rgba
from envs.drawing.strokes import Strokes, hues, links, rings, tails, threads, trails
from envs.world import CRASHED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envs.drawing.camera import Camera
    from envs.drawing.road import Window
    from envs.flight import Flight
    from qmarl.types import Array

_MANY = 40  # marks beyond which they are drawn smaller


@final
class View:
    """Draws what moves in one view.

    Args:
        axes: Where what stands still is drawn already.
        camera: Where it is seen from.
        flight: What to draw; another one of the same episode may follow.
        window: Moves the view along; it stands still where this is left out.
    """

    def __init__(
        self, axes: Any, camera: Camera, flight: Flight, window: Window | None = None
    ) -> None:
        self._axes, self._camera, self._window = axes, camera, window
        self.flight = flight
        axes.set_animated(window is not None)
        few = flight.marks is None or flight.marks.shape[1] <= _MANY
        self._shadows, self._bodies = _polygons(axes), _polygons(axes)
        self._threads, self._rings = _lines(axes, (0, (1, 2))), _lines(axes, (0, (3, 2)))
        self._trails, self._tails, self._links = (_lines(axes, "-") for _ in range(3))
        self._goals = _points(axes, "*", 110, PANEL)
        self._marks = _points(axes, "o", 26 if few else 12, INK)
        self._wrecks = _points(axes, "X", 70, PANEL)
        self._wrecks.set_facecolor(ALARM)
        for artist in self._artists:
            artist.set_animated(True)

    @property
    def _artists(self) -> tuple[Any, ...]:
        """All that moves, in the order of drawing."""
        lines = self._threads, self._rings, self._trails, self._tails, self._links
        return self._shadows, *lines, self._goals, self._marks, self._bodies, self._wrecks

    def pixels(self, points: Array, height: int) -> Array:
        """Rows and columns ``(n, 2)`` at which points ``(n, 3)`` in metres are drawn.

        Args:
            points: In the world.
            height: Of the picture.
        """
        across, up = self._axes.transData.transform(self._camera.project(points)).T
        return np.stack([height - 1 - up, across], -1).round().astype(int)

    def draw(self, moment: int) -> None:
        """Draws everything that moves as it was at one moment."""
        flight, camera = self.flight, self._camera
        if self._window is not None:
            self._window.move(self._axes, flight, moment)
            self._axes.figure.draw_artist(self._axes)
        if not isinstance(camera, Overhead):
            _shape(self._shadows, shadows(flight, camera, moment))
            _stroke(self._threads, threads(flight, camera, moment))
        _stroke(self._rings, rings(flight, camera, moment))
        _stroke(self._trails, trails(flight, camera, moment))
        _stroke(self._tails, tails(flight, camera, moment))
        _stroke(self._links, links(flight, camera, moment))
        _shape(self._bodies, bodies(flight, camera, moment))
        self._put_points(moment)
        for artist in self._artists:
            self._axes.draw_artist(artist)

    def _put_points(self, moment: int) -> None:
        """Puts stars on goals, dots on marks (hollow where they never move) and wrecks' crosses."""
        flight, project = self.flight, self._camera.project
        goals, here = flight.goals[moment], flight.positions[moment]
        there = np.isfinite(goals).all(-1)
        alpha = opacity(goals[there], self._camera, flight.solids)
        self._goals.set_offsets(project(goals[there]))
        self._goals.set_facecolor(rgba(hues(len(goals))[there], alpha))
        self._wrecks.set_offsets(project(here[flight.status[moment] == CRASHED]))
        if flight.marks is not None:
            seen = np.isfinite(flight.marks[moment]).all(-1)
            self._marks.set_offsets(project(flight.marks[moment, seen]))
            walks = (np.nan_to_num(flight.marks - flight.marks[0]) != 0).any((0, 2))
            self._marks.set_facecolor([INK if walk else PANEL for walk in walks[seen]])


def _polygons(axes: Any) -> Any:
    from matplotlib.collections import PolyCollection

    return axes.add_collection(PolyCollection([], joinstyle="round", lw=0.6), False)


def _lines(axes: Any, dashes: Any) -> Any:
    from matplotlib.collections import LineCollection

    return axes.add_collection(LineCollection([], ls=dashes, capstyle="butt"), False)


def _points(axes: Any, marker: str, size: float, edge: str) -> Any:
    return axes.scatter([], [], marker=marker, s=size, c=INK, ec=edge, lw=0.9, clip_on=False)


def _stroke(lines: Any, strokes: Strokes) -> None:
    lines.set_segments(strokes.lines)
    lines.set_color(strokes.colours)
    lines.set_linewidth(strokes.widths)


def _shape(polygons: Any, shapes: Sequence[Shape]) -> None:
    polygons.set_verts([shape.outline for shape in shapes])
    polygons.set_facecolor([shape.face for shape in shapes])
    polygons.set_edgecolor([shape.edge for shape in shapes])
