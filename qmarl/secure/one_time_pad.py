"""One-time pads with one-time tags: secrecy that no computer breaks, for small messages."""

from __future__ import annotations

import hmac
from uuid import UUID

import numpy as np

from qmarl.secure.authentication import tag
from qmarl.secure.cipher import (
    HEADER_BYTES,
    ONE_TIME_PAD,
    TAG_BYTES,
    Address,
    CipherError,
    Header,
    header_of,
)

TAG_KEY_BYTES = 32
"""Key bytes that go into the tag: a point and a pad of 16 bytes each."""


def key_bytes(payload: int) -> int:
    """Returns the bytes of key that a payload of so many bytes uses up."""
    return payload + TAG_KEY_BYTES


def seal(key: bytearray, key_id: UUID, address: Address, payload: bytes) -> bytes:
    """Returns header, ciphertext and tag.

    The ciphertext is the payload plus the key modulo 2 (Vernam 1926; Shannon 1949). The tag is
    Poly1305 with a point and a pad that serve this message alone, so a forger succeeds with
    probability ``8 ceil(L/16) / 2^106`` at most (Bernstein 2005). Its length is not hidden.

    Args:
        key: :func:`key_bytes` of the payload, used for nothing else, ever.
        key_id: The key's identifier, which is public.
        address: Where the message belongs.
        payload: Any bytes.

    Raises:
        CipherError: The key has another length.
    """
    _check(key, len(payload), address)
    clear = Header(ONE_TIME_PAD, key_id, 0).packed()
    hidden = _added(payload, key)
    return clear + hidden + _tag(key, address, clear, hidden)


def unseal(key: bytearray, key_id: UUID, address: Address, message: bytes) -> bytes:
    """Returns what was sealed.

    Args:
        key: The same bytes as the sender's; a key manager gives them out once, which is what
            refuses a replay.
        key_id: The key's identifier.
        address: Where the message belongs.
        message: What came.

    Raises:
        CipherError: The message was changed, belongs elsewhere, or does not fit the key.
    """
    header = header_of(message)
    if header != Header(ONE_TIME_PAD, key_id, 0):
        raise CipherError(f"a message {address} came under another key")
    clear, hidden = message[:HEADER_BYTES], message[HEADER_BYTES:-TAG_BYTES]
    _check(key, len(hidden), address)
    if not hmac.compare_digest(_tag(key, address, clear, hidden), message[-TAG_BYTES:]):
        raise CipherError(f"a message {address} is not as it was sealed")
    return _added(hidden, key)


def _check(key: bytearray, payload: int, address: Address) -> None:
    if len(key) != key_bytes(payload):
        raise CipherError(
            f"a message of {payload} bytes {address} needs a pad of {key_bytes(payload)} bytes, "
            f"this one has {len(key)}"
        )


def _added(text: bytes, key: bytearray) -> bytes:
    first, second = np.frombuffer(text, np.uint8), np.frombuffer(key, np.uint8, len(text))
    return (first ^ second).tobytes()


def _tag(key: bytearray, address: Address, clear: bytes, hidden: bytes) -> bytes:
    point, pad = bytes(key[-TAG_KEY_BYTES:-16]), bytes(key[-16:])
    associated = address.associated(clear)
    # The length goes first, so that no ciphertext can pass for a part of the address.
    return tag(point, pad, len(associated).to_bytes(4, "big") + associated + hidden)
