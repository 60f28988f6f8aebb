"""Runs side by side: what they scored, whether that shows a difference, who learned sooner."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from trainers.report_chart import Point, smoothed
from trainers.report_curves import AXES, Run, axis_of, points, smoothing
from trainers.report_data import Evaluation, Record
from trainers.report_text import (
    DASH,
    MEASURES,
    Measure,
    Score,
    amount,
    at,
    count,
    decimals,
    interval,
    number,
    seconds,
    section,
    words,
)
from trainers.report_verdict import Verdict, verdict

KINDS = {"vqc": "quantum circuit", "mlp": "classical network", "split": "split network"}
"""What an actor of each kind is called."""

_NOT_THE_WORLD = ("num_envs", "shards", "rollout_steps")
_CHANGES_NO_RESULT = ("name", "executor", "logging")
_MOST_SETTINGS = 20


class Cell(NamedTuple):
    """A score for a table: its mean, and its interval for a bar, as text and in percent."""

    mean: str
    interval: str


class Row(NamedTuple):
    """One run in the table of scores."""

    run: Run
    cells: tuple[Cell, ...]
    evaluated: str
    env_steps: str
    time: str


class EvaluationRow(NamedTuple):
    """One evaluation in a run's own table; the cells are those of the first three measures."""

    source: str
    manner: str
    overrides: str
    rounds: str
    cells: tuple[Cell, ...]


class Comparison(NamedTuple):
    """Everything about runs side by side.

    Attributes:
        columns: Titles of the scores in the rows.
        rows: The runs.
        verdicts: The first run against each of the others.
        cautions: Why the runs may not be compared as they are.
        pace: Who learned sooner, or nothing.
        settings: Name and value in each run of the settings that differ.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]
    cautions: tuple[str, ...]
    pace: str
    settings: tuple[tuple[str, ...], ...]


def labelled(records: Sequence[Record]) -> list[Run]:
    """Names every run by its actors' kind and size, and by more where that is not enough."""
    labels = [actor_label(record) for record in records]
    seeds = [f"seed {words(record.seed)}" for record in records]
    directories = [words(record.path.name, 40) for record in records]
    for details in (seeds, directories):
        if len(set(labels)) < len(labels):
            labels = [", ".join(pair) for pair in zip(labels, details, strict=True)]
    return [
        Run(record, name, tone)
        for tone, (record, name) in enumerate(zip(records, labels, strict=True))
    ]


def actor_label(record: Record) -> str:
    """Returns the kind of a run's actors and their number of parameters."""
    named = [
        f"{kind_of(at(group, 'actor', 'kind'))} "
        f"({count(number(at(group, 'actor', 'parameters')))} parameters)"
        for group in record.groups.values()
        if at(group, "actor", "kind") is not None
    ]
    if named:
        return " + ".join(dict.fromkeys(named))
    return kind_of(at(record.config, "actor", "kind") or words(record.config.get("name")))


def kind_of(kind: object) -> str:
    """Returns what an actor of a kind is called."""
    return KINDS.get(kind, words(kind)) if isinstance(kind, str) else words(kind)


def compare(runs: Sequence[Run]) -> Comparison:
    """Sets runs side by side, the first one against each of the others."""
    shown = [m for m in MEASURES if any(_headline(run, m) for run in runs)][:4]
    cautions = [text for other in runs[1:] for text in _cautions(runs[0], other)]
    return Comparison(
        columns=tuple(measure.title for measure in shown),
        rows=tuple(_row(run, shown) for run in runs),
        verdicts=tuple(_all_verdicts(runs, shown)),
        cautions=tuple(cautions),
        pace=_pace(runs) if all(same_world(runs[0].record, r.record) for r in runs) else "",
        settings=tuple(_settings(runs)),
    )


def evaluation_row(one: Evaluation) -> EvaluationRow:
    """Writes an evaluation as a row of a table."""
    cells = tuple(_cell(one.scores.get(measure.name), measure) for measure in MEASURES[:3])
    manner = _evaluated(one.episodes, one.policy)
    if one.seed is not None:
        manner += f", seed {one.seed}"
    return EvaluationRow(one.source, manner, ", ".join(one.overrides), count(one.round), cells)


def same_world(first: Record, second: Record) -> bool:
    """Says whether two runs were trained in the same world."""
    return not _world_differences(first, second)


def first_reached(curve: Sequence[Point], level: float) -> float | None:
    """Returns where a curve first came up to ``level``, or ``None``."""
    return next((point.x for point in curve if point.y >= level), None)


def _headline(run: Run, measure: Measure) -> Score | None:
    headline = run.record.headline
    return headline.scores.get(measure.name) if headline else None


def _episodes(run: Run) -> int | None:
    headline = run.record.headline
    return headline.episodes if headline else None


