"""Progress on a terminal, in a log, and for machines."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pytest

from trainers.progress import (
    JsonProgress,
    LiveProgress,
    PlainProgress,
    Progress,
    SilentProgress,
    make_progress,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def metrics(number: int) -> dict[str, float]:
    return {
        "round": number,
        "episode/return": 1.5,
        "episode/success": 0.25,
        "episode/collision": math.nan,
        "clock/env_steps_per_s": 9012.4,
        "clock/round_s": 2.0,
    }


def play(progress: Progress, rounds: int = 3) -> None:
    progress.start(rounds, {"actor": "vqc, 185 parameters"})
    for number in range(rounds):
        progress.round(metrics(number))
    progress.note("a checkpoint was damaged [see the log]")
    progress.finish(Path("runs/x"), Path("runs/x/report.html"))
    progress.close()
    progress.close()


def test_the_stream_decides() -> None:
    assert isinstance(make_progress(stream=Terminal()), LiveProgress)
    assert isinstance(make_progress(stream=io.StringIO()), PlainProgress)
    assert isinstance(make_progress(as_json=True, stream=Terminal()), JsonProgress)


def test_without_a_terminal_progress_goes_to_stderr_and_json_to_stdout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    play(make_progress())
    assert capsys.readouterr().out == ""
    play(make_progress(as_json=True))
    assert capsys.readouterr().err == ""


def test_json_lines_are_json() -> None:
    stream = io.StringIO()
    play(JsonProgress(stream))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["start", *["round"] * 3, "note", "finish"]
    assert events[1]["metrics"]["episode/collision"] is None
    assert events[-1] == {"event": "finish", "run": "runs/x", "report": "runs/x/report.html"}


def test_plain_lines_come_seldom_and_the_last_round_always() -> None:
    stream, now = io.StringIO(), [0.0]
    progress = PlainProgress(stream, clock=lambda: now[0])
    progress.start(100, {})
    for number in range(100):
        progress.round(metrics(number))
        now[0] += 1.0
    lines = stream.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == [f"{n}/100" for n in (*range(1, 100, 10), 100)]
    assert lines[0] == (
        "round 1/100  return 1.50  success 0.25  collision -  env-steps/s 9,012  3:18 left"
    )


@pytest.mark.parametrize(("columns", "wide"), [("80", False), ("140", True)])
def test_the_live_bar_shows_what_matters_and_fits(
    columns: str, wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    play(LiveProgress(stream))
    shown = stream.getvalue()
    for fact in ("185 parameters", "3/3", "1.50", "0.25", "9,012", "0:00 left", "[see the log]"):
        assert fact in shown
    assert ("collision" in shown) is wide
    assert "report: runs/x/report.html" in shown


def test_a_resumed_run_knows_the_time_left_at_once() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start(100, {})
    progress.round(metrics(89))
    assert stream.getvalue().endswith("0:20 left\n")


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    play(SilentProgress())
    assert capsys.readouterr() == ("", "")
