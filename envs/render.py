"""Draws recordings: flights in space and from above, and boards; as one picture or as a GIF."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, final

import numpy as np

from envs.drawing.board import BOARDS, MatchArtist
from envs.drawing.camera import Overhead, Perspective, is_long
from envs.drawing.gif import image, write_gif
from envs.drawing.palette import ALARM, INK
from envs.drawing.road import Window
from envs.drawing.scenery import draw_scenery, overhead_axes, space_axes
from envs.drawing.sheet import Sheet
from envs.drawing.tally import standing
from envs.drawing.view import View
from envs.flight import Flight, Recording
from envs.world import CRASHED

if TYPE_CHECKING:
    from pathlib import Path

    from envs.world import WorldSpec
    from qmarl.types import Array

_WIDE, _HIGH = 8.2, 4.3  # inches of a picture with two views
_ACROSS, _TALLEST, _STRIP = 7.4, 5.2, 1.3  # inches of a view from above that stands alone
_MOST, _BRIEFEST = 200, 20  # frames of a GIF, and ms that one stays at least


@final
class FlightArtist:
    """Draws moments of one flight; what stands still is drawn once.

    Drones are shown in space and from above, vehicles alone from above.

    Args:
        flight: What to draw.
        title: First words of the line above.
    """

    def __init__(self, flight: Flight, title: str = "") -> None:
        self._flight, self._title = flight, title
        flat = all(kind == "vehicle" for kind in flight.kinds)
        self._sheet, self._views = _alone(flight) if flat else _two_views(flight)
        self._sheet.freeze()

    def follow(self, flight: Flight) -> None:
        """Goes on with a longer recording of the same episode."""
        self._flight = flight
        for view in self._views:
            view.flight = flight

    def draw(self, moment: int) -> Array:
        """Returns the picture of one moment, ``(height, width, 3)`` uint8."""
        flight = self._flight
        title = f"{self._title}   {flight.time[moment]:.1f} s".strip()
        crashed = bool((flight.status[moment] == CRASHED).any())
        return self._sheet.paint(
            title, standing(flight, moment), ALARM if crashed else INK, partial(self._move, moment)
        )

    def pixels(self, points: Array) -> Array:
        """Rows and columns ``(n, 2)`` of points ``(n, 3)`` in metres, seen from above."""
        return self._views[-1].pixels(points, self._sheet.height)

    def _move(self, moment: int) -> None:
        for view in self._views:
            view.draw(moment)


Artist = FlightArtist | MatchArtist
"""Draws moments of a recording."""


def artist(recording: Recording, title: str = "") -> Artist:
    """Returns who draws a recording.

    Args:
        recording: A flight or a match.
        title: First words of the line above.

    Raises:
        RunError: It is a match of a game whose board nobody knows how to draw.
    """
    if isinstance(recording, Flight):
        return FlightArtist(recording, title)
    return MatchArtist(recording, title)


def drawable(spec: WorldSpec) -> bool:
    """Tells whether there is anything to draw of a world."""
    return spec.arena is not None or spec.name in BOARDS


def save_picture(recording: Recording, path: Path, moment: int = -1, title: str = "") -> Path:
    """Writes one moment as an image; the file's suffix says of which kind."""
    image(artist(recording, title).draw(moment % recording.moments)).save(path)
    return path


def save_gif(recording: Recording, path: Path, title: str = "", pace: float = 2.0) -> Path:
    """Writes a recording as an animated GIF that loops, with Pillow alone.

    It has a picture of every moment, or of every second, third... one where they are more than 200
    or follow each other too fast for a GIF.

    Args:
        recording: What to show.
        path: Where to.
        title: First words of the line above the pictures.
        pace: How many times faster than life; a board game's step takes a second of its life.

    Returns:
        The path.
    """
    last = recording.moments - 1
    pause = 1000 * _step(recording) / pace
    stride = max(math.ceil((last + 1) / _MOST), math.ceil(_BRIEFEST / pause))
    hand = artist(recording, title)
    moments = sorted({*range(0, last, stride), last})
    write_gif([hand.draw(moment) for moment in moments], path, round(stride * pause))
    return path


def _step(recording: Recording) -> float:
    """Seconds from moment to moment."""
    if not isinstance(recording, Flight):
        return BOARDS[recording.world].dt
    return float(np.diff(recording.time).mean()) if recording.moments > 1 else 1.0


def _two_views(flight: Flight) -> tuple[Sheet, list[View]]:
    """In space and from above, side by side, or one below the other where the arena is long."""
    camera, top, wide = Perspective(flight.arena), Overhead(), _WIDE - 0.8
    long, size = is_long(flight.arena), (flight.arena[1] - flight.arena[0]).astype(float)
    low = max(wide * size[1] / size[0], 0.5)
    sheet = Sheet(_WIDE, 3.2 + low + 0.7 if long else _HIGH)
    upper, above = (0.0, 0.03, 0.56, sheet.top - 0.03), (0.585, 0.075, 0.39, sheet.top - 0.095)
    if long:
        share = (low + 0.55) / (low + 3.9)
        upper = (0.02, share, 0.96, sheet.top - share)
        above = (0.6 / _WIDE, 0.3 / (low + 3.9), wide / _WIDE, low / (low + 3.9))
    space = space_axes(sheet.figure, upper, flight, camera)
    flat = overhead_axes(sheet.figure, above, flight)
    draw_scenery(space, camera, flight, shadows=True)
    draw_scenery(flat, top, flight, shadows=False)
    return sheet, [View(space, camera, flight), View(flat, top, flight)]


def _alone(flight: Flight) -> tuple[Sheet, list[View]]:
    """A view from above, in the shape of the arena, or moving along a long road."""
    long, arena = is_long(flight.arena), (flight.arena[1] - flight.arena[0])[:2].astype(float)
    scale = 0 if long else min(_ACROSS / arena[0], _TALLEST / arena[1])
    wide, high = (_ACROSS, _STRIP) if long else (scale * arena[0], scale * arena[1])
    sheet = Sheet(wide + 0.75, high + 0.75)
    rect = (0.5 / (wide + 0.75), 0.28 / (high + 0.75), wide / (wide + 0.75), high / (high + 0.75))
    above, top = overhead_axes(sheet.figure, rect, flight), Overhead()
    draw_scenery(above, top, flight, shadows=False)
    return sheet, [View(above, top, flight, Window((wide, high)) if long else None)]
