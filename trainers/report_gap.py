"""The report's section on a simulator: scores in two worlds, and their trajectories overlaid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from trainers.report_text import at, decimals, listed, number, section

SIDE = 400
"""Longer side of a picture, in its own units."""
_MARGIN = 12
_MOST = 64  # of anything in one picture
_PLACES = {"success": 3, "collision": 3, "return": 2, "path": 2, "time": 2, "apart": 3}
_LABELS = {
    "success": "Success",
    "collision": "Collision",
    "return": "Return",
    "path": "Path [m]",
    "time": "Time [s]",
    "apart": "Apart [m]",
}


class Row(NamedTuple):
    """One measure in both worlds; empty where it is not known."""

    label: str
    home: str
    away: str
    difference: str


class Way(NamedTuple):
    """One agent's way as SVG path data; ``tone`` is 0 at home and 1 in the simulator."""

    tone: int
    path: str


class Picture(NamedTuple):
    """One episode seen from above."""

    width: int
    height: int
    discs: tuple[tuple[float, float, float], ...]
    boxes: tuple[tuple[float, float, float, float], ...]
    goals: tuple[tuple[float, float], ...]
    ways: tuple[Way, ...]


class Gap(NamedTuple):
    """What the section shows."""

    rows: list[Row]
    kept: str
    pictures: list[Picture]


def gap_part(gap: dict[str, Any]) -> Gap | None:
    """Returns the section of what ``gap.json`` holds; None where there is nothing to show."""
    measures = section(gap, "measures")
    rows = [_row(name, measures[name]) for name in _LABELS if name in measures]
    if not rows:
        return None
    kept = number(gap.get("kept"))
    pictures = [found for each in listed(gap, "episodes")[:_MOST] if (found := _picture(each))]
    return Gap(rows, "" if kept is None else decimals(kept, 3), pictures)


def _row(name: str, parts: object) -> Row:
    values = (number(at(parts, which, "mean")) for which in ("home", "away", "difference"))
    texts = ("" if value is None else decimals(value, _PLACES[name]) for value in values)
    return Row(_LABELS[name], *texts)


def _picture(episode: object) -> Picture | None:
    """One episode; None where its arena is not known."""
    corners = [_numbers(corner, 2) for corner in listed(episode, "arena")]
    low, high = corners if len(corners) == 2 else (None, None)
    if low is None or high is None or high[0] <= low[0] or high[1] <= low[1]:
        return None
    scale = SIDE / max(high[0] - low[0], high[1] - low[1])

    def place(x: float, y: float) -> tuple[float, float]:
        across, down = scale * (x - low[0]), scale * (high[1] - y)
        return round(_MARGIN + across, 1), round(_MARGIN + down, 1)

    ways = tuple(
        Way(tone, "M" + "L".join(f"{x} {y}" for x, y in (place(*point) for point in points)))
        for tone, world in enumerate(("home", "away"))
        for points in _ways(episode, world)
    )
    discs = _rows(episode, "discs", 3)
    boxes = (
        (*place(x - a, y + b), 2 * a * scale, 2 * b * scale)
        for x, y, a, b in _rows(episode, "boxes", 4)
    )
    return Picture(
        width=round(scale * (high[0] - low[0])) + 2 * _MARGIN,
        height=round(scale * (high[1] - low[1])) + 2 * _MARGIN,
        discs=tuple((*place(x, y), round(r * scale, 1)) for x, y, r in discs),
        boxes=tuple((x, y, round(w, 1), round(h, 1)) for x, y, w, h in boxes),
        goals=tuple(place(x, y) for x, y in _rows(episode, "goals", 2)),
        ways=ways,
    )


def _ways(episode: object, world: str) -> Iterator[list[list[float]]]:
    for way in listed(episode, world)[:_MOST]:
        points = [_numbers(point, 2) for point in way] if isinstance(way, list) else []
        plain = [point for point in points if point is not None]
        if len(plain) > 1:
            yield plain


def _rows(episode: object, name: str, length: int) -> list[list[float]]:
    found = (_numbers(row, length) for row in listed(episode, name)[:_MOST])
    return [row for row in found if row is not None]


def _numbers(row: object, length: int) -> list[float] | None:
    values = [number(value) for value in row] if isinstance(row, list) else []
    plain = [value for value in values if value is not None]
    return plain if len(plain) == length == len(values) else None
