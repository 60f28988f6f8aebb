"""The command line: every command says what it does in one sentence and hands over to its room."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from qmarl.errors import QmarlError
from trainers.cli_circuits import circuits_app
from trainers.cli_cluster import cluster_app
from trainers.cli_config import config_app
from trainers.cli_envs import envs_app
from trainers.cli_federated import federated_app
from trainers.cli_keys import keys_app
from trainers.cli_links import links_app
from trainers.cli_live import serve, watch
from trainers.cli_replay import gap_text, replay
from trainers.cli_sim import sim_app
from trainers.cli_sweep import sweep
from trainers.cli_words import ConfigFile, Json, Overrides, Run
from trainers.interrupt import RunInterruptedError
from trainers.plain import finite
from trainers.progress import Progress, make_progress

app = typer.Typer(
    name="qmarl",
    help="Trains teams of drones and vehicles whose minds are quantum circuits.",
    epilog="Start with: [bold]qmarl config init[/], then [bold]qmarl train experiment.yaml[/]",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.add_typer(config_app, name="config")
app.add_typer(circuits_app, name="circuits")
app.add_typer(cluster_app, name="cluster")
app.add_typer(envs_app, name="envs")
app.add_typer(federated_app, name="federated")
app.add_typer(keys_app, name="keys")
app.add_typer(links_app, name="links")
app.add_typer(sim_app, name="sim")


def main() -> None:
    """Runs the command line; errors that a person can act on end in one sentence and a code.

    Exit codes: 0 done, 2 configuration or usage, 3 something does not answer, 4 the run failed,
    130 or 143 interrupted by a signal after a checkpoint was written.
    """
    try:
        app()
    except (QmarlError, RunInterruptedError) as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception:
        traceback.print_exc()
        print("error: this is a defect of qmarl; please report the text above", file=sys.stderr)
        sys.exit(4)


def _version(asked: bool) -> None:
    if asked:
        from qmarl import __version__

        typer.echo(f"qmarl {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks of all errors. Goes before a command.")
    ] = False,
) -> None:
    """Options that stand before every command; both act before this function could."""


@app.command(
    epilog="Example: [bold]qmarl train configs/quickstart.yaml seed=1 actor.kind=mlp[/]",
)
def train(
    config: ConfigFile,
    overrides: Overrides = None,
    origin: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN", help="Begin with a run's best parameters."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Trains a team and writes a run directory with checkpoints and a report."""
    from trainers.config import load_experiment

    experiment = load_experiment(config, overrides or [])
    from trainers import runs

    source = config.read_text(encoding="utf-8-sig")

    def work(console: Progress) -> Path:
        return runs.train(experiment, source=source, console=console, origin=origin)

    _run(work, as_json)


app.command(epilog="Example: [bold]qmarl sweep configs/quickstart.yaml seed=[0,1,2][/]")(sweep)


@app.command(epilog="Example: [bold]qmarl resume runs/quickstart/latest[/]")
def resume(run: Run, as_json: Json = False) -> None:
    """Goes on with a run that was interrupted, to the same numbers as if it had not been."""
    from trainers import runs

    _run(lambda console: runs.resume(run, console), as_json)


@app.command(epilog="Example: [bold]qmarl evaluate runs/quickstart/latest --episodes 200 --gif[/]")
def evaluate(
    run: Run,
    overrides: Overrides = None,
    episodes: Annotated[int, typer.Option(min=1, help="Held-out episodes to play.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the held-out episodes.")] = 0,
    stochastic: Annotated[
        bool, typer.Option("--stochastic", help="Draw actions instead of taking the likeliest.")
    ] = False,
    gif: Annotated[bool, typer.Option("--gif", help="Also draw a flight as a GIF.")] = False,
    keep: Annotated[
        bool, typer.Option("--record", help="Also keep all flights in a file.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Plays a trained team with frozen parameters and gives scores with 95 % intervals."""
    from trainers import runs

    scores = runs.evaluate(
        run,
        episodes=episodes,
        seed=seed,
        greedy=not stochastic,
        overrides=overrides or [],
        gif=gif,
        keep_flights=keep,
    )
    for skipped in scores.get("skipped", ()):
        typer.echo(f"note: passed over a damaged checkpoint: {skipped}", err=True)
    typer.echo(json.dumps(finite(scores)) if as_json else scores_text(scores))


app.command(epilog="Example: [bold]qmarl watch runs/quickstart/latest[/]")(watch)
app.command(epilog="Example: [bold]qmarl serve runs[/]")(serve)
app.command(epilog="Example: [bold]qmarl replay runs/quickstart/latest --episode 3[/]")(replay)


@app.command(epilog="Example: [bold]qmarl report runs/quantum/latest runs/classical/latest[/]")
def report(
    run: Run,
    others: Annotated[
        list[Path] | None, typer.Argument(metavar="OTHER", help="Runs to show beside it.")
    ] = None,
) -> None:
    """Writes a run's report.html again, beside other runs if you name them."""
    from trainers.report import write_report

    typer.echo(f"report: {write_report(run, others or [])}")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Looks at this machine: versions, processor, disk, Ray, extras; and says what to mend."""
    from trainers.doctor import examine, verdict

    findings = list(examine())
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in findings]))
    else:
        for finding in findings:
            typer.echo(str(finding))
    raise typer.Exit(verdict(findings))


def scores_text(scores: dict[str, Any]) -> str:
    """Returns an evaluation's scores for people, one a line.

    >>> print(scores_text({"success": {"mean": 0.9, "low": 0.85, "high": 0.95}, "episodes": 20}))
    success       0.900  (95 % interval 0.850 to 0.950)
    episodes      20
    """
    lines = []
    for name, score in scores.items():
        if isinstance(score, dict) and {"mean", "low", "high"} <= score.keys():
            interval = f"(95 % interval {score['low']:.3f} to {score['high']:.3f})"
            lines.append(f"{name:<12}  {score['mean']:.3f}  {interval}")
        elif name == "gap":
            lines.append(f"gap\n{gap_text(score)}")
        elif not isinstance(score, dict | list):
            lines.append(f"{name:<12}  {score}")
    return "\n".join(lines)


def _run(work: Callable[[Progress], Path], as_json: bool) -> None:
    """Does the work under a progress display, then writes the report and says where it is."""
    from trainers.report import write_report

    console = make_progress(as_json)
    try:
        run = work(console)
        console.finish(run, write_report(run, []))
    finally:
        console.close()


if __name__ == "__main__":
    main()
