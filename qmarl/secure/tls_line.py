"""TLS 1.3 between a client and the server: the real protocol, over the federation's channel."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import final

from qmarl.errors import UndeliveredError
from qmarl.secure.certificates import Authority, Credential, common_name
from qmarl.secure.cipher import Direction
from qmarl.secure.lines import Turn

_LONGEST_NAME = 64  # of a common name
_STEPS = 10  # a handshake takes three


@dataclass(frozen=True)
class TlsEnds:
    """Both ends' contexts, with certificates of one authority.

    Attributes:
        server: The server's.
        client: The client's.
        server_name: Common name of the server's certificate.
        client_name: Common name of the client's certificate.
    """

    server: ssl.SSLContext
    client: ssl.SSLContext
    server_name: str
    client_name: str


def tls_ends(authority: Authority, server: str, client: str) -> TlsEnds:
    """Gives both ends certificates, before the run, as a person would.

    Args:
        authority: Vouches for both.
        server: Name of the server.
        client: Name of the client.
    """
    names = _short(server), _short(client)
    ours, theirs = (authority.issue(name) for name in names)
    return TlsEnds(_context(authority, ours, True), _context(authority, theirs, False), *names)


@final
@dataclass(frozen=True)
class TlsLine:
    """A new connection of TLS 1.3 with certificates on both sides, in every round.

    Attributes:
        ends: Both ends' contexts.
        transport: Name in the configuration.
        left: There are no keys from round to round.
    """

    ends: TlsEnds
    transport: str = "tls"
    left: int = 0

    def open(self, turn: Turn) -> TlsConnection:
        """Shakes hands.

        Raises:
            UndeliveredError: The two ends do not believe each other.
        """
        connection = TlsConnection(self.ends, turn)
        connection.shake_hands()
        turn.report.sessions += 1
        return connection

    def restore(self, left: int) -> None:
        """There are no keys."""


class _End:
    """One end: what came in, the protocol, what has to go out."""

    def __init__(self, context: ssl.SSLContext, server: bool) -> None:
        self.coming, self._going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.coming, self._going, server_side=server)

    def shaken(self) -> bool:
        """Goes on with the handshake as far as it can; whether it is done."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def outgoing(self) -> bytes:
        """Takes what has to be sent."""
        return self._going.read()

    def read(self) -> bytes:
        """Takes all that was decrypted."""
        parts = []
        try:
            while part := self.tls.read(2**16):
                parts.append(part)
        except ssl.SSLWantReadError:
            pass
        return b"".join(parts)


@final
class TlsConnection:
    """A connection between two ends that only share a wire.

    Args:
        ends: Their contexts.
        turn: The round.
    """

    def __init__(self, ends: TlsEnds, turn: Turn) -> None:
        self._ends, self._turn = ends, turn
        self._server, self._client = _End(ends.server, True), _End(ends.client, False)
        self._why = ""

    def shake_hands(self) -> None:
        """Connects the two ends, and looks whether each is who it should be."""
        try:
            self._shake()
        except ssl.SSLError as error:
            raise UndeliveredError(f"the TLS handshake failed: {error.reason}") from None
        found = tuple(common_name(end.tls.getpeercert()) for end in (self._client, self._server))
        if found != (self._ends.server_name, self._ends.client_name):
            raise UndeliveredError(f"TLS certificates of {found[0]!r} and {found[1]!r} came")

    def carry(self, payload: bytes, direction: Direction) -> bytes:
        """Sends a message through the connection.

        Raises:
            UndeliveredError: It did not come through as it was sent; the connection is lost.
        """
        if self._why:
            raise UndeliveredError(self._why)
        up = direction == "up"
        sender, receiver = (self._client, self._server) if up else (self._server, self._client)
        try:
            sender.tls.write(len(payload).to_bytes(8, "big") + payload)
            receiver.coming.write(self._turn.sent(sender.outgoing(), direction))
            read = receiver.read()
        except ssl.SSLError as error:
            self._why = f"the TLS connection is lost: {error.reason}"
            raise UndeliveredError(self._why) from None
        if len(read) != 8 + int.from_bytes(read[:8], "big"):
            self._why = "the TLS connection is lost: a message came in part"
            raise UndeliveredError(self._why)
        return read[8:]

    def close(self) -> None:
        """Forgets the connection; its keys are the library's to overwrite."""
        self._why = "the TLS connection was closed"

    def _shake(self) -> None:
        done = False
        for _ in range(_STEPS):
            ready = self._client.shaken()
            if flight := self._client.outgoing():
                self._server.coming.write(self._turn.sent(flight, "up"))
            done = self._server.shaken()
            if flight := self._server.outgoing():
                self._client.coming.write(self._turn.sent(flight, "down"))
            if ready and done:
                return
        raise UndeliveredError("the TLS handshake failed: it does not come to an end")


def _context(authority: Authority, own: Credential, server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # names are compared after the handshake; there are no hosts
    context.verify_mode = ssl.CERT_REQUIRED
    if server:
        context.num_tickets = 0  # every round has a handshake of its own
    context.load_verify_locations(cadata=authority.certificate.decode())
    with TemporaryDirectory() as directory:  # the library reads credentials from files alone
        context.load_cert_chain(*own.write(Path(directory)))
    return context


def _short(name: str) -> str:
    """A name that fits into a certificate, and into a file's name."""
    plain = len(name) <= _LONGEST_NAME and name.isascii() and name.replace("_", "a").isalnum()
    return name if plain else hashlib.sha256(name.encode()).hexdigest()
