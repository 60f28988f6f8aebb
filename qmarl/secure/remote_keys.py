"""Keys from a key service instead of a simulated link: each end asks for its own copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, final
from uuid import UUID

from qmarl.secure.cipher import wipe
from qmarl.secure.keys import Key

if TYPE_CHECKING:
    from qmarl.secure.key_client import KeyClient


class Keys(Protocol):
    """What gives keys to both ends: a key manager here, or a service."""

    def stored(self, first: str, second: str, /) -> int:
        """Returns how many bits a pair has left."""
        ...

    def deliver(self, first: str, second: str, secret: bytearray, /) -> int:
        """Takes in what a quantum link made, and overwrites ``secret``; the bits that were kept."""
        ...

    def enc_keys(self, caller: str, peer: str, number: int, size: int, /) -> list[Key]:
        """Gives new keys of ``size`` bits to their master."""
        ...

    def dec_keys(self, caller: str, peer: str, key_ids: Sequence[UUID], /) -> list[Key]:
        """Gives keys to their slave, once."""
        ...


@final
class RemoteKeys:
    """Keys of a service.

    Args:
        ends: The way of each application to the service, by name.
    """

    def __init__(self, ends: Mapping[str, KeyClient]) -> None:
        self._ends = dict(ends)

    def stored(self, first: str, second: str, /) -> int:
        """Returns how many bits the service says a pair has left."""
        status = self._ends[first].status(second)
        return int(status["stored_key_count"]) * int(status["key_size"])

    def deliver(self, first: str, second: str, secret: bytearray, /) -> int:  # noqa: ARG002
        """Keeps nothing: a service has its keys from its own links."""
        wipe(secret)
        return 0

    def enc_keys(self, caller: str, peer: str, number: int, size: int, /) -> list[Key]:
        """Asks for new keys as their master."""
        return self._ends[caller].enc_keys(peer, number, size)

    def dec_keys(self, caller: str, peer: str, key_ids: Sequence[UUID], /) -> list[Key]:
        """Asks for keys as their slave."""
        return self._ends[caller].dec_keys(peer, list(key_ids))
