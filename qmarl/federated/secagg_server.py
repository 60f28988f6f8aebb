"""The server's side of secure aggregation: passes messages on, counts heads, and learns one sum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from qmarl.federated.masking import KEY_BYTES
from qmarl.federated.round_report import Rejection
from qmarl.federated.secagg import SecureAggregationError, SecureSession
from qmarl.federated.secagg_dealing import (
    PARCEL_BYTES,
    Route,
    ShareKind,
    committed,
    pair_mask,
    seed_commitment,
    self_mask,
)
from qmarl.federated.secagg_wire import Kind, Signed, key_of, members, pack, unpack
from qmarl.federated.shamir import PRIME, SHARE_BYTES, combine, lagrange
from qmarl.types import Array

Collected = Literal["advert", "shares", "masked", "confirm", "reveal"]
"""What clients send, stage by stage."""


@dataclass(frozen=True)
class SecureSum:
    """What the server learns of a round.

    Attributes:
        clients: Whose vectors are in the sum, sorted.
        words: ``(size,)`` their sum in fixed point, modulo ``2^bits``; exact.
        values: ``(size,)`` float64, the same as numbers.
    """

    clients: tuple[str, ...]
    words: Array
    values: Array


@dataclass(frozen=True)
class _Inbox:
    """What every stage has brought, by client."""

    adverts: dict[str, Signed] = field(default_factory=dict)
    parcels: dict[str, dict[str, bytes]] = field(default_factory=dict)
    words: dict[str, Array] = field(default_factory=dict)
    confirmed: dict[str, bytes] = field(default_factory=dict)
    shares: dict[str, dict[str, int]] = field(default_factory=dict)


class SecureServer:
    """The server in one round.

    At each stage it takes messages with :meth:`receive` and ends it with :meth:`close`; whoever has
    sent nothing good by then has dropped out. After the last stage :meth:`total` gives the sum.

    Args:
        session: The round.

    Attributes:
        rejected: Messages that were not used, whose they were, and why.
    """

    def __init__(self, session: SecureSession) -> None:
        self.session = session
        self.rejected: list[Rejection] = []
        self._inbox = _Inbox()
        self._present = session.clients
        self._stage: Collected | Literal["done", "over"] = "advert"

    @property
    def stage(self) -> str:
        """What is being collected; ``done`` when the sum is there, ``over`` after an abort."""
        return self._stage

    def receive(self, payload: bytes, sender: str) -> Rejection | None:
        """Takes in a client's message, or refuses it; a bad one never raises, it is reported.

        Args:
            payload: The message as it came out of the channel.
            sender: Who the channel says sent it.

        Returns:
            Why it was refused, ``None`` if it was not.
        """
        try:
            self._take(payload, sender)
        except (SecureAggregationError, ValueError) as error:
            rejection = Rejection(sender, str(error))
            self.rejected.append(rejection)
            return rejection
        return None

    def close(self) -> dict[str, bytes]:
        """Ends a stage.

        Returns:
            A message for each client that is still there; none after the last stage.

        Raises:
            SecureAggregationError: Fewer clients than the threshold are left; the round is over.
        """
        stage, self._stage = self._stage, "over"
        if stage == "done" or stage == "over":
            raise SecureAggregationError("the round is over")
        came = self._came(stage)
        if len(came) < self.session.threshold:
            raise SecureAggregationError(
                f"{len(came)} of {len(self.session.clients)} clients are left after '{stage}',"
                f" {self.session.threshold} are needed"
            )
        self._present = came
        self._stage = self._next(stage)
        return self._messages(stage)

    def total(self) -> SecureSum:
        """Returns the sum of the vectors of all clients whose masked vector arrived.

        Raises:
            SecureAggregationError: The last stage is not closed, or the shares that a client dealt
                do not make the secret that it had promised; the text names it.
        """
        if self._stage != "done":
            raise SecureAggregationError(f"there is no sum at stage '{self._stage}'")
        self._stage = "over"
        words = self._sum()
        self._stage = "done"
        return SecureSum(tuple(sorted(self._inbox.words)), words, self.session.number.decode(words))

    def _take(self, payload: bytes, sender: str) -> None:
        stage = self._stage
        if stage == "done" or stage == "over":
            raise ValueError("the round is over")
        if sender not in self._present:
            raise ValueError(f"it takes no part at stage '{stage}'")
        if sender in self._came(stage):
            raise ValueError(f"a second message at stage '{stage}'")
        message = unpack(payload, stage, self.session, sender)
        match stage:
            case "advert":
                self._inbox.adverts[sender] = _checked_advert(message)
            case "shares":
                self._inbox.parcels[sender] = self._checked_parcels(message)
            case "masked":
                words = message.body.get("words", b"")
                self._inbox.words[sender] = self.session.number.read(words, self.session.size)
            case "confirm":
                self._inbox.confirmed[sender] = self._checked_confirmation(message)
            case "reveal":
                self._inbox.shares[sender] = self._checked_shares(message)

    def _came(self, stage: Collected) -> tuple[str, ...]:
        inbox = self._inbox
        found: dict[Collected, Mapping[str, object]] = {
            "advert": inbox.adverts,
            "shares": inbox.parcels,
            "masked": inbox.words,
            "confirm": inbox.confirmed,
            "reveal": inbox.shares,
        }
        return tuple(sorted(found[stage]))

    def _next(self, stage: Collected) -> Collected | Literal["done"]:
        match stage:
            case "advert":
                return "shares"
            case "shares":
                return "masked"
            case "masked":
                return "confirm" if self.session.active_server else "reveal"
            case "confirm":
                return "reveal"
            case "reveal":
                return "done"

    def _messages(self, stage: Collected) -> dict[str, bytes]:
        match stage:
            case "advert":
                adverts = {name: advert.raw for name, advert in self._inbox.adverts.items()}
                return self._to_all("roster", adverts)
            case "shares":
                return {
                    holder: pack("deliveries", self.session, holder, self._dealt_to(holder))
                    for holder in self._present
                }
            case "masked":
                return self._to_all("survivors", dict.fromkeys(self._inbox.words, b""))
            case "confirm":
                return self._to_all("confirmations", self._inbox.confirmed)
            case "reveal":
                return {}

    def _to_all(self, kind: Kind, body: Mapping[str, bytes]) -> dict[str, bytes]:
        return {name: pack(kind, self.session, name, body) for name in self._present}

    def _dealt_to(self, holder: str) -> dict[str, bytes]:
        return {dealer: parcels[holder] for dealer, parcels in self._inbox.parcels.items()}

    def _checked_parcels(self, message: Signed) -> dict[str, bytes]:
        if members(message.body, self._inbox.adverts) != tuple(sorted(self._inbox.adverts)):
            raise ValueError("it did not deal to everyone")
        if any(len(parcel) != PARCEL_BYTES for parcel in message.body.values()):
            raise ValueError(f"a parcel must have {PARCEL_BYTES} bytes")
        return message.body

    def _checked_confirmation(self, message: Signed) -> bytes:
        if members(message.body, self._inbox.words) != tuple(sorted(self._inbox.words)):
            raise ValueError("it signed another list of clients")
        return message.raw

    def _checked_shares(self, message: Signed) -> dict[str, int]:
        if members(message.body, self._inbox.parcels) != tuple(sorted(self._inbox.parcels)):
            raise ValueError("it did not reveal one share of each")
        return {
            dealer: self._checked_share(dealer, message.client, piece)
            for dealer, piece in message.body.items()
        }

    def _checked_share(self, dealer: str, holder: str, piece: bytes) -> int:
        kind: ShareKind = "seed" if dealer in self._inbox.words else "key"
        if len(piece) != 1 + SHARE_BYTES or piece[:1] != kind[:1].encode():
            raise ValueError(f"its share of {dealer!r} is not one of the {kind}")
        share = int.from_bytes(piece[1:], "big")
        promised = committed(self._inbox.parcels[dealer][holder], kind)
        if (
            share >= PRIME
            or Route(self.session, dealer, holder).commitment(kind, share) != promised
        ):
            raise ValueError(f"its share of {dealer!r} is not the one that was dealt to it")
        return share

    def _sum(self) -> Array:
        inbox, session = self._inbox, self.session
        used = self._present[: session.threshold]
        factors = lagrange([session.points[holder] for holder in used])
        total: Array = np.sum(list(inbox.words.values()), axis=0, dtype=inbox.words[used[0]].dtype)
        for dealer in sorted(inbox.parcels):
            pieces = {session.points[holder]: inbox.shares[holder][dealer] for holder in used}
            secret = self._secret(dealer, combine(pieces, session.threshold, factors))
            if dealer in inbox.words:
                total -= self._self_mask(dealer, secret)
            else:
                for addend in self._missing_masks(dealer, secret):
                    total += addend
        return total

    def _secret(self, dealer: str, number: int) -> bytes:
        if number >= 2 ** (8 * KEY_BYTES):
            raise SecureAggregationError("the shares that it dealt do not fit together", dealer)
        return number.to_bytes(KEY_BYTES, "big")

    def _self_mask(self, dealer: str, seed: bytes) -> Array:
        promised = key_of(self._inbox.adverts[dealer].body, "seed")
        if seed_commitment(self.session, dealer, seed) != promised:
            raise SecureAggregationError("it dealt shares of another seed", dealer)
        return self_mask(self.session, seed)

    def _missing_masks(self, dealer: str, private: bytes) -> list[Array]:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        key = X25519PrivateKey.from_private_bytes(private)
        adverts = self._inbox.adverts
        if key.public_key().public_bytes_raw() != key_of(adverts[dealer].body, "mask"):
            raise SecureAggregationError("it dealt shares of another mask key", dealer)
        return [
            pair_mask(self.session, key, dealer, peer, key_of(adverts[peer].body, "mask"))
            for peer in self._inbox.words
        ]


def _checked_advert(message: Signed) -> Signed:
    if set(message.body) != {"cipher", "mask", "seed"}:
        raise ValueError("an advert has two keys and a commitment")
    for name in message.body:
        key_of(message.body, name)
    return message
