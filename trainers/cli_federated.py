"""``qmarl federated``: trains federated classifiers, and tries strategies against attacks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainers.cli_words import ConfigFile, Json, Overrides
from trainers.plain import finite

if TYPE_CHECKING:
    from trainers.attack_table import AttackTable, Cell
    from trainers.perception.config import ClassificationConfig
    from trainers.perception.training import Classification

federated_app = typer.Typer(
    help="Trains federated classifiers, and tries strategies against attacks.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@federated_app.command(
    epilog="Example: [bold]qmarl federated classify configs/federated/wdbc.yaml clients=20[/]"
)
def classify(config: ConfigFile, overrides: Overrides = None, as_json: Json = False) -> None:
    """Trains a classifier on divided data, once for every seed, and tests it.

    CONFIG is that of a classifier, such as configs/federated/wdbc.yaml. The data come with
    scikit-learn (the extra perception).
    """
    from trainers.perception.config import load_classification

    asked = load_classification(config, overrides or [])
    from trainers.perception.training import classify as train

    found = train(asked)
    if as_json:
        typer.echo(json.dumps(finite(_plain(asked, found))))
        return
    rows = [
        (str(seed), f"{accuracy:.3f}", str(rejected))
        for seed, accuracy, rejected in zip(found.seeds, found.final, found.rejected(), strict=True)
    ]
    _table(("seed", "accuracy", "updates refused"), rows)
    typer.echo(_summary(asked, found))


@federated_app.command(
    epilog="Example: [bold]qmarl federated attack-table configs/federated/wdbc.yaml rounds=5[/]"
)
def attack_table(
    config: ConfigFile,
    overrides: Overrides = None,
    malicious: Annotated[
        int | None,
        typer.Option(min=1, help="Malicious clients; by default as many as CONFIG says."),
    ] = None,
    draws: Annotated[
        int, typer.Option(min=1, help="Random rounds of each cell, where CONFIG is an experiment.")
    ] = 20,
    group: Annotated[
        str | None, typer.Option(help="Group of agents of an experiment; the first by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tries every strategy under every attack, and prints one number for each pair.

    Where CONFIG is a classifier's, each number is the accuracy after training, a mean over its
    seeds; its section attack_table says which strategies and attacks. Under a backdoor it is the
    accuracy on test samples that carry the trigger.

    Where CONFIG is an experiment's, nothing is trained: random updates of its clients, with as many
    numbers as they share, are joined, and each number is the distance from the honest mean, in
    lengths of it. That takes seconds.
    """
    if _is_experiment(config):
        table = _of_updates(config, overrides, malicious, draws, group)
    else:
        table = _of_classifiers(config, overrides, malicious)
    if as_json:
        typer.echo(json.dumps(finite(table.plain())))
        return
    rows = [
        (name, *(_shown(table.cell(name, attack)) for attack in table.attacks))
        for name in table.strategies
    ]
    _table(("strategy", *table.attacks), rows)
    typer.echo(f"{table.measure}; {table.malicious} of {table.clients} clients are malicious")
    refused = {cell.strategy: cell.refused for cell in table.cells if cell.refused}
    for name, reason in refused.items():
        typer.echo(f"refused: {name}: {reason}")


def _of_updates(
    path: Path,
    overrides: list[str] | None,
    malicious: int | None,
    draws: int,
    group: str | None,
) -> AttackTable:
    from trainers.config import load_experiment

    experiment = load_experiment(path, overrides or [])
    from trainers.attack_table import update_table

    return update_table(experiment, malicious, draws, group)


def _of_classifiers(path: Path, overrides: list[str] | None, malicious: int | None) -> AttackTable:
    from trainers.perception.config import load_classification

    own = [] if malicious is None else [f"attack_table.malicious={malicious}"]
    asked = load_classification(path, [*(overrides or []), *own])
    from trainers.attack_table import classifier_table

    typer.echo(f"training {len(asked.seeds)} classifiers for each cell ...", err=True)
    return classifier_table(asked)


def _is_experiment(path: Path) -> bool:
    """Whether a file has a world; one that cannot be read is left to the loader's complaint."""
    from qmarl.yaml_source import UnreadableError, read_file

    try:
        root = read_file(path, [])
    except UnreadableError:
        return False
    return isinstance(root.value, dict) and "env" in root.value


def _plain(asked: ClassificationConfig, found: Classification) -> dict[str, object]:
    from trainers.statistics import bootstrap

    return {
        "name": asked.name,
        "parameters": found.parameters,
        "accuracy": bootstrap(found.final),
        "triggered": None if found.triggered is None else bootstrap(found.triggered),
        "privacy": None if found.spent is None else asdict(found.spent),
        "ended": found.ended,
        "seeds": [
            {
                "seed": seed,
                "accuracy": curve.tolist(),
                "rejected": [
                    [{"client": each.client, "reason": each.reason} for each in report.rejected]
                    for report in reports
                ],
                "bytes_up": [report.bytes_up for report in reports],
                "bytes_down": [report.bytes_down for report in reports],
                "update_norm": [report.update_norm for report in reports],
            }
            for seed, curve, reports in zip(found.seeds, found.accuracy, found.reports, strict=True)
        ],
    }


def _summary(asked: ClassificationConfig, found: Classification) -> str:
    """Means over seeds, and what they are means of."""
    from trainers.statistics import bootstrap

    scores = {"accuracy": found.final, "with the trigger": found.triggered}
    lines = [
        f"{asked.name}: {found.parameters} parameters, {asked.clients} clients, "
        f"{found.accuracy.shape[1]} rounds, {asked.federation.strategy.kind}"
    ]
    for name, values in scores.items():
        if values is not None:
            sure = bootstrap(values)
            interval = f"(95 % interval {sure['low']:.3f} to {sure['high']:.3f})"
            lines.append(f"{name:<16}  {sure['mean']:.3f}  {interval}")
    if found.spent is not None:
        lines.append(f"privacy of each run: {found.spent.statement}")
    if found.ended:
        lines.append(
            f"ended after {found.accuracy.shape[1]} of {asked.rounds} rounds: {found.ended}"
        )
    return "\n".join(lines)


def _shown(cell: Cell) -> str:
    return "-" if cell.refused else f"{cell.interval['mean']:.3f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table whose rows keep to one line each, even where the terminal is narrower."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in head:
        table.add_column(name.replace(" ", "\n").replace("_", "\n"), no_wrap=True)
    for row in rows:
        table.add_row(*row)
    needed = Console(width=1000).measure(table).maximum
    width = max(needed, Console().width)
    Console(markup=False, highlight=False, width=width).print(table)
