"""One group's federation: its clients, their server, and the channel between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qmarl.federated.attacks import Attack, attacked
from qmarl.federated.client import Client
from qmarl.federated.config import FederationConfig
from qmarl.federated.server import RoundReport, Server
from qmarl.federated.share import select
from qmarl.federated.strategies import named, rows_of
from qmarl.federated.transport import SERVER
from qmarl.seeding import stream
from qmarl.types import Array, Channel, Layout, Link, Params


class Federation:
    """Carries a stack of learners through the federated layer and back, as bytes.

    Args:
        group: Name of the group.
        clients: Name of the client behind each place of the stack.
        layout: All parameters of one learner.
        start: Their first values, ``(S, ...)``; the shared ones of the first learner are the
            server's.
        config: What is shared, and how it is joined.
        channel: What carries the bytes.
        seed: The run's seed, for the streams of malicious clients.

    Raises:
        ConfigurationError: The strategy needs more clients.
    """

    def __init__(
        self,
        group: str,
        clients: Sequence[str],
        layout: Layout,
        start: Params,
        config: FederationConfig,
        channel: Channel,
        seed: int = 0,
    ) -> None:
        shared = select(layout, config.share)
        first = {name: start[name][0] for name in shared}
        self.server = Server(
            shared,
            first,
            config.aggregator(),
            clients,
            group,
            config.min_fit_clients,
            max_update_norm=config.max_update_norm,
        )
        self._clients = [Client(name, group, shared) for name in clients]
        self._channel, self._attack, self._seed = channel, config.attack, seed
        self._received: list[Params] = []

    def restore(self, state: Params | None) -> None:
        """Puts the server where a checkpoint left it; without one it stands at its start."""
        if state is not None:
            self.server.load_state(state)

    def broadcast(self, params: Params, round_number: int) -> Params:
        """Returns the stack with the server's parameters in the place of the shared ones."""
        messages = self.server.broadcast(round_number)
        self._received = []
        for client in self._clients:
            link = Link(SERVER, client.name, round_number)
            payload = self._channel.transfer(messages[client.name], link)
            self._received.append(client.receive(payload, round_number))
        return self._placed(params, self._received)

    def gather(self, trained: Params, examples: Array, round_number: int) -> RoundReport:
        """Submits what every client learned since the broadcast and lets the server move.

        Args:
            trained: The stack after learning.
            examples: ``(S,)`` steps that each client learned from.
            round_number: The round.
        """
        deltas = [
            client.learned(start, {name: trained[name][place] for name in client.layout})
            for place, (client, start) in enumerate(zip(self._clients, self._received, strict=True))
        ]
        if self._attack is not None:
            deltas, examples = self._attacked(self._attack, deltas, examples, round_number)
        for client, own, behind in zip(self._clients, deltas, examples, strict=True):
            message = client.send(round_number, own, int(behind))
            link = Link(client.name, SERVER, round_number)
            payload = self._channel.transfer(message, link)
            self.server.receive(payload, round_number, client.name)
        return self.server.aggregate(round_number)

    def _attacked(
        self, attack: Attack, deltas: Sequence[Params], examples: Array, round_number: int
    ) -> tuple[list[Params], Array]:
        """What clients send when some of them are malicious."""
        names = [client.name for client in self._clients]
        rng = stream(self._seed, "attack", round_number, self.server.group)
        rows, claims = attacked(attack, names, rows_of(deltas), examples, rng)
        return [named(row, deltas[0]) for row in rows], claims

    def joined(self, params: Params) -> Params:
        """The stack as the server's parameters make it, to judge and to keep."""
        return self._placed(params, [self.server.params] * len(self._clients))

    def _placed(self, params: Params, shared: Sequence[Params]) -> Params:
        return params | {name: np.stack([one[name] for one in shared]) for name in shared[0]}
