"""From the clients' updates to one step of the server: pure float64 functions of named arrays."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field

from qmarl.config import Section
from qmarl.types import Array, Params


@dataclass(frozen=True)
class Update:
    """What one client learned in one round.

    Attributes:
        client: Name of the client.
        arrays: Named float64 deltas, trained minus start; angles are not wrapped.
        examples: Number of examples behind it, 1 or more.
        steps: Number of local optimiser steps behind it, 1 or more.
        staleness: Steps that the server made since it sent the model that this began from.
        discount: Factor that is already in the deltas, because they came late.
        information: Diagonal Fisher information by name, where clients send it.
        below: One half if its norm was below the clipping norm, less than nothing by as much if it
            was not, and noise: what adaptive clipping asks of private clients.
    """

    client: str
    arrays: Params
    examples: int
    steps: int = 1
    staleness: int = 0
    discount: float = 1.0
    information: Params = field(default_factory=dict)
    below: float = 0.0


class Aggregator(Protocol):
    """Turns the updates of a round into the server's step; a pure function of its arguments."""

    def least(self) -> int:
        """Fewest updates that it can do with."""
        ...

    def facing(self, caught: int) -> Aggregator:
        """The same rule where the updates of ``caught`` malicious clients were refused before it.

        It bears with as many fewer malicious clients among those that are left.
        """
        ...

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """Returns the step to add to the server's parameters, and the aggregator's next state.

        Args:
            updates: One or more, with the same names and shapes, in any order: the result does
                not depend on it by a single bit.
            state: What the last call returned, ``{}`` before the first.
        """
        ...


class Strategy(Section):
    """An aggregator in the configuration; by itself it promises nothing about malicious clients."""

    shorthand: ClassVar[str | None] = "kind"

    def least(self) -> int:
        """1: it can do with any number of updates."""
        return 1

    def facing(self, caught: int) -> Aggregator:  # noqa: ARG002 - it counts on none
        """Itself."""
        return self

    @abstractmethod
    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """As :meth:`Aggregator.aggregate`."""


class FedAvg(Strategy):
    """Average of the deltas, weighted by examples (McMahan et al. 2017, arXiv:1602.05629)."""

    kind: Literal["fedavg"] = "fedavg"
    """The aggregator's name in the configuration."""
    weighted: bool = True
    """Whether clients weigh by their examples; otherwise all weigh the same."""

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """Returns the average; there is no state."""
        return average(updates, self.weighted), state


class FedAvgM(Strategy):
    """FedAvg with momentum on the server (Hsu et al. 2019, arXiv:1909.06335)."""

    kind: Literal["fedavgm"] = "fedavgm"
    """The aggregator's name in the configuration."""
    weighted: bool = True
    """Whether clients weigh by their examples; otherwise all weigh the same."""
    server_learning_rate: float = Field(default=1.0, gt=0)
    """Factor of the server's step."""
    server_momentum: float = Field(default=0.9, ge=0, lt=1)
    """Part of the last step's velocity that stays."""

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """Returns ``lr * velocity``, where ``velocity = momentum * velocity + average``."""
        step: Params = {}
        after: Params = {}
        for name, delta in average(updates, self.weighted).items():
            before = state.get(f"velocity/{name}", np.zeros_like(delta))
            velocity = self.server_momentum * before + delta
            after[f"velocity/{name}"] = velocity
            step[name] = self.server_learning_rate * velocity
        return step, after


class FedProx(Strategy):
    """FedAvg of clients that are held near the broadcast (Li et al. 2020, arXiv:1812.06127)."""

    kind: Literal["fedprox"] = "fedprox"
    """The aggregator's name in the configuration."""
    weighted: bool = True
    """Whether clients weigh by their examples; otherwise all weigh the same."""
    proximal_mu: float = Field(default=0.01, ge=0)
    """Strength of the client's extra loss ``mu / 2 * |parameters - broadcast|^2``."""

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """Returns the average; what makes the difference happens at the clients."""
        return average(updates, self.weighted), state


class FedNova(Strategy):
    """Average of the deltas per local step (Wang et al. 2020, arXiv:2007.07481)."""

    kind: Literal["fednova"] = "fednova"
    """The aggregator's name in the configuration."""
    weighted: bool = True
    """Whether clients weigh by their examples; otherwise all weigh the same."""

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """Returns the average delta per step, times the average number of steps."""
        per_step = [
            replace(one, arrays={name: delta / one.steps for name, delta in one.arrays.items()})
            for one in updates
        ]
        steps = [replace(one, arrays={"steps": np.array(float(one.steps))}) for one in updates]
        effective = average(steps, self.weighted)["steps"]
        moved = average(per_step, self.weighted)
        return {name: effective * delta for name, delta in moved.items()}, state


def average(updates: Sequence[Update], weighted: bool = True) -> Params:
    """Averages deltas in float64, summed directly in the order of the clients' names.

    Args:
        updates: One or more, with the same names and shapes.
        weighted: Whether clients weigh by their examples.

    Raises:
        ValueError: There is nothing to average.
    """
    ordered = sorted(updates, key=lambda update: update.client)
    if not ordered:
        raise ValueError("an aggregator needs at least one update")
    weights = [float(update.examples) if weighted else 1.0 for update in ordered]
    return {
        name: _weighted_sum([update.arrays[name] for update in ordered], weights) / sum(weights)
        for name in ordered[0].arrays
    }


def _weighted_sum(arrays: list[Array], weights: list[float]) -> Array:
    total = np.zeros(arrays[0].shape, np.float64)
    for array, weight in zip(arrays, weights, strict=True):
        total += weight * array
    return total
