"""Hands out quantum keys to the two ends of a link, once each, by the names of ETSI GS QKD 014."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import Any
from uuid import UUID, uuid4

from qmarl.config import unknown
from qmarl.errors import RunError
from qmarl.secure.cipher import wipe
from qmarl.secure.key_access import KeyLimits
from qmarl.secure.key_store import KeyStore


class KeyRequestError(RunError):
    """A request for keys is refused; the text says why and never holds anything of a key.

    Attributes:
        status: The HTTP status of the interface: 400 for a bad request, 401 where keys are not for
            whoever asks, 503 where there are none.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"key request refused: {reason}")
        self.status = status


class ExhaustedError(KeyRequestError):
    """There is less key than was asked for."""

    def __init__(self, reason: str) -> None:
        super().__init__(503, reason)


@dataclass
class Key:
    """One key at one end.

    Attributes:
        key_id: Its identifier, the same at both ends, public.
        value: Its bytes; :meth:`wipe` overwrites them.
    """

    key_id: UUID
    value: bytearray = field(repr=False)

    def wipe(self) -> None:
        """Overwrites the key with zeros."""
        wipe(self.value)


Pair = tuple[str, str]


class KeyManager:
    """The key management entities (KME) at both ends of quantum links, and what they agree upon.

    Links deliver secret bits for a pair of applications (SAE). One of them, the master of a key,
    takes it by :meth:`enc_keys`; the other, its slave, by :meth:`dec_keys` with the key's
    identifier. Then it is gone: no bit is given out twice at one end.

    Args:
        store: Where keys wait, encrypted; keys that a directory holds already are taken over.
        limits: Sizes.
        kmes: Names of the two entities, of the masters' and the slaves' side.
    """

    def __init__(
        self,
        store: KeyStore,
        limits: KeyLimits | None = None,
        kmes: tuple[str, str] = ("kme-1", "kme-2"),
    ) -> None:
        self._store, self._kmes = store, kmes
        self.limits = limits or KeyLimits()
        self._pools: dict[Pair, list[str]] = {}
        self._delivered = 0
        self._waiting: dict[UUID, tuple[str, str, str]] = {}
        self._lock = RLock()
        for name in store.names():
            self._take_over(name)

    def connect(self, first: str, second: str) -> None:
        """Lets two applications have keys together."""
        with self._lock:
            self._pools.setdefault(_pair(first, second), [])

    def deliver(self, first: str, second: str, secret: bytearray) -> int:
        """Takes in what a quantum link made; ``secret`` itself is overwritten.

        Returns:
            How many bits were kept; beyond ``max_key_count`` they are thrown away.

        Raises:
            KeyRequestError: The two were never connected.
        """
        with self._lock:
            pool = self._pool(first, second)
            room = self.limits.max_key_count * self.limits.key_size // 8 - self._bytes(pool)
            kept = secret[: max(room, 0)]
            wipe(secret)
            if kept:
                self._append(_pair(first, second), kept)
            return 8 * len(kept)

    def stored(self, first: str, second: str) -> int:
        """Returns how many bits a pair has left."""
        with self._lock:
            return 8 * self._bytes(self._pool(first, second))

    def status(self, caller: str, slave_SAE_ID: str) -> dict[str, Any]:  # noqa: N803 - ETSI
        """Returns the status of the keys that ``caller`` can share with ``slave_SAE_ID``.

        Raises:
            KeyRequestError: One of them is unknown, or they are not connected.
        """
        stored = self.stored(caller, slave_SAE_ID)
        limits = self.limits
        return {
            "source_KME_ID": self._kmes[0],
            "target_KME_ID": self._kmes[1],
            "master_SAE_ID": caller,
            "slave_SAE_ID": slave_SAE_ID,
            "key_size": limits.key_size,
            "stored_key_count": stored // limits.key_size,
            "max_key_count": limits.max_key_count,
            "max_key_per_request": limits.max_key_per_request,
            "max_key_size": limits.max_key_size,
            "min_key_size": limits.min_key_size,
            "max_SAE_ID_count": 0,
        }

    def enc_keys(
        self,
        caller: str,
        slave_SAE_ID: str,  # noqa: N803 - ETSI
        number: int = 1,
        size: int | None = None,
    ) -> list[Key]:
        """Gives new keys to their master and lays copies aside for their slave.

        Args:
            caller: Who asks, the master of these keys.
            slave_SAE_ID: Who will have them, too.
            number: How many.
            size: Bits of each, a multiple of 8; ``key_size`` where left out.

        Raises:
            KeyRequestError: The two are not connected, or number or size are not allowed.
            ExhaustedError: There is less key than that; none of it is used up.
        """
        size = self.limits.key_size if size is None else size
        self._check_wanted(number, size)
        with self._lock:
            pool = self._pool(caller, slave_SAE_ID)
            if (left := 8 * self._bytes(pool)) < number * size:
                raise ExhaustedError(
                    f"{number * size} bits for {caller!r} and {slave_SAE_ID!r}, but {left} are left"
                )
            pair = _pair(caller, slave_SAE_ID)
            return [self._issued(pair, caller, slave_SAE_ID, size // 8) for _ in range(number)]

    def dec_keys(
        self,
        caller: str,
        master_SAE_ID: str,  # noqa: N803 - ETSI
        key_IDs: Sequence[str | UUID],  # noqa: N803 - ETSI
    ) -> list[Key]:
        """Gives keys to their slave, once.

        Args:
            caller: Who asks, the slave of these keys.
            master_SAE_ID: Who has them already.
            key_IDs: Which ones.

        Raises:
            KeyRequestError: The two are not connected, or an identifier is malformed, repeated,
                unknown, used before, or of a key for others; then none is given out.
        """
        wanted = [_uuid(each) for each in key_IDs]
        if not wanted:
            raise KeyRequestError(400, "no key_ID is named")
        if len(set(wanted)) != len(wanted):
            raise KeyRequestError(400, "one key_ID is named twice")
        with self._lock:
            self._pool(caller, master_SAE_ID)
            for key_id in wanted:
                self._check_waiting(key_id, caller, master_SAE_ID)
            names = [(key_id, self._waiting.pop(key_id)[2]) for key_id in wanted]
            return [Key(key_id, self._store.take(name)) for key_id, name in names]

    def close(self) -> None:
        """Forgets all keys that are not in a directory, and the store's own key."""
        with self._lock:
            self._store.close()
            self._pools.clear()
            self._waiting.clear()

    def _pool(self, first: str, second: str) -> list[str]:
        known = sorted({name for pair in self._pools for name in pair})
        for name in (first, second):
            if name not in known:
                raise KeyRequestError(401, unknown("SAE", name, known))
        pair = _pair(first, second)
        if pair not in self._pools:
            raise KeyRequestError(401, f"{first!r} and {second!r} share no quantum link")
        return self._pools[pair]

    def _bytes(self, pool: Sequence[str]) -> int:
        return sum(self._store.length(name) for name in pool)

    def _append(self, pair: Pair, secret: bytearray, front: bool = False) -> None:
        name = json.dumps(["pool", *pair, self._delivered])
        self._delivered += 1
        self._store.put(name, secret)
        self._pools[pair].insert(0 if front else len(self._pools[pair]), name)

    def _drawn(self, pair: Pair, count: int) -> bytearray:
        """Takes the oldest bytes of a pair, of which there are enough."""
        drawn, pool = bytearray(), self._pools[pair]
        while len(drawn) < count:
            block = self._store.take(pool.pop(0))
            missing = count - len(drawn)
            drawn += block[:missing]
            if rest := block[missing:]:
                self._append(pair, rest, front=True)
            wipe(block)
        return drawn

    def _issued(self, pair: Pair, master: str, slave: str, count: int) -> Key:
        key = Key(uuid4(), self._drawn(pair, count))
        name = json.dumps(["key", str(key.key_id), master, slave])
        self._store.put(name, bytearray(key.value))
        self._waiting[key.key_id] = (master, slave, name)
        return key

    def _check_wanted(self, number: int, size: int) -> None:
        limits = self.limits
        if not 1 <= number <= limits.max_key_per_request:
            raise KeyRequestError(
                400, f"{number} keys; a request gets 1 to {limits.max_key_per_request}"
            )
        if size % 8 or not limits.min_key_size <= size <= limits.max_key_size:
            raise KeyRequestError(
                400,
                f"keys of {size} bits; allowed are multiples of 8 from {limits.min_key_size} to "
                f"{limits.max_key_size}",
            )

    def _check_waiting(self, key_id: UUID, slave: str, master: str) -> None:
        if key_id not in self._waiting:
            raise KeyRequestError(400, f"key_ID {key_id} is unknown or was given out before")
        if self._waiting[key_id][:2] != (master, slave):
            raise KeyRequestError(401, f"the key {key_id} is not for {slave!r} from {master!r}")

    def _take_over(self, name: str) -> None:
        """Finds its place for a secret that a directory held."""
        kind, *parts = json.loads(name)
        if kind == "pool":
            first, second, number = parts
            self._pools.setdefault((first, second), []).append(name)
            self._delivered = max(self._delivered, number + 1)
        else:
            key_id, master, slave = parts
            self._pools.setdefault(_pair(master, slave), [])
            self._waiting[UUID(key_id)] = (master, slave, name)


def container(keys: Sequence[Key]) -> dict[str, Any]:
    """Returns keys as the interface's JSON: identifiers, and values in base64."""
    return {
        "keys": [
            {"key_ID": str(key.key_id), "key": base64.b64encode(key.value).decode()} for key in keys
        ]
    }


def contained(data: Any) -> list[Key]:
    """Reads the interface's JSON.

    Raises:
        KeyRequestError: It is not as the interface says; the text shows nothing of it.
    """
    try:
        return [
            Key(_uuid(one["key_ID"]), bytearray(base64.b64decode(one["key"], validate=True)))
            for one in data["keys"]
        ]
    except (KeyError, TypeError, binascii.Error, ValueError):
        raise KeyRequestError(400, "what came is not a container of keys") from None


def _pair(first: str, second: str) -> Pair:
    return (first, second) if first <= second else (second, first)


def _uuid(text: str | UUID) -> UUID:
    try:
        return text if isinstance(text, UUID) else UUID(text)
    except (ValueError, AttributeError, TypeError):
        raise KeyRequestError(400, "a key_ID is not a UUID") from None
