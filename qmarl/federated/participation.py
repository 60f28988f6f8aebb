"""Who takes part in a round: a pure function of the run's seed, the round and the clients' names.

Every client has a lot of its own in every round, so that whether it is drawn does not depend on
the order of the names, nor, under Poisson sampling, on who else there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Protocol, Self

from pydantic import Field, model_validator

from qmarl.config import Section
from qmarl.seeding import stream


class Participation(Protocol):
    """Says who takes part."""

    def drawn(self, clients: Sequence[str], round_number: int, seed: int) -> tuple[str, ...]:
        """Returns the names of those who take part in a round, sorted; maybe nobody."""
        ...

    def most(self, clients: int) -> int:
        """Returns how many of so many clients can ever take part in one round."""
        ...

    def joins(self, client: str, round_number: int) -> bool:
        """Says whether a client comes late, and this round is its first one."""
        ...

    @property
    def chance(self) -> float:
        """Probability of each client, independent of all others; 1 where it is not drawn so."""
        ...


class _Drawn(Section):
    """What all kinds have in common: everybody is there from the start."""

    shorthand: ClassVar[str | None] = "kind"

    def most(self, clients: int) -> int:
        """Everybody."""
        return clients

    def joins(self, client: str, round_number: int) -> bool:  # noqa: ARG002 - nobody ever does
        """Nobody comes late."""
        return False

    @property
    def chance(self) -> float:
        """1: nobody is drawn independently of the others."""
        return 1.0


class Everyone(_Drawn):
    """All clients take part in every round."""

    kind: Literal["all"] = "all"
    """How clients are chosen."""

    def drawn(self, clients: Sequence[str], round_number: int, seed: int) -> tuple[str, ...]:  # noqa: ARG002
        """All of them."""
        return tuple(sorted(clients))


class Fraction(_Drawn):
    """The same number of clients in every round, drawn without replacement.

    Fixed-size sampling; privacy amplification is proved for another kind, see ``poisson``.
    """

    kind: Literal["fraction"] = "fraction"
    """How clients are chosen."""
    fraction_fit: float = Field(default=0.5, gt=0, le=1)
    """Share of the clients, rounded down, at least one."""

    def most(self, clients: int) -> int:
        """``max(1, floor(fraction_fit * clients))``, in every round."""
        return max(1, int(self.fraction_fit * clients + 1e-9))

    def drawn(self, clients: Sequence[str], round_number: int, seed: int) -> tuple[str, ...]:
        """Those with the smallest lots."""
        by_lot = sorted(clients, key=lambda name: (lot(seed, round_number, name), name))
        return tuple(sorted(by_lot[: self.most(len(clients))]))


class Poisson(_Drawn):
    """Each client independently with the same probability, so that a round may be empty."""

    kind: Literal["poisson"] = "poisson"
    """How clients are chosen."""
    rate: float = Field(default=0.5, gt=0, le=1)
    """Probability with which a client takes part in a round."""

    @property
    def chance(self) -> float:
        """The rate."""
        return self.rate

    def drawn(self, clients: Sequence[str], round_number: int, seed: int) -> tuple[str, ...]:
        """Those whose lot is below the rate."""
        return tuple(sorted(n for n in clients if lot(seed, round_number, n) < self.rate))


Span = tuple[int, int | None]
"""First and last round of a stay, both counted in; without a last one it has no end."""


class Trace(_Drawn):
    """Clients that come late, leave and come back, as written down."""

    kind: Literal["trace"] = "trace"
    """How clients are chosen."""
    clients: dict[str, tuple[Span, ...]] = Field(min_length=1)
    """By client: its stays, each ``[first, last]`` round; ``[first, null]`` has no end. Who is not
    named is always there."""
    late_join: Literal["server", "average"] = "server"
    """Where a client that comes after round 0 begins: at the server's parameters, or halfway
    between them and its own, on the shorter way round for angles."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name, spans in self.clients.items():
            ends = [-1]
            for first, last in spans:
                if first <= ends[-1] or (last is not None and last < first):
                    raise ValueError(
                        f"clients.{name}: stays are [first, last] rounds from 0 on, one after the "
                        f"other and apart, got {[list(span) for span in spans]}"
                    )
                ends.append(2**53 if last is None else last)
        return self

    def drawn(self, clients: Sequence[str], round_number: int, seed: int) -> tuple[str, ...]:  # noqa: ARG002
        """Those who are there."""
        return tuple(sorted(name for name in clients if self._there(name, round_number)))

    def joins(self, client: str, round_number: int) -> bool:
        """Whether the first stay of ``client`` begins now, after round 0."""
        spans = self.clients.get(client, ())
        return round_number > 0 and bool(spans) and spans[0][0] == round_number

    def _there(self, client: str, round_number: int) -> bool:
        if client not in self.clients:
            return True
        return any(
            first <= round_number and (last is None or round_number <= last)
            for first, last in self.clients[client]
        )


PARTICIPATIONS = {"all": Everyone, "fraction": Fraction, "poisson": Poisson, "trace": Trace}
"""Every way of choosing clients by its name in the configuration."""

ParticipationConfig = Annotated[Everyone | Fraction | Poisson | Trace, Field(discriminator="kind")]
"""Who takes part, in a configuration: ``{kind: poisson, rate: 0.2}``, or a bare word."""


def lot(seed: int, round_number: int, client: str) -> float:
    """Returns the lot of a client in a round, uniform in [0, 1).

    >>> lot(0, 3, "drone_1") == lot(0, 3, "drone_1")
    True
    """
    return float(stream(seed, "participation", round_number, client).random())
