"""Draws flights: in 3-D and from above, as one picture or as an animated GIF."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from envs.world import ARRIVED, CRASHED, FLYING

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from envs.flight import Flight
    from qmarl.types import Array

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f4fc9", "#8c6d31")
_INK, _STONE, _PAPER, _ALARM = "#2b3440", "#8792a0", "#ffffff", "#c1272d"
_SIZE, _DPI = (8.0, 4.2), 90  # inches and dots per inch: 720 x 378 pixels
_RECENT = 12  # moments of a trail that are drawn strongly


@final
class FlightArtist:
    """Draws moments of one flight on one figure; what stands still is drawn once.

    Args:
        flight: What to draw.
        title: First words of the line above.
    """

    def __init__(self, flight: Flight, title: str = "") -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self._flight, self._title = flight, title
        self._figure = Figure(figsize=_SIZE, dpi=_DPI, facecolor=_PAPER)
        canvas: Any = FigureCanvasAgg(self._figure)
        self._canvas = canvas
        self._space, self._top = _space(self._figure, flight), _top(self._figure, flight)
        self._text = self._figure.text(0.035, 0.93, "", color=_INK, size=11, weight="bold")
        self._tally = self._figure.text(0.965, 0.93, "", color=_INK, size=10, ha="right")
        self._moving = [_Drone(self._space, self._top, flight, i) for i in range(self._count)]
        self._canvas.draw()
        self._still = self._canvas.copy_from_bbox(self._figure.bbox)

    @property
    def _count(self) -> int:
        return len(self._flight.agents)

    def draw(self, moment: int) -> Array:
        """Returns the picture of one moment, ``(height, width, 3)`` uint8."""
        flight = self._flight
        self._canvas.restore_region(self._still)
        for drone in self._moving:
            drone.draw(moment)
        status = flight.status[moment]
        self._text.set_text(f"{self._title}  {flight.time[moment]:.1f} s".strip())
        self._tally.set_text(_tally(status))
        self._tally.set_color(_ALARM if (status == CRASHED).any() else _INK)
        for text in (self._text, self._tally):
            self._figure.draw_artist(text)
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()


@final
class _Drone:
    """What moves of one drone: trail, body, shadow and mark, in both views."""

    def __init__(self, space: Any, top: Any, flight: Flight, index: int) -> None:
        self._flight, self._index = flight, index
        self._space, self._top = space, top
        colour = _colour(index)
        thin = {"color": colour, "lw": 1.0, "alpha": 0.35}
        bold = {"color": colour, "lw": 2.2, "alpha": 0.9, "solid_capstyle": "round"}
        dot = {"color": colour, "marker": "o", "ls": "", "mec": _PAPER, "mew": 0.8}
        shade = {"color": _INK, "marker": "o", "ls": "", "alpha": 0.18, "mew": 0, "ms": 6}
        self._lines = [space.plot([], [], [], **style)[0] for style in (thin, bold)]
        self._shadow = space.plot([], [], [], **shade)[0]
        self._body = space.plot([], [], [], ms=8, **dot)[0]
        self._flat = [top.plot([], [], **style)[0] for style in (thin, bold)]
        size = 2 * float(flight.radii[index]) * _points_per_metre(top)
        self._disc = top.plot([], [], ms=size, **dot)[0]
        for artist in (*self._lines, self._shadow, self._body, *self._flat, self._disc):
            artist.set_animated(True)

    def draw(self, moment: int) -> None:
        """Draws the drone as it was at one moment."""
        path = self._flight.positions[: moment + 1, self._index]
        status = int(self._flight.status[moment, self._index])
        recent = path[-_RECENT:] if status == FLYING else path[-1:]
        for line, flat, part in zip(self._lines, self._flat, (path, recent), strict=True):
            line.set_data_3d(*part.T)
            flat.set_data(*part.T[:2])
        here = path[-1:]
        self._shadow.set_data_3d(here[:, 0], here[:, 1], [self._flight.arena[0, 2]])
        self._body.set_data_3d(*here.T)
        self._disc.set_data(*here.T[:2])
        _dress((self._body, self._disc), status, _colour(self._index))
        for artist in (*self._lines, self._shadow, self._body):
            self._space.draw_artist(artist)
        for artist in (*self._flat, self._disc):
            self._top.draw_artist(artist)


def save_picture(flight: Flight, path: Path, moment: int = -1, title: str = "") -> Path:
    """Writes one moment of a flight as an image; the file's suffix says of which kind."""
    _image(FlightArtist(flight, title).draw(moment % len(flight.time))).save(path)
    return path


