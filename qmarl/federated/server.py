"""The server's side of a round: one group's shared parameters, and what clients may do to them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from qmarl.errors import ConfigurationError, RunError
from qmarl.federated.aggregators import Aggregator, Update
from qmarl.federated.compression import Codec
from qmarl.federated.group_privacy import GroupPrivacy
from qmarl.federated.memory import Calls, packed, under, unpacked
from qmarl.federated.messages import MessageError, decode, encode_for
from qmarl.federated.round_report import Rejection as Rejection
from qmarl.federated.round_report import RoundReport as RoundReport
from qmarl.federated.round_report import contributions, norm
from qmarl.federated.schedule import ShareSchedule
from qmarl.federated.screening import content
from qmarl.federated.secure_sums import Secured, joined
from qmarl.federated.staleness import Drop, Late
from qmarl.federated.transport import SERVER
from qmarl.types import Envelope, Layout, Params


@dataclass(frozen=True)
class _Inbox:
    """What one round has brought so far."""

    updates: dict[str, Update] = field(default_factory=dict)
    rejected: list[Rejection] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


class Server:
    """Holds the shared parameters of one group and moves them by what its clients submit.

    Args:
        layout: Declaration of the shared parameters only.
        start: Their first values, by name; others in it are ignored. Kept in float64.
        aggregator: Turns updates into a step.
        clients: Names of the clients that may take part.
        group: Name of the agent group.
        min_fit_clients: Updates needed in a round; with fewer the model stays as it is.
        examples_cap: What a client says beyond this counts as this, lest one outweigh the rest.
        max_update_norm: Euclidean norm beyond which an update is refused.
        min_completion_rate_fit: Share of the clients asked whose updates are needed in a round.
        late: What is done with updates of earlier rounds.
        buffer: Updates to collect, over rounds, before each step (FedBuff, Nguyen et al. 2022,
            arXiv:2106.06639); 0 means that every round makes a step. A client's newer update
            takes the place of its older one.
        codec: How updates travel; plainly when left out.
        informed: Whether clients send Fisher information with their deltas.
        schedule: Which of the parameters travel in which round; all in every one when left out.

    Raises:
        ConfigurationError: The clients are none, doubled, too few, or one is called ``server``; or
            ``start`` does not fit the layout.
    """

    def __init__(
        self,
        layout: Layout,
        start: Params,
        aggregator: Aggregator,
        clients: Sequence[str],
        group: str = "all",
        min_fit_clients: int = 1,
        examples_cap: int = 2**20,
        max_update_norm: float = 1e6,
        *,
        min_completion_rate_fit: float = 0.0,
        late: Late | None = None,
        buffer: int = 0,
        codec: Codec | None = None,
        informed: bool = False,
        schedule: ShareSchedule | None = None,
        privacy: GroupPrivacy | None = None,
    ) -> None:
        _check_clients(clients, min_fit_clients, buffer, aggregator.least())
        self.layout = dict(layout)
        self.aggregator = aggregator
        self.clients = tuple(sorted(clients))
        self.group = group
        self.min_fit_clients = min_fit_clients
        self.examples_cap = examples_cap
        self.max_update_norm = max_update_norm
        self.min_completion_rate_fit = min_completion_rate_fit
        self.params = _fitted(start, self.layout)
        self.aggregator_state: Params = {}
        self._late: Late = late or Drop()
        self._codec = codec or Codec(layout, group)
        self._informed = informed
        self.privacy = privacy
        self._schedule = schedule or ShareSchedule((), self.layout)
        self._size, self._buffer = buffer, dict[str, Update]()
        self._calls = Calls()
        self._inbox = _Inbox()
        self._sent = 0

    def broadcast(
        self, round_number: int, receivers: Sequence[str] | None = None
    ) -> dict[str, bytes]:
        """Returns a message with the shared parameters for each of ``receivers``, or for all."""
        layout = self._schedule.changed(round_number)
        periods = {name: spec.period for name, spec in layout.items()}
        arrays = {name: self.params[name] for name in layout}
        everybody = Envelope("broadcast", round_number, "", self.group, arrays, periods)
        messages = encode_for(self.clients if receivers is None else receivers, everybody)
        self._sent += sum(map(len, messages.values()))
        return messages

    def ask(self, round_number: int, clients: Sequence[str]) -> None:
        """Says who takes part in a round: from then on only who was asked is heard, and once."""
        self._calls.ask(round_number, clients)

    def receive(
        self, payload: bytes, round_number: int, sender: str | None = None
    ) -> Rejection | None:
        """Takes an update in, or refuses it; a bad one never raises, it is reported.

        Args:
            payload: The message as it came out of the channel.
            round_number: The round that is being collected.
            sender: Who the channel says sent it; an update in another's name is refused.

        Returns:
            Why the update was refused, ``None`` if it was not.
        """
        self._inbox.sizes.append(len(payload))
        try:
            envelope = decode(payload, self._codec.limit)
        except MessageError as error:
            return self._reject(sender or "?", str(error))
        if reason := self._objection(envelope, sender):
            return self._reject(sender or envelope.client, reason)
        if reason := self._untimely(envelope, round_number):
            return self._reject(envelope.client, reason, faulty=False)
        try:
            update = self._read(envelope)
        except MessageError as error:
            return self._reject(sender or envelope.client, str(error))
        self._calls.answered(update.client)
        self._inbox.updates[update.client] = update
        return None

    def aggregate(self, round_number: int) -> RoundReport:
        """Ends the round: moves the parameters by the aggregate of what was received.

        Below the quorum, and where the aggregate is not finite, parameters and aggregator stay as
        they are and the report says so. While a buffer fills, updates wait in it.
        """
        inbox, sent = self._inbox, self._sent
        self._inbox, self._sent = _Inbox(), 0
        asked = self._calls.asked_in(round_number)
        came = {*inbox.updates, *(one.client for one in inbox.rejected)}
        held = {**self._buffer, **inbox.updates} if self._size else inbox.updates
        updates = [held[client] for client in sorted(held)]
        caught = self._caught(inbox, held)
        aggregator = self.aggregator.facing(len(caught)) if caught else self.aggregator
        answers = sum(client in inbox.updates for client in asked)
        shortage = self._shortage(len(updates), answers, len(asked), aggregator.least())
        if not self._schedule.due(round_number):
            shortage = "nothing was to travel in this round"
        if self.privacy is not None:
            self.privacy.record()
        joint = self._joint(updates, round_number) if not shortage else updates
        step, kept = ({}, shortage) if shortage else self._step(aggregator, joint, round_number)
        waiting = bool(self._size and shortage)
        self._buffer = held if waiting else {}
        used = [] if waiting else updates
        report = RoundReport(
            round=round_number,
            participants=tuple(update.client for update in used),
            rejected=tuple(inbox.rejected),
            bytes_up=sum(inbox.sizes),
            bytes_down=sent,
            update_norm=norm(step),
            kept=kept,
            asked=asked,
            missing=tuple(client for client in asked if client not in came),
            contributions=contributions(used, step),
            caught=caught,
        )
        return self._told(report)

    def settle(self, round_number: int, secured: Secured) -> RoundReport:
        """Ends a round of secure aggregation: moves the parameters by what became of the sums.

        Args:
            round_number: The round.
            secured: Of private clients one sum of contributions in units, otherwise sums of
                weighted updates.
        """
        sent, self._inbox, self._sent = self._sent, _Inbox(), 0
        asked, came = self._calls.asked_in(round_number), secured.clients
        kept = secured.failed or self._shortage(len(came), len(came), len(asked), 0)
        if self.privacy is not None:
            self.privacy.record()
            kept = "" if self.privacy.hidden else kept  # that so few came is not to show
        step: Params = {}
        if not kept:
            updates = self._made(secured, round_number)
            if len(updates) < (least := self.aggregator.least()):
                kept = f"{len(updates)} buckets came through, but the strategy needs {least}"
            else:
                step, kept = self._step(self.aggregator, updates, round_number)
        report = RoundReport(
            round=round_number,
            participants=came,
            rejected=secured.rejected,
            bytes_up=secured.traffic.up,
            bytes_down=sent + secured.traffic.down,
            update_norm=norm(step),
            kept=kept,
            asked=asked,
            missing=tuple(client for client in asked if client not in came),
        )
        return self._told(report)

    def state(self) -> Params:
        """Returns copies of all that a checkpoint needs, between two rounds, by name."""
        params = {f"params/{name}": array.copy() for name, array in self.params.items()}
        memory = {f"aggregator/{n}": array.copy() for n, array in self.aggregator_state.items()}
        calls = {f"calls/{name}": array for name, array in self._calls.state().items()}
        private = self.privacy.state() if self.privacy is not None else {}
        account = {f"privacy/{name}": array for name, array in private.items()}
        return params | memory | calls | account | packed(self._buffer.values())

    def load_state(self, state: Params) -> None:
        """Continues from what :meth:`state` returned.

        Raises:
            RunError: The state is not that of a server with these shared parameters.
        """
        try:
            self.params = _fitted(under("params/", state), self.layout)
        except ConfigurationError as error:
            raise RunError(f"the checkpoint does not fit: {error}") from error
        if self.privacy is not None:
            self.privacy.load_state(under("privacy/", state))
        self.aggregator_state = under("aggregator/", state)
        self._calls = Calls.of(under("calls/", state))
        self._buffer = {update.client: update for update in unpacked(state)}
        self._inbox, self._sent = _Inbox(), 0

    def _reject(self, client: str, reason: str, faulty: bool = True) -> Rejection:
        rejection = Rejection(client, reason, faulty)
        self._inbox.rejected.append(rejection)
        return rejection

    def _objection(self, envelope: Envelope, sender: str | None) -> str:
        """Why no honest client sends this; empty if it may be one's."""
        client = envelope.client
        if sender is not None and client != sender:
            return f"sent in the name of {client!r}"
        if envelope.kind != "update" or envelope.group != self.group:
            return f"a {envelope.kind} of group {envelope.group!r}, not an update of {self.group!r}"
        if client not in self.clients:
            return f"unknown client; known are {list(self.clients)}"
        return "" if envelope.examples >= 1 else "no examples behind it"

    def _untimely(self, envelope: Envelope, round_number: int) -> str:
        """Why this is not the time for an update; empty if it is."""
        client = envelope.client
        if not 0 <= round_number - envelope.round <= self._late.max_staleness:
            return f"of round {envelope.round}, but this is round {round_number}"
        if client in self._inbox.updates:
            return "a second update in the same round"
        if not self._calls.awaits(client, envelope.round):
            return f"not asked for, or answered before, in round {envelope.round}"
        return ""

    def _read(self, envelope: Envelope) -> Update:
        """Raises :class:`MessageError` where the content is not to be used."""
        layout = self._schedule.due(envelope.round)
        deltas, information = content(envelope, layout, self._codec, self._informed)
        if (length := norm(deltas)) > self.max_update_norm:
            raise MessageError(
                f"its norm is {length:.3g}, at most {self.max_update_norm:g} is believed"
            )
        staleness = self._calls.moves_since(envelope.round)
        discount = self._late.weight(staleness)
        fresh = {name: deltas[name] for name in layout}
        claimed = envelope.metrics.get("steps", 1.0)
        below = envelope.metrics.get("below", 0.0)
        if not np.isfinite(below):
            raise MessageError("what it says of its norm is not finite")
        return Update(
            envelope.client,
            fresh if discount == 1 else {name: discount * array for name, array in fresh.items()},
            min(envelope.examples, self.examples_cap),
            int(min(max(1.0, claimed), self.examples_cap)),  # nan counts as 1
            staleness,
            discount,
            information,
            below,
        )

    def _caught(self, inbox: _Inbox, held: Collection[str]) -> tuple[str, ...]:
        """Clients who gave themselves away: the strategy has fewer malicious ones before it."""
        faulty = {one.client for one in inbox.rejected if one.faulty}
        return tuple(name for name in self.clients if name in faulty and name not in held)

    def _joint(self, updates: Sequence[Update], round_number: int) -> Sequence[Update]:
        """What the strategy is given: the updates, or the one that is left of private ones."""
        if self.privacy is None:
            return updates
        return [self.privacy.joined(updates, round_number)]

    def _made(self, secured: Secured, round_number: int) -> Sequence[Update]:
        """What the strategy is given of sums."""
        if self.privacy is None:
            return joined(secured, self.layout)
        total = secured.buckets[0].total if secured.buckets else np.zeros(self.privacy.size)
        return [self.privacy.joined_sum(total, round_number)]

    def _told(self, report: RoundReport) -> RoundReport:
        return report if self.privacy is None else self.privacy.told(report)

    def _step(
        self, aggregator: Aggregator, updates: Sequence[Update], round_number: int
    ) -> tuple[Params, str]:
        """Moves the parameters and returns by how much, or why they stay."""
        with np.errstate(over="ignore", invalid="ignore"):
            step, after = aggregator.aggregate(updates, self.aggregator_state)
            moved = {name: self.params[name] + delta for name, delta in step.items()}
        if not all(np.isfinite(array).all() for array in [*moved.values(), *after.values()]):
            return {}, "the aggregate is not finite"
        self.aggregator_state |= after  # what did not travel keeps its own
        self.params |= moved
        if step:
            self._calls.moved(round_number, self._late.max_staleness)
        return step, ""

    def _shortage(self, count: int, answers: int, asked: int, least: int) -> str:
        """Why ``count`` updates are too few for a step; empty if they are enough."""
        if count < self._size:
            return f"{count} of {self._size} updates in the buffer"
        if self.privacy is not None and self.min_fit_clients == 1:
            return ""  # noise alone is a step, too: that nobody came is not to show
        if count < self.min_fit_clients:
            return f"{count} updates, but min_fit_clients is {self.min_fit_clients}"
        if answers < self.min_completion_rate_fit * asked:
            return (
                f"{answers} of {asked} clients answered, but min_completion_rate_fit is"
                f" {self.min_completion_rate_fit:g}"
            )
        if count < least:
            return f"{count} updates, but the strategy needs {least}"
        return ""


