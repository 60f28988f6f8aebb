"""Secret shares on their way from one client to another, through a server that cannot read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from qmarl.federated.masking import (
    KEY_BYTES,
    FixedPoint,
    agree,
    close_box,
    commitment,
    open_box,
    statement,
)
from qmarl.federated.secagg import SecureAggregationError, SecureSession
from qmarl.federated.shamir import SHARE_BYTES
from qmarl.types import Array

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

ShareKind = Literal["seed", "key"]
"""Of which secret: the self-mask's seed, or the private key behind the masks of pairs."""

_BOX_BYTES = 2 * SHARE_BYTES + 16
PARCEL_BYTES = 2 * KEY_BYTES + _BOX_BYTES
"""Length of what one client deals to another."""


@dataclass(frozen=True)
class Shares:
    """What one client holds of another: one share of each of its two secrets."""

    seed: int
    key: int

    def of(self, kind: ShareKind) -> int:
        """Returns the share of one secret."""
        return self.seed if kind == "seed" else self.key


@dataclass(frozen=True)
class Route:
    """Which way a parcel goes in which round."""

    session: SecureSession
    dealer: str
    holder: str

    def commitment(self, kind: ShareKind, share: int) -> bytes:
        """Returns the digest that holds the dealer and the holder to one share."""
        raw = share_bytes(share)
        return commitment("share", self.session.context, self.dealer, self.holder, kind, raw)

    def seal(self, own: X25519PrivateKey, other: bytes, shares: Shares) -> bytes:
        """Returns the parcel: a commitment to each share, in clear, and both shares, encrypted."""
        seen = self.commitment("seed", shares.seed) + self.commitment("key", shares.key)
        plain = share_bytes(shares.seed) + share_bytes(shares.key)
        return seen + close_box(self._key(own, other), plain, self._label(seen))

    def open(self, own: X25519PrivateKey, other: bytes, parcel: bytes) -> Shares:
        """Returns the shares in a parcel.

        Raises:
            SecureAggregationError: It is not what the dealer dealt to the holder in this round.
        """
        seen, box = parcel[: 2 * KEY_BYTES], parcel[2 * KEY_BYTES :]
        try:
            plain = open_box(self._key(own, other), box, self._label(seen))
        except ValueError as error:
            reason = f"the shares that it dealt cannot be read: {error}"
            raise SecureAggregationError(reason, self.dealer) from error
        halves = plain[:SHARE_BYTES], plain[SHARE_BYTES:]
        shares = Shares(*(int.from_bytes(half, "big") for half in halves))
        if seen != self.commitment("seed", shares.seed) + self.commitment("key", shares.key):
            raise SecureAggregationError("it dealt other shares than it says", self.dealer)
        return shares

    def _key(self, own: X25519PrivateKey, other: bytes) -> bytes:
        return agree(own, other, "parcel", self.session.context, self.dealer, self.holder)

    def _label(self, seen: bytes) -> bytes:
        return statement(self.session.context, self.dealer, self.holder, seen)


def committed(parcel: bytes, kind: ShareKind) -> bytes:
    """Returns the commitment to one of the shares in a parcel."""
    start = 0 if kind == "seed" else KEY_BYTES
    return parcel[start : start + KEY_BYTES]


def share_bytes(share: int) -> bytes:
    """Returns a share in its ``SHARE_BYTES``."""
    return share.to_bytes(SHARE_BYTES, "big")


def seed_commitment(session: SecureSession, client: str, seed: bytes) -> bytes:
    """Returns the digest that holds a client to its self-mask's seed."""
    return commitment("seed", session.context, client, seed)


def self_mask(session: SecureSession, seed: bytes) -> Array:
    """Returns the ``(size,)`` words that a seed stands for."""
    return session.number.keystream(seed, session.size)


def pair_mask(
    session: SecureSession, own: X25519PrivateKey, client: str, other: str, public: bytes
) -> Array:
    """Returns the ``(size,)`` words that ``client`` adds for ``other``, who adds their negative.

    Args:
        session: The round.
        own: The mask key of ``client``.
        client: Whose addend it is.
        other: The other of the pair.
        public: The public mask key of ``other``.

    Raises:
        SecureAggregationError: ``public`` is no usable key.
    """
    number: FixedPoint = session.number
    try:
        key = agree(own, public, "pair", session.context, *sorted((client, other)))
    except ValueError as error:
        raise SecureAggregationError("its mask key is not usable", other) from error
    words = number.keystream(key, session.size)
    return words if client < other else -words
