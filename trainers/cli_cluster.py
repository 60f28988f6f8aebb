"""``qmarl cluster``: looks at a Ray cluster before a run depends on it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from trainers.cli_words import Json

cluster_app = typer.Typer(
    help="Looks at a Ray cluster before a run depends on it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@cluster_app.callback()
def cluster() -> None:
    """Looks at a Ray cluster before a run depends on it."""


@cluster_app.command(epilog="Example: [bold]qmarl cluster check 10.0.0.5:6379[/]")
def check(
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="ADDRESS",
            help="host:port of the head; by default RAY_ADDRESS, else a cluster of this machine.",
        ),
    ] = None,
    working_dir: Annotated[
        str | None,
        typer.Option(help="Directory or wheel whose code is sent, as executor.working_dir does."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Has every node do a unit of work: versions, cores, GPUs, and whether the bits are the same.

    Ends with code 3 when the cluster does not answer or a node cannot do our work.
    """
    from trainers.cluster_check import check as examine
    from trainers.cluster_check import plain, verdict

    reports = examine(address, working_dir)
    if as_json:
        typer.echo(json.dumps(plain(reports)))
    else:
        for report in reports:
            typer.echo(str(report))
    raise typer.Exit(verdict(reports))
