"""One group's privacy through a run: what its clients and its server do, and what it has cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qmarl.federated.aggregators import Update
from qmarl.federated.memory import under
from qmarl.federated.participation import Participation, Poisson
from qmarl.federated.privacy import (
    ClientPrivacy,
    Noise,
    ServerPrivacy,
    from_vector,
    poisson_sample,
    summed,
    to_vector,
)
from qmarl.federated.privacy_config import PrivacyConfig
from qmarl.federated.privacy_ledger import Spent
from qmarl.federated.privacy_noise import NoiseSource
from qmarl.federated.round_report import Rejection, RoundReport
from qmarl.types import Array, Layout, Params


class GroupPrivacy:
    """Hides each client's part in a group's shared model, and keeps the account.

    Args:
        config: The section.
        layout: Declaration of the shared parameters only.
        clients: Number of the group's clients.
        participation: Who takes part in a round.
        group: Name of the group.
        source: Where noise and samples come from: one for the whole run, so that a client of
            several groups is in all or none of a round's sums.
        groups: Groups that each client has a model of.

    Attributes:
        ledger: What the run has cost.
        size: Length of what a client contributes.

    Raises:
        ConfigurationError: The noise is not possible.
    """

    def __init__(
        self,
        config: PrivacyConfig,
        layout: Layout,
        clients: int,
        participation: Participation,
        group: str,
        source: NoiseSource,
        groups: int = 1,
    ) -> None:
        chance = participation.chance
        expected = chance * clients if chance < 1 else participation.most(clients)
        self._config, self._layout, self._group = config, dict(layout), group
        self._participation, self._source = participation, source
        self._noise = Noise(config, expected)
        self._server = ServerPrivacy(self._noise, source, f"{group}/server")
        self._event = config.event(chance, groups)
        self._size = sum(spec.size for spec in layout.values())
        self.size = self._size + (config.adaptive is not None)
        self.ledger = config.ledger()

    @property
    def hidden(self) -> bool:
        """Whether the guarantee relies on nobody knowing who takes part in a round."""
        return self._event.sampling != "none"

    @property
    def clipping_norm(self) -> float:
        """Greatest norm of an update in the next round."""
        return self._server.clipping_norm

    @property
    def span(self) -> float:
        """Greatest number that a client ever puts into a sum of fixed point."""
        return self._noise.span

    @property
    def ended(self) -> str:
        """Why no further round may follow; empty if one may."""
        budget = self._config.epsilon
        if budget is None or not self.ledger.would_exceed(budget, self._event):
            return ""
        return (
            f"one more round would exceed the privacy budget: epsilon {budget:g} at delta"
            f" {self._config.delta:g}, of which {self.ledger.epsilon():.4g} is spent"
        )

    def drawn(self, clients: Sequence[str], round_number: int, seed: int) -> tuple[str, ...]:
        """Returns who takes part in a round, sorted; the account counts with this very draw."""
        if isinstance(self._participation, Poisson):
            return poisson_sample(clients, self._participation.rate, self._source, round_number)
        return self._participation.drawn(clients, round_number, seed)

    def protected(self, client: str, deltas: Params, round_number: int, parts: int = 1) -> Array:
        """Returns what a client contributes to a round's sum: clipped, with noise if it adds any.

        Args:
            client: Its name.
            deltas: All that it learned.
            round_number: The round.
            parts: Clients that are sure to be in the sum, where noise is distributed.

        Returns:
            ``(d,)``, or ``(d + 1,)`` with adaptive clipping.
        """
        noise = replace(self._noise, parts=parts)
        own = ClientPrivacy(noise, self._source, f"{self._group}/{client}")
        return own.protect(to_vector(deltas, self._layout), self.clipping_norm, round_number)

    def sent(
        self, client: str, deltas: Params, examples: int, round_number: int
    ) -> tuple[Params, int, dict[str, float]]:
        """Returns what a client sends without secure aggregation, and what it says with it.

        Where clients add the noise the server is not trusted: it is told of no examples, and of
        the norm only by a bit that is as noisy as the rest.

        Args:
            client: Its name.
            deltas: All that it learned.
            examples: How many examples are behind it.
            round_number: The round.

        Returns:
            The arrays, the examples, and plain numbers that ride along.
        """
        if self._config.noise == "server":
            return deltas, examples, {}
        own = self.protected(client, deltas, round_number)
        told = {} if self._config.adaptive is None else {"below": float(own[-1])}
        return from_vector(own[: self._size], self._layout), 1, told

    def in_units(self, contribution: Array) -> Array:
        """Returns a contribution as numbers for fixed point, none of them beyond :attr:`span`."""
        return contribution / self._noise.units(self._size, self.clipping_norm)

    def forecast(self, rounds: int) -> Spent:
        """Returns what so many rounds would cost, from the first one on."""
        ledger = self._config.ledger()
        ledger.record(self._event, rounds)
        return ledger.spent()

    def record(self) -> None:
        """Writes down that a round's sum is released, before it is."""
        self.ledger.record(self._event)

    def joined(self, updates: Sequence[Update], round_number: int) -> Update:
        """Returns the one update that a strategy is given, made of single ones.

        Args:
            updates: What the clients sent, maybe nothing: plain deltas where the server adds the
                noise, protected ones otherwise.
            round_number: The round.
        """
        rows = [self._row(update) for update in sorted(updates, key=lambda one: one.client)]
        return self._released(summed(rows, self.size), round_number)

    def joined_sum(self, total: Array, round_number: int) -> Update:
        """Returns the same, made of the sum of contributions :meth:`in_units`."""
        units = self._noise.units(self._size, self.clipping_norm)
        return self._released(total * units, round_number)

    def told(self, report: RoundReport) -> RoundReport:
        """Returns a round's report without what would tell of single clients, with the account."""
        report = replace(
            report,
            contributions=(),
            spent=self.ledger.spent(),
            clipping_norm=self.clipping_norm,
            ended=self.ended,
        )
        if not self.hidden:
            return report
        nameless = tuple(Rejection("?", one.reason, one.faulty) for one in report.rejected)
        return replace(
            report,
            hidden=True,
            kept="no sum came through" if report.kept else "",
            participants=(),
            asked=(),
            missing=(),
            caught=(),
            rejected=nameless,
            bytes_up=0,
            bytes_down=0,
        )

    def state(self) -> Params:
        """Returns all that a checkpoint needs."""
        ledger = {f"ledger/{name}": array for name, array in self.ledger.state().items()}
        return self._server.state() | ledger

    def load_state(self, state: Params) -> None:
        """Continues from what :meth:`state` returned.

        The noise of a round that was interrupted cannot be drawn again from the system's entropy:
        the account then counts one release more, which somebody may have seen.

        Raises:
            RunError: It is not the state of a private group.
        """
        self._server.load_state(state)
        self.ledger.load_state(under("ledger/", state))
        if self._config.noise_seed == "system":
            self.record()

    def _row(self, update: Update) -> Array:
        vector = to_vector(update.arrays, self._layout)
        if self._config.noise == "server":
            return self._noise.contribution(vector, self.clipping_norm)
        return np.append(vector, update.below) if self._config.adaptive else vector

    def _released(self, total: Array, round_number: int) -> Update:
        step = self._server.release(total, round_number)
        return Update("sum", from_vector(step, self._layout), examples=1)
