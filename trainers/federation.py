"""One group's federation: its clients, their server, and the channel between them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from qmarl.errors import ConfigurationError
from qmarl.federated.angles import halfway
from qmarl.federated.attacks import Attack, attacked
from qmarl.federated.client import Client
from qmarl.federated.compression import Codec
from qmarl.federated.config import FederationConfig
from qmarl.federated.fisher import PREFIX
from qmarl.federated.memory import under
from qmarl.federated.participation import Trace
from qmarl.federated.round_report import RoundReport
from qmarl.federated.server import Server
from qmarl.federated.share import select
from qmarl.federated.strategies import named, rows_of
from qmarl.federated.transport import SERVER
from qmarl.seeding import stream
from qmarl.types import Array, Channel, Layout, Link, Params
from trainers.information import information


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
        seed: The run's seed, for the streams of participation, compression and malicious clients.

    Raises:
        ConfigurationError: The strategy needs more clients, or more than ever take part at once.
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
        aggregator = config.aggregator()
        self._codec = Codec(shared, group, config.compression, seed)
        self.server = Server(
            shared,
            first,
            aggregator,
            clients,
            group,
            config.min_fit_clients,
            max_update_norm=config.max_update_norm,
            min_completion_rate_fit=config.min_completion_rate_fit,
            late=config.late,
            buffer=config.buffer,
            codec=self._codec,
            informed=config.informed,
        )
        if reason := config.shortfall(len(clients), aggregator.least()):
            raise ConfigurationError(reason)
        self._clients = [Client(name, group, shared) for name in clients]
        self._layout, self._shared, self._start = layout, shared, start
        self._config, self._channel, self._seed = config, channel, seed
        self._asked: tuple[str, ...] = tuple(sorted(clients))
        self._received: dict[str, Params] = {}
        self._memory: dict[str, Params] = {}
        self._under_way: dict[str, tuple[int, bytes]] = {}

    @property
    def asked(self) -> tuple[str, ...]:
        """Clients that take part in the round of the last broadcast, in order."""
        return self._asked

    def state(self) -> Params:
        """Returns what a checkpoint needs: the server, what clients keep, what is under way."""
        memory = {
            f"memory/{client}/{name}": array.copy()
            for client, kept in self._memory.items()
            for name, array in kept.items()
        }
        under_way = {
            f"under_way/{arrival}/{client}": np.frombuffer(message, np.uint8).copy()
            for client, (arrival, message) in self._under_way.items()
        }
        return self.server.state() | memory | under_way

    def restore(self, state: Params | None) -> None:
        """Puts everything where a checkpoint left it; without one it stands at its start."""
        if state is None:
            return
        self.server.load_state(state)
        memory = {each.name: under(f"memory/{each.name}/", state) for each in self._clients}
        self._memory = {client: kept for client, kept in memory.items() if kept}
        self._under_way = {}
        for name, array in under("under_way/", state).items():
            arrival, _, client = name.partition("/")
            self._under_way[client] = (int(arrival), array.tobytes())

    def broadcast(self, params: Params, round_number: int) -> Params:
        """Returns the stack with the server's parameters in the place of the shared ones.

        Fleets that do not take part get no message and stand still. Agents fly together in the
        same worlds, and need the model whether they learn in this round or not.
        """
        names = [client.name for client in self._clients]
        drawn = self._config.participation.drawn(names, round_number, self._seed)
        self._asked = tuple(name for name in drawn if name not in self._under_way)
        receivers = self._asked if self._config.client == "fleet" else names
        messages = self.server.broadcast(round_number, receivers)
        self.server.ask(round_number, self._asked)
        self._received = {
            client.name: self._delivered(client, messages[client.name], round_number)
            for client in self._clients
            if client.name in receivers
        }
        return self._placed(params, [self._begin(client, round_number) for client in names])

    def gather(
        self,
        trained: Params,
        examples: Array,
        round_number: int,
        moments: Params | None = None,
        missed: Collection[str] = (),
    ) -> RoundReport:
        """Submits what every client learned since the broadcast and lets the server move.

        Args:
            trained: The stack after learning.
            examples: ``(S,)`` steps that each client learned from.
            round_number: The round.
            moments: The optimiser's moments after learning, where the strategy needs them.
            missed: Clients that take part but did not come through in time.
        """
        places = {client.name: place for place, client in enumerate(self._clients)}
        rows = [places[name] for name in self._asked if name not in missed]
        deltas = [self._learned(self._clients[place], trained, place) for place in rows]
        claims = np.asarray(examples)[rows]
        if self._config.attack is not None and rows:
            deltas, claims = self._attacked(self._config.attack, rows, deltas, claims, round_number)
        known = self._information(moments)
        for place, own, behind in zip(rows, deltas, claims, strict=True):
            rides = {name: array[place] for name, array in known.items()}
            self._send(self._clients[place], own, rides, int(behind), round_number)
        self._arrive(round_number)
        return self.server.aggregate(round_number)

    def joined(self, params: Params) -> Params:
        """The stack as the server's parameters make it, to judge and to keep."""
        return self._placed(params, [self.server.params] * len(self._clients))

    def _delivered(self, client: Client, message: bytes, round_number: int) -> Params:
        link = Link(SERVER, client.name, round_number)
        return client.receive(self._channel.transfer(message, link), round_number)

    def _begin(self, client: str, round_number: int) -> Params:
        """Where a client begins in a round; the server's parameters if it heard nothing."""
        received = self._received.get(client, self.server.params)
        chosen = self._config.participation
        late = isinstance(chosen, Trace) and chosen.late_join == "average"
        if not late or not chosen.joins(client, round_number):
            return received
        place = [each.name for each in self._clients].index(client)
        own = {name: self._start[name][place] for name in self._shared}
        return halfway(received, own, self._shared)

    def _learned(self, client: Client, trained: Params, place: int) -> Params:
        own = {name: trained[name][place] for name in client.layout}
        return client.learned(self._received[client.name], own)

    def _information(self, moments: Params | None) -> Params:
        """Fisher information ``(S, ...)`` by the names under which it travels."""
        if not self._config.informed or moments is None:
            return {}
        known = information(self._layout, moments)
        return {f"{PREFIX}{name}": known[name] for name in self._shared}

    def _send(
        self, client: Client, deltas: Params, rides: Params, examples: int, round_number: int
    ) -> None:
        """Puts a client's update on its way; it arrives now, or as many rounds late as it is."""
        memory = self._memory.get(client.name, {})
        arrays, memory = self._codec.write(deltas, memory, client.name, round_number)
        if memory:
            self._memory[client.name] = memory
        message = client.send(round_number, arrays | rides, examples)
        arrival = round_number + self._config.delays.get(client.name, 0)
        self._under_way[client.name] = (arrival, message)

    def _arrive(self, round_number: int) -> None:
        """Delivers what is due."""
        for client, (arrival, message) in sorted(self._under_way.items()):
            if arrival <= round_number:
                link = Link(client, SERVER, round_number)
                payload = self._channel.transfer(message, link)
                self.server.receive(payload, round_number, client)
                del self._under_way[client]

    def _attacked(
        self,
        attack: Attack,
        rows: Sequence[int],
        deltas: Sequence[Params],
        examples: Array,
        round_number: int,
    ) -> tuple[list[Params], Array]:
        """What clients send when some of them are malicious."""
        names = [self._clients[place].name for place in rows]
        rng = stream(self._seed, "attack", round_number, self.server.group)
        sent, claims = attacked(attack, names, rows_of(deltas), examples, rng)
        return [named(row, deltas[0]) for row in sent], claims

    def _placed(self, params: Params, shared: Sequence[Params]) -> Params:
        return params | {name: np.stack([one[name] for one in shared]) for name in shared[0]}
