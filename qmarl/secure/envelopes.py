"""Sealed envelopes: anybody can put something in, and only the owner of a key takes it out."""

from __future__ import annotations

from qmarl.secure.cipher import CipherError, decrypt, encrypt
from qmarl.secure.postquantum import Kem, KemKey, combine, encapsulate

_KIND: Kem = "x25519-ml-kem-768"
_CIPHERTEXT = 1088 + 32  # of ML-KEM-768, and a point
_NONCE = bytes(12)  # each key seals one message

OVERHEAD = _CIPHERTEXT + 16
"""Bytes that an envelope is longer than what is in it."""


def put_in(public: bytes, payload: bytes, about: bytes) -> bytes:
    """Seals a payload for the owner of a public key; nothing in it tells who did.

    Args:
        public: Of a key of the kind ``x25519-ml-kem-768``.
        payload: What goes in; its length can be seen.
        about: What both ends know of it; the envelope opens with the same alone.
    """
    made = encapsulate(_KIND, public)
    key = combine(b"", made.secret, about)
    return made.ciphertext + encrypt(key, _NONCE, payload, about)


def take_out(key: KemKey, envelope: bytes, about: bytes) -> bytes:
    """Opens an envelope.

    Raises:
        CipherError: It was changed, or is for another key or about something else.
    """
    if len(envelope) < OVERHEAD:
        raise CipherError(f"{len(envelope)} bytes are too few for a sealed envelope")
    secret = key.open(envelope[:_CIPHERTEXT])
    found = decrypt(combine(b"", secret, about), _NONCE, envelope[_CIPHERTEXT:], about)
    if found is None:
        raise CipherError("a sealed envelope is not as it was sealed")
    return found
