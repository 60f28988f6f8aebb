"""``qmarl config``: show, check, schema and init, without building a single part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from qmarl.errors import ConfigurationError
from trainers.cli_words import ConfigFile, Overrides
from trainers.shipped import shipped_configs

config_app = typer.Typer(
    help="Shows, checks and starts configuration files.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@config_app.command(epilog="Example: [bold]qmarl config show configs/quickstart.yaml seed=1[/]")
def show(config: ConfigFile, overrides: Overrides = None) -> None:
    """Prints a configuration with every default written out."""
    from qmarl.config import to_yaml
    from trainers.config import load_experiment

    typer.echo(to_yaml(load_experiment(config, overrides or [])), nl=False)


@config_app.command(epilog="Example: [bold]qmarl config check configs/quickstart.yaml[/]")
def check(config: ConfigFile, overrides: Overrides = None) -> None:
    """Finds everything that is wrong with a configuration, in well under a second."""
    from trainers.config import load_experiment

    experiment = load_experiment(config, overrides or [])
    typer.echo(f"{config}: fine ('{experiment.name}', {experiment.rounds} rounds)")


@config_app.command(epilog="Example: [bold]qmarl config schema > qmarl.schema.json[/]")
def schema() -> None:
    """Prints the JSON Schema, with which editors complete and check configurations.

    Name it in a file's first line: # yaml-language-server: $schema=qmarl.schema.json
    """
    from qmarl.config import json_schema, preset_names
    from trainers.config import ExperimentConfig

    presets = preset_names(shipped_configs() / "presets")
    typer.echo(json.dumps(json_schema(ExperimentConfig, presets), indent=2))


@config_app.command(epilog="Example: [bold]qmarl config init flight.yaml[/]")
def init(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="File to write; it must not exist yet.")
    ] = Path("experiment.yaml"),
) -> None:
    """Writes a commented configuration to start from."""
    text = (shipped_configs() / "quickstart.yaml").read_text()
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigurationError(f"{path} exists already; name another file") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
    typer.echo(f"wrote {path}; try: qmarl train {path}")
