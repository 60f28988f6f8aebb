"""``qmarl envs``: lists, describes, checks, measures and plays worlds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from qmarl.errors import ConfigurationError
from trainers.cli_words import Json

if TYPE_CHECKING:
    from envs.world import WorldSpec

envs_app = typer.Typer(
    help="Lists, describes, checks, measures and plays worlds.",
    invoke_without_command=True,
    rich_markup_mode="rich",
)

World = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="A built-in world, PettingZoo's or Gymnasium's, or module:factory."
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="key=value", help="Settings of the world, such as drones=4."),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the world.")]

FOREIGN = (
    "Any PettingZoo environment works too, by id (sisl/pursuit-v5) or package.module:factory,\n"
    "and any Gymnasium environment as a world of one agent (gymnasium/CartPole-v1)."
)


@envs_app.callback()
def envs(context: typer.Context, as_json: Json = False) -> None:
    """Lists, describes, checks, measures and plays worlds."""
    if context.invoked_subcommand is None:
        overview(as_json)


@envs_app.command("list", epilog="Example: [bold]qmarl envs list --json[/]")
def overview(as_json: Json = False) -> None:
    """Lists the built-in worlds."""
    from envs.registry import ENVS

    if as_json:
        typer.echo(json.dumps({name: entry.about for name, entry in ENVS.items()}))
        return
    _table(("world", "about"), [(name, entry.about) for name, entry in ENVS.items()])
    typer.echo(f"\n{FOREIGN}")


@envs_app.command(epilog="Example: [bold]qmarl envs show drone_navigation drones=4[/]")
def show(env: World, settings: Settings = None, as_json: Json = False) -> None:
    """Says what a world is about: agents, spaces, keys, outcomes and reference scores."""
    from trainers import worlds

    config = worlds.section_of(env, settings or [])
    spec = worlds.spec_of(config)
    facts: dict[str, Any] = {"id": config.id, "about": worlds.about(config), **_facts(spec)}
    scores = worlds.scores_of(config.id)
    if as_json:
        values = config.model_dump(mode="json")
        typer.echo(json.dumps({**facts, "settings": values, "scores": scores}))
        return
    _lines(facts)
    typer.echo()
    rows = [(key, _value(now, usual), text) for key, now, usual, text in worlds.keys(config)]
    _table(("key", "value", "meaning"), rows)
    if scores:
        typer.echo()
        _table(("reference score", "mean [95 % interval]"), list(scores.items()))


@envs_app.command(epilog="Example: [bold]qmarl envs check mpe2.simple_tag_v3:parallel_env[/]")
def check(env: World, settings: Settings = None, seed: Seed = 0, as_json: Json = False) -> None:
    """Checks that a world keeps every promise that training relies on; ends with 4 if not."""
    from dataclasses import asdict

    from envs.check import check_env
    from envs.check_foreign import package_tests
    from trainers import worlds

    config = worlds.section_of(env, settings or [])
    report = check_env(config, seed)
    passed, heard = package_tests(config)
    if as_json:
        typer.echo(json.dumps({**asdict(report), "package_tests": passed, "warnings": heard}))
        return
    typer.echo(str(report))
    for name in passed:
        typer.echo(f"  ok    {name}")
    for text in heard:
        typer.echo(f"  note  {text}")


@envs_app.command(epilog="Example: [bold]qmarl envs bench drone_navigation --copies 1,32,1024[/]")
def bench(
    env: World,
    settings: Settings = None,
    copies: Annotated[str, typer.Option(help="Numbers of copies to try.")] = "1,32,1024",
    seconds: Annotated[
        float, typer.Option(min=0.01, max=600, help="Processor time of each try.")
    ] = 1.0,
    as_json: Json = False,
) -> None:
    """Measures a world's steps per second of processor time, with random actions."""
    from dataclasses import asdict

    from trainers import worlds

    config = worlds.section_of(env, settings or [])
    found = list(worlds.paces(config, _counts(copies), seconds))
    if as_json:
        typer.echo(json.dumps([asdict(pace) for pace in found]))
        return
    rows = [
        (f"{pace.num_envs}", f"{pace.per_cpu_second:,.0f}", f"{pace.per_second:,.0f}")
        for pace in found
    ]
    _table(("copies", "steps per CPU-second", "steps per second"), rows)
    if getattr(config, "workers", 0):
        typer.echo("The processor time of the worker processes is not counted.")


