"""Lines on which messages are sealed, with keys of a round that both ends have come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, final
from uuid import UUID, uuid4

from qmarl.secure import one_time_pad
from qmarl.secure.agreement import Identities, ServerAgreement, reply
from qmarl.secure.cipher import (
    Address,
    CipherError,
    Direction,
    Receiver,
    Sender,
    header_of,
    wipe,
)
from qmarl.secure.keys import Key, KeyRequestError
from qmarl.secure.lines import Turn
from qmarl.secure.postquantum import Kem, combine
from qmarl.secure.remote_keys import Keys


class RoundKeys(Protocol):
    """Where both ends have the keys of a round from."""

    def at_sender(self, address: Address) -> Key:
        """Returns the sender's copy of a new key for a direction."""
        ...

    def at_receiver(self, address: Address, key_id: UUID) -> Key:
        """Returns the receiver's copy of it.

        Raises:
            KeyRequestError: There is no such key at the receiver's end.
        """
        ...

    def close(self) -> None:
        """Overwrites what the keys came from."""
        ...


@final
class AgreedKeys:
    """Keys from a post-quantum secret that both ends agreed upon in this round.

    Args:
        turn: The round; the agreement's two messages travel over its wire.
        identities: Both ends' signing keys.
        kem: How the secret is made.

    Raises:
        UndeliveredError: A message of the agreement was changed on its way.
    """

    def __init__(self, turn: Turn, identities: Identities, kem: Kem) -> None:
        about = turn.address("down").associated(kem.encode())
        server = ServerAgreement(identities, kem, about)
        answer, client = reply(identities, kem, about, turn.sent(server.hello(), "down"))
        self._client = client
        self._server = server.secret(turn.sent(answer, "up"))

    def at_sender(self, address: Address) -> Key:
        """Returns a new key by HKDF of the sender's secret."""
        key_id = uuid4()
        return self._derived(address, key_id, address.direction == "up")

    def at_receiver(self, address: Address, key_id: UUID) -> Key:
        """Returns the key by HKDF of the receiver's secret."""
        return self._derived(address, key_id, address.direction == "down")

    def joined(self, quantum: Key, address: Address, client: bool) -> Key:
        """Returns a quantum key joined with this secret, and overwrites the former."""
        secret = self._client if client else self._server
        context = address.associated(quantum.key_id.bytes)
        made = bytearray(combine(bytes(quantum.value), bytes(secret), context))
        quantum.wipe()
        return Key(quantum.key_id, made)

    def close(self) -> None:
        """Overwrites both ends' secrets."""
        wipe(self._client)
        wipe(self._server)

    def _derived(self, address: Address, key_id: UUID, client: bool) -> Key:
        secret = self._client if client else self._server
        context = address.associated(key_id.bytes)
        return Key(key_id, bytearray(combine(b"", bytes(secret), context)))


@final
@dataclass(frozen=True)
class QuantumKeys:
    """Keys that a key manager has from the quantum link.

    Attributes:
        manager: Hands them out: a key manager here, or a service.
        turn: The round.
        agreed: A post-quantum secret to join with each of them, if there is one.
    """

    manager: Keys
    turn: Turn
    agreed: AgreedKeys | None = None

    def at_sender(self, address: Address) -> Key:
        """Takes a new key as its master."""
        return self._joined(self.pad(address, None), address, address.direction == "up")

    def at_receiver(self, address: Address, key_id: UUID) -> Key:
        """Takes the key as its slave."""
        return self._joined(self.same_pad(address, key_id), address, address.direction == "down")

    def pad(self, address: Address, size: int | None) -> Key:
        """Takes a new key of ``size`` bits (256 where left out), for one use alone."""
        sender, receiver = self._ends(address)
        key = self.manager.enc_keys(sender, receiver, 1, size or 256)[0]
        self.turn.report.used += 8 * len(key.value)
        return key

    def same_pad(self, address: Address, key_id: UUID) -> Key:
        """Takes the other copy of a key."""
        sender, receiver = self._ends(address)
        return self.manager.dec_keys(receiver, sender, [key_id])[0]

    def close(self) -> None:
        """Overwrites the joined secret; the manager's keys go on to the next round."""
        if self.agreed is not None:
            self.agreed.close()

    def _ends(self, address: Address) -> tuple[str, str]:
        client, server = self.turn.client, self.turn.server
        return (client, server) if address.direction == "up" else (server, client)

    def _joined(self, key: Key, address: Address, client: bool) -> Key:
        return key if self.agreed is None else self.agreed.joined(key, address, client)


@final
class Sealing:
    """A round in which messages are sealed by AES-256-GCM, one key for each direction.

    Args:
        keys: Where the keys come from.
        turn: The round.
    """

    def __init__(self, keys: RoundKeys, turn: Turn) -> None:
        self._keys, self._turn = keys, turn
        self._senders: dict[Direction, Sender] = {}
        self._receivers: dict[Direction, Receiver] = {}

    def need(self, payload: int, direction: Direction) -> int:  # noqa: ARG002 - of any length
        """Returns the bits of key that the next message of a direction takes."""
        return 0 if direction in self._senders else 256

    def carry(self, payload: bytes, direction: Direction) -> bytes:
        """Seals, sends and opens a message."""
        arrived = self._turn.sent(self._sender(direction).seal(payload), direction)
        return self._receiver(direction, arrived).open(arrived)

    def close(self) -> None:
        """Overwrites the round's keys at both ends."""
        for end in (*self._senders.values(), *self._receivers.values()):
            end.close()
        self._keys.close()

    def _sender(self, direction: Direction) -> Sender:
        if direction not in self._senders:
            address = self._turn.address(direction)
            key = self._keys.at_sender(address)
            self._senders[direction] = Sender(key.value, key.key_id, address)
        return self._senders[direction]

    def _receiver(self, direction: Direction, arrived: bytes) -> Receiver:
        """The receiver's end, which learns the key's identifier from the first message."""
        if direction not in self._receivers:
            address = self._turn.address(direction)
            key = _other_copy(self._keys.at_receiver, address, arrived)
            self._receivers[direction] = Receiver(key.value, key.key_id, address)
        return self._receivers[direction]


@final
class Padding:
    """A round in which every message has a one-time pad of its own.

    Args:
        keys: The quantum link's keys.
        turn: The round.
    """

    def __init__(self, keys: QuantumKeys, turn: Turn) -> None:
        self._keys, self._turn = keys, turn

    def need(self, payload: int, direction: Direction) -> int:  # noqa: ARG002 - both ways alike
        """Returns the bits of key that a message of so many bytes takes."""
        return 8 * one_time_pad.key_bytes(payload)

    def carry(self, payload: bytes, direction: Direction) -> bytes:
        """Seals, sends and opens a message, and overwrites its pad at both ends."""
        address = self._turn.address(direction)
        ours = self._keys.pad(address, self.need(len(payload), direction))
        try:
            sealed = one_time_pad.seal(ours.value, ours.key_id, address, payload)
        finally:
            ours.wipe()
        arrived = self._turn.sent(sealed, direction)
        theirs = _other_copy(self._keys.same_pad, address, arrived)
        try:
            return one_time_pad.unseal(theirs.value, theirs.key_id, address, arrived)
        finally:
            theirs.wipe()

    def close(self) -> None:
        """No key outlives its message."""


def _other_copy(taken: Callable[[Address, UUID], Key], address: Address, arrived: bytes) -> Key:
    """The receiver's copy of the key that a message names."""
    try:
        return taken(address, header_of(arrived).key_id)
    except KeyRequestError:
        raise CipherError(
            f"a message {address} came under a key that is not there or was used before"
        ) from None
