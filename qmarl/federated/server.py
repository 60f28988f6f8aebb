"""The server's side of a round: one group's shared parameters, and what clients may do to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from qmarl.errors import ConfigurationError, RunError
from qmarl.federated.aggregators import Aggregator, Update
from qmarl.federated.messages import MessageError, decode, encode, size_limit
from qmarl.federated.transport import SERVER
from qmarl.types import Envelope, Layout, Params


@dataclass(frozen=True)
class Rejection:
    """An update that was not used, whose it was (``?`` if nobody knows), and why."""

    client: str
    reason: str


@dataclass(frozen=True)
class RoundReport:
    """What happened in one round of one group.

    Attributes:
        round: Round number.
        participants: Clients whose updates are in the aggregate, in order.
        rejected: Updates that were refused.
        bytes_up: Bytes that clients sent, refused ones too.
        bytes_down: Bytes that the server broadcast.
        update_norm: Euclidean norm of the step, 0 if the model was kept.
        kept: Empty, or why the model stayed as it was.
    """

    round: int
    participants: tuple[str, ...]
    rejected: tuple[Rejection, ...]
    bytes_up: int
    bytes_down: int
    update_norm: float
    kept: str = ""


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
    ) -> None:
        _check_clients(clients, min_fit_clients, aggregator.least())
        self.layout = dict(layout)
        self.aggregator = aggregator
        self.clients = tuple(sorted(clients))
        self.group = group
        self.min_fit_clients = min_fit_clients
        self.examples_cap = examples_cap
        self.max_update_norm = max_update_norm
        self.params = _fitted(start, self.layout)
        self.aggregator_state: Params = {}
        self._inbox = _Inbox()
        self._sent = 0

    def broadcast(self, round_number: int) -> dict[str, bytes]:
        """Returns a message with the shared parameters for each client."""
        periods = {name: spec.period for name, spec in self.layout.items()}
        messages = {
            client: encode(
                Envelope("broadcast", round_number, client, self.group, self.params, periods)
            )
            for client in self.clients
        }
        self._sent += sum(map(len, messages.values()))
        return messages

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
            envelope = decode(payload, size_limit(self.layout))
        except MessageError as error:
            return self._reject(sender or "?", str(error))
        reason = self._objection(envelope, round_number, sender)
        if reason:
            return self._reject(sender or envelope.client, reason)
        examples = min(envelope.examples, self.examples_cap)
        arrays = {name: envelope.arrays[name] for name in self.layout}
        steps = int(
            np.clip(np.nan_to_num(envelope.metrics.get("steps", 1.0)), 1, self.examples_cap)
        )
        self._inbox.updates[envelope.client] = Update(envelope.client, arrays, examples, steps)
        return None

    def aggregate(self, round_number: int) -> RoundReport:
        """Ends the round: moves the parameters by the aggregate of what was received.

        Below the quorum, and where the aggregate is not finite, parameters and aggregator stay as
        they are and the report says so.
        """
        inbox, sent = self._inbox, self._sent
        self._inbox, self._sent = _Inbox(), 0
        updates = [inbox.updates[client] for client in sorted(inbox.updates)]
        step, kept = self._step(updates)
        for name, delta in step.items():
            self.params[name] = self.params[name] + delta
        return RoundReport(
            round=round_number,
            participants=tuple(update.client for update in updates),
            rejected=tuple(inbox.rejected),
            bytes_up=sum(inbox.sizes),
            bytes_down=sent,
            update_norm=_norm(step),
            kept=kept,
        )

    def state(self) -> Params:
        """Returns copies of all that a checkpoint needs, between two rounds, by name."""
        params = {f"params/{name}": array.copy() for name, array in self.params.items()}
        memory = {f"aggregator/{n}": array.copy() for n, array in self.aggregator_state.items()}
        return params | memory

    def load_state(self, state: Params) -> None:
        """Continues from what :meth:`state` returned.

        Raises:
            RunError: The state is not that of a server with these shared parameters.
        """
        params = {n.removeprefix("params/"): a for n, a in state.items() if n.startswith("params/")}
        try:
            self.params = _fitted(params, self.layout)
        except ConfigurationError as error:
            raise RunError(f"the checkpoint does not fit: {error}") from error
        self.aggregator_state = {
            name.removeprefix("aggregator/"): array.copy()
            for name, array in state.items()
            if name.startswith("aggregator/")
        }
        self._inbox, self._sent = _Inbox(), 0

    def _reject(self, client: str, reason: str) -> Rejection:
        rejection = Rejection(client, reason)
        self._inbox.rejected.append(rejection)
        return rejection

    def _objection(self, envelope: Envelope, round_number: int, sender: str | None) -> str:
        client = envelope.client
        if sender is not None and client != sender:
            return f"sent in the name of {client!r}"
        if envelope.kind != "update" or envelope.group != self.group:
            return f"a {envelope.kind} of group {envelope.group!r}, not an update of {self.group!r}"
        if client not in self.clients:
            return f"unknown client; known are {list(self.clients)}"
        if envelope.round != round_number:
            return f"of round {envelope.round}, but this is round {round_number}"
        if client in self._inbox.updates:
            return "a second update in the same round"
        if envelope.examples < 1:
            return "no examples behind it"
        misfit = _misfit(envelope, self.layout)
        if misfit or (norm := _norm(envelope.arrays)) <= self.max_update_norm:
            return misfit
        return f"its norm is {norm:.3g}, at most {self.max_update_norm:g} is believed"

    def _step(self, updates: Sequence[Update]) -> tuple[Params, str]:
        if len(updates) < self.min_fit_clients:
            return {}, f"{len(updates)} updates, but min_fit_clients is {self.min_fit_clients}"
        if len(updates) < (least := self.aggregator.least()):
            return {}, f"{len(updates)} updates, but the strategy needs {least}"
        with np.errstate(over="ignore", invalid="ignore"):
            step, after = self.aggregator.aggregate(updates, self.aggregator_state)
            moved = [self.params[name] + delta for name, delta in step.items()]
        if not all(np.isfinite(array).all() for array in [*moved, *after.values()]):
            return {}, "the aggregate is not finite"
        self.aggregator_state = after
        return step, ""


def _check_clients(clients: Sequence[str], min_fit_clients: int, least: int) -> None:
    if not clients or len(set(clients)) != len(clients) or SERVER in clients:
        raise ConfigurationError(
            f"federation: clients need distinct names other than '{SERVER}', got {list(clients)}"
        )
    if not 1 <= min_fit_clients <= len(clients):
        raise ConfigurationError(
            f"federation.min_fit_clients: must be from 1 to the {len(clients)} clients,"
            f" got {min_fit_clients}"
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


def _misfit(envelope: Envelope, layout: Layout) -> str:
    if set(envelope.arrays) != set(layout):
        return f"arrays {sorted(envelope.arrays)}, but {sorted(layout)} are shared"
    for name, spec in layout.items():
        array = envelope.arrays[name]
        if array.shape != spec.shape or array.dtype != np.float64:
            return f"{name!r} is {array.dtype} {array.shape}, not float64 {spec.shape}"
        if envelope.periods[name] != spec.period:
            return f"{name!r} has period {envelope.periods[name]}, not {spec.period}"
        if not np.isfinite(array).all():
            return f"{name!r} is not finite"
    return ""


def _norm(step: Params) -> float:
    with np.errstate(over="ignore"):
        return float(np.sqrt(sum(float(np.sum(delta**2)) for delta in step.values())))