@envs_app.command(epilog="Example: [bold]qmarl envs play drone_navigation drones=4 --out f.gif[/]")
def play(
    env: Annotated[
        str, typer.Argument(metavar="ID|RUN", help="A world, or a run directory under runs/.")
    ],
    settings: Settings = None,
    policy: Annotated[
        Literal["scripted", "random"] | None,
        typer.Option(help="How a world is played; scripted where there is such a policy."),
    ] = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="GIF to write; ID.gif by default, where there is a view.")
    ] = None,
    draw: Annotated[bool, typer.Option("--gif/--no-gif", help="Whether to write a GIF.")] = True,
    as_json: Json = False,
) -> None:
    """Plays one episode, by a scripted or random policy or a run's trained team, as a GIF."""
    if Path(env).is_dir():
        if policy is not None:
            raise ConfigurationError("--policy: a run plays its own trained policy")
        found = _replay(Path(env), settings, seed, out, draw)
    else:
        from trainers import worlds

        config = worlds.section_of(env, settings or [])
        usual = Path(f"{_file_name(config.id)}.gif") if worlds.can_draw(config) else None
        found = worlds.play(config, policy, seed, (out or usual) if draw else None)
    if as_json:
        from trainers.plain import finite

        typer.echo(json.dumps(finite(found)))
        return
    _lines(found)


def _replay(
    run: Path, settings: Sequence[str] | None, seed: int, out: Path | None, draw: bool
) -> dict[str, Any]:
    """One held-out episode of a run's best team."""
    from trainers import runs

    overrides = [f"env.{text}" for text in settings or ()]
    scores = runs.evaluate(
        run, episodes=1, seed=seed, overrides=overrides, gif=draw, name=f"play-seed{seed}"
    )
    found = {name: score["mean"] for name, score in scores.items() if isinstance(score, Mapping)}
    if draw:
        found["gif"] = scores["gif"]
        if out is not None:
            out.write_bytes(Path(scores["gif"]).read_bytes())
            found["gif"] = str(out)
    return {"policy": "trained", **found}


def _facts(spec: WorldSpec) -> dict[str, Any]:
    acts = spec.action_sizes if spec.continuous else spec.action_counts
    return {
        "agents": spec.agents,
        "observes": [f"{size} numbers" for size in spec.observation_sizes],
        "acts": [
            f"{count} numbers within [-1, 1]" if spec.continuous else f"{count} choices"
            for count in acts
        ],
        "state": f"{spec.state_size} numbers" if spec.state_size else "none",
        "max_steps": spec.max_steps,
        "outcomes": spec.outcomes,
    }


def _lines(facts: Mapping[str, Any]) -> None:
    width = max(map(len, facts))
    for name, value in facts.items():
        typer.echo(f"{name:<{width}}  {_words(value)}")


def _words(value: Any) -> str:
    """A value for people; entries of a list that are all the same are told once.

    >>> _words(["3 choices", "3 choices"])
    '3 choices (each of 2)'
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        if len(value) > 1 and len(set(value)) == 1:
            return f"{value[0]} (each of {len(value)})"
        return ", ".join(str(entry) for entry in value) or "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _value(value: Any, default: Any) -> str:
    """A setting's value, and its default where that is another one.

    >>> _value(3, 3), _value(4, 3), _value(None, None)
    ('3', '4 (default 3)', '-')
    """
    shown = "-" if value is None else str(value)
    return shown if value == default else f"{shown} (default {default})"


def _file_name(name: str) -> str:
    """An id as a file's name.

    >>> _file_name("gymnasium/CartPole-v1")
    'gymnasium-CartPole-v1'
    """
    return "".join(letter if letter.isalnum() or letter in "_-." else "-" for letter in name)


def _counts(text: str) -> Sequence[int]:
    """Reads numbers of copies.

    >>> _counts("1,32")
    [1, 32]
    """
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise ConfigurationError(f"--copies: numbers such as 1,32,1024, got '{text}'")
    return found


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)
