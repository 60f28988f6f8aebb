"""One group's federation: its clients, their server, and the channel between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qmarl.federated.client import Client
from qmarl.federated.config import FederationConfig
from qmarl.federated.server import RoundReport, Server
from qmarl.federated.share import select
from qmarl.federated.transport import SERVER
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
    """

    def __init__(
        self,
        group: str,
        clients: Sequence[str],
        layout: Layout,
        start: Params,
        config: FederationConfig,
        channel: Channel,
    ) -> None:
        shared = select(layout, config.share)
        first = {name: start[name][0] for name in shared}
        self.server = Server(shared, first, config.strategy, clients, group, config.min_fit_clients)
        self._clients = [Client(name, group, shared) for name in clients]
        self._channel = channel
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
        for place, client in enumerate(self._clients):
            own = {name: trained[name][place] for name in client.layout}
            message = client.submit(round_number, self._received[place], own, int(examples[place]))
            link = Link(client.name, SERVER, round_number)
            payload = self._channel.transfer(message, link)
            self.server.receive(payload, round_number, client.name)
        return self.server.aggregate(round_number)

    def joined(self, params: Params) -> Params:
        """The stack as the server's parameters make it, to judge and to keep."""
        return self._placed(params, [self.server.params] * len(self._clients))

    def _placed(self, params: Params, shared: Sequence[Params]) -> Params:
        return params | {name: np.stack([one[name] for one in shared]) for name in shared[0]}
