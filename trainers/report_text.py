"""Numbers as people like to read them: shares, counts, sizes, durations and intervals."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Unit = Literal["share", "number", "steps", "seconds"]
"""How a measure is written."""

SPACE = "\N{NARROW NO-BREAK SPACE}"
DASH = "\N{EN DASH}"

UNSEEN = dict.fromkeys(
    [*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
"""Control characters, and those that turn the direction of writing to make text look like another;
a table for ``str.translate`` that leaves them out."""

_LARGEST = 1e30  # sums and squares of such numbers are still finite


class Score(NamedTuple):
    """A mean over episodes with its 95 % interval."""

    mean: float
    low: float
    high: float


class Measure(NamedTuple):
    """Something that is measured about episodes.

    Attributes:
        name: As in the metrics, without ``episode/`` or ``eval/``.
        title: For people.
        unit: How it is written.
        better: 1 when more is better, -1 when less is, 0 when neither is: the time to goal counts
            only those that arrive, so a team that loses its slow drones looks fast.
    """

    name: str
    title: str
    unit: Unit
    better: int


MEASURES = (
    Measure("success", "Success", "share", 1),
    Measure("collision", "Collision", "share", -1),
    Measure("return", "Return", "number", 1),
    Measure("time_to_goal", "Time to goal", "seconds", 0),
    Measure("length", "Episode length", "steps", 0),
)
"""What a report shows about episodes, most important first."""


def number(value: object) -> float | None:
    """Returns a number, or ``None`` for everything else, absurdly large numbers included.

    >>> number(3), number("3"), number(True), number(float("nan")), number(10**400)
    (3.0, None, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        plain = float(value)
    except OverflowError:
        return None
    return plain if abs(plain) <= _LARGEST else None  # which NaN is not


def at(data: Any, *keys: str) -> Any:
    """Returns ``data[key][key]...``, or ``None`` where there is no such thing.

    >>> at({"a": {"b": 1}}, "a", "b"), at({"a": [1]}, "a", "b")
    (1, None)
    """
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def section(data: Any, *keys: str) -> dict[str, Any]:
    """Like :func:`at`, for maps: an empty one where there is none."""
    found = at(data, *keys)
    return found if isinstance(found, dict) else {}


def listed(data: Any, *keys: str) -> list[Any]:
    """Like :func:`at`, for lists: an empty one where there is none."""
    found = at(data, *keys)
    return found if isinstance(found, list) else []


def words(value: object, limit: int = 120) -> str:
    """Returns one line of text of at most ``limit`` characters.

    >>> words(None), words(["a", "b"]), words("x" * 200, 5)
    ('–', 'a, b', 'xxxx…')
    """
    if value is None or value == []:
        return DASH
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def decimals(value: float, places: int) -> str:
    """Returns a decimal number with a true minus sign, and no minus before zero.

    >>> decimals(-0.001, 1), decimals(-2.25, 2)
    ('0.0', '−2.25')
    """
    return f"{round(value, places) + 0.0:,.{places}f}".replace("-", "\N{MINUS SIGN}")


def amount(value: float, unit: Unit) -> str:
    """Returns a value in its unit.

    >>> amount(0.965, "share"), amount(-3.456, "number"), amount(41.2, "steps")
    ('96.5\u202f%', '−3.46', '41.2\u202fsteps')
    """
    body, tail = _parts(value, unit)
    return body + tail


def interval(score: Score, unit: Unit) -> str:
    """Returns the interval of a score.

    >>> interval(Score(0.9, 0.85, 0.95), "share")
    '85.0 to 95.0\u202f%'
    """
    high, tail = _parts(score.high, unit)
    return f"{_parts(score.low, unit)[0]} to {high}{tail}"


def _parts(value: float, unit: Unit) -> tuple[str, str]:
    if unit == "share":
        return decimals(100 * value, 1), f"{SPACE}%"
    if unit == "number":
        return decimals(value, 2), ""
    return decimals(value, 1), SPACE + ("steps" if unit == "steps" else "s")


def count(value: float | None) -> str:
    """Returns a count, short when it is large.

    >>> count(9216), count(163_840), count(1_630_000), count(None)
    ('9,216', '164\u202fk', '1.63\u202fM', '–')
    """
    if value is None:
        return DASH
    for power, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= power and abs(value) >= 1e4:
            return f"{_three(value / power)}{SPACE}{letter}"
    return f"{value:,.0f}"


def size(count_of_bytes: float | None) -> str:
    """Returns a size in bytes, with decimal prefixes.

    >>> size(950), size(14_240), size(4_300_000)
    ('950\u202fB', '14.2\u202fkB', '4.30\u202fMB')
    """
    if count_of_bytes is None:
        return DASH
    for power, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count_of_bytes >= power:
            return f"{_three(count_of_bytes / power)}{SPACE}{prefix}B"
    return f"{count_of_bytes:.0f}{SPACE}B"


def seconds(value: float | None) -> str:
    """Returns a duration.

    >>> seconds(0.042), seconds(7.31), seconds(185), seconds(7260)
    ('42\u202fms', '7.3\u202fs', '3\u202fmin 05\u202fs', '2\u202fh 01\u202fmin')
    """
    if value is None:
        return DASH
    if value < 60:
        return f"{1000 * value:.0f}{SPACE}ms" if value < 1 else f"{value:.1f}{SPACE}s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes}{SPACE}min {rest:02d}{SPACE}s"
    return f"{minutes // 60}{SPACE}h {minutes % 60:02d}{SPACE}min"


def plural(how_many: int, noun: str) -> str:
    """Returns ``1 drone``, ``3 drones``.

    >>> plural(1, "drone"), plural(3, "drone")
    ('1 drone', '3 drones')
    """
    return f"{how_many:,} {noun}" if how_many == 1 else f"{how_many:,} {noun}s"


def _three(value: float) -> str:
    """Three significant digits, never in powers of ten."""
    places = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:,.{places}f}"
