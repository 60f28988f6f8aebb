"""What a configuration says of the protocols on a quantum link.

These sections stand apart from what runs them, so that reading a configuration loads none of that.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from qmarl.config import Section
from qmarl.secure.finite import SecurityConfig
from qmarl.secure.pulses import Source, WeakCoherentSource

Reconciliation = Literal["cascade", "ldpc"]
"""``cascade`` discloses least and talks most; ``ldpc`` needs one message, and a few more if the
errors were more than expected."""


class BB84Config(Section):
    """A session of BB84 or of the six-state protocol."""

    shorthand: ClassVar[str | None] = "protocol"

    protocol: Literal["bb84", "six_state"] = "bb84"
    """``bb84`` with two bases, or ``six_state`` with three, which takes single photons only."""
    source: Source = WeakCoherentSource()
    """What is sent: ``weak_coherent`` with decoys, or ``single_photon``."""
    pulses: Annotated[int, Field(ge=1, le=10**10)] = 2_000_000
    """Pulses in a session."""
    main_basis: Annotated[float, Field(ge=0.5, lt=1)] = 0.5
    """How often both ends choose the first basis. At 0.5 both bases make the key and a random
    sample of both is compared; above, the first makes the key and all of the second is compared."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the sifted bits to compare where both bases make the key."""
    max_error_rate: Annotated[float, Field(gt=0, lt=0.5)] = 0.11
    """Error rate of the compared bits above which the session aborts."""
    reconciliation: Reconciliation = "cascade"
    """How errors are corrected: ``cascade`` by questions and answers, ``ldpc`` by one message."""
    security: SecurityConfig = SecurityConfig()
    """How far the key may be from an ideal one."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.protocol == "six_state":
            if self.source.kind != "single_photon":
                raise ValueError("source: six_state takes single_photon only")
            if self.main_basis != 0.5:
                raise ValueError("main_basis: six_state chooses its three bases alike")
        return self

    @property
    def basis_chosen(self) -> tuple[float, ...]:
        """How often each basis is chosen."""
        if self.protocol == "six_state":
            return (1 / 3, 1 / 3, 1 / 3)
        return (self.main_basis, 1 - self.main_basis)


class EntangledConfig(Section):
    """A session in which a source between two parties sends each of them half of a pair.

    Every trial holds one pair; sources that now and then emit two are not simulated. Pairs that are
    lost count as lost by chance, so ``e91`` is not device-independent here.
    """

    shorthand: ClassVar[str | None] = "protocol"

    protocol: Literal["bbm92", "e91"] = "bbm92"
    """``bbm92`` measures in two bases and compares errors; ``e91`` in three directions at each
    end, and trusts the CHSH value instead of the error rate."""
    pairs: Annotated[int, Field(ge=1, le=10**10)] = 2_000_000
    """Pairs in a session."""
    visibility: Annotated[float, Field(ge=0, le=1)] = 0.98
    """Weight of the Bell state against white noise."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the sifted bits that is compared."""
    max_error_rate: Annotated[float, Field(gt=0, lt=0.5)] = 0.11
    """Error rate of the compared bits above which the session aborts."""
    min_chsh: Annotated[float, Field(ge=2, lt=2.83)] = 2.0
    """CHSH value at or below which ``e91`` aborts."""
    reconciliation: Reconciliation = "cascade"
    """How errors are corrected: ``cascade`` by questions and answers, ``ldpc`` by one message."""
    security: SecurityConfig = SecurityConfig()
    """How far the key may be from an ideal one."""


class DirectConfig(Section):
    """Direct communication over a link.

    ``two_step`` sends one photon of each pair, compares some, writes two bits on the other photon
    and sends that after it (Deng, Long and Liu 2003, arXiv:quant-ph/0308173). It loses what the
    second photon loses, so it is for short links. ``one_step`` sends photons once, entangled in
    polarisation and path; the two ends measure apart and compare in public (Sheng, Zhou and Long
    2022), so that what was lost carried nothing.
    """

    shorthand: ClassVar[str | None] = "protocol"

    protocol: Literal["two_step", "one_step"] = "one_step"
    """Which protocol."""
    pairs: Annotated[int, Field(ge=1, le=10**10)] | None = None
    """Pairs to send, of which a million at most are used at the other end; nothing: as many as the
    payload needs on a quiet line, and a third more."""
    check_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the arrived pairs that is compared before anything is written."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share of the others on which something known is written, to see the second step."""
    depolarisation: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Depolarising of a photon each time that it travels, besides the receiver's misalignment."""
    max_error_rate: Annotated[float, Field(gt=0, lt=0.5)] = 0.06
    """Error rate in either basis above which nothing is written."""
    security: SecurityConfig = SecurityConfig()
    """How little may become known of the payload, and how unlikely a wrong one is."""
