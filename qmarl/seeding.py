"""One root seed, named streams: the same name gives the same bytes, whoever asks and when."""

from __future__ import annotations

import hashlib

import numpy as np

from qmarl.types import Array

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)  # multipliers of Philox 4x32
_W0, _W1 = 0x9E3779B9, 0xBB67AE85  # Weyl increments of its key schedule
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def seed_for(root: int, *name: str | int) -> int:
    """Returns the 63-bit seed of the stream called ``name`` under ``root``.

    >>> seed_for(0, "env", 3) == seed_for(0, "env", 3)
    True
    >>> seed_for(0, "env", 3) == seed_for(1, "env", 3)
    False
    """
    digest = hashlib.blake2b(repr((root, *name)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def stream(root: int, *name: str | int) -> np.random.Generator:
    """Returns the generator of the stream called ``name`` under ``root``."""
    return np.random.Generator(np.random.Philox(seed_for(root, *name)))


def philox(counters: Array, key: int) -> Array:
    """Philox 4x32-10 (Salmon et al. 2011), for a whole array of counters at once.

    Args:
        counters: ``(..., 4)`` of 32-bit words.
        key: 64-bit key.

    Returns:
        ``(..., 4)`` uint64 array of 32-bit random words.
    """
    c0, c1, c2, c3 = np.moveaxis(counters.astype(np.uint64), -1, 0)
    k0, k1 = key & 0xFFFFFFFF, (key >> 32) & 0xFFFFFFFF
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (
            (p1 >> _SHIFT) ^ c1 ^ np.uint64(k0),
            p1 & _LOW,
            (p0 >> _SHIFT) ^ c3 ^ np.uint64(k1),
            p0 & _LOW,
        )
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], -1)


def uniforms(seed: int, envs: Array, episodes: Array, count: int, purpose: int = 0) -> Array:
    """Draws ``count`` numbers for each env from a counter, so that env i never depends on the rest.

    Args:
        seed: Seed of the whole batch.
        envs: ``(E,)`` global indices of the worlds.
        episodes: ``(E,)`` number of the episode (or step) in each world.
        count: How many numbers each world needs.
        purpose: Separates streams that share seed, env and episode.

    Returns:
        ``(E, count)`` float64 in [0, 1).
    """
    blocks = -(-count // 4)
    counters = np.zeros((len(envs), blocks, 4), np.uint64)
    counters[..., 0] = np.arange(blocks)
    counters[..., 1] = np.asarray(envs)[:, None]
    counters[..., 2] = np.asarray(episodes)[:, None]
    counters[..., 3] = purpose
    words = philox(counters, seed).reshape(len(envs), -1)[:, :count]
    return words.astype(np.float64) * 2.0**-32
