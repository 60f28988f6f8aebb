"""Secure aggregation: the server learns the sum of its clients' vectors and no vector of any.

Bonawitz et al., *Practical Secure Aggregation for Privacy-Preserving Machine Learning* (CCS 2017).
One round has these stages; a client may drop out at any of them, and as long as ``threshold``
remain, the sum of all whose masked vector arrived comes out exact:

1. ``advertise``: fresh X25519 keys for this round, signed by the client's identity.
2. ``share``: Shamir shares of the client's mask key and of its self-mask's seed, one pair for each
   client, encrypted for it. The server sees commitments to them, so that a false share has a name.
3. ``mask``: the vector in fixed point, plus the self-mask, plus or minus one mask for each pair.
4. ``confirm``, against an active server only: everyone signs who is in the sum.
5. ``reveal``: for a client in the sum the share of its self-mask's seed, for one that dropped out
   the share of its mask key; never both, and only once.

What it does not do: it bounds no vector (a client can put anything into the sum), the sum itself
is in clear (differential privacy is for that), and a client that sends false shares, or ``n - t +
1`` clients that stay away, can stop a round, which then ends without a sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pydantic import Field

from qmarl.config import Section
from qmarl.errors import ConfigurationError, RunError
from qmarl.federated.masking import Bits, FixedPoint, commitment
from qmarl.federated.secagg_identity import Scheme

FEWEST_CLIENTS = 3
"""Of two clients, each could subtract its own vector from the sum."""

MOST_CLIENTS = 4096
"""Work grows with the square of the clients; more of them belong into several groups."""


class SecureAggregationError(RunError):
    """A round of secure aggregation cannot go on.

    Attributes:
        client: Whose fault it is, empty if nobody's in particular.
    """

    def __init__(self, reason: str, client: str = "") -> None:
        super().__init__(f"secure aggregation: {f'client {client!r}: ' if client else ''}{reason}")
        self.client = client


class SecureAggregationConfig(Section):
    """How sums are hidden from the server, and how many clients may drop out."""

    threshold: int | float = Field(default=2 / 3, gt=0)
    """Clients needed to the end of a round: a number of them, or a share below 1 that they must
    exceed. More than half always, more than two thirds against an active server."""
    range: float = Field(default=8.0, gt=0, le=2.0**20)
    """Greatest absolute value of a number that a client sends; what lies beyond is clipped."""
    bits: Bits = 64
    """Length of a masked number: 64, or 32 for half the bytes and a coarser step."""
    active_server: bool = False
    """Whether the server itself may break the protocol: it costs one more exchange of messages."""
    buckets: int = Field(default=1, ge=1)
    """Groups of clients, drawn anew in every round, whose updates are summed apart. The server sees
    one mean for each, and that is what a strategy joins: robust ones then bear with malicious
    buckets instead of malicious clients (bucketing, Karimireddy et al. 2022, arXiv:2006.09365)."""
    iterations: int = Field(default=4, ge=1)
    """Secure averages in each round of ``strategy: geometric_median``, which is found by them."""
    smoothing: float = Field(default=1e-5, gt=0, le=1)
    """Distance from that median within which a client's update weighs no more for being nearer."""
    signatures: Scheme = "ml-dsa-65"
    """What clients sign their messages with."""

    def needed(self, clients: int) -> int:
        """Returns the threshold in clients.

        Args:
            clients: How many are asked to take part.

        Raises:
            ConfigurationError: They are too few, or the threshold is unsafe or out of reach.
        """
        if clients < FEWEST_CLIENTS:
            raise ConfigurationError(
                f"federation.secagg: needs {FEWEST_CLIENTS} clients or more, there are {clients}:"
                " of two, each could subtract its own update from the sum"
            )
        if clients > MOST_CLIENTS:
            raise ConfigurationError(
                f"federation.secagg: {clients} clients, at most {MOST_CLIENTS} fit into one group"
            )
        share = isinstance(self.threshold, float) and self.threshold < 1
        needed = math.floor(self.threshold * clients) + 1 if share else math.ceil(self.threshold)
        least = (2 * clients // 3 if self.active_server else clients // 2) + 1
        if not least <= needed <= clients:
            against = " against an active server" if self.active_server else ""
            raise ConfigurationError(
                f"federation.secagg.threshold: {self.threshold:g} means {needed} of {clients}"
                f" clients; it must mean from {least} to {clients}{against}"
            )
        return needed


@dataclass(frozen=True)
class SecureSession:
    """All that server and clients know of a round before it begins, the same on every side.

    Attributes:
        name: Name of the run and the group. With the same identities it must never serve twice for
            the same round: an attempt that is repeated needs another name.
        round: Round number, from 0.
        identities: Public identity of every client that is asked to take part, by name.
        threshold: Clients needed at every stage.
        size: How many numbers each client sends.
        number: How they are turned into integers.
        active_server: Whether clients confirm to each other who is in the sum.
    """

    name: str
    round: int
    identities: Mapping[str, bytes]
    threshold: int
    size: int
    number: FixedPoint
    active_server: bool

    @cached_property
    def context(self) -> bytes:
        """Digest of everything above; it is in every message, so that none fits another round."""
        known = [part for name in self.clients for part in (name, self.identities[name])]
        number = [repr(self.number.span), self.number.bits, self.number.clients]
        settings = [self.threshold, self.size, int(self.active_server), *number]
        return commitment("qmarl secure session", self.name, self.round, *settings, *known)

    @cached_property
    def clients(self) -> tuple[str, ...]:
        """The clients' names, sorted."""
        return tuple(sorted(self.identities))

    @cached_property
    def points(self) -> dict[str, int]:
        """Each client's point on the polynomials, from 1."""
        return {name: place for place, name in enumerate(self.clients, 1)}


def open_session(
    config: SecureAggregationConfig,
    name: str,
    round_number: int,
    identities: Mapping[str, bytes],
    size: int,
) -> SecureSession:
    """Returns the session of one round.

    Args:
        config: Threshold, range and word length.
        name: Name of the run and the group, for example ``"<run id>/<group>"``.
        round_number: Round number, from 0.
        identities: Public identities of the clients asked to take part, by name.
        size: How many numbers each client sends, 1 or more.

    Raises:
        ConfigurationError: The clients are too few, or the threshold is unsafe or out of reach.
    """
    return SecureSession(
        name=name,
        round=round_number,
        identities=dict(identities),
        threshold=config.needed(len(identities)),
        size=size,
        number=FixedPoint(config.range, config.bits, len(identities)),
        active_server=config.active_server,
    )