def _check_clients(clients: Sequence[str], min_fit_clients: int, buffer: int, least: int) -> None:
    if not clients or len(set(clients)) != len(clients) or SERVER in clients:
        raise ConfigurationError(
            f"federation: clients need distinct names other than '{SERVER}', got {list(clients)}"
        )
    if not 1 <= min_fit_clients <= len(clients):
        raise ConfigurationError(
            f"federation.min_fit_clients: must be from 1 to the {len(clients)} clients,"
            f" got {min_fit_clients}"
        )
    if buffer > len(clients):
        raise ConfigurationError(
            f"federation.buffer: {buffer} updates of different clients can never be there, with"
            f" {len(clients)} clients"
        )
    if len(clients) < least:
        raise ConfigurationError(
            f"federation.strategy: it needs {least} clients or more to bear with its"
            f" num_malicious_clients, there are {len(clients)}: {list(clients)}"
        )


def _fitted(params: Params, layout: Layout) -> Params:
    for name, spec in layout.items():
        if name not in params:
            raise ConfigurationError(f"federation: no value for the shared parameter '{name}'")
        if params[name].shape != spec.shape:
            raise ConfigurationError(
                f"federation: parameter '{name}' must have shape {spec.shape},"
                f" got {params[name].shape}"
            )
    return {name: params[name].astype(np.float64) for name in layout}
