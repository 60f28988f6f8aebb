"""One group's federation: its clients, their server, and the channel between them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from qmarl.errors import ConfigurationError, UndeliveredError
from qmarl.federated.angles import halfway
from qmarl.federated.attacks import Attack, attacked
from qmarl.federated.client import Client
from qmarl.federated.compression import Codec
from qmarl.federated.config import FederationConfig
from qmarl.federated.fisher import PREFIX
from qmarl.federated.group_privacy import GroupPrivacy
from qmarl.federated.memory import under
from qmarl.federated.participation import Trace
from qmarl.federated.privacy_noise import NoiseSource
from qmarl.federated.round_report import RoundReport
from qmarl.federated.schedule import ShareSchedule
from qmarl.federated.secret_rounds import SecretRounds, make_privacy
from qmarl.federated.server import Server
from qmarl.federated.strategies import named, rows_of
from qmarl.federated.transport import SERVER
from qmarl.seeding import stream
from qmarl.types import Array, Channel, Layout, Link, Params
from trainers.information import information
from trainers.pseudonyms import Mix, MixChannel, MixedServer


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
        source: Where privacy's noise comes from, one for the whole run; the seed when left out.
        groups: Groups of the run that each client has a model of.
        lossy: Whether the channel may leave messages undelivered; then what clients heard last
            belongs to a checkpoint.
        mix: What stands between clients and server and hides their names.

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
        source: NoiseSource | None = None,
        groups: int = 1,
        lossy: bool = False,
        mix: Mix | None = None,
    ) -> None:
        self._schedule = ShareSchedule(config.share_schedule, config.shared(layout))
        shared, start = self._schedule.layout, self._schedule.cut(start, axis=1)
        first = {name: start[name][0] for name in shared}
        aggregator = config.aggregator()
        self._codec = Codec(shared, group, config.compression, seed)
        noise = source or (config.privacy.source(seed) if config.privacy else None)
        self._privacy = make_privacy(config, shared, len(clients), group, noise, groups)
        self._secret = (
            SecretRounds(config, shared, clients, group, channel, seed, self._privacy)
            if config.secagg is not None
            else None
        )
        server = Server(
            shared,
            first,
            aggregator,
            clients if mix is None else mix.names,
            group,
            config.min_fit_clients,
            max_update_norm=config.max_update_norm,
            min_completion_rate_fit=config.min_completion_rate_fit,
            late=config.late,
            buffer=config.buffer,
            codec=self._codec,
            informed=config.informed,
            schedule=self._schedule,
            privacy=self._privacy,
        )
        self.server = server if mix is None else MixedServer(server, mix)
        if reason := config.shortfall(len(clients), aggregator.least()):
            raise ConfigurationError(reason)
        self._clients = [Client(name, group, shared) for name in clients]
        self._layout, self._shared, self._start = layout, shared, start
        self._config, self._seed = config, seed
        self._channel = channel if mix is None else MixChannel(channel, mix)
        self._asked: tuple[str, ...] = tuple(sorted(clients))
        self._joined: Layout = shared
        self._received: dict[str, Params] = {}
        self._memory: dict[str, Params] = {}
        self._under_way: dict[str, tuple[int, bytes]] = {}
        self._at_work: dict[str, int] = {}
        self._heard: dict[str, Params] = {}
        self._lossy = lossy
        self._cut: frozenset[str] = frozenset()

    @property
    def at_work(self) -> dict[str, int]:
        """Clients that have not come through with their work yet, and the round of its start."""
        return dict(self._at_work)

    @property
    def asked(self) -> tuple[str, ...]:
        """Clients that take part in the round of the last broadcast, in order."""
        return self._asked

    @property
    def present(self) -> tuple[str, ...]:
        """Those of them whom the broadcast reached."""
        return tuple(name for name in self._asked if name not in self._cut)

    @property
    def privacy(self) -> GroupPrivacy | None:
        """What hides each client's part, and the account of it."""
        return self._privacy

    @property
    def ended(self) -> str:
        """Why no further round may follow; empty if one may."""
        return self._privacy.ended if self._privacy is not None else ""

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
        at_work = {
            f"at_work/{began}/{client}/{name}": array.copy()
            for client, began in self._at_work.items()
            for name, array in self._received[client].items()
        }
        heard = {
            f"heard/{client}/{name}": array.copy()
            for client, known in self._heard.items()
            for name, array in known.items()
        }
        return self.server.state() | memory | under_way | at_work | heard

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
        heard = {each.name: under(f"heard/{each.name}/", state) for each in self._clients}
        self._heard = {client: known for client, known in heard.items() if known}
        self._at_work, self._received = {}, {}
        for name, array in under("at_work/", state).items():
            began, client, parameter = name.split("/", 2)
            self._at_work[client] = int(began)
            self._received.setdefault(client, {})[parameter] = array

    def broadcast(self, params: Params, round_number: int) -> Params:
        """Returns the stack with the server's parameters in the place of those that it sends.

        Fleets that do not take part get no message and stand still. Agents fly together in the
        same worlds, and need the model whether they learn in this round or not.
        """
        names = [client.name for client in self._clients]
        chooser = self._privacy or self._config.participation
        drawn = chooser.drawn(names, round_number, self._seed)
        busy = self._under_way.keys() | self._at_work.keys()
        self._asked = tuple(name for name in drawn if name not in busy)
        receivers = self._asked if self._config.client == "fleet" else names
        messages = self.server.broadcast(round_number, receivers)
        self.server.ask(round_number, self._asked)
        working = {name: self._received[name] for name in self._at_work}
        self._received = working | self._reached(messages, round_number)
        sent = self._schedule.changed(round_number)
        begin = [self._begin(name, self._at_work.get(name, round_number)) for name in names]
        return self._placed(params, [{name: one[name] for name in sent} for one in begin])

    def gather(
        self,
        trained: Params,
        examples: Array,
        round_number: int,
        moments: Params | None = None,
        missed: Collection[str] = (),
        steps: Array | None = None,
        working: Collection[str] = (),
    ) -> RoundReport:
        """Submits what every client learned since the broadcast and lets the server move.

        Args:
            trained: The stack after learning.
            examples: ``(S,)`` steps that each client learned from.
            round_number: The round.
            moments: The optimiser's moments after learning, where the strategy needs them.
            missed: Clients that take part but did not come through in time.
            steps: ``(S,)`` optimiser steps that each client took, where the strategy needs them.
            working: Clients that go on working, and come in a later round.
        """
        trained = self._schedule.cut(trained, axis=1)
        self._joined = self._schedule.due(round_number)
        places = {client.name: place for place, client in enumerate(self._clients)}
        began = dict.fromkeys(self.present, round_number) | self._at_work
        self._at_work = {name: began[name] for name in sorted(working)}
        rows = [places[name] for name in sorted(began) if name not in {*missed, *working}]
        deltas = [self._learned(self._clients[place], trained, place) for place in rows]
        claims = np.asarray(examples)[rows]
        if self._config.attack is not None and rows:
            deltas, claims = self._attacked(self._config.attack, rows, deltas, claims, round_number)
        if self._secret is not None:
            return self._in_secret(self._secret, rows, deltas, claims, round_number)
        known = self._information(moments)
        steps = steps if self._config.stepped else None
        for place, own, behind in zip(rows, deltas, claims, strict=True):
            rides = {name: array[place] for name, array in known.items()}
            told = {"steps": float(steps[place])} if steps is not None else {}
            client = self._clients[place]
            count = int(behind)
            if self._privacy is not None:
                own, count, told = self._privacy.sent(client.name, own, count, round_number)
            self._send(client, own, rides, count, began[client.name], told)
        self._arrive(round_number)
        return self.server.aggregate(round_number)

    def joined(self, params: Params) -> Params:
        """The stack as the server's parameters make it, to judge and to keep.

        What did not travel in the last round is each client's own.
        """
        shared = {name: self.server.params[name] for name in self._joined}
        return self._placed(params, [shared] * len(self._clients))

    def _reached(self, messages: Mapping[str, bytes], round_number: int) -> dict[str, Params]:
        """What the broadcast brought to everyone whom it reached."""
        found: dict[str, Params] = {}
        for client in self._clients:
            if client.name in messages:
                with suppress(UndeliveredError):
                    message = messages[client.name]
                    found[client.name] = self._delivered(client, message, round_number)
        self._cut = frozenset(messages) - found.keys()
        if self._lossy:
            self._heard |= found
        return found

    def _delivered(self, client: Client, message: bytes, round_number: int) -> Params:
        """What a client knows of the server's parameters: what it got, and what did not change."""
        link = Link(SERVER, client.name, round_number)
        told = replace(client, layout=self._schedule.changed(round_number))
        return self.server.params | told.receive(
            self._channel.transfer(message, link), round_number
        )

    def _begin(self, client: str, round_number: int) -> Params:
        """Where a client begins in a round; the server's parameters if nothing was for it."""
        received = self._received.get(client, self.server.params)
        if client in self._cut:  # it flies on with what it heard last
            own = {name: self._start[name][self._place(client)] for name in self._shared}
            return self._heard.get(client, own)
        chosen = self._config.participation
        late = isinstance(chosen, Trace) and chosen.late_join == "average"
        if not late or not chosen.joins(client, round_number):
            return received
        own = {name: self._start[name][self._place(client)] for name in self._shared}
        return halfway(received, own, self._shared)

    def _place(self, client: str) -> int:
        return [each.name for each in self._clients].index(client)

    def _learned(self, client: Client, trained: Params, place: int) -> Params:
        teller = replace(client, layout=self._joined)
        own = {name: trained[name][place] for name in self._joined}
        return teller.learned(self._received[client.name], own)

    def _in_secret(
        self,
        secret: SecretRounds,
        rows: Sequence[int],
        deltas: Sequence[Params],
        examples: Array,
        round_number: int,
    ) -> RoundReport:
        """A round in which the server sees sums; whoever is late misses it."""
        delays, names = self._config.delays, [self._clients[place].name for place in rows]
        learned = {name: own for name, own in zip(names, deltas, strict=True) if name not in delays}
        claims = {name: int(count) for name, count in zip(names, examples, strict=True)}
        secured = secret.run(round_number, self._asked, learned, claims)
        away = {name: round_number + delays[name] for name in names if name in delays}
        self._under_way = {
            name: (arrival, b"")
            for name, arrival in ({n: a for n, (a, _) in self._under_way.items()} | away).items()
            if arrival > round_number
        }
        return self.server.settle(round_number, secured)

    def _information(self, moments: Params | None) -> Params:
        """Fisher information ``(S, ...)`` by the names under which it travels."""
        if not self._config.informed or moments is None:
            return {}
        known = self._schedule.cut(information(self._layout, moments), axis=1)
        return {f"{PREFIX}{name}": known[name] for name in self._joined}

    def _send(
        self,
        client: Client,
        deltas: Params,
        rides: Params,
        examples: int,
        round_number: int,
        told: Mapping[str, float],
    ) -> None:
        """Puts a client's update on its way; it arrives now, or as many rounds late as it is."""
        memory = self._memory.get(client.name, {})
        arrays, memory = self._codec.write(deltas, memory, client.name, round_number)
        if memory:
            self._memory[client.name] = memory
        message = client.send(round_number, arrays | rides, examples, told)
        arrival = round_number + self._config.delays.get(client.name, 0)
        self._under_way[client.name] = (arrival, message)

    def _arrive(self, round_number: int) -> None:
        """Delivers what is due."""
        for client, (arrival, message) in sorted(self._under_way.items()):
            if arrival <= round_number:
                del self._under_way[client]
                link = Link(client, SERVER, round_number)
                with suppress(UndeliveredError):
                    payload = self._channel.transfer(message, link)
                    self.server.receive(payload, round_number, client)

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
        placed = {name: np.stack([one[name] for one in shared]) for name in shared[0]}
        return self._schedule.joined(self._schedule.cut(params, axis=1) | placed, axis=1)
