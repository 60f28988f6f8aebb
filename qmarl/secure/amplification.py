"""Toeplitz hashing over bits: privacy amplification, and the check that two keys are equal."""

from __future__ import annotations

import numpy as np

from qmarl.secure.randomness import Randomness, bits
from qmarl.types import Array


def toeplitz(key: Array, seed: Array, length: int) -> Array:
    """Multiplies a key by a Toeplitz matrix of bits, modulo 2, by one fast Fourier transform.

    ``T[i, j] = seed[n - 1 + i - j]``. Such matrices are a two-universal family, so ``length`` bits
    of a key are secret up to the leftover hash lemma (Krawczyk 1994; Tomamichel et al. 2011).

    Args:
        key: ``(n,)`` bits.
        seed: ``(n + length - 1,)`` bits, random and public.
        length: Bits to keep, at least 1.

    Returns:
        ``(length,)`` uint8 bits. Exact: sums stay far below what a float64 resolves.

    Raises:
        ValueError: The seed does not fit.
    """
    n = len(key)
    if len(seed) != n + length - 1:
        raise ValueError(f"a Toeplitz seed of {n + length - 1} bits is needed, not {len(seed)}")
    # A circle of n + length - 1 points is enough: what wraps around meets entries not kept.
    size = 1 << (n + length - 2).bit_length()
    product = np.fft.rfft(seed.astype(float), size) * np.fft.rfft(key.astype(float), size)
    sums = np.rint(np.fft.irfft(product, size)[n - 1 : n - 1 + length])
    return (sums.astype(np.int64) & 1).astype(np.uint8)


def hash_seed(source: Randomness, key_length: int, length: int) -> Array:
    """Draws the public seed that :func:`toeplitz` needs."""
    return bits(source, key_length + length - 1)
