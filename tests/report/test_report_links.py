"""The section on protected links says what happened when, and bears with damaged logs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trainers.report_data import Record
from trainers.report_links import links_part, spans

EMPTY = Record(Path(), {}, {}, {}, {}, (), (), None, ())
QUIET = {"transport": "qkd", "qber": 0.01, "made": 1000, "used": 512, "left": 488, "leaked": 0}
ATTACKED = QUIET | {
    "aborted": "error_rate",
    "qber": 0.25,
    "made": 0,
    "used": 0,
    "eavesdropper": "intercept_resend",
    "leaked": 700,
    "undelivered": 2,
}


def record(*rounds):
    lines = tuple({"round": at, "links": links} for at, links in enumerate(rounds))
    return replace(EMPTY, links=lines)


def test_a_run_in_clear_has_no_such_section():
    assert links_part(EMPTY) is None


def test_links_are_summed_up_and_rounds_told_together():
    part = links_part(record({"a": QUIET}, {"a": ATTACKED}, {"a": ATTACKED}, {"a": QUIET}))
    assert part is not None
    [row] = part.rows
    assert (row.client, row.transport, row.made, row.used) == ("a", "qkd", "2,000", "1,024")
    assert (row.errors, row.leaked) == ("13.00\u202f%", "1,400")
    [event] = part.events
    assert event.rounds == "rounds 1 to 2"
    assert event.what == (
        "session aborted: error rate too high; 2 messages not delivered; "
        "on the line: intercept resend"
    )
    assert [chart.title for chart in part.charts] == ["Bits of key left", "Error rate of the light"]


def test_a_link_without_light_has_no_key_and_no_chart():
    part = links_part(record({"a": {"transport": "tls", "qber": None, "made": 0}}))
    assert part is not None
    assert part.charts == ()
    assert part.rows[0][1:] == ("tls", "–", "–", "–", "–", "–")


def test_rounds_are_written_shortly():
    assert spans([0]) == "round 0"
    assert spans([0, 1, 2, 5, 7, 8]) == "rounds 0 to 2, 5, 7 to 8"
    assert spans(list(range(0, 40, 2))).endswith("12, 14, …")


@pytest.mark.parametrize(
    "damaged",
    [
        [],
        {"a": None},
        {"a": {"qber": "x", "made": [1], "aborted": {"x": 1}, "eavesdropper": [2]}},
        {"a" * 500: {"qber": 10**400, "undelivered": -1, "transport": ["<b>"]}},
        "text",
    ],
)
def test_a_damaged_log_breaks_nothing(damaged):
    part = links_part(record(damaged, {"b": QUIET}))
    assert part is not None
    assert part.rows[-1].client == "b"
