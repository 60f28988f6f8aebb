"""Every strategy of the server by its name in the configuration, the robust ones defined here.

Robust strategies treat a client's whole update as one vector and all clients alike: what they say
of their examples is not believed. ``num_malicious_clients`` is how many may send anything at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from qmarl.federated import robust
from qmarl.federated.adaptive import FedAdagrad, FedAdam, FedYogi
from qmarl.federated.aggregators import (
    Aggregator,
    FedAvg,
    FedAvgM,
    FedNova,
    FedProx,
    Strategy,
    Update,
)
from qmarl.federated.fisher import FisherAvg
from qmarl.types import Array, Params


class FedMedian(Strategy):
    """Median of each coordinate (Yin et al. 2018, arXiv:1803.01498)."""

    kind: Literal["fedmedian"] = "fedmedian"
    """The aggregator's name in the configuration."""

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """Returns the median; there is no state."""
        return as_vectors(updates, lambda x: np.median(x, 0)), state


class FedTrimmedAvg(Strategy):
    """Mean of each coordinate without its extremes (Yin et al. 2018, arXiv:1803.01498)."""

    kind: Literal["fedtrimmedavg"] = "fedtrimmedavg"
    """The aggregator's name in the configuration."""
    beta: float = Field(default=0.2, ge=0, lt=0.5)
    """Share of the values that is left out at either end, rounded down."""

    def least(self) -> int:
        """Enough that something is left out at all."""
        return _Trimmed(self.beta).least()

    def facing(self, caught: int) -> Aggregator:
        """Leaves out as many as before the refusals, less those that were refused."""
        return _Trimmed(self.beta, caught)

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """Returns the trimmed mean; there is no state."""
        return _Trimmed(self.beta).aggregate(updates, state)


@dataclass(frozen=True)
class _Trimmed:
    """The trimmed mean where ``caught`` updates were left out by name already."""

    beta: float
    caught: int = 0

    def least(self) -> int:
        whole = 1 if self.beta == 0 else int(np.ceil(1 / self.beta))
        return max(1, whole - self.caught)

    def facing(self, caught: int) -> Aggregator:
        return replace(self, caught=self.caught + caught)

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        whole = int(self.beta * (len(updates) + self.caught) + 1e-9)
        trimmed = max(whole - self.caught, 0)
        return as_vectors(updates, lambda x: robust.trimmed_mean(x, trimmed)), state


class GeometricMedian(Strategy):
    """The point with the smallest sum of distances (Pillutla et al. 2022, arXiv:1912.13445)."""

    kind: Literal["geometric_median"] = "geometric_median"
    """The aggregator's name in the configuration."""

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """Returns the geometric median, converged; there is no state."""
        return as_vectors(updates, robust.geometric_median), state


class Krum(Strategy):
    """The one update that lies closest to its neighbours (Blanchard et al. 2017)."""

    kind: Literal["krum"] = "krum"
    """The aggregator's name in the configuration."""
    num_malicious_clients: int = Field(default=1, ge=0)
    """Clients that may send anything."""

    def least(self) -> int:
        """``2 f + 3``."""
        return 2 * self.num_malicious_clients + 3

    def facing(self, caught: int) -> Aggregator:
        """The same with ``f - caught``."""
        return _facing(self, caught)

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """Returns the chosen update; there is no state."""
        return as_vectors(
            updates, lambda x: robust.multikrum(x, self.num_malicious_clients, 1)
        ), state


class MultiKrum(Strategy):
    """Mean of the updates that lie closest to their neighbours (Blanchard et al. 2017)."""

    kind: Literal["multikrum"] = "multikrum"
    """The aggregator's name in the configuration."""
    num_malicious_clients: int = Field(default=1, ge=0)
    """Clients that may send anything."""
    num_clients_to_keep: int | None = Field(default=None, ge=1)
    """Updates that are averaged (all, if there are fewer); all but ``num_malicious_clients`` when
    left out."""

    def least(self) -> int:
        """``2 f + 3``."""
        return 2 * self.num_malicious_clients + 3

    def facing(self, caught: int) -> Aggregator:
        """The same with ``f - caught``."""
        return _facing(self, caught)

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """Returns the mean of the chosen; there is no state."""
        f = self.num_malicious_clients
        keep = self.num_clients_to_keep or len(updates) - f
        return as_vectors(updates, lambda x: robust.multikrum(x, f, keep)), state


class Bulyan(Strategy):
    """Krum's choice, then a mean around the median (El Mhamdi et al. 2018, arXiv:1802.07927)."""

    kind: Literal["bulyan"] = "bulyan"
    """The aggregator's name in the configuration."""
    num_malicious_clients: int = Field(default=1, ge=0)
    """Clients that may send anything."""

    def least(self) -> int:
        """``4 f + 3``."""
        return 4 * self.num_malicious_clients + 3

    def facing(self, caught: int) -> Aggregator:
        """The same with ``f - caught``."""
        return _facing(self, caught)

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """Returns the mean around the median; there is no state."""
        return as_vectors(updates, lambda x: robust.bulyan(x, self.num_malicious_clients)), state


