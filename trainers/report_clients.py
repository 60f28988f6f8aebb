"""A report's table of clients: how often each took part, and what became of its updates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from trainers.report_text import DASH, at, count, decimals, listed, number, words

SHOWN_CLIENTS = 40
"""More clients than this are not listed one by one."""
SHOWN_ROUNDS = 60
"""The strip shows this many rounds, the last ones."""
USED, ASIDE, REFUSED, MISSING = "\N{BLACK SQUARE}\N{WHITE SQUARE}\N{BLACK UP-POINTING TRIANGLE}·"


class ClientRow(NamedTuple):
    """One client over the run."""

    client: str
    asked: str
    used: str
    refused: str
    missing: str
    weight: str
    similarity: str
    strip: str
    reason: str


def clients(rounds: Sequence[dict[str, Any]], group: str) -> tuple[ClientRow, ...]:
    """Sums up what ``federation.jsonl`` says of each client of a group.

    Args:
        rounds: The file's lines, in order; they may hold anything.
        group: The group's name.
    """
    told = [at(line, "groups", group) for line in rounds]
    known = {name for each in told for name in _everyone(each)}
    return tuple(_row(name, told) for name in sorted(known)[:SHOWN_CLIENTS])


def _row(name: str, told: Sequence[Any]) -> ClientRow:
    asked, used, missing = (
        [name in _names(listed(each, part)) for each in told]
        for part in ("asked", "participants", "missing")
    )
    refusals = [list(_reasons(each, name)) for each in told]
    marks = [
        REFUSED if refused else USED if took else MISSING if lost else ASIDE
        for refused, took, lost in zip(refusals, used, missing, strict=True)
    ]
    alike, weights = (
        [value for each in told for value in _brought(each, name, part)]
        for part in ("similarity", "weight")
    )
    reasons = [reason for refused in refusals for reason in refused]
    return ClientRow(
        words(name, 40),
        count(sum(asked)),
        count(sum(used)),
        count(len(reasons)),
        count(sum(missing)),
        _mean(weights),
        _mean(alike),
        "".join(marks[-SHOWN_ROUNDS:]),
        words(reasons[-1], 160) if reasons else "",
    )


def _everyone(told: Any) -> Iterator[str]:
    yield from _names(listed(told, "asked"))
    yield from _names(listed(told, "participants"))
    yield from _names(at(one, "client") for one in listed(told, "rejected"))


def _names(found: Iterable[Any]) -> set[str]:
    return {name for name in found if isinstance(name, str)}


def _reasons(told: Any, client: str) -> Iterator[str]:
    for one in listed(told, "rejected"):
        if at(one, "client") == client:
            yield str(at(one, "reason"))


def _mean(values: Sequence[float]) -> str:
    return decimals(sum(values) / len(values), 2) if values else DASH


def _brought(told: Any, client: str, part: str) -> Iterator[float]:
    for one in listed(told, "contributions"):
        value = number(at(one, part))
        if at(one, "client") == client and value is not None:
            yield value
