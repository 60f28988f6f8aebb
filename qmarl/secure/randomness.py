"""Where the random choices of a key exchange come from: a seed to repeat, or the system."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qmarl.seeding import stream
from qmarl.types import Array


class Randomness(Protocol):
    """Random bytes for the choices that have to be secret or unforeseen."""

    def octets(self, count: int) -> bytes:
        """Returns ``count`` random bytes."""
        ...


@dataclass(frozen=True)
class SeededRandomness:
    """Bytes that follow from a seed, so that a simulation repeats itself.

    Keys made of them are only as secret as the seed: use them to study, not to protect.

    Attributes:
        rng: The generator.
    """

    rng: np.random.Generator

    def octets(self, count: int) -> bytes:
        """Returns ``count`` bytes of the generator."""
        return self.rng.bytes(count)


@dataclass(frozen=True)
class SystemRandomness:
    """Bytes of the operating system, which nobody can foresee or repeat."""

    def octets(self, count: int) -> bytes:
        """Returns ``count`` bytes of the system's generator."""
        return os.urandom(count)


@dataclass(frozen=True)
class Entropy:
    """What is random in a session: the two parties' choices, and nature.

    Attributes:
        parties: Bits, bases, intensities, tests, permutations and hash seeds.
        nature: Losses, noise, outcomes of measurements, and the eavesdropper's choices.
    """

    parties: Randomness
    nature: np.random.Generator


def entropy(root: int, *name: str | int, secure: bool = False) -> Entropy:
    """Returns the randomness of the session called ``name`` under the seed ``root``.

    Args:
        root: Root seed of the run.
        name: Name of the session.
        secure: Take everything from the operating system. Otherwise the whole session follows from
            the seed, and whoever knows the seed knows the key.
    """
    if secure:
        fresh = np.random.Generator(np.random.Philox(int.from_bytes(os.urandom(16), "little")))
        return Entropy(SystemRandomness(), fresh)
    parties = SeededRandomness(stream(root, "secure", "parties", *name))
    return Entropy(parties, stream(root, "secure", "nature", *name))


def bits(source: Randomness, count: int) -> Array:
    """Returns ``(count,)`` uint8 fair bits."""
    octets = np.frombuffer(source.octets(-(-count // 8)), np.uint8)
    return np.unpackbits(octets, count=count)


def choices(source: Randomness, count: int, probabilities: tuple[float, ...]) -> Array:
    """Returns ``(count,)`` uint8 indices that are drawn with ``probabilities``.

    A probability is met within ``2**-32``.
    """
    words = np.frombuffer(source.octets(4 * count), "<u4")
    edges = np.rint(np.cumsum(probabilities)[:-1] * 2.0**32).astype(np.uint64)
    found = np.zeros(count, np.uint8)
    for edge in edges:
        found += words >= edge
    return found


def permutation(source: Randomness, count: int) -> Array:
    """Returns a permutation of ``range(count)``, from 128 random bits that may be made public."""
    seed = int.from_bytes(source.octets(16), "little")
    return np.random.Generator(np.random.Philox(seed)).permutation(count)
