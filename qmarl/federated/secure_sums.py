"""Secure aggregation through a run: whose updates are summed together, and what becomes known."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qmarl.errors import ConfigurationError, UndeliveredError
from qmarl.federated.aggregators import Update
from qmarl.federated.client import Client
from qmarl.federated.messages import encode
from qmarl.federated.privacy import from_vector, to_vector
from qmarl.federated.round_report import Rejection
from qmarl.federated.secagg import (
    FEWEST_CLIENTS,
    SecureAggregationConfig,
    SecureAggregationError,
    open_session,
)
from qmarl.federated.secagg_identity import new_identity
from qmarl.federated.secagg_round import SecureRound
from qmarl.federated.transport import SERVER, MeteredChannel, Traffic
from qmarl.seeding import stream
from qmarl.types import Array, Channel, Envelope, Layout, Link, ParameterSpec, Params

_CENTRE = "centre"


@dataclass(frozen=True)
class Bucket:
    """Clients whose vectors were summed together, sorted, and the sum, float64."""

    clients: tuple[str, ...]
    total: Array


@dataclass(frozen=True)
class Secured:
    """All that a server learns in a round of secure aggregation.

    Attributes:
        buckets: Sums; without ``secagg.buckets`` at most one.
        rejected: What was not used, whose it was, and why.
        failed: Why there is no sum at all; empty if there is one.
        traffic: Bytes that travelled.
    """

    buckets: tuple[Bucket, ...]
    rejected: tuple[Rejection, ...]
    failed: str
    traffic: Traffic

    @property
    def clients(self) -> tuple[str, ...]:
        """Everybody who is in a sum, sorted."""
        return tuple(sorted(name for bucket in self.buckets for name in bucket.clients))


class SecureSums:
    """Plays a group's rounds of secure aggregation, clients and server, over a channel.

    Clients' identities are made when this is, so that no session of an earlier process can ever be
    repeated, even where a round is.

    Args:
        config: The section.
        clients: Names of all clients of the group.
        group: Name of the group.
        channel: What carries the bytes.
        seed: The run's seed, for the stream that deals clients into buckets.

    Raises:
        ConfigurationError: Signatures need a newer ``cryptography``.
    """

    def __init__(
        self,
        config: SecureAggregationConfig,
        clients: Sequence[str],
        group: str,
        channel: Channel,
        seed: int,
    ) -> None:
        self._config, self._group, self._seed = config, group, seed
        self._channel = MeteredChannel(channel)
        self._identities = {name: new_identity(config.signatures) for name in sorted(clients)}
        self._run = os.urandom(16).hex()
        self._sessions = 0

    def sums(
        self,
        round_number: int,
        asked: Sequence[str],
        vectors: Mapping[str, Array],
        size: int,
        span: float,
    ) -> Secured:
        """Returns the sums of a round; what goes wrong is told, and never raises.

        Args:
            round_number: The round.
            asked: Clients that take part, with or without a vector.
            vectors: ``(size,)`` by client; who has none drops out.
            size: Length of the vectors.
            span: Greatest absolute value in them; what lies beyond is clipped.
        """
        found: list[Bucket] = []
        rejected: list[Rejection] = []
        reasons: list[str] = []
        for names in self._dealt(asked, round_number):
            try:
                found.append(self._sum(names, vectors, round_number, size, span, rejected))
            except (ConfigurationError, SecureAggregationError) as error:
                reasons.append(str(error))
                if isinstance(error, SecureAggregationError) and error.client:
                    rejected.append(Rejection(error.client, str(error)))
        failed = "" if found else "; ".join(reasons) or "nobody takes part"
        if found:
            rejected += [Rejection("?", reason, faulty=False) for reason in reasons]
        return Secured(tuple(found), tuple(rejected), failed, self._channel.take(round_number))

    def median(
        self,
        round_number: int,
        asked: Sequence[str],
        vectors: Mapping[str, Array],
        size: int,
        span: float,
    ) -> Secured:
        """Returns the geometric median of vectors, as a sum of weight 1, by secure averages alone.

        Smoothed Weiszfeld iterations (Pillutla et al. 2022, arXiv:1912.13445, algorithm 1): the
        server sends where it stands, every client weighs its own vector by one over its distance
        from there, and the weighted mean is where the server stands next.

        Args:
            round_number: The round.
            asked: Clients that take part.
            vectors: ``(size,)`` by client.
            size: Length of the vectors.
            span: Greatest absolute value in them.
        """
        centre, there = np.zeros(size), tuple(asked)
        rejected: list[Rejection] = []
        up = down = 0
        for _ in range(self._config.iterations):
            heard = {name: self._heard(name, centre, round_number) for name in there}
            weighted = {
                name: _weighed(vectors[name], place, self._config.smoothing)
                for name, place in heard.items()
                if name in vectors and place is not None
            }
            secured = self.sums(round_number, there, weighted, size + 1, span)
            up, down = up + secured.traffic.up, down + secured.traffic.down
            rejected += secured.rejected
            if secured.failed:
                return Secured((), tuple(rejected), secured.failed, Traffic(up, down))
            there, total = secured.buckets[0].clients, secured.buckets[0].total
            centre = total[:-1] / total[-1]
        found = Bucket(there, np.append(centre, 1.0))
        return Secured((found,), tuple(rejected), "", Traffic(up, down))

    def needed(self, clients: int) -> int:
        """Returns how many of ``clients`` are sure to be in a sum if there is one."""
        return self._config.needed(clients)

    def _dealt(self, asked: Sequence[str], round_number: int) -> list[tuple[str, ...]]:
        """Clients of each bucket, drawn anew in every round."""
        names = sorted(asked)
        buckets = min(self._config.buckets, len(names) // FEWEST_CLIENTS)
        if buckets < 2:
            return [tuple(names)] if names else []
        rng = stream(self._seed, "buckets", round_number, self._group)
        parts = np.array_split(rng.permutation(len(names)), buckets)
        return [tuple(sorted(names[place] for place in part)) for part in parts]

    def _sum(
        self,
        names: Sequence[str],
        vectors: Mapping[str, Array],
        round_number: int,
        size: int,
        span: float,
        rejected: list[Rejection],
    ) -> Bucket:
        self._sessions += 1
        identities = {name: self._identities[name] for name in names}
        session = open_session(
            self._config.model_copy(update={"range": span}),
            f"{self._run}/{self._group}/{self._sessions}",
            round_number,
            {name: identity.public for name, identity in identities.items()},
            size,
        )
        play = SecureRound(session, identities, self._channel)
        try:
            found = play.run({name: vectors[name] for name in names if name in vectors})
        finally:
            rejected += [one for one in play.rejected if one.client in vectors]
        return Bucket(found.clients, found.values)

    def _heard(self, name: str, centre: Array, round_number: int) -> Array | None:
        """What a client hears of where the server stands; ``None`` if it hears nothing."""
        message = encode(
            Envelope("broadcast", round_number, name, self._group, {_CENTRE: centre}, _PERIODS)
        )
        layout = {_CENTRE: ParameterSpec(centre.shape, None, "weights")}
        try:
            carried = self._channel.transfer(message, Link(SERVER, name, round_number))
            return Client(name, self._group, layout).receive(carried, round_number)[_CENTRE]
        except UndeliveredError:
            return None


_PERIODS: dict[str, float | None] = {_CENTRE: None}


def weighed(deltas: Params, layout: Layout, weight: float) -> Array:
    """Returns ``(d + 1,)``: an update times its weight, and the weight, above 0 and at most 1."""
    return np.append(weight * to_vector(deltas, layout), weight)


def joined(secured: Secured, layout: Layout) -> list[Update]:
    """Returns the weighted mean of each bucket, as an update for a strategy.

    A bucket without weight, as only a malicious client could make it, is left out.

    Args:
        secured: Sums of what :func:`weighed` gave.
        layout: Declaration of the shared parameters only.
    """
    return [
        Update(
            f"bucket_{place}",
            from_vector(bucket.total[:-1] / bucket.total[-1], layout),
            examples=max(1, round(bucket.total[-1] * _EXAMPLES)),
        )
        for place, bucket in enumerate(secured.buckets)
        if bucket.total[-1] > 0
    ]


_EXAMPLES = 2**20


def _weighed(vector: Array, centre: Array, smoothing: float) -> Array:
    weight = smoothing / max(smoothing, float(np.linalg.norm(vector - centre)))
    return np.append(weight * vector, weight)
