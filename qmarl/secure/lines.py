"""What carries messages between one client and the server, and what is told of it afterwards."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol, final

from qmarl.errors import UndeliveredError
from qmarl.secure.cipher import Address, Direction
from qmarl.types import Channel, Link


@dataclass
class LineReport:
    """What happened on one client's line in one round; nothing of a key or a message is in it.

    Attributes:
        transport: How the line was to carry messages.
        fallback: How it did instead, empty where it did as it was to.
        sessions: Key exchanges, or messages sent without a key, that were tried.
        aborted: Why the last of them that aborted did; empty if none did.
        qber: Error rate that the last of them measured, in ``[0, 0.5]``; ``None`` without one.
        made: Bits of key made.
        used: Bits of key used up.
        left: Bits of key left at the round's end.
        eavesdropper: Who was on the line, as simulated; empty if nobody.
        leaked: Bits that the eavesdropper learned of raw keys or messages.
        messages: Messages delivered.
        undelivered: Messages that were not.
        refused: Those of them that came but were not as they were sealed.
        why: Why the last message was not delivered; empty if all were.
    """

    transport: str
    fallback: str = ""
    sessions: int = 0
    aborted: str = ""
    qber: float | None = None
    made: int = 0
    used: int = 0
    left: int = 0
    eavesdropper: str = ""
    leaked: float = 0.0
    messages: int = 0
    undelivered: int = 0
    refused: int = 0
    why: str = ""

    def plain(self) -> dict[str, Any]:
        """Everything as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Turn:
    """One round of one line.

    Attributes:
        session: 16 public bytes, drawn anew at every start of a run.
        round: The round.
        client: The client's name.
        server: The server's name.
        wire: What carries the bytes.
        report: What is to be told of it.
    """

    session: bytes
    round: int
    client: str
    server: str
    wire: Channel
    report: LineReport

    def address(self, direction: Direction) -> Address:
        """Where this round's messages of a direction belong."""
        return Address(self.session, self.round, self.client, direction)

    def way(self, link: Link) -> Direction:
        """Which direction a link is."""
        return "up" if link.sender == self.client else "down"

    def link(self, direction: Direction) -> Link:
        """The link of a direction."""
        if direction == "up":
            return Link(self.client, self.server, self.round)
        return Link(self.server, self.client, self.round)

    def sent(self, payload: bytes, direction: Direction) -> bytes:
        """Sends bytes over the wire and returns what comes out."""
        return self.wire.transfer(payload, self.link(direction))


class OpenLine(Protocol):
    """A line in one round."""

    def carry(self, payload: bytes, direction: Direction) -> bytes:
        """Carries a message and returns what the receiver reads.

        Raises:
            UndeliveredError: It was not delivered; nothing of it went over the wire in clear.
        """
        ...

    def close(self) -> None:
        """Overwrites the round's keys."""
        ...


class Line(Protocol):
    """What carries one client's messages, round after round."""

    @property
    def transport(self) -> str:
        """How it carries them, by the name in the configuration."""
        ...

    @property
    def left(self) -> int:
        """Bits of key that are left from round to round."""
        ...

    def open(self, turn: Turn) -> OpenLine:
        """Begins a round.

        Raises:
            UndeliveredError: Nothing can be carried in this round.
            RunError: The run has to end, because it was configured so.
        """
        ...

    def restore(self, left: int) -> None:
        """Goes on with as many bits of key as a checkpoint says were left; they are drawn anew."""
        ...


@final
@dataclass(frozen=True)
class PlainLine:
    """Messages travel as they are."""

    transport: str = "plain"
    left: int = 0

    def open(self, turn: Turn) -> OpenLine:
        """Begins a round."""
        return _Plain(turn)

    def restore(self, left: int) -> None:
        """There are no keys."""


@final
@dataclass(frozen=True)
class _Plain:
    turn: Turn

    def carry(self, payload: bytes, direction: Direction) -> bytes:
        return self.turn.sent(payload, direction)

    def close(self) -> None:
        pass


@final
@dataclass(frozen=True)
class DownLine:
    """A round in which nothing can be carried.

    Attributes:
        why: The reason.
    """

    why: str

    def carry(self, payload: bytes, direction: Direction) -> bytes:  # noqa: ARG002
        """Refuses every message."""
        raise UndeliveredError(self.why)

    def close(self) -> None:
        """There are no keys."""
