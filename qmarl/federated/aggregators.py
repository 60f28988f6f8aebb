"""From the clients' updates to one step of the server: pure float64 functions of named arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Protocol

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
    """

    client: str
    arrays: Params
    examples: int


class Aggregator(Protocol):
    """Turns the updates of a round into the server's step; a pure function of its arguments."""

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """Returns the step to add to the server's parameters, and the aggregator's next state.

        Args:
            updates: One or more, with the same names and shapes, in any order: the result does
                not depend on it by a single bit.
            state: What the last call returned, ``{}`` before the first.
        """
        ...


class FedAvg(Section):
    """Average of the deltas, weighted by examples (McMahan et al. 2017, arXiv:1602.05629)."""

    shorthand: ClassVar[str | None] = "kind"

    kind: Literal["fedavg"] = "fedavg"
    """The aggregator's name in the configuration."""
    weighted: bool = True
    """Whether clients weigh by their examples; otherwise all weigh the same."""

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """Returns the average; there is no state."""
        return average(updates, self.weighted), state


class FedAvgM(Section):
    """FedAvg with momentum on the server (Hsu et al. 2019, arXiv:1909.06335)."""

    shorthand: ClassVar[str | None] = "kind"

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


class FedAdam(Section):
    """Adam on the server (Reddi et al. 2021, arXiv:2003.00295, algorithm 2)."""

    shorthand: ClassVar[str | None] = "kind"

    kind: Literal["fedadam"] = "fedadam"
    """The aggregator's name in the configuration."""
    weighted: bool = True
    """Whether clients weigh by their examples; otherwise all weigh the same."""
    eta: float = Field(default=0.1, gt=0)
    """Learning rate of the server."""
    beta_1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the first moment."""
    beta_2: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the second moment."""
    tau: float = Field(default=1e-3, gt=0)
    """Degree of adaptivity: added to the root; the second moment starts at its square."""

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """Returns ``eta * first / (sqrt(second) + tau)``, without bias correction as published."""
        step: Params = {}
        after: Params = {}
        for name, delta in average(updates, self.weighted).items():
            first = state.get(f"first/{name}", np.zeros_like(delta))
            second = state.get(f"second/{name}", np.full_like(delta, self.tau**2))
            first = self.beta_1 * first + (1 - self.beta_1) * delta
            second = self.beta_2 * second + (1 - self.beta_2) * delta**2
            after |= {f"first/{name}": first, f"second/{name}": second}
            step[name] = self.eta * first / (np.sqrt(second) + self.tau)
        return step, after


AGGREGATORS = {"fedavg": FedAvg, "fedavgm": FedAvgM, "fedadam": FedAdam}
"""Every aggregator by its name in the configuration."""


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


AggregatorConfig = Annotated[FedAvg | FedAvgM | FedAdam, Field(discriminator="kind")]
"""An aggregator in a configuration: ``{kind: fedadam, eta: 0.05}``, or the bare word."""
