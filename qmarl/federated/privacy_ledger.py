"""What a run's privacy has cost so far: every noisy release, and the guarantee that is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from qmarl.errors import RunError
from qmarl.federated.accounting import (
    Accountant,
    Adjacency,
    Entry,
    Event,
    Mechanism,
    Sampling,
    epsilon_of,
)
from qmarl.types import Params

MEANINGLESS = 10.0
"""An epsilon from which on a guarantee is called none: at 10, odds may shift 22 000 times."""


@dataclass(frozen=True)
class Spent:
    """What a run's releases have cost.

    Attributes:
        epsilon: Upper bound, at ``delta``; infinite where there was no noise.
        delta: Probability with which the bound may fail.
        adjacency: Which runs look alike.
        rounds: Number of releases.
        statement: The guarantee in a sentence, or that there is none to speak of.
        outside: What it does not cover, one sentence each.
        accountant: What counted it.
    """

    epsilon: float
    delta: float
    adjacency: Adjacency
    rounds: int
    statement: str
    outside: tuple[str, ...]
    accountant: Accountant


class Ledger:
    """Every release of a run, and what they cost together.

    Args:
        delta: Probability with which the bound may fail, above 0 and below 1.
        accountant: ``pld`` or ``rdp``.
        adjacency: Which runs must look alike.
        outside: What the guarantee does not cover, one sentence each.
    """

    def __init__(
        self,
        delta: float,
        accountant: Accountant = "pld",
        adjacency: Adjacency = "add_remove",
        outside: Sequence[str] = (),
    ) -> None:
        self.delta = delta
        self.accountant = accountant
        self.adjacency = adjacency
        self.outside = tuple(outside)
        self._entries: list[Entry] = []
        self._known: tuple[tuple[tuple[Entry, ...], float], ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Events and their counts, in the order in which they first came."""
        return tuple(self._entries)

    @property
    def rounds(self) -> int:
        """Number of releases."""
        return sum(count for _, count in self._entries)

    def record(self, event: Event, count: int = 1) -> None:
        """Writes down ``count`` releases, before anybody sees them."""
        self._entries = _added(self._entries, event, count)

    def epsilon(self) -> float:
        """Returns the epsilon of everything that is written down."""
        return self._epsilon(self._entries)

    def would_exceed(self, budget: float, event: Event, count: int = 1) -> bool:
        """Says whether ``count`` more releases would cost more than ``budget`` altogether.

        It costs one evaluation (up to a second with ``pld``), and :meth:`epsilon` after
        :meth:`record` costs none then.
        """
        return self._epsilon(_added(self._entries, event, count)) > budget

    def spent(self) -> Spent:
        """Returns the account."""
        epsilon = self.epsilon()
        statement = _statement(self._entries, epsilon, self.delta, self.adjacency)
        return Spent(
            epsilon,
            self.delta,
            self.adjacency,
            self.rounds,
            statement,
            self.outside,
            self.accountant,
        )

    def state(self) -> Params:
        """Returns all that a checkpoint needs, one row for each event."""
        events = [event for event, _ in self._entries]
        codes = [
            [_MECHANISMS.index(event.mechanism), _SAMPLINGS.index(event.sampling), event.population]
            for event in events
        ]
        numbers = [[event.noise_multiplier, event.rate] for event in events]
        return {
            "codes": np.array(codes, np.int64).reshape(-1, 3),
            "numbers": np.array(numbers, np.float64).reshape(-1, 2),
            "counts": np.array([count for _, count in self._entries], np.int64),
        }

    def load_state(self, state: Params) -> None:
        """Continues from what :meth:`state` returned.

        Raises:
            RunError: It is not the state of a ledger.
        """
        try:
            rows = zip(state["codes"], state["numbers"], state["counts"], strict=True)
            self._entries = [_entry(*row) for row in rows]
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise RunError(f"the checkpoint's privacy ledger does not fit: {error}") from error

    def _epsilon(self, entries: Sequence[Entry]) -> float:
        key = tuple(entries)
        for known, epsilon in self._known:
            if known == key:
                return epsilon
        epsilon = epsilon_of(entries, self.delta, self.accountant, self.adjacency)
        self._known = (*self._known[-1:], (key, epsilon))
        return epsilon


_MECHANISMS = get_args(Mechanism)
_SAMPLINGS = get_args(Sampling)


def _added(entries: Sequence[Entry], event: Event, count: int) -> list[Entry]:
    counts = dict(entries)
    return list((counts | {event: counts.get(event, 0) + count}).items())


def _entry(codes: Any, numbers: Any, count: Any) -> Entry:
    if min(codes) < 0 or count < 1:
        raise ValueError("a negative code or count")
    mechanism, sampling = _MECHANISMS[int(codes[0])], _SAMPLINGS[int(codes[1])]
    multiplier, rate = (float(number) for number in numbers)
    return Event(mechanism, multiplier, sampling, rate, int(codes[2])), int(count)


def _statement(entries: Sequence[Entry], epsilon: float, delta: float, adjacency: Adjacency) -> str:
    change = (
        "with one client exchanged"
        if adjacency == "replace_one"
        else "in which one client contributed nothing"
    )
    figure = f"({epsilon:.4g}, {delta:g})-differential privacy against a run {change}"
    amplified = all(event.sampling != "none" for event, _ in entries)
    reason = "" if amplified else "; no sampling hides who takes part, so nothing is amplified"
    if epsilon < MEANINGLESS:
        return f"{figure}{reason}"
    return f"no meaningful guarantee: {figure}{reason}"