def _row(run: Run, shown: Sequence[Measure]) -> Row:
    record, headline = run.record, run.record.headline
    steps = record.measured("env_steps")
    return Row(
        run=run,
        cells=tuple(_cell(_headline(run, measure), measure) for measure in shown),
        evaluated=_evaluated(headline.episodes, headline.policy) if headline else DASH,
        env_steps=count(steps[-1] if steps else None),
        time=seconds(sum(record.measured("clock/round_s")) or None),
    )


def _evaluated(episodes: int | None, policy: str | None) -> str:
    return " ".join(filter(None, (count(episodes), policy)))


def _cell(score: Score | None, measure: Measure) -> Cell:
    if score is None:
        return Cell(DASH, "")
    return Cell(amount(score.mean, measure.unit), interval(score, measure.unit))


def _all_verdicts(runs: Sequence[Run], shown: Sequence[Measure]) -> Iterator[Verdict]:
    """Verdicts of the first run against each other; who is meant is said where it is not plain."""
    for other in runs[1:]:
        for found in _verdicts(runs[0], other, shown):
            pair = f", {runs[0].label} against {other.label}" if len(runs) > 2 else ""
            yield found._replace(measure=found.measure + pair)


def _verdicts(first: Run, second: Run, shown: Sequence[Measure]) -> Iterator[Verdict]:
    """Verdicts on everything that has a better and a worse, if the worlds are the same."""
    if not same_world(first.record, second.record):
        return
    names = first.label, second.label
    episodes = _episodes(first), _episodes(second)
    for measure in shown:
        pair = _headline(first, measure), _headline(second, measure)
        if measure.better and pair[0] and pair[1]:
            yield verdict(measure, names, (pair[0], pair[1]), episodes)


def _cautions(first: Run, second: Run) -> Iterator[str]:
    if differences := _world_differences(first.record, second.record):
        yield (
            f"The worlds differ ({'; '.join(differences[:3])}), so no score of the {first.label} "
            f"is held against one of the {second.label}."
        )
    one, two = first.record.headline, second.record.headline
    if one and two and (one.episodes, one.policy) != (two.episodes, two.policy):
        yield (
            f"The evaluations differ: {_evaluated(one.episodes, one.policy)} episodes for the "
            f"{first.label}, {_evaluated(two.episodes, two.policy)} for the {second.label}."
        )
    sizes = [_size(run.record) for run in (first, second)]
    if sizes[0] and sizes[1] and abs(sizes[0] - sizes[1]) > 0.05 * max(sizes):
        yield (
            f"The actors are not of one size: {count(sizes[0])} parameters against "
            f"{count(sizes[1])}."
        )


def _size(record: Record) -> float:
    sizes = (number(at(group, "actor", "parameters")) for group in record.groups.values())
    return sum(filter(None, sizes))


def _world_differences(first: Record, second: Record) -> list[str]:
    worlds = [
        {k: v for k, v in section(r.config, "env").items() if k not in _NOT_THE_WORLD}
        for r in (first, second)
    ]
    one, two = (flattened(world, "env") for world in worlds)
    names = sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))
    return [f"{name}: {words(one.get(name), 40)} and {words(two.get(name), 40)}" for name in names]


def flattened(data: Mapping[str, Any], start: str = "") -> dict[str, Any]:
    """Returns nested sections as dotted names.

    >>> flattened({"env": {"id": "x", "point": {"dt": 0.1}}})
    {'env.id': 'x', 'env.point.dt': 0.1}
    """
    flat: dict[str, Any] = {}
    for key, value in data.items():
        name = f"{start}.{key}" if start else str(key)
        flat |= flattened(value, name) if isinstance(value, dict) else {name: value}
    return flat


def _settings(runs: Sequence[Run]) -> Iterator[tuple[str, ...]]:
    """The settings that differ between runs, apart from those that change no result."""
    configs = [
        flattened({k: v for k, v in run.record.config.items() if k not in _CHANGES_NO_RESULT})
        for run in runs
    ]
    names = list(dict.fromkeys(name for config in configs for name in config))
    differing = (name for name in names if len({repr(c.get(name)) for c in configs}) > 1)
    for name in list(differing)[:_MOST_SETTINGS]:
        yield (name, *(words(config.get(name), 60) for config in configs))


def _pace(runs: Sequence[Run]) -> str:
    """Who came first to a success that every run came to."""
    axis, width = axis_of(runs), smoothing(runs)
    curves = [smoothed(points(run.record, "episode/success", axis), width) for run in runs]
    tops = [max((point.y for point in curve), default=0.0) for curve in curves]
    level = math.floor(20 * min(tops)) / 20
    reached = [first_reached(curve, level) for curve in curves]
    known = [(x, run.label) for x, run in zip(reached, runs, strict=True) if x]
    if level < 0.1 or len(known) < len(runs):
        return ""
    (sooner, first), *rest = sorted(known)
    late = ", ".join(f"the {name} {decimals(x / sooner, 1)} times as many" for x, name in rest)
    share, needed = amount(level, "share").replace(".0", ""), f"{count(sooner)} {AXES[axis]}"
    return f"To succeed in {share} of its training episodes the {first} needed {needed}, {late}."
