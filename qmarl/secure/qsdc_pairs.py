"""Entangled pairs on their way, as Bell states: which errors they pick up, and what Eve knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qmarl.secure.eavesdroppers import InterceptResend, Jamming, ManInTheMiddle
from qmarl.secure.pulses import Receiver
from qmarl.types import Array

DirectEavesdropper = InterceptResend | Jamming | ManInTheMiddle
"""Who may listen to direct communication; pairs of single photons leave nothing to split."""


@dataclass(frozen=True, repr=False)
class Frames:
    """Pauli errors of pairs, and what someone on the line has seen of them; all ``(n,)`` bool.

    Attributes:
        flipped: A bit error: outcomes in the computational basis differ where they should not.
        turned: A phase error: outcomes in the Hadamard basis differ.
        seen_bit: The eavesdropper holds the outcome in the computational basis.
        seen_phase: She holds the one in the Hadamard basis.
    """

    flipped: Array
    turned: Array
    seen_bit: Array
    seen_phase: Array

    def take(self, which: Array) -> Frames:
        """Returns some of the pairs, by a mask or by indices."""
        return Frames(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


def travel(
    count: int,
    receiver: Receiver,
    depolarisation: float,
    eavesdropper: DirectEavesdropper | None,
    rng: np.random.Generator,
    before: Frames | None = None,
) -> Frames:
    """Sends one photon of each pair over a link once; returns the pairs whose photon arrived there.

    An intercepted photon is measured in one of two bases and sent on as it was found, which
    randomises the other. A click without a photon is a pair of which nothing is left.

    Args:
        count: Photons that arrive.
        receiver: The link; its background is what it is under the eavesdropper.
        depolarisation: Probability ``p`` of the depolarising channel, each Pauli error ``p/4``;
            the receiver's misalignment adds a flip in each basis.
        eavesdropper: Who is on the line.
        rng: Nature.
        before: What was seen of the same pairs' other photons, or of the same photons' other
            property: whoever has seen that looks at the same pairs, in the same basis.
    """
    error = rng.random(count)
    flipped = error < depolarisation / 2  # X or Y
    turned = (error >= depolarisation / 4) & (error < 3 * depolarisation / 4)  # Y or Z
    flipped = flipped ^ (rng.random(count) < receiver.misalignment)
    turned = turned ^ (rng.random(count) < receiver.misalignment)
    dark = (
        rng.random(count) * arrival(receiver) < (1 - receiver.transmittance) * receiver.background
    )
    share = eavesdropper.fraction if isinstance(eavesdropper, InterceptResend) else 0.0
    tapped, hadamard = rng.random(count) < share, rng.random(count) < 0.5
    if before is not None and share:
        tapped, hadamard = before.seen_bit | before.seen_phase, before.seen_phase
    coin, other = rng.random(count) < 0.5, rng.random(count) < 0.5
    everything = np.full(count, isinstance(eavesdropper, ManInTheMiddle))
    return Frames(
        np.where(dark, coin, flipped ^ (tapped & hadamard & coin)),
        np.where(dark, other, turned ^ (tapped & ~hadamard & coin)),
        everything | (tapped & ~hadamard),
        everything | (tapped & hadamard),
    )


def arrival(receiver: Receiver) -> float:
    """Returns how often something is found at the link's end: a photon, or noise."""
    return receiver.transmittance + (1 - receiver.transmittance) * receiver.background


def twice(first: Frames, second: Frames) -> Frames:
    """Joins the two legs of a pair whose photons travel one after the other.

    What was written on a pair is only seen by who measured both photons in the same basis.
    """
    return Frames(
        first.flipped ^ second.flipped,
        first.turned ^ second.turned,
        first.seen_bit & second.seen_bit,
        first.seen_phase & second.seen_phase,
    )


def compared(polarisation: Frames, path: Frames) -> Frames:
    """Joins the two entangled properties of a pair that both ends measure apart from each other.

    Each end lets its polarisation control a flip of its path, and then measures the path in the
    computational and the polarisation in the Hadamard basis. Together the outcomes tell all four
    Bell states of the polarisation, if the path was entangled; errors of both add up.
    """
    return Frames(
        polarisation.flipped ^ path.flipped,
        polarisation.turned ^ path.turned,
        polarisation.seen_bit & path.seen_bit,
        polarisation.seen_phase & path.seen_phase,
    )
