"""What happened in one round of one group, in plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from qmarl.federated.aggregators import Update
from qmarl.federated.privacy_ledger import Spent
from qmarl.types import Array, Params


@dataclass(frozen=True)
class Rejection:
    """An update that was not used.

    Attributes:
        client: Whose it was, ``?`` if nobody knows.
        reason: Why.
        faulty: Whether an honest client would never send it. One that is late, or was not asked
            for, is refused as well, and says nothing about its sender.
    """

    client: str
    reason: str
    faulty: bool = True


@dataclass(frozen=True)
class Contribution:
    """One update that came into the aggregate.

    Attributes:
        client: Whose.
        examples: Number of examples behind it, as believed.
        weight: Its share of all examples, times its discount: what it counts for where a strategy
            weighs by examples.
        staleness: Steps that the server made since the model that it began from.
        norm: Euclidean norm of its delta, after the discount.
        similarity: Cosine between its delta and the server's step; not a number where either is 0.
    """

    client: str
    examples: int
    weight: float
    staleness: int
    norm: float
    similarity: float


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
        asked: Clients that were to take part; empty where the server was told of nobody.
        missing: Those of them from whom nothing came in this round.
        contributions: What each participant brought.
        caught: Clients that the strategy no longer had to bear with, because a faulty update of
            theirs was refused and nothing else of theirs is in the aggregate.
        hidden: Whether nobody is to know who took part; then no client is named, and bytes are 0.
        spent: What the run's privacy has cost up to now, where it is counted.
        clipping_norm: Greatest norm of a client's update in the next round, where there is one.
        ended: Empty, or why no further round may follow.
    """

    round: int
    participants: tuple[str, ...]
    rejected: tuple[Rejection, ...]
    bytes_up: int
    bytes_down: int
    update_norm: float
    kept: str = ""
    asked: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    contributions: tuple[Contribution, ...] = ()
    caught: tuple[str, ...] = ()
    hidden: bool = False
    spent: Spent | None = None
    clipping_norm: float | None = None
    ended: str = ""

    def plain(self) -> dict[str, Any]:
        """Everything as plain data; of the privacy account, epsilon alone."""
        told = asdict(self)
        told["epsilon"] = self.spent.epsilon if self.spent else None
        del told["spent"]
        return told


def contributions(updates: Sequence[Update], step: Params) -> tuple[Contribution, ...]:
    """Sets each update against the server's step.

    Args:
        updates: What the step was made of, discounts already in their deltas.
        step: The server's step, empty if it made none.
    """
    total, length = sum(one.examples for one in updates), norm(step)
    return tuple(
        Contribution(
            one.client,
            one.examples,
            one.discount * one.examples / total,
            one.staleness,
            norm(one.arrays),
            _cosine(one.arrays, step, length),
        )
        for one in updates
    )


def norm(arrays: Params) -> float:
    """Euclidean norm of all arrays together."""
    with np.errstate(over="ignore"):
        return math.sqrt(sum(_inner(array, array) for array in arrays.values()))


def _cosine(arrays: Params, step: Params, length: float) -> float:
    scale = norm(arrays) * length
    if not 0 < scale < math.inf:
        return math.nan
    inner = sum(_inner(arrays[name], delta) for name, delta in step.items())
    return min(max(inner / scale, -1.0), 1.0)


def _inner(one: Array, other: Array) -> float:
    """Sum of products, without an array of them, and on one thread: its bits do not vary."""
    return float(np.einsum("i,i->", one.ravel(), other.ravel()))
