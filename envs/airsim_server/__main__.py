"""``python -m envs.airsim_server``: serves the simulator until it is told to stop."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from envs.airsim_server.serving import Physics, make_server
from envs.airsim_server.settings import read, read_file
from envs.airsim_wire.codec import Version
from qmarl.errors import QmarlError


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves; returns the exit code: 0 stopped, 2 wrong settings, 3 the port is not free."""
    given = _parser().parse_args(arguments)
    try:
        serve_here(given.settings, given.host, given.port, given.physics, given.version)
    except QmarlError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def serve_here(
    settings: Path | None,
    host: str | None,
    port: int | None,
    physics: Physics | None,
    version: Version,
) -> None:
    """Serves in this thread until SIGTERM or SIGINT; says where as soon as it is ready.

    Args:
        settings: ``settings.json``; AirSim's defaults if left out.
        host: Address to listen at; the settings' ``LocalHostIp``, or this machine alone.
        port: Where to listen; the settings' ``ApiServerPort`` if left out; 0 for a free port.
        physics: What moves multirotors; what the settings say if left out.
        version: Whose protocol it speaks: 1 AirSim, 4 Cosys-AirSim.
    """
    found = read("{}") if settings is None else read_file(settings)
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    where = host or found.host or "127.0.0.1"
    server = make_server(found, where, found.port if port is None else port, physics, version)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    print(f"serving on {server.address[0]}:{server.address[1]}", flush=True)
    server.run()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m envs.airsim_server", description=__doc__)
    parser.add_argument("--settings", type=Path, help="settings.json, as AirSim reads it")
    parser.add_argument("--host", help="address to listen at (127.0.0.1)")
    parser.add_argument("--port", type=int, help="where to listen; 0 for a free port (41451)")
    parser.add_argument("--physics", choices=("point", "quad6dof"), help="what moves multirotors")
    parser.add_argument("--version", type=int, choices=(1, 4), default=1, help="1 or 4 (Cosys)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