class CentredClipping(Strategy):
    """Clips updates around the last round's result (Karimireddy et al. 2021, arXiv:2012.10333)."""

    kind: Literal["centred_clipping"] = "centred_clipping"
    """The aggregator's name in the configuration."""
    clipping_norm: float | None = Field(default=None, gt=0)
    """Greatest distance from the centre that counts; the median distance when left out."""
    iterations: int = Field(default=3, ge=1)
    """How often the centre moves in a round."""

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """Returns the centre, which is also the next state."""
        start = {name: np.zeros_like(delta) for name, delta in updates[0].arrays.items()}
        start = {name: state.get(f"centre/{name}", zero) for name, zero in start.items()}
        centre = np.concatenate([array.ravel() for array in start.values()])
        step = as_vectors(
            updates,
            lambda x: robust.centred_clipping(x, centre, self.clipping_norm, self.iterations),
        )
        return step, {f"centre/{name}": delta for name, delta in step.items()}


AGGREGATORS = {
    "fedavg": FedAvg,
    "fedavgm": FedAvgM,
    "fedprox": FedProx,
    "fednova": FedNova,
    "fedadam": FedAdam,
    "fedyogi": FedYogi,
    "fedadagrad": FedAdagrad,
    "fisher": FisherAvg,
    "fedmedian": FedMedian,
    "fedtrimmedavg": FedTrimmedAvg,
    "geometric_median": GeometricMedian,
    "krum": Krum,
    "multikrum": MultiKrum,
    "bulyan": Bulyan,
    "centred_clipping": CentredClipping,
}
"""Every aggregator by its name in the configuration."""

AggregatorConfig = Annotated[
    FedAvg
    | FedAvgM
    | FedProx
    | FedNova
    | FedAdam
    | FedYogi
    | FedAdagrad
    | FisherAvg
    | FedMedian
    | FedTrimmedAvg
    | GeometricMedian
    | Krum
    | MultiKrum
    | Bulyan
    | CentredClipping,
    Field(discriminator="kind"),
]
"""An aggregator in a configuration: ``{kind: fedadam, eta: 0.05}``, or the bare word."""


@dataclass(frozen=True)
class Mixing:
    """Puts nearest-neighbour mixing before an aggregator (Allouah et al. 2023, arXiv:2302.01772).

    Every update becomes the mean of its nearest ones, all but ``num_malicious_clients``; under
    clients that differ this makes the robust rules nearly as good as they can be.

    Attributes:
        inner: What joins the mixed updates.
        num_malicious_clients: Clients that may send anything.
    """

    inner: Aggregator
    num_malicious_clients: int

    def least(self) -> int:
        """More than two for each malicious client, and what the inner aggregator needs."""
        return max(2 * self.num_malicious_clients + 1, self.inner.least())

    def facing(self, caught: int) -> Aggregator:
        """Mixing and what it wraps, with ``caught`` fewer malicious clients."""
        return Mixing(self.inner.facing(caught), max(self.num_malicious_clients - caught, 0))

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """Returns what the inner aggregator makes of the mixed updates."""
        ordered = sorted(updates, key=lambda update: update.client)
        rows = robust.mixed(rows_of([one.arrays for one in ordered]), self.num_malicious_clients)
        mixed = [
            replace(update, arrays=named(row, update.arrays))
            for update, row in zip(ordered, rows, strict=True)
        ]
        return self.inner.aggregate(mixed, state)


def _facing(strategy: Krum | MultiKrum | Bulyan, caught: int) -> Aggregator:
    left = max(strategy.num_malicious_clients - caught, 0)
    return strategy.model_copy(update={"num_malicious_clients": left})


def as_vectors(updates: Sequence[Update], rule: Callable[[Array], Array]) -> Params:
    """Applies a rule on ``(n, d)`` to updates, in the order of the clients' names.

    Args:
        updates: One or more, with the same names and shapes.
        rule: Gives ``(d,)``.

    Raises:
        ValueError: There are no updates.
    """
    ordered = sorted(updates, key=lambda update: update.client)
    if not ordered:
        raise ValueError("an aggregator needs at least one update")
    return named(rule(rows_of([one.arrays for one in ordered])), ordered[0].arrays)


def rows_of(deltas: Sequence[Params]) -> Array:
    """Named arrays as rows ``(n, d)`` float64, all in the first one's order of names."""
    rows = [np.concatenate([one[name].ravel() for name in deltas[0]]) for one in deltas]
    return np.stack(rows).astype(np.float64, copy=False)


def named(row: Array, like: Params) -> Params:
    """Cuts a row ``(d,)`` into arrays of the names and shapes of ``like``."""
    ends = np.cumsum([array.size for array in like.values()])[:-1]
    parts = zip(like.items(), np.split(row, ends), strict=True)
    return {name: part.reshape(array.shape) for (name, array), part in parts}
