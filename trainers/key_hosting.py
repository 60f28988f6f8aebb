"""Hosts a key service: simulated links fill a store, and applications fetch keys from it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from qmarl.config import Section, load
from qmarl.errors import ConfigurationError
from qmarl.secure.key_access import KeyLimits
from qmarl.secure.links_config import LinkSection

if TYPE_CHECKING:
    from qmarl.secure.key_service import KeyServer
    from qmarl.secure.keys import KeyManager

_STORE_KEY_BYTES = 32
_PAUSE_S = 1.0


class PairSection(Section):
    """Two applications and the link that makes their keys."""

    saes: tuple[Annotated[str, Field(min_length=1)], Annotated[str, Field(min_length=1)]]
    """Their names, as in their certificates."""
    link: LinkSection = LinkSection()
    """The simulated quantum link between them."""

    @model_validator(mode="after")
    def _two(self) -> Self:
        if self.saes[0] == self.saes[1]:
            raise ValueError(f"saes: '{self.saes[0]}' needs no keys with itself")
        return self


class KeyServiceConfig(Section):
    """A key service."""

    address: str = "127.0.0.1"
    """Where it listens; by default this machine alone can reach it."""
    port: int = Field(8443, ge=0, le=65535)
    """TCP port; 0 takes a free one."""
    authority: Path
    """Certificate of who vouches for the applications, PEM."""
    certificate: Path
    """The service's own certificate, PEM."""
    key: Path
    """Its private key, PEM without a password."""
    store: Path | None = None
    """Directory that keeps keys over a restart, encrypted; without one they are in memory alone."""
    store_key: Path | None = None
    """File of 32 bytes that encrypts the store; made if it is not there. Keep it elsewhere."""
    max_clock_skew_s: float = Field(30.0, gt=0)
    """Requests whose clock is further off are refused, s."""
    kmes: tuple[str, str] = ("kme-1", "kme-2")
    """Names of the key management entities at the two ends."""
    limits: KeyLimits = KeyLimits()
    """Sizes of keys, and how many are stored."""
    pairs: Annotated[tuple[PairSection, ...], Field(min_length=1)]
    """Who shares keys with whom."""
    seconds: float = Field(default=1.0, gt=0)
    """Time for a quantum session, s."""

    @model_validator(mode="after")
    def _kept(self) -> Self:
        if self.store is not None and self.store_key is None:
            raise ValueError("store: a directory needs 'store_key', or nobody can read it again")
        return self


def load_service(path: Path, overrides: Sequence[str] = ()) -> KeyServiceConfig:
    """Reads a key service's configuration.

    Raises:
        ConfigurationError: With every problem that can be found without starting it.
    """
    return load(path, overrides, KeyServiceConfig, path.parent)[0]


def make_manager(config: KeyServiceConfig) -> KeyManager:
    """Opens the store and connects the pairs.

    Raises:
        ConfigurationError: The store key has another length.
        RunError: The store cannot be read.
    """
    from qmarl.secure.key_store import KeyStore
    from qmarl.secure.keys import KeyManager

    store = KeyStore(_store_key(config.store_key), config.store)
    manager = KeyManager(store, config.limits, config.kmes)
    for pair in config.pairs:
        manager.connect(*pair.saes)
    return manager


def make_server(config: KeyServiceConfig, manager: KeyManager) -> KeyServer:
    """Makes the service, which listens from then on.

    Raises:
        ConfigurationError: The credentials cannot be used.
        UnreachableError: It cannot listen there.
    """
    from qmarl.secure.key_service import KeyServer, TlsFiles

    files = TlsFiles(config.authority, config.certificate, config.key)
    return KeyServer(manager, files, config.address, config.port, config.max_clock_skew_s)


def fill(config: KeyServiceConfig, manager: KeyManager, stop: threading.Event) -> None:
    """Runs sessions until every pair's store is full, and whenever one is not, until ``stop``."""
    from qmarl.secure.quantum_line import drawn
    from qmarl.secure.sources import LinkSource

    links = {
        pair.saes: LinkSource("-".join(pair.saes), pair.link, 0, secure=True)
        for pair in config.pairs
    }
    full = config.limits.max_key_count * config.limits.key_size
    number = 0
    while not stop.is_set():
        wanting = [saes for saes in links if manager.stored(*saes) < full]
        for saes in wanting:
            block = links[saes].block(number, config.seconds)
            manager.deliver(*saes, drawn(block.bits))
            if block.aborted:
                logging.getLogger(__name__).warning("%s-%s: %s", *saes, block.why)
        number += 1
        if not wanting or stop.wait(0):
            stop.wait(_PAUSE_S)


def host(config: KeyServiceConfig, ready: Callable[[tuple[str, int]], None]) -> None:
    """Serves keys until a signal comes.

    Args:
        config: The service.
        ready: Told where it listens.

    Raises:
        RunInterruptedError: A signal came.
    """
    from trainers.interrupt import interruptible

    manager, stop = make_manager(config), threading.Event()
    server = make_server(config, manager)
    filling = threading.Thread(target=fill, args=(config, manager, stop), daemon=True)
    serving = threading.Thread(target=server.serve, daemon=True)
    serving.start()
    filling.start()
    with interruptible():
        try:
            ready(server.address)
            serving.join()
        finally:
            stop.set()
            server.close()
            filling.join()
            manager.close()


def _store_key(path: Path | None) -> bytearray:
    """Reads the store's key, or makes one for its owner's eyes alone."""
    if path is None:
        return bytearray(os.urandom(_STORE_KEY_BYTES))
    with suppress(FileExistsError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(os.urandom(_STORE_KEY_BYTES))
    try:
        return bytearray(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"'{path}' cannot be read: {error.strerror}") from None
