"""The client's side of secure aggregation: one object for one round, one stage after the other."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from qmarl.federated.masking import KEY_BYTES
from qmarl.federated.secagg import SecureAggregationError, SecureSession
from qmarl.federated.secagg_dealing import (
    Route,
    Shares,
    pair_mask,
    seed_commitment,
    self_mask,
    share_bytes,
)
from qmarl.federated.secagg_identity import Identity
from qmarl.federated.secagg_wire import Kind, key_of, members, pack, unpack
from qmarl.federated.shamir import split
from qmarl.types import Array

Stage = Literal["advertise", "share", "mask", "confirm", "reveal", "over"]


@dataclass(frozen=True)
class _Peers:
    """What this client learns of the others as the round goes on."""

    cipher: dict[str, bytes] = field(default_factory=dict)
    mask: dict[str, bytes] = field(default_factory=dict)
    shares: dict[str, Shares] = field(default_factory=dict)


class SecureClient:
    """One client in one round.

    Every stage runs once, in order; whatever goes wrong ends the round for this client. So it can
    never be brought to reveal a second share of anybody's.

    Args:
        session: The round.
        name: This client's name.
        identity: Its signing key, of which ``session.identities`` has the public half.

    Raises:
        SecureAggregationError: The session knows another identity, or none, under this name.
    """

    def __init__(self, session: SecureSession, name: str, identity: Identity) -> None:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        if session.identities.get(name) != identity.public:
            raise SecureAggregationError("the session has another identity under this name", name)
        self.session = session
        self.name = name
        self._identity = identity
        self._cipher_key = X25519PrivateKey.generate()
        self._mask_key = X25519PrivateKey.generate()
        self._seed = os.urandom(KEY_BYTES)
        self._peers = _Peers()
        self._survivors: tuple[str, ...] = ()
        self._stage: Stage = "advertise"

    def advertise(self) -> bytes:
        """Returns this round's public keys and a commitment to the self-mask's seed, signed."""
        self._enter("advertise", "share")
        return self._pack(
            "advert",
            {
                "cipher": self._cipher_key.public_key().public_bytes_raw(),
                "mask": self._mask_key.public_key().public_bytes_raw(),
                "seed": seed_commitment(self.session, self.name, self._seed),
            },
        )

    def share(self, roster: bytes) -> bytes:
        """Takes everyone's public keys and returns a share of both secrets for each, encrypted.

        Raises:
            SecureAggregationError: The keys are fewer than the threshold, not all different, or not
                signed for this round by the client whose they are said to be.
        """
        self._enter("share", "over")
        adverts = self._read(roster, "roster", self.session.clients)
        for peer, advert in adverts.items():
            self._meet(peer, advert)
        public = [*self._peers.cipher.values(), *self._peers.mask.values()]
        if len(set(public)) != len(public):
            raise SecureAggregationError("two clients, or two purposes, have the same public key")
        parcels = self._deal()
        self._stage = "mask"
        return self._pack("shares", parcels)

    def mask(self, deliveries: bytes, vector: Array) -> bytes:
        """Takes what the others dealt and returns the masked vector.

        Args:
            deliveries: The server's message.
            vector: ``(size,)`` finite numbers; those beyond the range are clipped.

        Raises:
            SecureAggregationError: The dealers are fewer than the threshold, a share is not what
                its dealer promised, or the vector is misshapen or not finite.
        """
        self._enter("mask", "over")
        parcels = self._read(deliveries, "deliveries", self._peers.cipher)
        for dealer, parcel in parcels.items():
            route, public = Route(self.session, dealer, self.name), self._peers.cipher[dealer]
            self._peers.shares[dealer] = route.open(self._cipher_key, public, parcel)
        words = self._words(vector) + self_mask(self.session, self._seed)
        for peer in sorted(set(parcels) - {self.name}):
            words += pair_mask(
                self.session, self._mask_key, self.name, peer, self._peers.mask[peer]
            )
        self._stage = "confirm" if self.session.active_server else "reveal"
        return self._pack("masked", {"words": words.tobytes()})

    def confirm(self, survivors: bytes) -> bytes:
        """Takes who is in the sum and signs it, where the server is not trusted to tell all alike.

        Raises:
            SecureAggregationError: They are fewer than the threshold, or this client is left out.
        """
        self._enter("confirm", "over")
        self._survivors = self._included(survivors)
        self._stage = "reveal"
        return self._pack("confirm", dict.fromkeys(self._survivors, b""))

    def reveal(self, message: bytes) -> bytes:
        """Returns one share of each: of the seed for those in the sum, else of the mask key.

        Args:
            message: Who is in the sum; against an active server, everyone's signature under that.

        Raises:
            SecureAggregationError: Fewer than the threshold are in the sum, or have signed the same
                as this client.
        """
        self._enter("reveal", "over")
        if self.session.active_server:
            self._agreed(message)
        else:
            self._survivors = self._included(message)
        shares = {
            peer: b"s" + share_bytes(held.seed)
            if peer in self._survivors
            else b"k" + share_bytes(held.key)
            for peer, held in sorted(self._peers.shares.items())
        }
        self._peers.shares.clear()
        return self._pack("reveal", shares)

    def _enter(self, wanted: Stage, following: Stage) -> None:
        if self._stage != wanted:
            raise SecureAggregationError(f"it is at stage '{self._stage}', not '{wanted}'")
        self._stage = following

    def _pack(self, kind: Kind, body: Mapping[str, bytes]) -> bytes:
        return pack(kind, self.session, self.name, body, self._identity)

    def _read(self, payload: bytes, kind: Kind, allowed: Collection[str]) -> dict[str, bytes]:
        """Returns what the server says of clients: enough of them, this one among them."""
        message = unpack(payload, kind, self.session, None)
        try:
            named = members(message.body, allowed)
        except ValueError as error:
            raise SecureAggregationError(f"{kind} refused: {error}") from error
        if message.client != self.name or self.name not in named:
            raise SecureAggregationError(f"the {kind} are not meant for {self.name!r}")
        if len(named) < self.session.threshold:
            raise SecureAggregationError(
                f"the {kind} name {len(named)} clients, {self.session.threshold} are needed"
            )
        return message.body

    def _meet(self, peer: str, advert: bytes) -> None:
        body = unpack(advert, "advert", self.session, peer).body
        try:
            self._peers.cipher[peer] = key_of(body, "cipher")
            self._peers.mask[peer] = key_of(body, "mask")
        except ValueError as error:
            raise SecureAggregationError(f"its keys are refused: {error}", peer) from error

    def _deal(self) -> dict[str, bytes]:
        holders = sorted(self._peers.cipher)
        points = [self.session.points[holder] for holder in holders]
        secrets = [self._seed, self._mask_key.private_bytes_raw()]
        seeds, keys = (
            split(int.from_bytes(secret, "big"), self.session.threshold, points)
            for secret in secrets
        )
        parcels: dict[str, bytes] = {}
        for holder, point in zip(holders, points, strict=True):
            route = Route(self.session, self.name, holder)
            shares = Shares(seeds[point], keys[point])
            try:
                parcels[holder] = route.seal(self._cipher_key, self._peers.cipher[holder], shares)
            except ValueError as error:
                raise SecureAggregationError("its public key is not usable", holder) from error
        return parcels

    def _words(self, vector: Array) -> Array:
        if vector.shape != (self.session.size,):
            raise SecureAggregationError(
                f"its vector has shape {vector.shape}, not ({self.session.size},)", self.name
            )
        try:
            return self.session.number.encode(np.asarray(vector, np.float64))
        except ValueError as error:
            raise SecureAggregationError(f"its vector: {error}", self.name) from error

    def _included(self, payload: bytes) -> tuple[str, ...]:
        return tuple(sorted(self._read(payload, "survivors", self._peers.shares)))

    def _agreed(self, payload: bytes) -> None:
        for peer, confirmation in self._read(payload, "confirmations", self._survivors).items():
            body = unpack(confirmation, "confirm", self.session, peer).body
            if tuple(sorted(body)) != self._survivors:
                raise SecureAggregationError("it was told of another sum", peer)
