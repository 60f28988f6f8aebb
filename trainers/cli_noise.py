"""``qmarl circuits noise``: how well a trained team does on noisier and noisier computers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from qmarl.errors import ConfigurationError
from trainers.cli_words import Json, Run

USUAL = "0,0.001,0.01,0.05"

LIST = "P,P,..."


def noise(
    run: Run,
    depolarising: Annotated[
        str | None, typer.Option(metavar=LIST, help="Probabilities that a gate's qubit errs.")
    ] = None,
    amplitude_damping: Annotated[
        str | None, typer.Option(metavar=LIST, help="Probabilities that an excited qubit decays.")
    ] = None,
    phase_damping: Annotated[
        str | None, typer.Option(metavar=LIST, help="Probabilities that a qubit's state leaks out.")
    ] = None,
    readout_error: Annotated[
        str | None, typer.Option(metavar=LIST, help="Probabilities that a bit is misread.")
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Held-out episodes of each try.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the held-out episodes.")] = 0,
    stochastic: Annotated[
        bool, typer.Option("--stochastic", help="Draw actions instead of taking the likeliest.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Plays a trained team under a sweep of noise, one kind after another.

    The run's own noise stays besides. Without any list: depolarising at 0, 0.001, 0.01 and 0.05.
    """
    given = {
        "depolarising": depolarising,
        "amplitude_damping": amplitude_damping,
        "phase_damping": phase_damping,
        "readout_error": readout_error,
    }
    asked = {kind: text for kind, text in given.items() if text is not None}
    tries = [
        (kind, value)
        for kind, text in (asked or {"depolarising": USUAL}).items()
        for value in probabilities(kind, text)
    ]
    rows = sweep(run, tries, episodes=episodes, seed=seed, greedy=not stochastic)
    typer.echo(json.dumps(rows) if as_json else table(rows))


def sweep(
    run: Path, tries: Sequence[tuple[str, float]], *, episodes: int, seed: int, greedy: bool
) -> list[dict[str, Any]]:
    """Evaluates a run's best parameters once for each kind and probability of noise.

    Args:
        run: The run directory.
        tries: Keys of the section ``noise`` with their values; the run's own noise stays besides.
        episodes: Held-out episodes of each.
        seed: Seed of the held-out episodes, the same for all.
        greedy: Whether the likeliest action is taken.

    Returns:
        One mapping each: ``noise``, ``probability`` and what ``qmarl evaluate`` gives.

    Raises:
        ConfigurationError: The noise does not fit the run's actors.
        RunError: The directory is not a run.
    """
    from trainers.plain import finite
    from trainers.runs import evaluate

    rows = []
    for kind, value in tries:
        scores = evaluate(
            run,
            episodes=episodes,
            seed=seed,
            greedy=greedy,
            overrides=[f"noise.{kind}={value}"],
            name=f"noise-{kind}-{value}-seed{seed}",
        )
        rows.append(finite({"noise": kind, "probability": value, **scores}))
    return rows


def probabilities(kind: str, text: str) -> list[float]:
    """Reads numbers between commas.

    >>> probabilities("depolarising", "0, 0.05")
    [0.0, 0.05]
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigurationError(
            f"--{kind.replace('_', '-')}: numbers between commas, such as {USUAL}, got '{text}'"
        ) from None


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lays the scores of a sweep out for people, means with their 95 % intervals.

    >>> score = {"mean": 0.9, "low": 0.85, "high": 0.95}
    >>> print(table([{"noise": "depolarising", "probability": 0.01, "success": score}]))
    noise         probability                   success
    depolarising         0.01      0.900 [0.850, 0.950]
    """
    width = max(len(row["noise"]) for row in rows)
    shown = [name for name in ("return", "success", "collision") if name in rows[0]]
    head = "".join(f"{name:>26}" for name in shown)
    lines = [f"{'noise':<{width}}  probability{head}"]
    for row in rows:
        scores = "".join(f"{_score(row[name]):>26}" for name in shown)
        lines.append(f"{row['noise']:<{width}}  {row['probability']:>11g}{scores}")
    return "\n".join(lines)


def _score(score: Mapping[str, float]) -> str:
    return f"{score['mean']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
