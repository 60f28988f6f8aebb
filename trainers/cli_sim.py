"""``qmarl sim``: serves the simulator behind AirSim's protocol, and writes settings for AirSim."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from qmarl.errors import ConfigurationError
from trainers.cli_words import ConfigFile, Overrides

sim_app = typer.Typer(
    help="Serves a simulator that AirSim's clients can fly, and writes settings.json files.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Where to listen.")]


@sim_app.command(
    epilog="Example: [bold]qmarl sim serve --settings settings.json --version 4[/]",
)
def serve(
    settings: Annotated[
        Path | None, typer.Option(help="A settings.json, as AirSim reads it.")
    ] = None,
    port: _Port = None,
    physics: Annotated[
        Literal["point", "quad6dof"] | None, typer.Option(help="What moves multirotors.")
    ] = None,
    version: Annotated[
        str, typer.Option(metavar="1|4", help="The protocol: 1 of AirSim 1.8, 4 of Cosys-AirSim 3.")
    ] = "1",
    host: Annotated[
        str | None, typer.Option(help="Address to listen at; this machine alone by default.")
    ] = None,
) -> None:
    """Serves a simulator that AirSim's own clients fly as if it were AirSim, until Ctrl+C.

    It says 'serving on HOST:PORT' when it is ready. Without options it listens at port 41451 and
    has one drone.
    """
    if version not in ("1", "4"):
        raise ConfigurationError(f"--version: got {version!r}; allowed are 1 and 4")
    from envs.airsim_server.__main__ import serve_here

    serve_here(settings, host, port, physics, 4 if version == "4" else 1)


@sim_app.command("settings", epilog="Example: [bold]qmarl sim settings run.yaml > settings.json[/]")
def write_settings(config: ConfigFile, overrides: Overrides = None, port: _Port = None) -> None:
    """Prints the settings.json that AirSim needs to fly a configuration's world.

    It holds a vehicle for every agent, with the section's sensors, and for our own simulator the
    section's bodies and arena.
    """
    from trainers.config import load_experiment

    experiment = load_experiment(config, overrides or [])
    from envs.airsim_server.world_settings import world_settings
    from envs.airsim_wire.structs import DEFAULT_PORT
    from envs.front import make
    from envs.mobility import MobilitySection

    section = experiment.env
    if not isinstance(section, MobilitySection):
        raise ConfigurationError(
            f"env.id: '{section.id}' has no bodies to fly; allowed are worlds of drones or vehicles"
        )
    own = type(section).model_fields["backend"].default
    at_home = section.model_copy(update={"backend": own, "num_envs": 1, "shards": 1})
    world = make(at_home)
    text = world_settings(section, world.spec.agents, world.spec.kinds, port or DEFAULT_PORT)
    typer.echo(text, nl=False)
