"""A mix between clients and server: it knows who they are and not what they say, the server what.

Clients seal their updates for the server (:mod:`qmarl.secure.envelopes`) and send them over their
own lines to the mix. It waits for the round's end and hands all envelopes on in an order that says
nothing, under names that are dealt anew in every round (Chaum 1981, a mix of one stage). The mix
vouches for it that every name is one client's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import final

from qmarl.errors import RunError
from qmarl.federated.messages import decode, encode
from qmarl.federated.round_report import Rejection, RoundReport
from qmarl.federated.secure_sums import Secured
from qmarl.federated.server import Server
from qmarl.federated.transport import SERVER
from qmarl.seeding import stream
from qmarl.types import Channel, Link, Params


@final
class Mix:
    """The mix of one group, and its clients' own part in it.

    Args:
        clients: The clients' names.
        group: Name of the group.
        seed: The run's seed, which deals the names so that a run repeats.
    """

    def __init__(self, clients: Sequence[str], group: str, seed: int) -> None:
        from qmarl.secure.postquantum import new_kem_key

        self._clients, self._group, self._seed = sorted(clients), group, seed
        width = len(str(len(clients) - 1))
        self.names = tuple(f"anonymous_{place:0{width}d}" for place in range(len(clients)))
        self._key = new_kem_key("x25519-ml-kem-768")
        self._public = self._key.public

    def name(self, client: str, round_number: int) -> str:
        """Returns what a client is called in a round; only it and the mix know."""
        rng = stream(self._seed, "mix", self._group, round_number)
        dealt = rng.permutation(len(self._clients))
        return self.names[int(dealt[self._clients.index(client)])]

    def sealed(self, message: bytes, client: str, round_number: int) -> bytes:
        """The client's part: takes its own name off an update and seals it for the server."""
        from qmarl.secure.envelopes import put_in

        alias = self.name(client, round_number)
        return put_in(self._public, _renamed(message, alias), self._about(round_number))

    def addressed(self, message: bytes, client: str) -> bytes:
        """The client's part: reads a broadcast under its name of the round as its own."""
        envelope = decode(message, len(message))
        if envelope.client != self.name(client, envelope.round):
            raise RunError(f"client '{client}' got a broadcast for {envelope.client!r}")
        return _renamed(message, client)

    def opened(self, envelope: bytes, round_number: int) -> bytes:
        """The server's part: opens an envelope; what is none becomes an empty message."""
        from qmarl.secure.cipher import CipherError
        from qmarl.secure.envelopes import take_out

        try:
            return take_out(self._key, envelope, self._about(round_number))
        except CipherError:
            return b""

    def _about(self, round_number: int) -> bytes:
        return f"{self._group}/{round_number}".encode()


@final
class MixChannel:
    """The clients' end of the mix: takes names off and seals, before the lines carry it.

    Args:
        channel: The lines.
        mix: The mix of the group whose messages these are.
    """

    def __init__(self, channel: Channel, mix: Mix) -> None:
        self._channel, self._mix = channel, mix

    def transfer(self, payload: bytes, link: Link) -> bytes:
        """Carries an update to the mix as a sealed envelope, or a broadcast to its client."""
        if link.receiver == SERVER:
            return self._channel.transfer(self._mix.sealed(payload, link.sender, link.round), link)
        return self._mix.addressed(self._channel.transfer(payload, link), link.receiver)


@final
class MixedServer:
    """A server behind a mix: it is spoken to by clients' names, and hears of none.

    Args:
        server: Knows the names that are dealt, and nobody else.
        mix: The mix.
    """

    def __init__(self, server: Server, mix: Mix) -> None:
        self._server, self._mix = server, mix
        self._inbox: dict[str, bytes] = {}

    @property
    def params(self) -> Params:
        """The shared parameters."""
        return self._server.params

    @property
    def group(self) -> str:
        """Name of the group."""
        return self._server.group

    def broadcast(self, round_number: int, receivers: Sequence[str]) -> dict[str, bytes]:
        """Returns a message for each of ``receivers``; the server made it for a dealt name."""
        names = {client: self._mix.name(client, round_number) for client in receivers}
        messages = self._server.broadcast(round_number, sorted(names.values()))
        return {client: messages[name] for client, name in names.items()}

    def ask(self, round_number: int, clients: Sequence[str]) -> None:
        """Says who takes part: so many names, whosesoever they are."""
        names = sorted(self._mix.name(client, round_number) for client in clients)
        self._server.ask(round_number, names)

    def receive(self, payload: bytes, round_number: int, sender: str) -> Rejection | None:
        """The mix takes an envelope in, and keeps it until all are there."""
        self._inbox[self._mix.name(sender, round_number)] = payload
        return None

    def aggregate(self, round_number: int) -> RoundReport:
        """Hands the envelopes to the server, in the order of their names, and ends the round."""
        inbox, self._inbox = self._inbox, {}
        for name in sorted(inbox):
            message = self._mix.opened(inbox[name], round_number)
            self._server.receive(message, round_number, name)
        return self._server.aggregate(round_number)

    def settle(self, round_number: int, secured: Secured) -> RoundReport:
        """Never used: secure aggregation hides updates, and needs names."""
        return self._server.settle(round_number, secured)

    def state(self) -> Params:
        """Returns what a checkpoint needs, between two rounds."""
        return self._server.state()

    def load_state(self, state: Params) -> None:
        """Continues from what :meth:`state` returned."""
        self._server.load_state(state)


def _renamed(message: bytes, name: str) -> bytes:
    return encode(replace(decode(message, len(message)), client=name))
