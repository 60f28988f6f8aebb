"""Wegman-Carter authentication: who sent a message is certain as long as the secret seed lasts."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from qmarl.errors import RunError

_POINT, _PAD = 16, 16
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


@dataclass(frozen=True)
class Ends:
    """The authenticators of the two parties of a link."""

    alice: Authenticator
    bob: Authenticator


def paired(seed: bytes) -> Ends:
    """Returns both ends' authenticators from the seed that they share beforehand."""
    return Ends(Authenticator(seed), Authenticator(seed))