def save_gif(flight: Flight, path: Path, title: str = "", pace: float = 2.0) -> Path:
    """Writes a flight as an animated GIF that loops, with Pillow alone.

    Args:
        flight: What to show.
        path: Where to.
        title: First words of the line above the pictures.
        pace: How many times faster than life.

    Returns:
        The path.
    """
    from PIL.Image import Dither

    artist = FlightArtist(flight, title)
    pictures = [_image(artist.draw(moment)) for moment in range(len(flight.time))]
    palette = _palette(artist.draw(len(pictures) // 2))
    frames = [picture.quantize(palette=palette, dither=Dither.NONE) for picture in pictures]
    step = float(np.diff(flight.time).mean()) if len(frames) > 1 else 1.0
    pause = max(20, round(1000 * step / pace))
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=[pause] * (len(frames) - 1) + [1500],
        loop=0,
        optimize=True,
    )
    return path


def _image(pixels: Array) -> Image:
    from PIL import Image

    return Image.fromarray(pixels)


def _palette(pixels: Array) -> Image:
    """One palette for a whole flight: nothing flickers, and what stands still costs nothing."""
    words = [*_COLOURS, _ALARM, _INK]
    swatches = [[int(word[i : i + 2], 16) for i in (1, 3, 5)] for word in words]
    band = np.array(swatches, np.uint8).repeat(pixels.shape[1] // len(words), 0)[None]
    band = band.repeat(40, 0)  # wide enough that every colour of a drone gets its own place
    return _image(np.concatenate([pixels[:, : band.shape[1]], band])).quantize(128)


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]


def _tally(status: Array) -> str:
    arrived, crashed = int((status == ARRIVED).sum()), int((status == CRASHED).sum())
    text = f"{arrived} of {len(status)} arrived"
    return f"{text}, {crashed} crashed" if crashed else text


def _dress(bodies: tuple[Any, Any], status: int, colour: str) -> None:
    for body in bodies:
        body.set_marker("X" if status == CRASHED else "o")
        body.set_color(_ALARM if status == CRASHED else colour)
        body.set_markeredgecolor(_INK if status == ARRIVED else _PAPER)


def _space(figure: Figure, flight: Flight) -> Any:
    """The 3-D view: arena, obstacles and goals with lines down to the floor."""
    axes: Any = figure.add_axes((0.0, -0.02, 0.56, 0.95), projection="3d", computed_zorder=False)
    low, high = flight.arena
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    axes.set_box_aspect(high - low, zoom=1.12)
    axes.view_init(elev=27, azim=-58)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color((0.95, 0.96, 0.97, 1.0))
        axis.set_ticklabels([])
        axis._axinfo["tick"].update(inward_factor=0, outward_factor=0)
        axis._axinfo["grid"].update(color="#dde2e7", linewidth=0.6)
        axis.line.set_color("#c3cad2")
    for *centre, radius in flight.solids.spheres[0]:
        axes.plot_surface(*_sphere(centre, radius), color="#c4ccd6", alpha=0.75, lw=0)
    for index, goal in enumerate(flight.goals):
        stem = np.stack([goal, [goal[0], goal[1], low[2]]]).T
        axes.plot(*stem, color=_colour(index), lw=0.8, ls=":", alpha=0.7)
        axes.plot(*goal[:, None], marker="*", ms=13, color=_colour(index), mec=_PAPER, mew=0.6)
    return axes


def _top(figure: Figure, flight: Flight) -> Any:
    """The view from above, to scale."""
    from matplotlib.patches import Circle

    axes = figure.add_axes((0.575, 0.08, 0.40, 0.80))
    low, high = flight.arena
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", facecolor="#f5f7f9")
    axes.tick_params(length=0, labelsize=7, labelcolor=_STONE)
    axes.grid(color="#dde2e7", lw=0.6)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color("#c3cad2")
    for *centre, radius in flight.solids.spheres[0]:
        axes.add_patch(Circle(centre[:2], radius, color=_STONE, alpha=0.6, lw=0))
    for index, goal in enumerate(flight.goals):
        colour = _colour(index)
        ring = Circle(goal[:2], flight.goal_radius, fill=False, ec=colour, ls="--", lw=1.0)
        axes.add_patch(ring)
        axes.plot(goal[0], goal[1], marker="*", ms=11, color=colour, mec=_PAPER, mew=0.6)
    axes.text(
        0.5,
        -0.085,
        "seen from above, m",
        transform=axes.transAxes,
        ha="center",
        size=7,
        color=_STONE,
    )
    return axes


def _points_per_metre(axes: Any) -> float:
    axes.apply_aspect()
    low, high = axes.transData.transform([(0, 0), (1, 0)])
    return float(high[0] - low[0]) * 72 / _DPI


def _sphere(centre: Sequence[float], radius: float) -> tuple[Array, Array, Array]:
    turn, lift = np.mgrid[0 : 2 * np.pi : 19j, 0 : np.pi : 10j]
    ring = radius * np.sin(lift)
    return (
        centre[0] + ring * np.cos(turn),
        centre[1] + ring * np.sin(turn),
        centre[2] + radius * np.cos(lift),
    )
