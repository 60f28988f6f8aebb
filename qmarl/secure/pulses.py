"""Pulses between two parties: sources, what is on the way, and what a receiver makes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Protocol, Self

import numpy as np
from pydantic import Field, model_validator

from qmarl.config import Section
from qmarl.secure.finite import Decoys
from qmarl.secure.randomness import Entropy, choices
from qmarl.types import Array

_BLOCK = 1 << 20  # pulses simulated together

Triple = tuple[float, float, float]


class SinglePhotonSource(Section):
    """An ideal source: exactly one photon in every pulse."""

    shorthand: ClassVar[str | None] = "kind"

    kind: Literal["single_photon"] = "single_photon"
    """The source's name in the configuration."""

    @property
    def chosen(self) -> tuple[float, ...]:
        """How often each intensity is chosen: there is one."""
        return (1.0,)

    def photons_in(self, intensity: Array, rng: np.random.Generator) -> Array:  # noqa: ARG002
        """One for every pulse."""
        return np.ones(len(intensity), np.int64)


class WeakCoherentSource(Section):
    """A laser that is dimmed to a few tenths of a photon, with two decoy intensities."""

    shorthand: ClassVar[str | None] = "kind"

    kind: Literal["weak_coherent"] = "weak_coherent"
    """The source's name in the configuration."""
    photons: Triple = (0.5, 0.1, 0.0)
    """Mean numbers of photons, the signal first: above the sum of the decoys, which fall."""
    chosen: Triple = (0.7, 0.2, 0.1)
    """How often each is chosen; they add up to 1."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        signal, weak, weakest = self.photons
        if not (signal > weak + weakest and weak > weakest >= 0):
            raise ValueError("photons: the signal must exceed both decoys together, and they fall")
        if min(self.chosen) <= 0 or not math.isclose(sum(self.chosen), 1):
            raise ValueError("chosen: three positive shares that add up to 1")
        return self

    @property
    def decoys(self) -> Decoys:
        """The intensities as the bounds take them."""
        return Decoys(np.array(self.photons), np.array(self.chosen))

    def photons_in(self, intensity: Array, rng: np.random.Generator) -> Array:
        """Draws the photons of every pulse from its intensity's Poisson distribution."""
        return rng.poisson(np.array(self.photons)[intensity])


Source = Annotated[SinglePhotonSource | WeakCoherentSource, Field(discriminator="kind")]


@dataclass(frozen=True)
class Receiver:
    """What the session knows of its link, each a plain number.

    Attributes:
        transmittance: Of the link, from the source to the receiver's door.
        efficiency: Of the receiver, from its door to a click.
        background: Probability of a click without a photon, for each pulse.
        misalignment: Probability that a photon meets the wrong detector.
        dead_pulses: Pulses after a click in which there cannot be another.
    """

    transmittance: float
    efficiency: float = 0.2
    background: float = 2e-6
    misalignment: float = 0.01
    dead_pulses: int = 0


@dataclass(repr=False)  # bits must not reach a log
class Flight:
    """Pulses on their way, which an eavesdropper may change.

    Attributes:
        bits: ``(n,)`` uint8 encoded bits.
        bases: ``(n,)`` uint8 bases.
        photons: ``(n,)`` photons in each pulse.
        known: ``(n,)`` which bits the eavesdropper knows for certain once bases are announced.
        transmittance: What is still to be lost.
        background: Probability of a click without a photon.
        basis_chosen: How often each basis is chosen.
    """

    bits: Array
    bases: Array
    photons: Array
    known: Array
    transmittance: float
    background: float
    basis_chosen: tuple[float, ...]


class Eavesdropper(Protocol):
    """Someone on the line."""

    @property
    def impersonates(self) -> bool:
        """Whether they speak for the other end, instead of only touching the pulses."""
        ...

    def tap(
        self,
        flight: Flight,
        source: SinglePhotonSource | WeakCoherentSource,
        receiver: Receiver,
        rng: np.random.Generator,
    ) -> None:
        """Changes pulses on their way.

        Args:
            flight: The pulses.
            source: What is publicly known of the source.
            receiver: What is publicly known of the link and the receiver.
            rng: The eavesdropper's randomness.
        """
        ...


