"""``qmarl sweep``: one experiment with many settings and seeds, and a table of what came out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from trainers.cli_words import ConfigFile, Json
from trainers.plain import finite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainers.sweep import Row

Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="a.b=[v,w]",
        help=r"Settings and the values to try, such as seed=[0,1,2] or actor.kind=\[vqc,mlp].",
    ),
]


def sweep(config: ConfigFile, settings: Settings = None, as_json: Json = False) -> None:
    """Trains every combination of some settings; the same command again goes on where it ended."""
    from trainers import sweep as sweeps
    from trainers.config import load_experiment
    from trainers.progress import make_progress

    wanted = settings or []
    made = sweeps.cells(config, wanted)
    _, plain = sweeps.axes(wanted)
    console = make_progress(as_json)
    home = made[0].home.parent
    console.note(f"{len(made)} runs in {home}")
    outcomes = sweeps.sweep(made, load_experiment(config, plain).executor, console)
    written = sweeps.write(home, outcomes)
    rows = sweeps.table(outcomes)
    if as_json:
        typer.echo(json.dumps(finite({"table": [row._asdict() for row in rows]})))
    else:
        typer.echo(text(rows))
        typer.echo(f"sweep: {written}")
    if any(row.failures for row in rows):
        raise typer.Exit(4)


def text(rows: Sequence[Row]) -> str:
    """The table for people: one line for each combination, means over seeds with their intervals.

    An interval is of the mean over seeds, so one seed has none.
    """
    from trainers.sweep import HEADLINES, words

    names = [words(row.settings) or "all" for row in rows]
    width = max(len(name) for name in [*names, "settings"])
    shown = [name for name in HEADLINES if any(name in row.scores for row in rows)]
    head = f"{'settings':<{width}}  seeds" + "".join(f"  {name:<24}" for name in shown)
    lines = [head.rstrip()]
    for name, row in zip(names, rows, strict=True):
        cells = "".join(f"  {_cell(row, measure):<24}" for measure in shown)
        lines.append(f"{name:<{width}}  {row.seeds:>5}{cells}".rstrip())
        lines += [f"  {failure}" for failure in row.failures]
    return "\n".join(lines)


def _cell(row: Row, measure: str) -> str:
    score = row.scores.get(measure)
    if score is None:
        return "-"
    mean = f"{score['mean']:.3f}"
    return mean if row.seeds < 2 else f"{mean} [{score['low']:.3f}, {score['high']:.3f}]"
