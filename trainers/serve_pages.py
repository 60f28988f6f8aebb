"""The pages that a browser shows of runs; the template escapes whatever stands in a run."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Any, NamedTuple

from trainers import report
from trainers import report_words as sentences
from trainers.live import RECENT, Look, Spent
from trainers.progress import duration, shown_metrics
from trainers.report_chart import Chart
from trainers.report_clients import ClientRow, clients
from trainers.report_curves import (
    Run,
    exchange_charts,
    federated_groups,
    health_charts,
    learning_charts,
    smoothing,
)
from trainers.report_text import UNSEEN, count, seconds, words

STATIC = {"/live.css": "text/css", "/live.js": "text/javascript"}
"""Files that every page loads, and their kinds."""

_PARTS = ("head", "curves", "flight", "federation", "timeline")


class Card(NamedTuple):
    """A run among others.

    Attributes:
        name: Of the run in addresses.
        title: For people.
        state: How it stands, in words.
        tone: Number of the state's colour.
        percent: How far it is.
        facts: Label and text.
        chart: Success or return, if there is any.
    """

    name: str
    title: str
    state: str
    tone: int
    percent: float
    facts: tuple[tuple[str, str], ...]
    chart: Chart | None


class Column(NamedTuple):
    """Where the time of a round, or of neighbouring ones, went: a column of a timeline."""

    x: float
    width: float
    title: str
    segments: tuple[tuple[int, float, float], ...]


class Timeline(NamedTuple):
    """Where the time of the last rounds went."""

    columns: tuple[Column, ...]
    legend: tuple[tuple[int, str, str], ...]
    highest: str
    first: str
    last: str


class Table(NamedTuple):
    """Who took part, for one group."""

    group: str
    rows: tuple[tuple[ClientRow, int], ...]
    charts: tuple[Chart, ...]


def card(look: Look, name: str) -> Card:
    """What the overview says of a run."""
    charts = _charts(look)
    return Card(
        name,
        sentences.title(look.record),
        look.state,
        _tone(look.state),
        _percent(look),
        tuple(_facts(look)),
        charts[0] if charts else None,
    )


def broken(name: str, why: str) -> Card:
    """What the overview says of a run that cannot be shown."""
    return Card(name, "A run that cannot be shown", words(why, 300), 1, 0.0, (), None)


def index(cards: list[Card]) -> bytes:
    """The overview."""
    return _page("serve_index.html.j2", {"cards": cards})


def index_parts(cards: list[Card], seen: str) -> bytes:
    """What changed in the overview since the version ``seen``."""
    parts = {"cards": _part("cards", {"cards": cards})}
    return _changed(parts, _digest(parts), seen, ended=False)


def run(look: Look, name: str) -> bytes:
    """The page of one run."""
    return _page("serve_run.html.j2", {"it": _context(look, name)})


def run_parts(look: Look, name: str, seen: str) -> bytes:
    """What changed on the page of one run since the version ``seen``."""
    if look.version == seen:  # long runs take a while to draw
        return _changed({}, seen, seen, look.ended)
    context = _context(look, name)
    parts = {part: _part(part, context) for part in _PARTS}
    return _changed(parts, look.version, seen, look.ended)


def trouble_parts(why: str, seen: str) -> bytes:
    """What becomes of the page of a run that can no longer be shown."""
    parts = {"head": _part("trouble", {"why": words(why, 400)})}
    return _changed(parts, _digest(parts), seen, ended=False)


def report_page(look: Look) -> bytes:
    """The run's report, made from its numbers; the file that lies there may hold anything."""
    return _bytes(report.render([look.record]))


def message(title: str, text: str) -> bytes:
    """A page that only says something."""
    return _page("serve_message.html.j2", {"title": title, "text": words(text, 400), "ask": False})


def door(wrong: bool) -> bytes:
    """The page that asks for the token."""
    said = "That was not the token." if wrong else ""
    text = f"{said} Open the address that qmarl serve printed, or give its token here."
    return _page(
        "serve_message.html.j2", {"title": "Who is there?", "text": text.strip(), "ask": True}
    )


