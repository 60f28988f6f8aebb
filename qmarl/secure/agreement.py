"""How two ends agree on a secret that is safe from quantum computers, anew in every round."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from qmarl.errors import UndeliveredError
from qmarl.secure.postquantum import (
    SIGNATURE_BYTES,
    Kem,
    KemKey,
    SigningKey,
    encapsulate,
    is_signed,
    new_kem_key,
    new_signing_key,
)

_HELLO, _REPLY = b"qmarl hello", b"qmarl reply"


@dataclass(frozen=True)
class Identities:
    """Signing keys of both ends; each end knows the other's public one beforehand.

    Attributes:
        server: The server's.
        client: The client's.
    """

    server: SigningKey = field(default_factory=new_signing_key)
    client: SigningKey = field(default_factory=new_signing_key)

    @cached_property
    def server_public(self) -> bytes:
        """What the client knows of the server."""
        return self.server.public

    @cached_property
    def client_public(self) -> bytes:
        """What the server knows of the client."""
        return self.client.public


class ServerAgreement:
    """The server's end: makes a key for this round, signs it, and opens what comes back.

    Args:
        identities: Both ends' signing keys; of the client's it uses the public half.
        kem: How the secret is made.
        about: Session, round and client, to which both signatures are bound.
    """

    def __init__(self, identities: Identities, kem: Kem, about: bytes) -> None:
        self._identities, self._about = identities, about
        self._key: KemKey = new_kem_key(kem)
        self._public = self._key.public

    def hello(self) -> bytes:
        """Returns the round's public key, signed."""
        return self._public + self._identities.server.sign(self._about + self._public, _HELLO)

    def secret(self, reply: bytes) -> bytearray:
        """Returns the secret in a client's reply.

        Raises:
            UndeliveredError: The reply is not this client's for this round.
        """
        ciphertext, signature = reply[:-SIGNATURE_BYTES], reply[-SIGNATURE_BYTES:]
        said = self._about + self._public + ciphertext
        if not is_signed(self._identities.client_public, said, signature, _REPLY):
            raise UndeliveredError("the client's signature does not fit: key agreement refused")
        return bytearray(self._key.open(ciphertext))


def reply(identities: Identities, kem: Kem, about: bytes, hello: bytes) -> tuple[bytes, bytearray]:
    """The client's end: checks the server's key and makes a secret for it.

    Args:
        identities: Both ends' signing keys; of the server's it uses the public half.
        kem: How the secret is made.
        about: Session, round and client.
        hello: What the server sent.

    Returns:
        What goes to the server, and the secret of 32 bytes.

    Raises:
        UndeliveredError: The hello is not the server's for this round and client.
    """
    public, signature = hello[:-SIGNATURE_BYTES], hello[-SIGNATURE_BYTES:]
    if not is_signed(identities.server_public, about + public, signature, _HELLO):
        raise UndeliveredError("the server's signature does not fit: key agreement refused")
    made = encapsulate(kem, public)
    signed = identities.client.sign(about + public + made.ciphertext, _REPLY)
    return made.ciphertext + signed, bytearray(made.secret)
