"""``qmarl watch``: a run in the terminal while it trains, from another process than its own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TextIO

from trainers import report_words as sentences
from trainers.live import Look, Watcher
from trainers.progress import duration, shown_metrics
from trainers.report_clients import clients
from trainers.report_text import UNSEEN, words

if TYPE_CHECKING:
    from rich.console import RenderableType

EVERY_S = 1.0
"""Seconds between two looks at a terminal."""
LINE_EVERY_S = 10.0
"""Seconds between two plain lines."""
BLOCKS = "▁▂▃▄▅▆▇█"
SHOWN_CLIENTS = 12

_CURVES = {"success": "episode/success", "return": "episode/return"}
_ENDS = {
    "finished": "the run is finished",
    "interrupted": "the run was interrupted; `qmarl resume` goes on with it",
    "failed": "the run failed; `qmarl resume` goes on from its last checkpoint",
    "killed": "the run's process is gone; `qmarl resume` goes on from its last checkpoint",
}


def watch(
    watcher: Watcher,
    stream: TextIO,
    once: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Shows a run until it ends: a live view on a terminal, else plain lines.

    Args:
        watcher: Looks at the run.
        stream: Where to write.
        once: Whether one look is enough.
        sleep: Waits some seconds.

    Returns:
        How the run stood at the end: ``finished``, ``interrupted``, ``failed``, ``killed``, or
        ``running`` if one look was enough.

    Raises:
        RunError: The run cannot be read.
    """
    if once or not stream.isatty():
        return _lines(watcher, stream, once, sleep)
    return _live(watcher, stream, sleep)


def line(look: Look) -> str:
    """A run at one moment in one line."""
    facts = [f"{label} {text}" for label, text in shown_metrics(look.latest).items()]
    if refused := sum(len(look.last_refusals(group)) for group in look.groups):
        facts.append(f"refused {refused}")
    left = [] if look.ended else [f"{duration(look.left)} left"]
    return "  ".join([f"round {look.done}/{look.total}", *facts, *left])


def ending(look: Look) -> str:
    """Says how a run ended."""
    state = _ENDS.get(look.state, f"the state of the run is '{plain(look.state)}'")
    reason = look.record.status.get("reason")
    return f"{state}: {plain(reason, 200)}" if reason else state


def sparkline(values: Sequence[float], width: int, low: float, high: float) -> str:
    """A curve in one line: means of neighbours, at most ``width`` of them.

    >>> sparkline([0, 0, 1, 1, 2, 2, 3, 3], 4, 0, 3)
    '▁▃▆█'
    """
    if not values:
        return ""
    count = min(width, len(values))
    cuts = [round(len(values) * place / count) for place in range(count + 1)]
    parts = [values[a:b] for a, b in pairwise(cuts)]
    means = [sum(part) / len(part) for part in parts]
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    places = (round(scale * (mean - low)) for mean in means)
    return "".join(BLOCKS[min(max(place, 0), len(BLOCKS) - 1)] for place in places)


def plain(value: object, limit: int = 60) -> str:
    """Text from a run without anything that a terminal would obey."""
    seen = str(value).translate(UNSEEN).encode(errors="replace").decode()  # no lone surrogates
    return words(seen, limit)


def view(look: Look, width: int = 80) -> RenderableType:
    """The live view: where the run is, its curves, who took part, where the time went."""
    from rich.console import Group
    from rich.text import Text

    title = Text.assemble((plain(sentences.title(look.record)), "bold"), "  ", plain(look.state))
    parts = [title, _bar(look, width), _curves(look, width)]
    parts += [_federation(look, group) for group in look.groups]
    parts += [_times(look)] if look.spent() else []
    return Group(*parts)


def _lines(watcher: Watcher, stream: TextIO, once: bool, sleep: Callable[[float], None]) -> str:
    look = watcher.look()
    print(f"{plain(sentences.title(look.record))}: {plain(look.state)}", file=stream)
    said = ""
    while True:
        if (now := line(look)) != said:
            print(now, file=stream, flush=True)
            said = now
        if once or look.ended:
            break
        sleep(LINE_EVERY_S)
        look = watcher.look()
    if look.ended:
        print(ending(look), file=stream, flush=True)
    return look.state


def _live(watcher: Watcher, stream: TextIO, sleep: Callable[[float], None]) -> str:
    from rich.console import Console
    from rich.live import Live

    console = Console(file=stream, highlight=False)
    look = watcher.look()
    with Live(view(look, console.width), console=console, auto_refresh=False) as live:
        while not look.ended:
            sleep(EVERY_S)
            look = watcher.look()
            live.update(view(look, console.width), refresh=True)
    console.print(ending(look), markup=False)
    return look.state


def _bar(look: Look, width: int) -> RenderableType:
    from rich.text import Text

    room = max(min(width - 40, 40), 10)
    full = round(room * min(look.done / look.total, 1.0)) if look.total else 0
    speed = shown_metrics(look.latest)["env-steps/s"]
    left = "" if look.ended else f"  {duration(look.left)} left"
    return Text.assemble(
        ("━" * full, "green"),
        ("━" * (room - full), "dim"),
        f" round {look.done}/{look.total}  {speed} env-steps/s{left}",
    )


def _curves(look: Look, width: int) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for label, name in _CURVES.items():
        values = look.record.measured(name)
        if values:
            low, high = (0.0, 1.0) if label == "success" else (min(values), max(values))
            curve = sparkline(values, max(width - 30, 10), low, high)
            table.add_row(label, Text(curve, "cyan"), f"{values[-1]:.2f}")
    return table


def _federation(look: Look, group: str) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    rows, late = clients(look.recent, group), look.late(group)
    rounds = len(look.recent)
    table = Table(
        title=Text(f"federation of {plain(group)}, last {rounds} rounds"), title_justify="left"
    )
    for column in ("client", "asked", "used", "late", "refused", "missing", "last rounds"):
        table.add_column(column, no_wrap=True)
    for row in rows[:SHOWN_CLIENTS]:
        counts = (row.asked, row.used, late.get(row.client, 0), row.refused, row.missing)
        cells = (row.client, *counts, row.strip[-24:])
        table.add_row(*(Text(plain(cell)) for cell in cells))
    if len(rows) > SHOWN_CLIENTS:
        table.add_row(f"and {len(rows) - SHOWN_CLIENTS} more")
    return table


def _times(look: Look) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    totals = dict(_totals(look))
    whole = sum(totals.values()) or math.inf
    table = Table.grid(padding=(0, 2))
    for name, seconds in totals.items():
        share = seconds / whole
        table.add_row(name, Text("■" * round(30 * share), "magenta"), f"{100 * share:.0f} %")
    return table


def _totals(look: Look) -> Iterator[tuple[str, float]]:
    """Seconds of the last rounds by what they went to."""
    spent = look.spent()
    for name in dict.fromkeys(name for one in spent for name in one.parts):
        yield name, sum(one.parts.get(name, 0.0) for one in spent)


def facts(look: Look) -> dict[str, Any]:
    """A run at one moment as plain data, for machines."""
    return {
        "state": look.state,
        "round": look.done,
        "rounds": look.total,
        "left_s": look.left,
        "metrics": look.latest,
    }
