"""Who sent a message: Wegman-Carter tags from a shared seed, or signatures at first contact."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Protocol, final

from qmarl.errors import RunError
from qmarl.secure.postquantum import SigningKey, is_signed, new_signing_key

_POINT, _PAD = 16, 16
_FIRST = b"qmarl first contact"
TAG_BYTES = 16
"""Length of a tag."""


def seed_bytes(tags: int) -> int:
    """Returns the bytes of shared seed that so many tags use up."""
    return _POINT + _PAD * tags


def tag(point: bytes, pad: bytes, message: bytes) -> bytes:
    """Returns the polynomial hash of a message at a secret point, hidden by a one-time pad.

    The polynomial of RFC 8439, modulo ``2^130 - 5``: whoever does not know the point and the pad
    forges a tag for a message of ``L`` bytes with probability ``8 ceil(L/16) / 2^106`` at most,
    whatever computers they have (Bernstein 2005; Wegman and Carter 1981).

    Args:
        point: 16 secret bytes; one point serves many messages, as every tag has its own pad.
        pad: 16 secret bytes, used for this message alone.
        message: Any bytes.
    """
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    return Poly1305.generate_tag(point + pad, message)


class Voucher(Protocol):
    """One end's way to show who it is, and to know who the other end is."""

    @property
    def used(self) -> int:
        """Tags or signatures made or checked so far."""
        ...

    def tag(self, message: bytes) -> bytes:
        """Returns what shows that a message is this end's."""
        ...

    def accepts(self, message: bytes, claimed: bytes) -> bool:
        """Says whether ``claimed`` shows that a message is the other end's."""
        ...

    def skip(self, tags: int) -> None:
        """Stays in step with an end whose tags went to someone else."""
        ...

    def impostor(self, secret: bytes) -> Voucher:
        """Returns the same for someone who knows nothing secret and takes ``secret`` instead."""
        ...


@final
@dataclass
class Authenticator:
    """One end's half of a shared secret seed, which both ends use up in the same order.

    Attributes:
        seed: Secret bytes that both ends hold: 16 for the point, then 16 for each tag.
        used: Tags made or checked so far.
    """

    seed: bytes = field(repr=False)
    used: int = 0

    @property
    def left(self) -> int:
        """Tags that can still be made or checked."""
        return max(0, (len(self.seed) - _POINT) // _PAD - self.used)

    def tag(self, message: bytes) -> bytes:
        """Returns the tag of a message, and uses up a pad.

        Raises:
            RunError: The seed is used up.
        """
        return tag(self.seed[:_POINT], self._pad(), message)

    def accepts(self, message: bytes, claimed: bytes) -> bool:
        """Says whether a tag is the message's, and uses up a pad either way.

        Raises:
            RunError: The seed is used up.
        """
        return hmac.compare_digest(self.tag(message), claimed)

    def skip(self, tags: int) -> None:
        """Uses up pads that went to someone else, so that both ends stay in step."""
        self.used += min(tags, self.left)

    def impostor(self, secret: bytes) -> Authenticator:
        """Returns the half of someone who has to guess the seed."""
        return Authenticator((secret * (1 + len(self.seed) // len(secret)))[: len(self.seed)])

    def replenish(self, key: bytes) -> None:
        """Adds secret bytes of a new key, so that the next sessions can be authenticated."""
        self.seed += key

    def _pad(self) -> bytes:
        if not self.left:
            raise RunError(
                "the authentication seed is used up: give a longer one, or feed it with new key"
            )
        start = _POINT + _PAD * self.used
        self.used += 1
        return self.seed[start : start + _PAD]


@final
@dataclass
class Signer:
    """An end that signs, and knows the other's public key: for the first contact, without a seed.

    Signatures of ML-DSA-65 hold against quantum computers as far as is known, not against
    everything. A key that was made while they held stays secret even if they fall later
    (Mosca, Stebila and Ustaoglu 2013).

    Attributes:
        own: This end's key.
        other: The other end's public key.
        used: Signatures made or checked so far.
    """

    own: SigningKey = field(repr=False)
    other: bytes = field(repr=False)
    used: int = 0

    def tag(self, message: bytes) -> bytes:
        """Returns the signature under a message."""
        self.used += 1
        return self.own.sign(message, _FIRST)

    def accepts(self, message: bytes, claimed: bytes) -> bool:
        """Says whether a signature is the other end's."""
        self.used += 1
        return is_signed(self.other, message, claimed, _FIRST)

    def skip(self, tags: int) -> None:
        """Counts only: signatures use nothing up."""
        self.used += tags

    def impostor(self, secret: bytes) -> Signer:
        """Returns someone with a key of their own, whom nobody knows."""
        return Signer(new_signing_key(secret[:32]), self.other)


@dataclass(frozen=True)
class Ends:
    """What the two parties of a link know each other by."""

    alice: Voucher
    bob: Voucher


def introduced(alice: SigningKey, bob: SigningKey) -> Ends:
    """Returns both ends of a first contact, each with the other's public key."""
    return Ends(Signer(alice, bob.public), Signer(bob, alice.public))


def paired(seed: bytes) -> Ends:
    """Returns both ends' authenticators from the seed that they share beforehand."""
    return Ends(Authenticator(seed), Authenticator(seed))
