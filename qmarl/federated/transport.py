"""How bytes get across, and how many they were."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from qmarl.types import Channel, Link

SERVER = "server"
"""Name of the server in a :class:`~qmarl.types.Link`; no client may have it."""


@dataclass(frozen=True)
class InMemoryChannel:
    """Delivers what it is given: client and server live in one process or on one trusted wire."""

    def transfer(self, payload: bytes, link: Link) -> bytes:  # noqa: ARG002 - all links are equal
        """Returns ``payload`` itself."""
        return payload


class Traffic(NamedTuple):
    """Bytes that travelled: ``up`` to the server, ``down`` to clients."""

    up: int
    down: int


@dataclass(frozen=True)
class MeteredChannel:
    """Wraps a channel and counts the bytes that are handed to it.

    Under an encrypting channel it counts ciphertext, above it plain messages.

    Attributes:
        inner: Carries the bytes.
        sent: Bytes by link, which names sender, receiver and round; failed transfers count too.
    """

    inner: Channel
    sent: dict[Link, int] = field(default_factory=dict)

    def transfer(self, payload: bytes, link: Link) -> bytes:
        """Counts ``payload`` and lets the inner channel carry it."""
        self.sent[link] = self.sent.get(link, 0) + len(payload)
        return self.inner.transfer(payload, link)

    def take(self, round_number: int) -> Traffic:
        """Returns what travelled in a round and forgets its links, so that memory stays small."""
        links = [link for link in self.sent if link.round == round_number]
        sizes = [(link.receiver == SERVER, self.sent.pop(link)) for link in links]
        return Traffic(sum(n for up, n in sizes if up), sum(n for up, n in sizes if not up))