def static(path: str) -> tuple[bytes, str]:
    """A file that every page loads, and its kind."""
    names = ("report.css", "live.css") if path == "/live.css" else ("live.js",)
    return b"\n".join((report.TEMPLATES / name).read_bytes() for name in names), STATIC[path]


def timeline(spent: list[Spent]) -> Timeline | None:
    """Draws where the time of rounds went, in columns of a square of 1000 x 1000."""
    if not any(one.parts for one in spent):
        return None
    names = list(dict.fromkeys(name for one in spent for name in one.parts))
    highest = max(sum(one.parts.values()) for one in spent) or 1.0
    width = 1000 / len(spent)
    columns = tuple(
        _column(one, place * width, width, names, highest) for place, one in enumerate(spent)
    )
    totals = [sum(one.parts.get(name, 0.0) for one in spent) for name in names]
    whole = sum(totals) or 1.0
    shares = (f"{100 * total / whole:.0f}\u202f%" for total in totals)
    legend = tuple(zip(range(len(names)), names, shares, strict=True))
    first, last = count(spent[0].round + 1), count(spent[-1].round + 1)
    return Timeline(columns, legend, seconds(highest), first, last)


def _column(one: Spent, x: float, width: float, names: list[str], highest: float) -> Column:
    segments, top = [], 1000.0
    for tone, name in enumerate(names):
        height = 1000 * one.parts.get(name, 0.0) / highest
        top -= height
        segments.append((tone, round(top, 1), round(height, 1)))
    told = ", ".join(f"{name} {seconds(one.parts[name])}" for name in names if name in one.parts)
    title = f"round {one.round + 1}, {seconds(one.took)}: {told}"
    return Column(round(x, 2), round(0.8 * width, 2), title, tuple(segments))


def _context(look: Look, name: str) -> dict[str, Any]:
    record = look.record
    runs = [Run(record, sentences.title(record), 0)]
    flight = hashlib.sha256(record.flight).hexdigest()[:12] if record.flight else ""
    return {
        "name": name,
        "title": sentences.title(record),
        "state": look.state,
        "tone_of_state": _tone(look.state),
        "percent": _percent(look),
        "summary": sentences.summary(record),
        "facts": list(_facts(look)),
        "tiles": sentences.tiles(record),
        "charts": learning_charts(runs),
        "health": health_charts(record),
        "smoothing": smoothing(runs),
        "flight": flight,
        "missing": record.missing,
        "tables": [_table(look, group) for group in federated_groups(record)],
        "recent": RECENT,
        "timeline": timeline(look.spent()),
    }


def _table(look: Look, group: str) -> Table:
    late = look.late(group)
    rows = tuple((row, late.get(row.client, 0)) for row in clients(look.recent, group))
    return Table(words(group), rows, tuple(exchange_charts(look.record, group)))


def _facts(look: Look) -> list[tuple[str, str]]:
    shown = shown_metrics(look.latest)
    rounds = f"{count(look.done)} of {count(look.total)}"
    left = [] if look.ended else [("time left", duration(look.left))]
    return [("rounds", rounds), *left, *((k, v) for k, v in shown.items() if v != "-")]


def _charts(look: Look) -> list[Chart]:
    return learning_charts([Run(look.record, sentences.title(look.record), 0)])


def _percent(look: Look) -> float:
    return round(100 * min(look.done / look.total, 1.0), 1) if look.total else 0.0


def _tone(state: str) -> int:
    return {"running": 0, "finished": 2}.get(state, 1)


def _changed(parts: dict[str, str], version: str, seen: str, ended: bool) -> bytes:
    told = {"version": version, "parts": {} if version == seen else parts, "ended": ended}
    return json.dumps(told).encode()


def _digest(parts: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _part(name: str, context: dict[str, Any]) -> str:
    macros = _environment().get_template("serve_parts.html.j2").module
    return _bytes(str(getattr(macros, name)(context))).decode()


def _page(template: str, context: dict[str, Any]) -> bytes:
    return _bytes(_environment().get_template(template).render(context))


def _bytes(text: str) -> bytes:
    """Without what a browser would not show, and without lone surrogates."""
    return text.translate(UNSEEN).encode(errors="replace")


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(report.TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
