"""Sealed messages: AES-256-GCM, one key for each client, direction and round; replay refused."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from qmarl.errors import RunError

KEY_BYTES = 32
"""Length of a key of AES-256."""
TAG_BYTES = 16
"""Length of the tag at a message's end."""
AES_256_GCM, ONE_TIME_PAD = 1, 2
"""The fourth byte of every sealed message: how it was sealed."""

Direction = Literal["up", "down"]
"""``up`` to the server, ``down`` to a client."""

_MAGIC, _VERSION = b"QS", 1
_HEADER = struct.Struct(">2sBB16sI")
HEADER_BYTES = _HEADER.size
"""Length of what stands in clear before every sealed message."""
_SESSION_BYTES = 16
_MOST_MESSAGES = 2**32  # with one key; the number is a part of the nonce, which must not return


class CipherError(RunError):
    """A sealed message must not be believed, or a key must not be used; the text says why."""


@dataclass(frozen=True)
class Address:
    """Where a message belongs; both ends know it, and whatever differs from it is refused.

    Attributes:
        session: 16 public bytes that are drawn anew at every start of a run.
        round: The round.
        client: Name of the client at one end; the server is at the other.
        direction: Which way it goes.
    """

    session: bytes
    round: int
    client: str
    direction: Direction

    def associated(self, header: bytes) -> bytes:
        """Returns the associated data: header, session, round, direction and client.

        All parts but the last have a fixed length, so different addresses never give equal bytes.

        Args:
            header: What stands in clear before the message; it holds the key's identifier.

        Raises:
            CipherError: The session is not 16 bytes long.
        """
        if len(self.session) != _SESSION_BYTES:
            raise CipherError(f"a session has {_SESSION_BYTES} bytes, not {len(self.session)}")
        up = self.direction == "up"
        return header + self.session + struct.pack(">QB", self.round, up) + self.client.encode()

    def __str__(self) -> str:
        way = "from" if self.direction == "up" else "to"
        return f"{way} client {self.client!r} in round {self.round}"


@dataclass(frozen=True)
class Header:
    """What stands in clear before a sealed message.

    Attributes:
        suite: :data:`AES_256_GCM` or :data:`ONE_TIME_PAD`.
        key_id: Identifier of the key.
        number: Of the message among those under this key, from 0.
    """

    suite: int
    key_id: UUID
    number: int

    def packed(self) -> bytes:
        """Returns the header as bytes."""
        return _HEADER.pack(_MAGIC, _VERSION, self.suite, self.key_id.bytes, self.number)


def header_of(message: bytes) -> Header:
    """Reads the header of a sealed message, of which nothing is believed yet.

    Raises:
        CipherError: It does not begin as a sealed message.
    """
    if len(message) < HEADER_BYTES + TAG_BYTES:
        raise CipherError(f"{len(message)} bytes are too few for a sealed message")
    magic, version, suite, key_id, number = _HEADER.unpack(message[:HEADER_BYTES])
    if magic != _MAGIC or version != _VERSION or suite not in (AES_256_GCM, ONE_TIME_PAD):
        raise CipherError("it does not begin as a sealed message of this project")
    return Header(suite, UUID(bytes=key_id), number)


def wipe(secret: bytearray) -> None:
    """Overwrites a secret with zeros. Copies that a library made are not reached."""
    secret[:] = bytes(len(secret))


class _End:
    """One end's key of one client, direction and round."""

    def __init__(self, key: bytearray, key_id: UUID, address: Address) -> None:
        if len(key) != KEY_BYTES:
            raise CipherError(f"a key of AES-256 has {KEY_BYTES} bytes, this one has {len(key)}")
        self._key, self._key_id, self._address = key, key_id, address
        self._next = 0

    def close(self) -> None:
        """Overwrites the key; nothing can be sealed or opened any more."""
        wipe(self._key)
        self._next = _MOST_MESSAGES

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address})"


class Sender(_End):
    """Seals the messages of one client, direction and round.

    Args:
        key: 32 bytes, which it overwrites when it is closed.
        key_id: The key's identifier, which is public.
        address: Where the messages belong.
    """

    def seal(self, payload: bytes) -> bytes:
        """Returns header, ciphertext and tag, 40 bytes more than ``payload``.

        Raises:
            CipherError: The key is used up or was closed.
        """
        if self._next >= _MOST_MESSAGES:
            raise CipherError(f"the key {self._address} is used up or was closed")
        header = Header(AES_256_GCM, self._key_id, self._next)
        clear = header.packed()
        associated = self._address.associated(clear)
        self._next += 1
        return clear + encrypt(self._key, _nonce(header.number), payload, associated)


class Receiver(_End):
    """Opens the messages of one client, direction and round, each of them once.

    Args:
        key: 32 bytes, which it overwrites when it is closed.
        key_id: The key's identifier.
        address: Where the messages belong.
    """

    def open(self, message: bytes) -> bytes:
        """Returns what was sealed.

        Raises:
            CipherError: It was changed, sealed for another client, direction, round, session or
                key, or opened before.
        """
        header = header_of(message)
        if header.suite != AES_256_GCM or header.key_id != self._key_id:
            raise CipherError(f"a message {self._address} came under another key")
        if header.number < self._next:
            raise CipherError(f"a message {self._address} came again: a replay is refused")
        clear, sealed = message[:HEADER_BYTES], message[HEADER_BYTES:]
        associated = self._address.associated(clear)
        payload = decrypt(self._key, _nonce(header.number), sealed, associated)
        if payload is None:
            raise CipherError(f"a message {self._address} is not as it was sealed")
        self._next = header.number + 1
        return payload


def encrypt(key: bytes | bytearray, nonce: bytes, payload: bytes, associated: bytes) -> bytes:
    """AES-256-GCM (NIST SP 800-38D).

    Args:
        key: 32 bytes.
        nonce: 12 bytes, never twice with one key.
        payload: What becomes unreadable.
        associated: What is only bound to it.

    Returns:
        Ciphertext and the tag of 16 bytes.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key).encrypt(nonce, payload, associated)


def decrypt(key: bytes | bytearray, nonce: bytes, sealed: bytes, associated: bytes) -> bytes | None:
    """Undoes :func:`encrypt`; ``None`` where anything was changed."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(nonce, sealed, associated)
    except InvalidTag:
        return None


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