@dataclass(frozen=True, repr=False)
class Detections:
    """What was detected, and what was sent then; all of shape ``(c,)``.

    Attributes:
        slots: Number of the pulse.
        alice: Bits sent.
        bob: Bits received.
        alice_bases: Bases of preparation.
        bob_bases: Bases of measurement.
        intensity: Index of the intensity.
        known: What the eavesdropper knows for certain.
    """

    slots: Array
    alice: Array
    bob: Array
    alice_bases: Array
    bob_bases: Array
    intensity: Array
    known: Array

    def take(self, which: Array) -> Detections:
        """Returns some of the detections, by a mask or by indices."""
        return Detections(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


def exchange(
    pulses: int,
    source: SinglePhotonSource | WeakCoherentSource,
    basis_chosen: tuple[float, ...],
    receiver: Receiver,
    eavesdropper: Eavesdropper | None,
    entropy: Entropy,
) -> Detections:
    """Sends pulses and measures them.

    Args:
        pulses: How many.
        source: What is sent.
        basis_chosen: How often each of two or three bases is chosen, by both parties.
        receiver: Link and detectors.
        eavesdropper: Who is on the line.
        entropy: Randomness of the parties and of nature.
    """
    parts = []
    for first in range(0, pulses, _BLOCK):
        count = min(_BLOCK, pulses - first)
        intensity = choices(entropy.parties, count, source.chosen)
        flight = Flight(
            bits=choices(entropy.parties, count, (0.5, 0.5)),
            bases=choices(entropy.parties, count, basis_chosen),
            photons=source.photons_in(intensity, entropy.nature),
            known=np.zeros(count, bool),
            transmittance=receiver.transmittance,
            background=receiver.background,
            basis_chosen=basis_chosen,
        )
        sent = flight.bits, flight.bases
        if eavesdropper is not None:
            eavesdropper.tap(flight, source, receiver, entropy.nature)
        parts.append(_detect(first, sent, intensity, flight, receiver, entropy))
    return _awake(_joined(parts), receiver.dead_pulses)


def measured(bits: Array, matching: Array, wrong: float, rng: np.random.Generator) -> Array:
    """Returns outcomes: the bit where bases match, now and then flipped, and a coin elsewhere."""
    flipped = bits ^ (rng.random(len(bits)) < wrong)
    return np.where(matching, flipped, rng.integers(0, 2, len(bits), np.uint8)).astype(np.uint8)


def _detect(
    first: int,
    sent: tuple[Array, Array],
    intensity: Array,
    flight: Flight,
    receiver: Receiver,
    entropy: Entropy,
) -> Detections:
    rng, count = entropy.nature, len(intensity)
    # Only what clicked is kept: a receiver's basis matters for nothing else.
    through = 1 - flight.transmittance * receiver.efficiency
    lit = rng.random(count) < 1 - through**flight.photons
    at = np.flatnonzero(lit | (rng.random(count) < flight.background))
    bases = choices(entropy.parties, len(at), flight.basis_chosen)
    matching = (bases == flight.bases[at]) & lit[at]  # a dark count is a coin too
    bob = measured(flight.bits[at], matching, receiver.misalignment, rng)
    alice, alice_bases = (item[at] for item in sent)
    return Detections(at + first, alice, bob, alice_bases, bases, intensity[at], flight.known[at])


def _joined(parts: list[Detections]) -> Detections:
    names = Detections.__dataclass_fields__
    return Detections(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _awake(found: Detections, dead: int) -> Detections:
    """Drops what came while the detectors were still dead from the click before."""
    if not dead or not len(found.slots):
        return found
    kept, until = [], -1
    for place, slot in enumerate(found.slots.tolist()):
        if slot > until:
            kept.append(place)
            until = slot + dead
    return found.take(np.array(kept))
