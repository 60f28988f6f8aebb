"""What hides a vector from the server: key streams, keys between two clients, fixed point."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgpack  # type: ignore[import-untyped] # it has no stubs
import numpy as np

from qmarl.types import Array

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

KEY_BYTES = 32
"""Length of every key, seed and digest here: 256 bits."""

Bits = Literal[32, 64]

_WORDS: dict[int, str] = {32: "<u4", 64: "<u8"}
_FINEST = 52  # a float64 tells no finer steps apart at the end of its range


@dataclass(frozen=True)
class FixedPoint:
    """Numbers as integers modulo ``2^bits``, so that sums are exact whatever their order.

    The step is the finest power of two at which the sum of ``clients`` values cannot overflow.

    Attributes:
        span: Greatest absolute value of one client; what lies beyond is clipped.
        bits: Length of a word.
        clients: Most values that are ever summed.
    """

    span: float
    bits: Bits
    clients: int

    @property
    def step(self) -> float:
        """Distance between two neighbouring values; a rounded value is off by half of it."""
        # The sign takes a bit, and another stays free: a sum may reach the end, but not pass it.
        room = self.bits - 2 - math.ceil(math.log2(self.clients * self.span))
        return 2.0 ** -min(room, _FINEST - math.ceil(math.log2(self.span)))

    def encode(self, vector: Array) -> Array:
        """Returns ``(d,)`` words of the clipped and rounded ``vector``.

        Raises:
            ValueError: A value is not finite.
        """
        if not np.isfinite(vector).all():
            raise ValueError("a value is not finite")
        whole = np.rint(np.clip(vector, -self.span, self.span) / self.step).astype(np.int64)
        return whole.astype(_WORDS[self.bits])

    def decode(self, words: Array) -> Array:
        """Returns the float64 values of ``(d,)`` words, sums included."""
        signed = words.astype(_WORDS[self.bits]).view(_WORDS[self.bits].replace("u", "i"))
        return np.asarray(signed, np.float64) * self.step

    def read(self, raw: bytes, size: int) -> Array:
        """Returns the ``(size,)`` words that a message brought.

        Raises:
            ValueError: They are more or fewer.
        """
        if len(raw) * 8 != size * self.bits:
            raise ValueError(f"{len(raw)} bytes are not {size} words of {self.bits} bits")
        return np.frombuffer(raw, _WORDS[self.bits])

    def keystream(self, key: bytes, size: int) -> Array:
        """Returns the ``(size,)`` uniform words that ``key`` stands for."""
        return np.frombuffer(keystream(key, size * self.bits // 8), _WORDS[self.bits])


def keystream(key: bytes, length: int) -> bytes:
    """Returns ``length`` bytes of ChaCha20 (RFC 8439) under a 256-bit key that is used only once.

    >>> keystream(bytes(32), 4).hex()
    '76b8e0ad'
    """
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

    return Cipher(ChaCha20(key, bytes(16)), None).encryptor().update(bytes(length))


def statement(*parts: str | bytes | int) -> bytes:
    """Returns ``parts`` as one string of bytes that no other parts give."""
    packed: bytes = msgpack.packb(parts)
    return packed


def commitment(*parts: str | bytes | int) -> bytes:
    """Returns the SHA-256 digest of ``parts``; it hides a part that nobody can guess."""
    return hashlib.sha256(statement(*parts)).digest()


def agree(own: X25519PrivateKey, other: bytes, *purpose: str | bytes | int) -> bytes:
    """Returns the 256-bit key that two clients share for one purpose (X25519, HKDF-SHA256).

    Args:
        own: This side's private key.
        other: The other side's public key, 32 bytes.
        purpose: What the key is for; both sides have to say the same.

    Raises:
        ValueError: ``other`` is no public key, or one that gives everybody the same secret.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    return derive(own.exchange(X25519PublicKey.from_public_bytes(other)), *purpose)


def derive(secret: bytes, *purpose: str | bytes | int) -> bytes:
    """Returns a 256-bit key made of a secret for one purpose (HKDF-SHA256, RFC 5869)."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), KEY_BYTES, None, statement(*purpose)).derive(secret)


def close_box(key: bytes, plain: bytes, label: bytes) -> bytes:
    """Encrypts under a key that is used only once (AES-256-GCM); ``label`` is bound to it."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key).encrypt(bytes(12), plain, label)


def open_box(key: bytes, box: bytes, label: bytes) -> bytes:
    """Returns what :func:`close_box` encrypted.

    Raises:
        ValueError: Key, box or label is not the right one.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(bytes(12), box, label)
    except (InvalidTag, ValueError) as error:
        raise ValueError("it was not encrypted for this place") from error
