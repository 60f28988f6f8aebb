"""Pulses between two parties: sources, what is on the way, and what a receiver makes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
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

    def seen(self, efficiency: float) -> Array:
        """Returns for each intensity how likely a detector of such an efficiency sees a photon."""
        return np.array([efficiency])

    def photons_in(self, intensity: Array, rng: np.random.Generator) -> Array:  # noqa: ARG002
        """One for every pulse."""
        return np.ones(len(intensity), np.int64)

    def photons_behind(
        self,
        intensity: Array,
        lit: Array,  # noqa: ARG002
        efficiency: float,  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Array:
        """One for every pulse, whether it was seen or not."""
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

    def seen(self, efficiency: float) -> Array:
        """Returns for each intensity how likely a detector of such an efficiency sees a photon."""
        return np.asarray(-np.expm1(-efficiency * np.array(self.photons)))

    def photons_in(self, intensity: Array, rng: np.random.Generator) -> Array:
        """Draws the photons of every pulse from its intensity's Poisson distribution."""
        return rng.poisson(np.array(self.photons)[intensity])

    def photons_behind(
        self, intensity: Array, lit: Array, efficiency: float, rng: np.random.Generator
    ) -> Array:
        """Draws how many photons pulses held of which it is known whether one was seen.

        Photons that are seen and photons that are not are independent Poisson numbers.

        Args:
            intensity: ``(c,)`` indices.
            lit: ``(c,)`` bool, whether a photon was seen.
            efficiency: Probability that a photon is seen.
            rng: Randomness.
        """
        mean = np.array(self.photons)[intensity]
        return rng.poisson(mean * (1 - efficiency)) + _at_least_one(mean * efficiency, lit, rng)


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

    @property
    def blocks(self) -> bool:
        """Whether they decide which pulses arrive, so that each one has to be simulated."""
        ...

    def lights(self, receiver: Receiver) -> Receiver:
        """Returns the receiver with the noise that they send into it."""
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
    at_work = receiver if eavesdropper is None else eavesdropper.lights(receiver)
    line = _Line(source, basis_chosen, receiver, at_work, eavesdropper, entropy)
    dense = eavesdropper is not None and eavesdropper.blocks
    parts = (
        [_each(line, first, min(_BLOCK, pulses - first)) for first in range(0, pulses, _BLOCK)]
        if dense
        else [_clicks(line, pulses)]
    )
    return _awake(_joined(parts), receiver.dead_pulses)


def clicking(trials: int, probability: float, rng: np.random.Generator) -> Array:
    """Returns the sorted indices of the trials that succeed, without going through the others.

    Args:
        trials: How many.
        probability: Of success, the same for each.
        rng: Randomness.
    """
    if probability <= 0:
        return np.zeros(0, np.int64)
    parts, last = [], -1
    while last < trials:
        room = (trials - last) * probability
        steps = rng.geometric(probability, int(room + 5 * math.sqrt(room) + 10))
        parts.append(last + np.cumsum(steps))
        last = int(parts[-1][-1])
    found = np.concatenate(parts)
    return found[found < trials]


def measured(bits: Array, matching: Array, wrong: float, rng: np.random.Generator) -> Array:
    """Returns outcomes: the bit where bases match, now and then flipped, and a coin elsewhere."""
    flipped = bits ^ (rng.random(len(bits)) < wrong)
    return np.where(matching, flipped, rng.integers(0, 2, len(bits), np.uint8)).astype(np.uint8)


@dataclass(frozen=True, repr=False)
class _Line:
    """Everything between the two ends.

    ``receiver`` is what the parties believe of it, ``at_work`` what it is under an eavesdropper.
    """

    source: SinglePhotonSource | WeakCoherentSource
    basis_chosen: tuple[float, ...]
    receiver: Receiver
    at_work: Receiver
    eavesdropper: Eavesdropper | None
    entropy: Entropy

    def flight(self, count: int, photons: Array) -> Flight:
        """Encodes pulses."""
        parties = self.entropy.parties
        return Flight(
            bits=choices(parties, count, (0.5, 0.5)),
            bases=choices(parties, count, self.basis_chosen),
            photons=photons,
            known=np.zeros(count, bool),
            transmittance=self.at_work.transmittance,
            background=self.at_work.background,
            basis_chosen=self.basis_chosen,
        )

    def tapped(self, flight: Flight) -> tuple[Array, Array]:
        """Lets the eavesdropper at the pulses; returns the bits and bases that were sent."""
        sent = flight.bits, flight.bases
        if self.eavesdropper is not None:
            self.eavesdropper.tap(flight, self.source, self.receiver, self.entropy.nature)
        return sent


def _each(line: _Line, first: int, count: int) -> Detections:
    """Simulates every pulse, also those of which nothing arrives."""
    rng = line.entropy.nature
    intensity = choices(line.entropy.parties, count, line.source.chosen)
    flight = line.flight(count, line.source.photons_in(intensity, rng))
    alice, alice_bases = line.tapped(flight)
    through = 1 - flight.transmittance * line.receiver.efficiency
    lit = rng.random(count) < 1 - through**flight.photons
    at = np.flatnonzero(lit | (rng.random(count) < flight.background))
    arrived = replace(flight, bits=flight.bits[at], bases=flight.bases[at], known=flight.known[at])
    sent = alice[at], alice_bases[at]
    return _measured(line, at + first, sent, intensity[at], arrived, lit[at])


def _clicks(line: _Line, pulses: int) -> Detections:
    """Simulates only the pulses that click, from their own distribution; the others leave no trace.

    What clicks depends on the intensity alone: whether an eavesdropper measures a pulse or not, it
    goes on with as many photons.
    """
    rng, receiver, chosen = line.entropy.nature, line.at_work, np.array(line.source.chosen)
    eta = receiver.transmittance * receiver.efficiency
    seen = line.source.seen(eta)
    gain = seen + (1 - seen) * receiver.background
    slots = clicking(pulses, float(chosen @ gain), rng)
    share = np.cumsum(chosen * gain)
    intensity = np.searchsorted(share, rng.random(len(slots)) * share[-1]).astype(np.uint8)
    lit = rng.random(len(slots)) * gain[intensity] < seen[intensity]
    flight = line.flight(len(slots), line.source.photons_behind(intensity, lit, eta, rng))
    sent = line.tapped(flight)
    return _measured(line, slots, sent, intensity, flight, lit)


def _measured(
    line: _Line,
    slots: Array,
    sent: tuple[Array, Array],
    intensity: Array,
    arrived: Flight,
    lit: Array,
) -> Detections:
    """Measures what clicked, in bases that the receiver chooses."""
    bases = choices(line.entropy.parties, len(slots), line.basis_chosen)
    matching = (bases == arrived.bases) & lit  # a dark count is a coin too
    bob = measured(arrived.bits, matching, line.receiver.misalignment, line.entropy.nature)
    return Detections(slots, sent[0], bob, sent[1], bases, intensity, arrived.known)


def _at_least_one(mean: Array, where: Array, rng: np.random.Generator) -> Array:
    """Poisson numbers that are known not to be zero, by inverting their distribution; else zero."""
    found, wanted = np.zeros(len(mean), np.int64), np.flatnonzero(where)
    mean = mean[wanted]
    left = rng.random(len(wanted)) * -np.expm1(-mean)
    term, count = mean * np.exp(-mean), np.ones(len(wanted), np.int64)
    while (more := left > term).any() and count.max(initial=0) < 100:
        left = np.where(more, left - term, left)
        count += more
        term = np.where(more, term * mean / count, term)
    found[wanted] = count
    return found


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
