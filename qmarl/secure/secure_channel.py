"""The channel of a federation whose links are protected, each by its own line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

from qmarl.errors import RunError, UndeliveredError
from qmarl.secure.cipher import CipherError
from qmarl.secure.lines import DownLine, Line, LineReport, OpenLine, Turn
from qmarl.types import Channel, Link


@dataclass(frozen=True)
class _Begun:
    """A client's line in the round that is going on."""

    turn: Turn
    line: OpenLine


@final
class SecureChannel:
    """Carries every client's messages over its own line.

    Every round of every line has keys of its own, which are overwritten at its end; a session
    name that is drawn anew at each start is bound to all messages. So nothing that was sent in a
    former start, round or direction, or by another client, is ever accepted.

    Args:
        wire: What carries the bytes; it sees what a wire-tapper sees.
        lines: The lines by their clients' names.
        server: Name of the server.
    """

    def __init__(self, wire: Channel, lines: Mapping[str, Line], server: str = "server") -> None:
        self._wire, self._lines, self._server = wire, dict(lines), server
        self._session = os.urandom(16)
        self._begun: dict[str, _Begun] = {}
        self._ended: dict[int, dict[str, LineReport]] = {}
        self._fatal: RunError | None = None

    def transfer(self, payload: bytes, link: Link) -> bytes:
        """Carries a message over its client's line.

        Raises:
            UndeliveredError: It was not delivered: the line is down, or what arrived is not what
                was sealed.
            RunError: There is no line for the client, or the run has to end.
        """
        client = link.receiver if link.sender == self._server else link.sender
        if client not in self._lines:
            raise RunError(f"there is no line to client '{client}'")
        try:
            return self._carried(payload, self._open(client, link.round), link)
        except UndeliveredError:
            raise
        except RunError as error:
            self._fatal = error
            raise

    def take(self, round_number: int) -> dict[str, LineReport]:
        """Ends a round: overwrites its keys and returns what happened, by client.

        Raises:
            RunError: A line was to end the run, and whoever sent over it went on regardless.
        """
        if self._fatal is not None:
            raise self._fatal
        for client, begun in list(self._begun.items()):
            if begun.turn.round == round_number:
                self._end(client)
        return dict(sorted(self._ended.pop(round_number, {}).items()))

    def left(self) -> dict[str, int]:
        """Returns the bits of key that each line has left: all that a checkpoint needs."""
        return {client: line.left for client, line in sorted(self._lines.items())}

    def restore(self, left: Mapping[str, int]) -> None:
        """Goes on where a checkpoint was; keys are drawn anew, as many as were left."""
        for client, bits in left.items():
            if client in self._lines:
                self._lines[client].restore(bits)

    @staticmethod
    def _carried(payload: bytes, begun: _Begun, link: Link) -> bytes:
        report = begun.turn.report
        try:
            read = begun.line.carry(payload, begun.turn.way(link))
        except (UndeliveredError, CipherError) as error:
            report.undelivered += 1
            report.refused += isinstance(error, CipherError)
            report.why = str(error)
            raise UndeliveredError(str(error)) from None
        report.messages += 1
        return read

    def _open(self, client: str, round_number: int) -> _Begun:
        begun = self._begun.get(client)
        if begun is not None and begun.turn.round == round_number:
            return begun
        if begun is not None:
            self._end(client)
        line = self._lines[client]
        report = LineReport(line.transport)
        turn = Turn(self._session, round_number, client, self._server, self._wire, report)
        try:
            opened = line.open(turn)
        except (UndeliveredError, CipherError) as error:
            opened = DownLine(str(error))
        self._begun[client] = begun = _Begun(turn, opened)
        return begun

    def _end(self, client: str) -> None:
        begun = self._begun.pop(client)
        begun.line.close()
        report = replace(begun.turn.report, left=self._lines[client].left)
        self._ended.setdefault(begun.turn.round, {})[client] = report
