"""A report's section on protected links: keys made and used, aborts and why, who listened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from trainers.report_chart import Chart, Curve, Point, draw
from trainers.report_data import Record
from trainers.report_text import DASH, SPACE, at, count, decimals, number, plural, section, words

SHOWN = 40
"""More links than this are not listed one by one."""
DRAWN = 6
"""Nor are more than this drawn."""

_REASONS = {
    "error_rate": "error rate too high",
    "chsh": "pairs not entangled enough",
    "keys_differ": "keys differed",
    "authentication": "authentication failed",
    "too_few_detections": "too little light",
    "no_secret_bits": "no secret bits left",
    "no_time": "no time",
}


class LinkRow(NamedTuple):
    """One client's link over the run."""

    client: str
    transport: str
    made: str
    used: str
    left: str
    errors: str
    leaked: str


class Event(NamedTuple):
    """Rounds in which one thing happened on a link."""

    client: str
    rounds: str
    what: str


class LinksPart(NamedTuple):
    """The section: a table of links, what happened when, and charts."""

    rows: tuple[LinkRow, ...]
    events: tuple[Event, ...]
    charts: tuple[Chart, ...]


def links_part(record: Record) -> LinksPart | None:
    """Sums up what ``links.jsonl`` says; nothing for a run whose messages travelled in clear.

    Args:
        record: The run; the file's lines may hold anything.
    """
    names = sorted({name for line in record.links for name in section(line, "links")})
    told = {name: lines for name in names if (lines := _told(record.links, name))}
    if not told:
        return None
    rows = tuple(_row(name, lines) for name, lines in list(told.items())[:SHOWN])
    events = [event for name, lines in told.items() for event in _events(name, lines)]
    return LinksPart(rows, tuple(events[:SHOWN]), tuple(_charts(told)))


_Told = list[tuple[int, dict[str, Any]]]


def _told(lines: Sequence[dict[str, Any]], name: str) -> _Told:
    """What the log says of one link, by round."""
    return [
        (int(line["round"]), section(line, "links", name))
        for line in lines
        if section(line, "links", name)
    ]


def _row(name: str, lines: _Told) -> LinkRow:
    made, used, leaked = (_sum(lines, key) for key in ("made", "used", "leaked"))
    errors = [value for _, one in lines if (value := number(one.get("qber"))) is not None]
    listened = any(one.get("eavesdropper") for _, one in lines)
    quantum = bool(errors)
    mean = sum(errors) / len(errors) if errors else 0.0
    return LinkRow(
        words(name, 40),
        words(at(lines[-1][1], "transport"), 40),
        count(made) if quantum else DASH,
        count(used) if quantum else DASH,
        count(number(lines[-1][1].get("left"))) if quantum else DASH,
        f"{decimals(100 * mean, 2)}{SPACE}%" if quantum else DASH,
        count(leaked) if listened else "0" if quantum else DASH,
    )


def _sum(lines: _Told, key: str) -> float:
    return sum(number(one.get(key)) or 0.0 for _, one in lines)


def _events(name: str, lines: _Told) -> Iterable[Event]:
    """Aborts, fallbacks and messages lost, with neighbouring rounds told together."""
    found: dict[str, list[int]] = {}
    for at_round, one in lines:
        if what := _what(one):
            found.setdefault(what, []).append(at_round)
    for what, rounds in found.items():
        yield Event(words(name, 40), spans(rounds), what)


def _what(one: dict[str, Any]) -> str:
    """What was out of order on a link in a round, as a sentence; empty if nothing was."""
    parts = []
    if aborted := one.get("aborted"):
        parts.append(f"session aborted: {_REASONS.get(str(aborted), words(aborted, 40))}")
    if fallback := one.get("fallback"):
        parts.append(f"{words(fallback, 40)} keys stood in")
    if lost := number(one.get("undelivered")):
        parts.append(f"{plural(int(lost), 'message')} not delivered")
    if refused := number(one.get("refused")):
        parts.append(f"{plural(int(refused), 'message')} refused as altered")
    if parts and (who := one.get("eavesdropper")):
        parts.append(f"on the line: {words(who, 40).replace('_', ' ')}")
    return "; ".join(parts)


def spans(rounds: Sequence[int]) -> str:
    """Writes ascending rounds shortly.

    >>> spans([3]), spans([1, 2, 3, 7])
    ('round 3', 'rounds 1 to 3, 7')
    """
    breaks = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(rounds)) if b != a + 1), len(rounds)]
    parts = [rounds[first:last] for first, last in pairwise(breaks)]
    text = ", ".join(f"{p[0]} to {p[-1]}" if len(p) > 1 else f"{p[0]}" for p in parts[:8])
    more = ", …" if len(parts) > 8 else ""
    return f"round{'s' if len(rounds) > 1 else ''} {text}{more}"


def _charts(told: dict[str, _Told]) -> Iterable[Chart]:
    """Error rates and stored keys of the quantum links."""
    quantum = {
        name: lines
        for name, lines in told.items()
        if any(number(one.get("qber")) is not None for _, one in lines)
    }
    pictures = (("Bits of key left", "left", "plain"), ("Error rate of the light", "qber", "plain"))
    for title, key, unit in pictures:
        curves = [
            Curve(words(name, 24), tone, _points(lines, key))
            for tone, (name, lines) in enumerate(list(quantum.items())[:DRAWN])
        ]
        if chart := draw(title, curves, unit, "rounds"):
            yield chart


def _points(lines: _Told, key: str) -> list[Point]:
    return [
        Point(at_round + 1, value)
        for at_round, one in lines
        if (value := number(one.get(key))) is not None
    ]
