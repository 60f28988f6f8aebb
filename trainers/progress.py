"""What a person sees while a run goes on: a live bar on a terminal, else plain lines or JSON."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TextIO, final

if TYPE_CHECKING:
    from pathlib import Path

    from rich import progress as bars

_LINE_EVERY_S = 10.0  # plain lines: often enough to see life, seldom enough for a log file
_WIDE = 120  # columns of a terminal that has room for the bar and the collisions


class Progress(Protocol):
    """Tells somebody how a run is getting on.

    The metrics of a round that are shown, where present: ``round`` (from 0), ``env_steps``,
    ``episode/return``, ``episode/success``, ``episode/collision`` (shares in [0, 1]),
    ``clock/env_steps_per_s`` and ``clock/round_s`` [s].
    """

    def start(self, total_rounds: int, summary: Mapping[str, str]) -> None:
        """Says what is about to run.

        Args:
            total_rounds: Number of rounds of the whole run, those done before a resume included.
            summary: Short facts by label, such as ``{"actor": "vqc, 185 parameters"}``.
        """
        ...

    def round(self, metrics: Mapping[str, float]) -> None:
        """Takes the metrics of a finished round."""
        ...

    def note(self, message: str) -> None:
        """Says one sentence that a person should read, such as a fallback that was taken."""
        ...

    def finish(self, run_dir: Path, report: Path | None) -> None:
        """Says where the run and its report are."""
        ...

    def close(self) -> None:
        """Gives the terminal back; may be called twice, and after an error."""
        ...


def make_progress(as_json: bool = False, stream: TextIO | None = None) -> Progress:
    """Returns the progress that fits: JSON lines on stdout, else a bar or plain lines on stderr.

    Args:
        as_json: A machine listens.
        stream: Where to write instead.
    """
    if as_json:
        return JsonProgress(stream or sys.stdout)
    stream = stream or sys.stderr
    return LiveProgress(stream) if stream.isatty() else PlainProgress(stream)


@final
class SilentProgress:
    """Says nothing, for runs that are started from Python."""

    def start(self, total_rounds: int, summary: Mapping[str, str]) -> None:
        """Ignores it."""

    def round(self, metrics: Mapping[str, float]) -> None:
        """Ignores it."""

    def note(self, message: str) -> None:
        """Ignores it."""

    def finish(self, run_dir: Path, report: Path | None) -> None:
        """Ignores it."""

    def close(self) -> None:
        """Has nothing to close."""


@final
class JsonProgress:
    """One JSON object a line: ``{"event": "start" | "round" | "note" | "finish", ...}``.

    Args:
        stream: Text stream, flushed after every line. Numbers that are not finite become ``null``.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def start(self, total_rounds: int, summary: Mapping[str, str]) -> None:
        """Writes ``rounds`` and ``summary``."""
        self._write({"event": "start", "rounds": total_rounds, "summary": dict(summary)})

    def round(self, metrics: Mapping[str, float]) -> None:
        """Writes ``metrics``, all of them."""
        finite = {key: value if math.isfinite(value) else None for key, value in metrics.items()}
        self._write({"event": "round", "metrics": finite})

    def note(self, message: str) -> None:
        """Writes ``message``."""
        self._write({"event": "note", "message": message})

    def finish(self, run_dir: Path, report: Path | None) -> None:
        """Writes the paths ``run`` and ``report``."""
        shown = str(report) if report else None
        self._write({"event": "finish", "run": str(run_dir), "report": shown})

    def close(self) -> None:
        """Has nothing to close."""

    def _write(self, event: Mapping[str, Any]) -> None:
        print(json.dumps(event), file=self._stream, flush=True)


