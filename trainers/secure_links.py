"""Joins quantum links, keys and the federation's channel: who is reached over which line."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from qmarl.config import unknown
from qmarl.errors import ConfigurationError
from qmarl.federated.transport import SERVER, InMemoryChannel, MeteredChannel, Traffic
from qmarl.types import Channel, Params

if TYPE_CHECKING:
    from qmarl.secure.agreement import Identities
    from qmarl.secure.certificates import Authority
    from qmarl.secure.lines import Line, LineReport
    from qmarl.secure.postquantum import SigningKey
    from qmarl.secure.remote_keys import Keys
    from qmarl.secure.secure_channel import SecureChannel
    from qmarl.secure.sources import KeySource
    from qmarl.secure.transport_config import LineConfig, TransportConfig

LinkNote = Callable[[int, Mapping[str, "LineReport"]], None]
"""Takes what happened on every line in a round."""

_LEFT = "left_bits"


@dataclass(frozen=True)
class Links:
    """The protected links of a run.

    Attributes:
        channel: What the federations send through.
        wire: What a wire-tapper sees, counted.
        note: Takes what happened on every line in a round.
    """

    channel: SecureChannel
    wire: MeteredChannel
    note: LinkNote | None = field(default=None, repr=False)

    def end(self, round_number: int, hidden: bool = False) -> dict[str, float]:
        """Ends a round: its keys are overwritten, and what happened is noted.

        Args:
            round_number: The round.
            hidden: Whether nobody is to know who took part; then nothing is told.

        Returns:
            The round's metrics.
        """
        reports = self.channel.take(round_number)
        traffic = self.wire.take(round_number)
        if hidden:
            return {}
        if self.note is not None:
            self.note(round_number, reports)
        return measured(list(reports.values()), traffic)

    def state(self) -> dict[str, Params]:
        """Returns what a checkpoint needs: how many bits of key are left, and nothing of a key."""
        left = self.channel.left().items()
        return {client: {_LEFT: np.array(bits, np.int64)} for client, bits in left}

    def restore(self, state: Mapping[str, Params]) -> None:
        """Goes on where a checkpoint was."""
        self.channel.restore({client: int(kept[_LEFT]) for client, kept in state.items()})


def make_links(
    config: TransportConfig, clients: Sequence[str], seed: int, wire: Channel | None = None
) -> Links:
    """Builds a line for every client.

    Args:
        config: The section.
        clients: Their names.
        seed: The run's seed, which decides what happens on quantum links.
        wire: What carries the bytes; memory where left out.

    Raises:
        ConfigurationError: A link is for nobody, or cannot carry what it is to carry.
    """
    from qmarl.secure.postquantum import new_signing_key
    from qmarl.secure.secure_channel import SecureChannel

    for pattern in config.links.clients:
        if not any(fnmatchcase(client, pattern) for client in clients):
            raise ConfigurationError(
                f"transport.links.clients: {unknown('client', pattern, clients)}"
            )
    makers = _Makers(config, seed, _manager(config, clients), new_signing_key())
    metered = MeteredChannel(wire or InMemoryChannel())
    lines = {client: makers.line(client, config.of(client)) for client in clients}
    return Links(SecureChannel(metered, lines, SERVER), metered)


def measured(reports: Sequence[LineReport], traffic: Traffic) -> dict[str, float]:
    """A round of all lines in numbers."""
    errors = [one.qber for one in reports if one.qber is not None]
    told: dict[str, float] = {
        "made_bits": sum(one.made for one in reports),
        "used_bits": sum(one.used for one in reports),
        "left_bits": sum(one.left for one in reports),
        "aborts": sum(bool(one.aborted) for one in reports),
        "fallbacks": sum(bool(one.fallback) for one in reports),
        "down": sum(one.undelivered > 0 for one in reports),
        "refused": sum(one.refused for one in reports),
        "leaked_bits": sum(one.leaked for one in reports),
        "bytes_up": traffic.up,
        "bytes_down": traffic.down,
    }
    if errors:
        told["qber"] = float(np.mean(errors))
    return {f"links/{name}": value for name, value in told.items()}


@dataclass(frozen=True)
class _Makers:
    """What lines are made of."""

    config: TransportConfig
    seed: int
    manager: Keys
    server: SigningKey
    authorities: list[Authority] = field(default_factory=list)

    def line(self, client: str, own: LineConfig) -> Line:
        """Returns a client's line."""
        from qmarl.secure.lines import PlainLine
        from qmarl.secure.quantum_line import PostQuantumLine, QuantumLine

        if own.kind == "plain":
            return PlainLine()
        if own.kind == "tls":
            return self._tls(client)
        if own.kind == "postquantum":
            return PostQuantumLine(own, self._identities())
        if own.kind == "qsdc":
            return self._direct(client, own)
        ends = (client, SERVER)
        source = None if self.config.service is not None else self._source(client)
        return QuantumLine(own, source, self.manager, ends, self._identities())

    def _direct(self, client: str, own: LineConfig) -> Line:
        from qmarl.secure.direct_line import DirectLine

        links = self.config.links
        section = links.of(client)
        return DirectLine(own, section, self.seed, links.secure, self._identities())

    def _identities(self) -> Identities:
        """The server's signing key, and a new one for a client; each end knows the other's."""
        from qmarl.secure.agreement import Identities

        return Identities(self.server)

    def _tls(self, client: str) -> Line:
        from qmarl.secure.certificates import Authority
        from qmarl.secure.tls_line import TlsLine, tls_ends

        if not self.authorities:
            self.authorities.append(Authority())
        return TlsLine(tls_ends(self.authorities[0], SERVER, client))

    def _source(self, client: str) -> Callable[[int], KeySource]:
        """Sources of a round's first session and of further ones, which differ in their chances."""
        from qmarl.secure.sources import LinkSource

        links = self.config.links
        made: dict[int, KeySource] = {}

        def source(session: int) -> KeySource:
            if session not in made:
                name = client if session == 0 else f"{client}, session {session}"
                made[session] = LinkSource(name, links.of(client), self.seed, links.secure)
            return made[session]

        return source


def _manager(config: TransportConfig, clients: Sequence[str]) -> Keys:
    """What gives keys to both ends; of a service, only to those who need some."""
    if (service := config.service) is not None:
        from qmarl.secure.remote_keys import RemoteKeys

        needing = [each for each in clients if config.of(each).kind in ("qkd", "qkd+postquantum")]
        names = [*needing, SERVER] if needing else []
        return RemoteKeys({name: service.client(name) for name in names})
    from qmarl.secure.key_store import KeyStore
    from qmarl.secure.keys import KeyManager

    manager = KeyManager(KeyStore(bytearray(os.urandom(32))), config.limits)
    for client in clients:
        manager.connect(client, SERVER)
    return manager
