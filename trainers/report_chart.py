"""The geometry of a line chart: data in, paths on a square of 1000 x 1000 out.

The square is stretched to whatever room there is; labels are placed beside it in percent, so that
letters keep their size on a telephone as well as on a wide screen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trainers.report_text import Score, Unit, amount, count, decimals, size

SIDE = 1000
POINTS = 240
"""Points that are drawn of a curve at most; more would not be seen."""


class Point(NamedTuple):
    """One measurement."""

    x: float
    y: float


class Estimate(NamedTuple):
    """One evaluation: where it was made, and its mean with its interval."""

    x: float
    score: Score


@dataclass(frozen=True)
class Curve:
    """What one run, or one part of it, adds to a chart.

    Attributes:
        label: Its name.
        tone: Number of its colour.
        points: Measurements, in order of ``x``.
        estimates: Evaluations, in order of ``x``.
        smooth: Measurements that are averaged for the thick line; with 1 there is no thin one.
    """

    label: str
    tone: int
    points: Sequence[Point]
    estimates: Sequence[Estimate] = ()
    smooth: int = 1


class Tick(NamedTuple):
    """A label at a share [percent] of an axis."""

    at: float
    label: str


class Dot(NamedTuple):
    """An evaluation as drawn."""

    x: int
    y: int
    low: int
    high: int
    title: str


class Trace(NamedTuple):
    """A curve as drawn: SVG path data of the thin and the thick line, and its dots."""

    label: str
    tone: int
    thin: str
    thick: str
    dots: tuple[Dot, ...]


class Chart(NamedTuple):
    """A chart as drawn."""

    title: str
    description: str
    traces: tuple[Trace, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    x_label: str


ChartUnit = Unit | str
"""A unit of the measures, or ``bytes`` or ``plain``."""


@dataclass(frozen=True)
class Frame:
    """The part of the plane that a chart shows."""

    left: float
    right: float
    bottom: float
    top: float

    def place(self, x: float, y: float) -> tuple[int, int]:
        """Returns the place of a point in the square, ``y`` pointing down; outside is clipped."""
        across = (x - self.left) / (self.right - self.left)
        up = (y - self.bottom) / (self.top - self.bottom)
        return round(SIDE * min(max(across, 0), 1)), round(SIDE * (1 - min(max(up, 0), 1)))


def draw(title: str, curves: Sequence[Curve], unit: ChartUnit, x_label: str) -> Chart | None:
    """Draws a chart, or nothing when there is nothing to draw.

    Args:
        title: What the chart shows.
        curves: At least one of them with points or estimates.
        unit: Of the ordinate; ``share`` always spans 0 to 1.
        x_label: What the abscissa counts.
    """
    curves = [curve for curve in curves if curve.points or curve.estimates]
    if not curves:
        return None
    xs = [point.x for curve in curves for point in curve.points]
    xs += [one.x for curve in curves for one in curve.estimates]
    y_marks = [0, 0.25, 0.5, 0.75, 1.0] if unit == "share" else marks(*_extent(curves, unit), 4)
    frame = Frame(0.0, max(xs) or 1.0, y_marks[0], y_marks[-1])
    y_ticks = [
        Tick(_percent(value, frame.bottom, frame.top), label(value, unit)) for value in y_marks
    ]
    x_marks = [value for value in marks(0, frame.right, 4) if 0 <= value <= frame.right]
    return Chart(
        title=title,
        description=_description(curves, unit, x_label),
        traces=tuple(_trace(curve, frame, unit, x_label) for curve in curves),
        x_ticks=tuple(Tick(_percent(x, 0, frame.right), _short(count(x))) for x in x_marks),
        y_ticks=tuple(y_ticks),
        x_label=x_label,
    )


def marks(low: float, high: float, about: int) -> list[float]:
    """Returns round numbers, evenly spaced, that enclose ``low`` and ``high``.

    >>> marks(0, 97, 4)
    [0.0, 25.0, 50.0, 75.0, 100.0]
    >>> marks(-9.2, 13, 4)
    [-10.0, -5.0, 0.0, 5.0, 10.0, 15.0]
    """
    largest = max(abs(low), abs(high))
    if high - low <= max(1e-9 * largest, 1e-90):  # one value has no scale but its own
        pad = 0.5 * largest if largest > 1e-90 else 0.5
        low, high = low - pad, high + pad
    span = high - low
    rough = span / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = min(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= 0.85 * rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * k + 0.0 for k in range(first, last + 1)]


def smoothed(points: Sequence[Point], width: int) -> list[Point]:
    """Returns the mean of ``width`` neighbours around every point, fewer at the ends.

    >>> smoothed([Point(0, 0), Point(1, 3), Point(2, 0)], 3)
    [Point(x=0, y=1.5), Point(x=1, y=1.0), Point(x=2, y=1.5)]
    """
    half = width // 2
    sums = np.concatenate([[0.0], np.cumsum([point.y for point in points])])
    at = np.arange(len(points))
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, len(points))
    means = (sums[last] - sums[first]) / (last - first)
    return [Point(point.x, float(mean)) for point, mean in zip(points, means, strict=True)]


def thinned(points: Sequence[Point]) -> list[Point]:
    """Returns at most :data:`POINTS` points: means of neighbours, where there are more."""
    if len(points) <= POINTS:
        return list(points)
    parts = np.array_split(np.array(points), POINTS)
    return [Point(float(part[:, 0].mean()), float(part[:, 1].mean())) for part in parts]


def label(value: float, unit: ChartUnit) -> str:
    """Returns a value as an axis shows it.

    >>> label(0.25, "share"), label(-5.0, "number"), label(14_000, "bytes")
    ('25\u202f%', '−5', '14\u202fkB')
    """
    if unit == "bytes":
        return _short(size(value))
    if unit == "share":
        return _short(amount(value, "share"))
    if abs(value) >= 1e4:
        return _short(count(value)).replace("-", "\N{MINUS SIGN}")
    return decimals(value, 4).rstrip("0").rstrip(".")


def _short(text: str) -> str:
    """Leaves out decimals that are all zero."""
    return re.sub(r"\.0+(?=\D|$)", "", text)


def _percent(value: float, low: float, high: float) -> float:
    return round(100 * (value - low) / (high - low), 2)


def _extent(curves: Sequence[Curve], unit: ChartUnit) -> tuple[float, float]:
    """The lowest and highest value; zero too, where it is a natural beginning."""
    ys = [point.y for curve in curves for point in curve.points]
    ys += [value for curve in curves for one in curve.estimates for value in one.score]
    low, high = min(ys), max(ys)
    from_zero = low >= 0 and (unit in ("bytes", "plain") or low <= 0.5 * high)
    return (0.0 if from_zero else low), high


def _trace(curve: Curve, frame: Frame, unit: ChartUnit, x_label: str) -> Trace:
    thin = _path(thinned(curve.points), frame) if curve.smooth > 1 else ""
    thick = _path(thinned(smoothed(curve.points, curve.smooth)), frame) if curve.points else ""
    dots = tuple(_dot(one, curve.label, frame, unit, x_label) for one in curve.estimates)
    return Trace(curve.label, curve.tone, thin, thick, dots)


def _path(points: Sequence[Point], frame: Frame) -> str:
    places = [frame.place(*point) for point in points]
    if len(places) == 1:
        return "M{} {}h0".format(*places[0])
    return "M" + "L".join(f"{x} {y}" for x, y in places)


def _dot(one: Estimate, name: str, frame: Frame, unit: ChartUnit, x_label: str) -> Dot:
    x, y = frame.place(one.x, one.score.mean)
    (_, low), (_, high) = frame.place(one.x, one.score.low), frame.place(one.x, one.score.high)
    mean, *ends = (label_exact(value, unit) for value in one.score)
    where = f"{count(one.x)} {x_label}"
    return Dot(x, y, low, high, f"{name}, after {where}: {mean} ({' to '.join(ends)})")


def label_exact(value: float, unit: ChartUnit) -> str:
    """Returns a value as a tooltip shows it, finer than on an axis."""
    return amount(value, "share") if unit == "share" else decimals(value, 2)


def _description(curves: Sequence[Curve], unit: ChartUnit, x_label: str) -> str:
    """What the chart shows, for those who cannot see it."""
    ends = []
    for curve in curves:
        last = curve.estimates[-1].score.mean if curve.estimates else curve.points[-1].y
        ends.append(f"{curve.label}: {label_exact(last, unit)} at the end")
    return f"Over {x_label}. {'; '.join(ends)}."
