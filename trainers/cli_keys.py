"""``qmarl keys``: serves quantum keys to applications, and says how many there are."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated

import typer

from trainers.cli_words import ConfigFile, Json, Overrides

keys_app = typer.Typer(
    help="Serves quantum keys over REST with mutual TLS, by ETSI GS QKD 014.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@keys_app.command(
    epilog="Example: [bold]qmarl keys certificates pki kme-1 fleet_0 server --host 127.0.0.1[/]"
)
def certificates(
    directory: Annotated[Path, typer.Argument(help="Where the files go.")],
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Who needs one.")],
    host: Annotated[
        list[str] | None, typer.Option(help="Names and addresses of the service, the first NAME.")
    ] = None,
    days: Annotated[float, typer.Option(min=0.01, help="How long they are valid.")] = 30,
) -> None:
    """Makes an authority and certificates to try the key service with.

    Each NAME gets NAME.pem and NAME.key. The authority's own key is forgotten, so nobody can add
    another name later.
    """
    from qmarl.errors import ConfigurationError
    from qmarl.secure.certificates import Authority

    for name in names:
        if not name.replace("-", "a").replace("_", "a").isalnum() or len(name) > 64:
            raise ConfigurationError(
                f"certificates: '{name}' must be 1 to 64 letters, digits, '-' or '_'"
            )
    authority = Authority("qmarl keys", days)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "authority.pem").write_bytes(authority.certificate)
    for place, name in enumerate(names):
        hosts = (host or ["127.0.0.1", "localhost"]) if place == 0 else []
        authority.issue(name, hosts).write(directory)
    typer.echo(f"certificates of {', '.join(names)} in {directory}, valid for {days:g} days")


@keys_app.command(epilog="Example: [bold]qmarl keys serve configs/secure/key_service.yaml[/]")
def serve(config: ConfigFile, overrides: Overrides = None) -> None:
    """Runs simulated quantum links and serves their keys until a signal comes."""
    from trainers.key_hosting import host, load_service

    asked = load_service(config, overrides or [])
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    host(asked, lambda where: typer.echo(f"keys are served at https://{where[0]}:{where[1]}"))


@keys_app.command(
    epilog="Example: [bold]qmarl keys status configs/secure/key_service.yaml server "
    "--certificate pki/fleet_0.pem --key pki/fleet_0.key[/]"
)
def status(
    config: ConfigFile,
    peer: Annotated[str, typer.Argument(metavar="SAE", help="With whom keys are shared.")],
    certificate: Annotated[Path, typer.Option(help="The asking application's certificate.")],
    key: Annotated[Path, typer.Option(help="Its private key.")],
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Asks a running service, as one of its applications, how many keys there are."""
    from qmarl.secure.key_client import KeyClient
    from qmarl.secure.key_service import TlsFiles
    from trainers.key_hosting import load_service

    asked = load_service(config, overrides or [])
    files = TlsFiles(asked.authority, certificate, key)
    found = KeyClient(asked.address, asked.port, files).status(peer)
    if as_json:
        typer.echo(json.dumps(found))
        return
    for name, value in found.items():
        typer.echo(f"{name:<20}  {value}")
