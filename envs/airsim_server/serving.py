"""Starts a simulator: from settings to a server, here or in a thread."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from envs.airsim_server.rpc import Server
from envs.airsim_server.settings import Settings, read, read_file
from envs.airsim_server.simulator import Simulator

if TYPE_CHECKING:
    from envs.airsim_wire.codec import Version

Physics = Literal["point", "quad6dof"]


@dataclass(frozen=True)
class Served:
    """A simulator that is being served; only its server's thread may touch it while it runs."""

    host: str
    port: int
    simulator: Simulator


@contextmanager
def serve(
    settings: Settings | Mapping[str, Any] | Path | None = None,
    port: int = 0,
    physics: Physics | None = None,
    version: Version = 1,
) -> Iterator[Served]:
    """Serves a simulator in a thread of this process while a block runs.

    Args:
        settings: What ``settings.json`` holds, or where it lies; AirSim's defaults if left out.
        port: Where to listen on this machine alone; 0 for a free port.
        physics: What moves multirotors; what the settings say if left out.
        version: Whose protocol it speaks: 1 AirSim, 4 Cosys-AirSim.
    """
    server = make_server(_read(settings), "127.0.0.1", port, physics, version)
    thread = threading.Thread(target=server.run, name="airsim-server", daemon=True)
    thread.start()
    try:
        yield Served(*server.address, server.simulator)
    finally:
        server.stop()
        thread.join(10)


def make_server(
    settings: Settings,
    host: str,
    port: int,
    physics: Physics | None = None,
    version: Version = 1,
) -> Server:
    """A server that has yet to run.

    Args:
        settings: What there is.
        host: Address to listen at.
        port: Where to listen; 0 for a free port.
        physics: What moves multirotors; what the settings say if left out.
        version: Whose protocol it speaks.
    """
    if physics is not None:
        own = settings.own.model_copy(update={"physics": physics})
        settings = replace(settings, own=own)
    return Server(Simulator(settings, version), host, port)


def _read(settings: Settings | Mapping[str, Any] | Path | None) -> Settings:
    if isinstance(settings, Settings):
        return settings
    if isinstance(settings, Path):
        return read_file(settings)
    return read(json.dumps(dict(settings or {})))
