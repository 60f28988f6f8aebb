"""The charts of a report: which metrics of which runs stand in which picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from trainers.report_chart import Chart, Curve, Estimate, Point, draw
from trainers.report_data import Record, score
from trainers.report_text import MEASURES, Measure

AXES = {"env_steps": "env-steps", "round": "rounds"}
"""What may stand below a chart, by the metric that says it."""

_HEALTH = (
    ("entropy", "Entropy of the policy [nat]"),
    ("approx_kl", "Divergence from the old policy"),
    ("clip_fraction", "Clipped share"),
    ("value_loss", "Loss of the critic"),
    ("grad_norm", "Gradient norm of the actor"),
)


class Run(NamedTuple):
    """A run among those that a report shows."""

    record: Record
    label: str
    tone: int


def axis_of(runs: Sequence[Run]) -> str:
    """Returns the abscissa that all runs have: ``env_steps``, else ``round``."""
    return "env_steps" if all(run.record.measured("env_steps") for run in runs) else "round"


def learning_charts(runs: Sequence[Run]) -> list[Chart]:
    """Draws success, collision, return and so on over training, all runs in each chart."""
    axis = axis_of(runs)
    charts = (_learning(runs, measure, axis) for measure in MEASURES)
    return [chart for chart in charts if chart][:4]


def health_charts(record: Record) -> list[Chart]:
    """Draws how the learner of each group fared."""
    charts = []
    for key, title in _HEALTH:
        curves = [
            Curve(name, tone, points(record, f"learn/{name}/{key}"), smooth=1)
            for tone, name in enumerate(_groups(record, "learn"))
        ]
        charts.append(draw(title, curves, "plain", AXES["round"]))
    return [chart for chart in charts if chart]


def exchange_charts(record: Record, group: str) -> list[Chart]:
    """Draws the traffic, the size of the updates and who took part, for one group."""
    start = f"federation/{group}"
    pictures = (
        ("Bytes per round", (("bytes_up", "up"), ("bytes_down", "down")), "bytes"),
        ("Norm of the joined update", (("update_norm", "update norm"),), "plain"),
        ("Clients per round", (("participants", "took part"), ("rejected", "rejected")), "plain"),
        ("Epsilon spent", (("epsilon", "epsilon"),), "plain"),
    )
    charts = []
    for title, parts, unit in pictures:
        curves = [
            Curve(name, tone, points(record, f"{start}/{key}"))
            for tone, (key, name) in enumerate(parts)
        ]
        charts.append(draw(title, curves, unit, AXES["round"]))
    return [chart for chart in charts if chart]


def federated_groups(record: Record) -> list[str]:
    """Returns the groups that exchanged something, by name."""
    return _groups(record, "federation")


def points(record: Record, name: str, axis: str = "round") -> list[Point]:
    """Returns a metric over rounds, counted from 1, or over env-steps."""
    offset = 1 if axis == "round" else 0
    pairs = zip(record.column(axis), record.column(name), strict=True)
    return [Point(x + offset, y) for x, y in pairs if x is not None and y is not None]


def smoothing(runs: Sequence[Run]) -> int:
    """Returns over how many rounds the thick lines average: an odd number, a 20th of a run."""
    longest = max(len(run.record.rounds) for run in runs)
    return 2 * (longest // 40) + 1


def _learning(runs: Sequence[Run], measure: Measure, axis: str) -> Chart | None:
    width = smoothing(runs)
    curves = [
        Curve(
            run.label,
            run.tone,
            points(run.record, f"episode/{measure.name}", axis),
            _estimates(run.record, measure.name, axis),
            width,
        )
        for run in runs
    ]
    return draw(measure.title, curves, measure.unit, AXES[axis])


def _estimates(record: Record, name: str, axis: str) -> list[Estimate]:
    offset = 1 if axis == "round" else 0
    places = zip(record.column(axis), record.rounds, strict=True)
    return [
        Estimate(x + offset, found)
        for x, metrics in places
        if x is not None and (found := score(metrics, name))
    ]


def _groups(record: Record, area: str) -> list[str]:
    """Groups that have metrics in an area, in order of appearance."""
    keys = (key.split("/") for metrics in record.rounds[:1] for key in metrics)
    return list(dict.fromkeys(key[1] for key in keys if len(key) == 3 and key[0] == area))
