"""``qmarl circuits``: draw, describe and diagnose the circuit that a configuration names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qmarl.errors import ConfigurationError
from trainers.cli_noise import noise
from trainers.cli_words import ConfigFile, Json, Overrides
from trainers.plain import finite

if TYPE_CHECKING:
    from qmarl.circuits import Circuit
    from trainers.circuits_diagnosis import Diagnosis
    from trainers.config import ExperimentConfig

circuits_app = typer.Typer(
    help="Draws, describes and diagnoses the circuit of a configuration.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Group = Annotated[
    str | None, typer.Option("--group", help="Group of agents; the first one by default.")
]


@circuits_app.command(epilog="Example: [bold]qmarl circuits draw configs/quickstart.yaml[/]")
def draw(
    config: ConfigFile,
    overrides: Overrides = None,
    group: Group = None,
    svg: Annotated[Path | None, typer.Option(help="Also draw it to this SVG file.")] = None,
    png: Annotated[Path | None, typer.Option(help="Also draw it to this PNG file.")] = None,
) -> None:
    """Draws the circuit as text, and to a file if you name one."""
    from qmarl.circuits.drawing import check_picture, save_drawing

    pictures = [_named(path, end) for path, end in ((svg, ".svg"), (png, ".png")) if path]
    for path in pictures:
        check_picture(path)
    _, circuit = _circuit(config, overrides, group)
    typer.echo(circuit.draw())
    for path in pictures:
        save_drawing(circuit, path)
        typer.echo(f"wrote {path}", err=True)


@circuits_app.command(epilog="Example: [bold]qmarl circuits describe configs/quickstart.yaml[/]")
def describe(
    config: ConfigFile, overrides: Overrides = None, group: Group = None, as_json: Json = False
) -> None:
    """Counts what the circuit is made of, and says what runs it and why."""
    experiment, circuit = _circuit(config, overrides, group)
    facts = asdict(circuit.describe())
    facts["initialisation"] = experiment.actor.circuit.ansatz.initialisation
    facts["training"] = experiment.actor.circuit.training.kind
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        words = _listed(value) if isinstance(value, Mapping) else value
        typer.echo(f"{name:<14}  {'none' if words in (None, '') else words}")


@circuits_app.command(
    epilog="Example: [bold]qmarl circuits diagnose configs/quickstart.yaml --layers 2,8[/]"
)
def diagnose(
    config: ConfigFile,
    overrides: Overrides = None,
    group: Group = None,
    qubits: Annotated[str, typer.Option(help="Widths, such as 2-8 or 2,4,6.")] = "2-8",
    layers: Annotated[
        str | None, typer.Option(help="Depths; by default the circuit's own and twice that.")
    ] = None,
    samples: Annotated[
        int, typer.Option(help="Parameter sets of each width and depth, at least 2.")
    ] = 100,
    observable: Annotated[
        Literal["local", "global"], typer.Option(help="Cost whose gradients are measured.")
    ] = "local",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random parameters.")] = 0,
    plot: Annotated[Path, typer.Option(help="Picture to write: PNG, SVG or PDF.")] = Path(
        "circuits.png"
    ),
    as_json: Json = False,
) -> None:
    """Measures whether the circuit can be trained, what it can express and how it entangles.

    Without noise and shots: it is about the circuit, whatever computer runs it. Options of a
    PennyLane device are kept.
    """
    from qmarl.circuits.drawing import check_picture

    widths = _numbers(qubits, "--qubits")
    depths = _numbers(layers, "--layers") if layers else None
    check_picture(plot)
    experiment, circuit = _circuit(config, overrides, group, ideal=True)
    from trainers.circuits_diagnosis import examine, table
    from trainers.circuits_plot import plot as picture

    actor = experiment.actor
    own = actor.circuit.layers
    typer.echo(f"measuring {samples} parameter sets at each width and depth ...", err=True)
    found = examine(actor, circuit, widths, depths or [own, 2 * own], samples, seed, observable)
    picture(found.gradients, found.expressibility, circuit.name, plot)
    typer.echo(_json(found) if as_json else table(found))
    typer.echo(f"wrote {plot}", err=True)


circuits_app.command(
    epilog="Example: [bold]qmarl circuits noise runs/quickstart/latest --depolarising 0,0.01[/]"
)(noise)


def _json(found: Diagnosis) -> str:
    plain = asdict(found)
    for name in ("fidelities", "haar"):
        plain["expressibility"][name] = plain["expressibility"][name].tolist()
    return json.dumps(finite(plain))


def _circuit(
    path: Path, overrides: list[str] | None, group: str | None, *, ideal: bool = False
) -> tuple[ExperimentConfig, Circuit]:
    """The experiment, and the circuit of one group of its agents, or its ideal."""
    from trainers.config import load_experiment

    experiment = load_experiment(path, overrides or [])
    if experiment.actor.kind != "vqc":
        raise ConfigurationError(
            f"actor.kind: '{experiment.actor.kind}' has no circuit; add actor.kind=vqc"
        )
    from qmarl.circuits import build_circuit
    from qmarl.config import unknown

    names = list(experiment.agents)
    if group is not None and group not in names:
        raise ConfigurationError(f"--group: {unknown('group', group, names)}")
    size = _inputs(experiment, group or names[0])
    actor = experiment.actor
    noise, sampling = (None, None) if ideal else (experiment.noise, actor.sampling)
    return experiment, build_circuit(
        actor.circuit, size, actor.backend, actor.device, noise=noise, shots=sampling
    )


def _inputs(experiment: ExperimentConfig, group: str) -> int:
    """Numbers that the widest agent of a group sees."""
    from envs.registry import make
    from trainers.groups import assign

    world = make(experiment.env, 1)
    spec = world.spec
    world.close()
    members = assign(experiment.agents, spec.agents)[group]
    return max(spec.observation_sizes[member] for member in members)


def _named(path: Path, ending: str) -> Path:
    if path.suffix.lower() != ending:
        raise ConfigurationError(f"--{ending[1:]}: {path} must end with {ending}")
    return path


def _numbers(text: str, option: str) -> list[int]:
    """Reads whole numbers and ranges.

    >>> _numbers("2-4,8", "--qubits")
    [2, 3, 4, 8]
    """
    try:
        found = sorted({number for part in text.split(",") for number in _range(part)})
    except ValueError:
        found = []
    if not found:
        raise ConfigurationError(f"{option}: got '{text}', it must look like 2-8 or 2,4,6")
    return found


def _range(part: str) -> Iterator[int]:
    first, dash, last = part.partition("-")
    yield from range(int(first), int(last if dash else first) + 1)


def _listed(facts: Mapping[str, object]) -> str:
    return ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in facts.items())
