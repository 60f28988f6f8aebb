"""``qmarl watch`` and ``qmarl serve``: runs while they train, in the terminal and in a browser."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from trainers.cli_words import Json, Run
from trainers.plain import finite

Runs = Annotated[
    list[Path], typer.Argument(metavar="RUNS", help="Run directories, or directories of runs.")
]


def watch(
    run: Run,
    once: Annotated[bool, typer.Option("--once", help="Look once, and do not wait.")] = False,
    as_json: Json = False,
) -> None:
    """Shows a run while it trains: curves, who took part, where the time goes, time left."""
    from trainers import watch as watching
    from trainers.live import Watcher

    watcher = Watcher(run)
    if as_json:
        typer.echo(json.dumps(finite(watching.facts(watcher.look()))))
        return
    try:
        state = watching.watch(watcher, sys.stdout, once)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if not once and state != "finished":
        raise typer.Exit(4)


def serve(
    runs: Runs,
    host: Annotated[
        str, typer.Option(help="Address to listen at; others than this machine's are reachable.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = 8470,
) -> None:
    """Shows runs in a browser while they train; the address that it prints holds a token."""
    from trainers.serve import Server

    with Server(runs, host, port) as server:
        typer.echo(f"open {server.address}")
        typer.echo("ctrl-c ends it; the runs go on")
        if not server.private:
            typer.echo(
                f"note: whoever reaches {host} can read along on the way; a tunnel hides it",
                err=True,
            )
        sys.stdout.flush()
        try:
            server.serve()
        except KeyboardInterrupt:
            raise typer.Exit(0) from None
