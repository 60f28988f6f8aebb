"""Noise for privacy: ChaCha20 turned into Gaussian and Laplace numbers, by name of the stream."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from qmarl.federated.masking import KEY_BYTES, keystream
from qmarl.types import Array


@dataclass(frozen=True)
class NoiseSource:
    """Where noise and client samples come from.

    Every name has a stream of its own, and must serve only once. Numbers have 52 random bits and
    are float64, so what an observer could read from their last bits (Mironov 2012) is outside any
    guarantee.

    Attributes:
        seed: The run's seed: the same name gives the same noise, so that a simulation continues
            after a checkpoint as if nothing had happened, and whoever knows the seed can take the
            noise away. Or a secret, as a run with real clients needs: see :meth:`secret`.
    """

    seed: int = field(repr=False)

    @classmethod
    def secret(cls) -> Self:
        """Returns a source under 256 bits of the system's entropy, which nobody ever sees.

        It dies with the process: noise that was drawn can never be drawn again.
        """
        return cls(int.from_bytes(os.urandom(KEY_BYTES), "big"))

    def uniform(self, size: int, *name: str | int) -> Array:
        """Returns ``(size,)`` float64 above 0 and below 1, of the stream called ``name``."""
        words = np.frombuffer(keystream(self._key(name), 8 * size), "<u8")
        return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52

    def gaussian(self, size: int, *name: str | int) -> Array:
        """Returns ``(size,)`` standard normal numbers (Box and Muller 1958)."""
        radius, angle = self.uniform(2 * size, *name).reshape(2, size)
        return np.sqrt(-2.0 * np.log(radius)) * np.cos(2 * np.pi * angle)

    def laplace(self, size: int, *name: str | int) -> Array:
        """Returns ``(size,)`` Laplace numbers of scale 1: the difference of two exponentials."""
        one, other = self.uniform(2 * size, *name).reshape(2, size)
        return np.log(one / other)

    def laplace_part(self, size: int, parts: int, *name: str | int) -> Array:
        """Returns ``(size,)`` numbers of which ``parts`` independent ones add up to Laplace.

        They are differences of two Gamma numbers of shape ``1 / parts`` (Kotz et al. 2001).
        """
        from scipy.special import gammaincinv  # type: ignore[import-untyped] # it has no stubs

        one, other = gammaincinv(1.0 / parts, self.uniform(2 * size, *name)).reshape(2, size)
        return np.asarray(one - other, np.float64)

    def _key(self, name: tuple[str | int, ...]) -> bytes:
        text = repr(("privacy", self.seed, *name)).encode()
        return hashlib.blake2b(text, digest_size=KEY_BYTES).digest()
