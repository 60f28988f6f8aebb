"""Lines whose keys come from a quantum link, and what they do in rounds in which it gives none."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from time import sleep
from typing import TYPE_CHECKING, final

import numpy as np

from qmarl.errors import RunError
from qmarl.secure.agreement import Identities
from qmarl.secure.cipher import Direction
from qmarl.secure.lines import DownLine, OpenLine, Turn
from qmarl.secure.postquantum import Kem
from qmarl.secure.remote_keys import Keys
from qmarl.secure.sealed_line import AgreedKeys, Padding, QuantumKeys, Sealing
from qmarl.secure.transport_config import LineConfig

if TYPE_CHECKING:
    from qmarl.secure.sources import KeyBlock, KeySource

ALARMS = ("error_rate", "chsh", "keys_differ", "authentication")
"""Reasons of an abort that point to someone on the line; the others only say that light lacks."""


@final
@dataclass(frozen=True)
class PostQuantumLine:
    """Messages sealed by keys that both ends agree upon in every round.

    Attributes:
        config: How.
        identities: Both ends' signing keys.
        left: There are no keys from round to round.
    """

    config: LineConfig
    identities: Identities = field(default_factory=Identities)
    left: int = 0

    @property
    def transport(self) -> str:
        """Name in the configuration."""
        return self.config.kind

    def open(self, turn: Turn) -> Sealing:
        """Agrees on the round's secret."""
        turn.report.sessions += 1
        return Sealing(AgreedKeys(turn, self.identities, self.config.kem), turn)

    def restore(self, left: int) -> None:
        """There are no keys."""


@final
@dataclass(frozen=True)
class QuantumLine:
    """Messages sealed by keys of a quantum link.

    Attributes:
        config: How.
        source: Gives the source of a round's first session (0) and of further ones; none where
            keys come from a service, whose links are its own.
        manager: Keeps the keys of both ends.
        ends: Names of client and server.
        identities: Signing keys, where post-quantum keys are joined or stand in.
    """

    config: LineConfig
    source: Callable[[int], KeySource] | None
    manager: Keys
    ends: tuple[str, str]
    identities: Identities = field(default_factory=Identities)

    @property
    def transport(self) -> str:
        """Name in the configuration."""
        return self.config.kind

    @property
    def left(self) -> int:
        """Bits of key in the store."""
        return self.manager.stored(*self.ends)

    def open(self, turn: Turn) -> OpenLine:
        """Runs the round's quantum session."""
        return QuantumTurn(self, turn)

    def restore(self, left: int) -> None:
        """Draws as many bits anew as a checkpoint says were left.

        The former ones may have been used since by the run that was interrupted, so they are never
        used again.
        """
        self.manager.deliver(*self.ends, bytearray(os.urandom(left // 8)))


@final
class QuantumTurn:
    """A quantum line in one round.

    Args:
        line: The line.
        turn: The round.
    """

    def __init__(self, line: QuantumLine, turn: Turn) -> None:
        self._line, self._turn = line, turn
        self._sessions = 0
        self._carrier: Sealing | Padding | DownLine | None = None
        self._exchange()

    def carry(self, payload: bytes, direction: Direction) -> bytes:
        """Carries a message, after more sessions where key lacks and that is what to do.

        Raises:
            UndeliveredError: There is no key for it.
            RunError: The run has to end.
        """
        return self._ready(len(payload), direction).carry(payload, direction)

    def close(self) -> None:
        """Overwrites the round's keys; what is left in the store stays."""
        if self._carrier is not None:
            self._carrier.close()

    def _exchange(self) -> None:
        """Runs a session, and stores its key or does what is to be done at an abort."""
        config, report = self._line.config, self._turn.report
        self._sessions += 1
        if self._line.source is None:
            if self._sessions > 1:
                sleep(config.seconds)
            return
        source = self._line.source(self._sessions - 1)
        block = source.block(self._turn.round, config.seconds)
        report.sessions += 1
        report.qber = block.qber
        report.leaked += block.leaked_bits
        report.eavesdropper = block.eavesdropper or report.eavesdropper
        if block.aborted:
            report.aborted = block.aborted
            if block.aborted in ALARMS and config.on_abort != "stored":
                self._instead(config.on_abort, f"the quantum session aborted: {_why(block)}")
            return
        report.made += self._line.manager.deliver(*self._line.ends, drawn(block.bits))

    def _ready(self, payload: int, direction: Direction) -> Sealing | Padding | DownLine:
        """What carries the next message."""
        carrier = self._carrier
        if carrier is None:
            carrier = self._carrier = self._quantum()
        while not isinstance(carrier, DownLine) and self._lacks(carrier.need(payload, direction)):
            self._starve(carrier.need(payload, direction))
            assert self._carrier is not None
            carrier = self._carrier
        return carrier

    def _lacks(self, need: int) -> bool:
        standing_in = bool(self._turn.report.fallback)
        return not standing_in and self._line.left < need

    def _starve(self, need: int) -> None:
        config = self._line.config
        why = f"{need} bits of key are needed, and {self._line.left} are left"
        if said := self._turn.report.aborted:
            why += f" after the session aborted ({said})"
        if config.on_starvation != "wait":
            self._instead(config.on_starvation, why)
        elif self._sessions <= config.wait_sessions:
            self._exchange()
        else:
            self._instead("skip", f"{why}, after {self._sessions} sessions")

    def _instead(self, way: str, why: str) -> None:
        """Goes on without the quantum link in this round, or not at all."""
        former, self._carrier = self._carrier, DownLine(why)
        if former is not None:
            former.close()
        line = self._line
        self._carrier = stand_in(way, why, self._turn, line.identities, line.config.kem)

    def _quantum(self) -> Sealing | Padding | DownLine:
        joined = self._line.config.kind == "qkd+postquantum"
        line = self._line
        agreed = AgreedKeys(self._turn, line.identities, line.config.kem) if joined else None
        keys = QuantumKeys(line.manager, self._turn, agreed)
        return Padding(keys, self._turn) if self._pads else Sealing(keys, self._turn)

    @property
    def _pads(self) -> bool:
        return self._line.config.cipher == "one_time_pad"


def stand_in(
    way: str, why: str, turn: Turn, identities: Identities, kem: Kem
) -> Sealing | DownLine:
    """Returns what carries the rest of a round in a quantum link's place.

    Args:
        way: ``postquantum``, ``skip`` or ``stop``.
        why: Why it has to.
        turn: The round.
        identities: Both ends' signing keys.
        kem: How post-quantum secrets are made.

    Raises:
        UndeliveredError: The key agreement failed.
        RunError: The run has to end.
    """
    if way == "stop":
        raise RunError(f"the link of client '{turn.client}' in round {turn.round}: {why}")
    turn.report.why = why
    if way != "postquantum":
        return DownLine(why)
    turn.report.fallback = "postquantum"
    return Sealing(AgreedKeys(turn, identities, kem), turn)


def drawn(bits: bytes) -> bytearray:
    """Returns as many bits, drawn from the system.

    A session's seed decides what happens on the line, and so whether there is a key and how long it
    is. Turning a secret bit of the sender over turns the key's bits over, and nothing else: all
    keys of that length were equally likely. So one is drawn, for both ends. A seed does not tell
    it, and no start of a run uses the key of another.
    """
    mask = np.frombuffer(os.urandom(len(bits)), np.uint8)
    return bytearray((np.frombuffer(bits, np.uint8) ^ mask).tobytes())


def _why(block: KeyBlock) -> str:
    return block.why or block.aborted
