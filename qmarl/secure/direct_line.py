"""Lines that carry messages themselves over a quantum link, without any key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from qmarl.errors import ConfigurationError
from qmarl.secure.agreement import Identities
from qmarl.secure.authentication import paired, seed_bytes
from qmarl.secure.cipher import Direction
from qmarl.secure.eavesdroppers import PhotonNumberSplitting
from qmarl.secure.lines import DownLine, OpenLine, Turn
from qmarl.secure.links_config import LinkSection
from qmarl.secure.qsdc import Delivery, send
from qmarl.secure.qsdc_pairs import DirectEavesdropper
from qmarl.secure.quantum_line import ALARMS, stand_in
from qmarl.secure.randomness import entropy
from qmarl.secure.sealed_line import Sealing
from qmarl.secure.transport_config import LineConfig
from qmarl.seeding import stream

_TAGS = 4  # of a delivery, at each end


@final
@dataclass(frozen=True)
class DirectLine:
    """Messages by quantum secure direct communication.

    Attributes:
        config: How.
        section: The link.
        seed: Decides what happens on it.
        secure: Whether the choices of both ends come from the system instead.
        identities: Signing keys, where post-quantum keys stand in.
        left: There are no keys.

    Raises:
        ConfigurationError: The eavesdropper splits pulses, of which there are none.
    """

    config: LineConfig
    section: LinkSection
    seed: int
    secure: bool = False
    identities: Identities = field(default_factory=Identities)
    left: int = 0

    def __post_init__(self) -> None:
        found = self.section.eavesdropper
        if found is not None and isinstance(found.who, PhotonNumberSplitting):
            raise ConfigurationError(
                "transport: 'kind: qsdc' sends single pairs, which leave nothing for "
                "photon_number_splitting; take another eavesdropper"
            )

    @property
    def transport(self) -> str:
        """Name in the configuration."""
        return self.config.kind

    def open(self, turn: Turn) -> OpenLine:
        """Begins a round."""
        return DirectTurn(self, turn)

    def restore(self, left: int) -> None:
        """There are no keys."""


@final
class DirectTurn:
    """Direct communication in one round.

    Args:
        line: The line.
        turn: The round.
    """

    def __init__(self, line: DirectLine, turn: Turn) -> None:
        self._line, self._turn = line, turn
        self._instead: Sealing | DownLine | None = None

    def carry(self, payload: bytes, direction: Direction) -> bytes:
        """Sends a message over the quantum link, or what stands in for it.

        Raises:
            UndeliveredError: It did not arrive.
            RunError: The run has to end.
        """
        if not payload:
            return b""  # nothing takes no pairs
        config = self._line.config
        tries = 1 + (config.wait_sessions if config.on_starvation == "wait" else 0)
        for _ in range(tries):
            if self._instead is not None:
                return self._instead.carry(payload, direction)
            found = self._sent(payload, direction)
            if found.payload is not None:
                return found.payload
            way: str = config.on_starvation
            if found.report.aborted in ALARMS:
                way = config.on_abort
            if way != "wait":
                why = f"direct communication aborted: {found.report.why}"
                self._instead = self._standing_in(way, why)
        if self._instead is None:
            why = f"direct communication aborted {tries} times: {self._turn.report.aborted}"
            self._instead = self._standing_in("skip", why)
        return self._instead.carry(payload, direction)

    def close(self) -> None:
        """Overwrites keys that stood in."""
        if self._instead is not None:
            self._instead.close()

    def _standing_in(self, way: str, why: str) -> Sealing | DownLine:
        line = self._line
        return stand_in(way, why, self._turn, line.identities, line.config.kem)

    def _sent(self, payload: bytes, direction: Direction) -> Delivery:
        """One attempt over every hop; a trusted relay has the payload in its hands."""
        line, turn, report = self._line, self._turn, self._turn.report
        listener = self._listener()
        for hop, budget in enumerate(line.section.hops(turn.round)):
            name = (turn.client, turn.round, direction, report.sessions, hop)
            chance = entropy(line.seed, "direct", *name, secure=line.secure)
            tags = stream(line.seed, "direct", "tags", *name).bytes(seed_bytes(_TAGS))
            found = send(
                payload,
                line.section.direct,
                budget.receiver(),
                paired(tags),
                chance,
                listener if hop == 0 else None,
            )
            report.qber = found.report.error_rate
            report.leaked += found.report.known
            if found.payload is None:
                report.aborted = str(found.report.aborted)
                break
        report.sessions += 1
        return found

    def _listener(self) -> DirectEavesdropper | None:
        found = self._line.section.eavesdropper
        if found is None or not found.rounds[0] <= self._turn.round <= found.rounds[1]:
            return None
        assert not isinstance(found.who, PhotonNumberSplitting)  # refused before
        self._turn.report.eavesdropper = found.who.kind
        return found.who
