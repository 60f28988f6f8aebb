"""Eavesdroppers on a quantum link, as sections of a configuration.

Detectors that obey the light they are lit with (blinding, Lydersen et al. 2010) are outside what
these protocols can notice: a receiver needs monitors of its own against it, and none is simulated.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from qmarl.config import Section
from qmarl.secure.pulses import (
    Flight,
    Receiver,
    SinglePhotonSource,
    WeakCoherentSource,
    measured,
)


class _Eavesdropper(Section):
    shorthand: ClassVar[str | None] = "kind"

    @property
    def impersonates(self) -> bool:
        """Whether they speak for the other end: no."""
        return False

    @property
    def blocks(self) -> bool:
        """Whether they decide which pulses arrive: no."""
        return False

    def lights(self, receiver: Receiver) -> Receiver:
        """Returns the receiver as it is: they send no noise."""
        return receiver


class InterceptResend(_Eavesdropper):
    """Measures some pulses in a random basis and sends on what was found.

    A share ``f`` gives an error rate of ``f/4`` with two bases and ``f/3`` with three.
    """

    kind: Literal["intercept_resend"] = "intercept_resend"
    """The eavesdropper's name in the configuration."""
    fraction: float = Field(default=1.0, ge=0, le=1)
    """Share of the pulses that is intercepted."""

    def tap(
        self,
        flight: Flight,
        source: SinglePhotonSource | WeakCoherentSource,  # noqa: ARG002
        receiver: Receiver,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> None:
        """Replaces bits and bases; a pulse goes on with as many photons as it had."""
        count = len(flight.bits)
        taken = (rng.random(count) < self.fraction) & (flight.photons > 0)
        bases = rng.integers(0, len(flight.basis_chosen), count, np.uint8)
        right = bases == flight.bases
        seen = measured(flight.bits, right, 0.0, rng)
        flight.known = flight.known | (taken & right)
        flight.bits = np.where(taken, seen, flight.bits)
        flight.bases = np.where(taken, bases, flight.bases)


class PhotonNumberSplitting(_Eavesdropper):
    """Keeps a photon of every pulse with two or more, and blocks single ones to hide it.

    What is not blocked reaches the receiver without loss. The mean count stays what it was as far
    as possible; decoys show that single photons are missing (Huttner et al. 1995; Hwang 2003).
    """

    kind: Literal["photon_number_splitting"] = "photon_number_splitting"
    """The eavesdropper's name in the configuration."""

    @property
    def blocks(self) -> bool:
        """Whether they decide which pulses arrive: yes."""
        return True

    def tap(
        self,
        flight: Flight,
        source: SinglePhotonSource | WeakCoherentSource,  # noqa: ARG002
        receiver: Receiver,
        rng: np.random.Generator,
    ) -> None:
        """Takes photons away and the loss with them."""
        eta = receiver.efficiency
        single, several = flight.photons == 1, flight.photons > 1
        wanted = float((1 - (1 - receiver.transmittance * eta) ** flight.photons).sum())
        split = float((1 - (1 - eta) ** (flight.photons[several] - 1)).sum())
        passing = np.clip((wanted - split) / max(1.0, float(single.sum()) * eta), 0, 1)
        blocked = single & (rng.random(len(single)) >= passing)
        flight.photons = np.where(blocked, 0, flight.photons - several)
        flight.known = flight.known | several
        flight.transmittance = 1.0


class Jamming(_Eavesdropper):
    """Lights the receiver with noise, so that no key can be made."""

    kind: Literal["jamming"] = "jamming"
    """The eavesdropper's name in the configuration."""
    clicks: float = Field(default=0.05, ge=0, le=1)
    """Probability of a click that it adds to each pulse."""

    def lights(self, receiver: Receiver) -> Receiver:
        """Returns the receiver with the noise in its background."""
        noisy = 1 - (1 - receiver.background) * (1 - self.clicks)
        return replace(receiver, background=noisy)

    def tap(
        self,
        flight: Flight,
        source: SinglePhotonSource | WeakCoherentSource,
        receiver: Receiver,
        rng: np.random.Generator,
    ) -> None:
        """Leaves the pulses alone."""


class ManInTheMiddle(_Eavesdropper):
    """Plays the other end on both sides; the pulses show nothing, only authentication does."""

    kind: Literal["man_in_the_middle"] = "man_in_the_middle"
    """The eavesdropper's name in the configuration."""

    @property
    def impersonates(self) -> bool:
        """Whether they speak for the other end: yes."""
        return True

    def tap(
        self,
        flight: Flight,
        source: SinglePhotonSource | WeakCoherentSource,  # noqa: ARG002
        receiver: Receiver,  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
    ) -> None:
        """Receives the pulses in the other end's place, and so knows all of them."""
        flight.known = np.ones(len(flight.bits), bool)


EavesdropperConfig = Annotated[
    InterceptResend | PhotonNumberSplitting | Jamming | ManInTheMiddle, Field(discriminator="kind")
]
"""Any eavesdropper, by its ``kind``."""