@final
class PlainProgress:
    """Plain lines for logs and pipes: the first round, the last, and one every ten seconds.

    Args:
        stream: Text stream.
        clock: Monotonic clock [s].
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._total = 0
        self._next = -math.inf
        self._pace = Pace()

    def start(self, total_rounds: int, summary: Mapping[str, str]) -> None:
        """Writes the summary, one fact a line."""
        self._total = total_rounds
        for label, fact in summary.items():
            self._say(f"{label:>12}  {fact}")

    def round(self, metrics: Mapping[str, float]) -> None:
        """Writes a line if it is time for one."""
        left = self._pace.left(metrics, self._total)
        now = self._clock()
        if now >= self._next or _done(metrics) >= self._total:
            self._next = now + _LINE_EVERY_S
            shown = [f"{label} {text}" for label, text in shown_metrics(metrics).items()]
            rounds = f"round {_done(metrics)}/{self._total}"
            self._say("  ".join([rounds, *shown, f"{duration(left)} left"]))

    def note(self, message: str) -> None:
        """Writes the message."""
        self._say(f"note: {message}")

    def finish(self, run_dir: Path, report: Path | None) -> None:
        """Writes where things are."""
        for line in _farewell(run_dir, report):
            self._say(line)

    def close(self) -> None:
        """Has nothing to close."""

    def _say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


@final
class LiveProgress:
    """A bar on a terminal: round, return, success, collisions, env-steps/s, time left.

    Args:
        stream: The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=stream, highlight=False)
        self._bar: bars.Progress | None = None
        self._task: bars.TaskID | None = None
        self._total = 0
        self._pace = Pace()

    def start(self, total_rounds: int, summary: Mapping[str, str]) -> None:
        """Shows the summary and starts the bar."""
        self._total = total_rounds
        self._console.print(_facts(summary))
        self._bar = _bar(self._console)
        self._task = self._bar.add_task("", total=total_rounds, shown="", left="")
        self._bar.start()

    def round(self, metrics: Mapping[str, float]) -> None:
        """Moves the bar."""
        if self._bar is None or self._task is None:
            return
        facts = shown_metrics(metrics)
        if self._console.width < _WIDE:
            del facts["collision"]
        cells = (f"[dim]{label}[/] {text}" for label, text in facts.items())
        left = f"{duration(self._pace.left(metrics, self._total))} left"
        done = _done(metrics)
        self._bar.update(self._task, completed=done, shown="  ".join(cells), left=left)

    def note(self, message: str) -> None:
        """Shows the message above the bar."""
        self._console.print("note:", message, style="yellow", markup=False)

    def finish(self, run_dir: Path, report: Path | None) -> None:
        """Ends the bar and shows where things are."""
        self.close()
        for line in _farewell(run_dir, report):
            self._console.print(line, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@final
class Pace:
    """Estimates the time left from a moving average of the rounds' durations."""

    def __init__(self) -> None:
        self._round_s = math.nan

    def left(self, metrics: Mapping[str, float], total_rounds: int) -> float:
        """Takes one round in and returns the time left [s], NaN where nothing is known.

        >>> Pace().left({"round": 4, "clock/round_s": 2.0}, total_rounds=10)
        10.0
        """
        took = metrics.get("clock/round_s", math.nan)
        known = not math.isnan(self._round_s)
        self._round_s = 0.9 * self._round_s + 0.1 * took if known else took
        return self._round_s * max(total_rounds - _done(metrics), 0)


def shown_metrics(metrics: Mapping[str, float]) -> dict[str, str]:
    """Returns what is shown of a round, as text by label; a dash where no episode has ended yet.

    >>> shown_metrics({"episode/return": 3.14159, "clock/env_steps_per_s": 9012.7})
    {'return': '3.14', 'success': '-', 'collision': '-', 'env-steps/s': '9,013'}
    """
    formats = {
        "return": ("episode/return", ".2f"),
        "success": ("episode/success", ".2f"),
        "collision": ("episode/collision", ".2f"),
        "env-steps/s": ("clock/env_steps_per_s", ",.0f"),
    }
    values = {label: (metrics.get(key, math.nan), form) for label, (key, form) in formats.items()}
    return {
        label: "-" if math.isnan(value) else format(value, form)
        for label, (value, form) in values.items()
    }


def duration(seconds: float) -> str:
    """Returns a duration for people.

    >>> duration(75.2), duration(3700), duration(float("nan"))
    ('1:15', '1:01:40', '-')
    """
    if not math.isfinite(seconds):
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _done(metrics: Mapping[str, float]) -> int:
    return int(metrics.get("round", -1)) + 1


def _farewell(run_dir: Path, report: Path | None) -> list[str]:
    return [f"run:    {run_dir}", *([f"report: {report}"] if report else [])]


def _facts(summary: Mapping[str, str]) -> Any:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", justify="right")
    for label, fact in summary.items():
        table.add_row(label, fact)
    return table


def _bar(console: Any) -> bars.Progress:
    from rich import progress as bars

    return bars.Progress(
        bars.TextColumn("round"),
        bars.MofNCompleteColumn(),
        *([bars.BarColumn(bar_width=20)] if console.width >= _WIDE else []),
        bars.TextColumn("{task.fields[shown]}"),
        bars.TextColumn("[dim]{task.fields[left]}[/]"),
        console=console,
    )
