"""Where the key of a link comes from, round by round."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, final

from qmarl.secure.authentication import TAG_BYTES, Ends, introduced, paired, seed_bytes
from qmarl.secure.bb84 import run_bb84
from qmarl.secure.eavesdroppers import Jamming, PhotonNumberSplitting
from qmarl.secure.entangled import run_entangled
from qmarl.secure.links import Budget
from qmarl.secure.links_config import LinkSection, ScheduledEavesdropper
from qmarl.secure.postquantum import new_signing_key
from qmarl.secure.protocols import BB84Config
from qmarl.secure.pulses import Receiver
from qmarl.secure.randomness import entropy
from qmarl.secure.session import Outcome, Report, key_bytes
from qmarl.secure.tuning import tuned
from qmarl.seeding import stream
from qmarl.types import Array

PAID_BACK = 2 * TAG_BYTES
"""Bytes of every key that pay for the tags of the next session."""

Ground = Callable[[int], tuple[Array, Array]]
"""Positions ``(3,)`` of sender and receiver in a round, metres."""


@dataclass(frozen=True)
class KeyBlock:
    """What a link gave in a round. Both ends hold the same bits, or neither holds any.

    Attributes:
        bits: The key as whole bytes; empty if there is none.
        aborted: Why there is none, in a word of :data:`qmarl.secure.session.Reason` or
            ``no_time``; empty if there is a key.
        qber: Error rate of the compared bits.
        leaked_bits: Bits of the raw key that the simulated eavesdropper knew. Privacy
            amplification took them out of ``bits``.
        eavesdropper: Who was on the line; empty if nobody was.
        why: ``aborted`` as a sentence.
        seconds: Time that the pulses took.
        reports: What may be told of the sessions, one for each hop.
    """

    bits: bytes = field(default=b"", repr=False)
    aborted: str = ""
    qber: float = 0.0
    leaked_bits: float = 0.0
    eavesdropper: str = ""
    why: str = ""
    seconds: float = 0.0
    reports: tuple[Report, ...] = ()


class KeySource(Protocol):
    """Something that gives the two ends of one link keys."""

    def block(self, round_number: int, seconds: float) -> KeyBlock:
        """Returns the key of a round.

        Args:
            round_number: The round. Asked for the same one again, it gives the same bits again: a
                round's key is to be asked for once.
            seconds: How long the two ends can exchange pulses.
        """
        ...


@final
class LinkSource:
    """Runs the sessions of one link; all follows from seed, name and round.

    Every session has tags of its own, from the seed that both ends were given, or, where the first
    contact is signed, from the first key on. Each key gives back what its tags used up.

    Args:
        name: Name of the link, such as the client's.
        section: The link.
        seed: Root of the randomness.
        secure: Take the randomness from the system instead.
        ground: Positions of the ends, where a world and not the section knows them.
    """

    def __init__(
        self,
        name: str,
        section: LinkSection,
        seed: int,
        secure: bool = False,
        ground: Ground | None = None,
    ) -> None:
        self._name, self._section, self._seed, self._secure = name, section, seed, secure
        self._ground = ground
        self._strangers = section.first_contact == "ml-dsa-65"
        self._tuned: dict[int, tuple[Receiver, BB84Config]] = {}  # the last of each hop

    def block(self, round_number: int, seconds: float = math.inf) -> KeyBlock:
        """Runs a round's session, or one for each hop; see :meth:`KeySource.block`."""
        config, rate = self._section.session, self._section.detector.pulse_rate
        wanted = config.pulses if isinstance(config, BB84Config) else config.pairs
        pulses = int(min(wanted, seconds * rate))
        on_line = listener(self._section, round_number)
        who = on_line.who.kind if on_line else ""
        if pulses < 1:
            return KeyBlock(
                aborted="no_time", why="the round leaves no time for a pulse", eavesdropper=who
            )
        ends = None if self._ground is None else self._ground(round_number)
        hops = self._section.hops(round_number, ends)
        outcomes = [self._run(hop, at, round_number, pulses) for at, hop in enumerate(hops)]
        found = _joined(outcomes)
        self._strangers &= not found.bits
        return replace(found, eavesdropper=who, seconds=pulses / rate)

    def _run(self, budget: Budget, hop: int, round_number: int, pulses: int) -> Outcome:
        name = (self._name, hop, round_number)
        chance = entropy(self._seed, "link", *name, secure=self._secure)
        found = listener(self._section, round_number) if hop == 0 else None
        eve, receiver = found.who if found else None, budget.receiver()
        config, ends = self._section.session, self._introduce(name)
        if isinstance(config, BB84Config):
            config = self._best(config, receiver, pulses, hop)
            return run_bb84(config, receiver, ends, chance, eve)
        config = config.model_copy(update={"pairs": pulses})
        if isinstance(eve, Jamming):
            receiver, eve = eve.lights(receiver), None
        assert not isinstance(eve, PhotonNumberSplitting)  # the section refuses it
        here = Receiver(
            1.0, receiver.efficiency, self._section.detector.dark_clicks, receiver.misalignment
        )
        return run_entangled(config, here, receiver, ends, chance, eve)

    def _introduce(self, name: tuple[str | int, ...]) -> Ends:
        return _ends(self._seed, name, 2, self._strangers, self._secure)

    def _best(self, config: BB84Config, receiver: Receiver, pulses: int, hop: int) -> BB84Config:
        """The session as long as there is time, and tuned to the quiet line."""
        config = config.model_copy(update={"pulses": pulses})
        if not self._section.tune:
            return config
        known, found = self._tuned.get(hop, (None, config))
        if known != receiver or found.pulses != pulses:
            found = tuned(config, receiver)
            self._tuned[hop] = receiver, found
        return found


def _ends(seed: int, name: tuple[str | int, ...], tags: int, signed: bool, secure: bool) -> Ends:
    """What both ends know each other by: keys of their own, or a seed for so many tags."""
    octets = os.urandom if secure else stream(seed, "secure", "ends", *name).bytes
    if signed:
        return introduced(*(new_signing_key(octets(32)) for _ in range(2)))
    return paired(octets(seed_bytes(tags)))


def listener(section: LinkSection, round_number: int) -> ScheduledEavesdropper | None:
    """Returns who is on a link's line in a round."""
    found = section.eavesdropper
    return found if found and found.rounds[0] <= round_number <= found.rounds[1] else None


def _joined(outcomes: Sequence[Outcome]) -> KeyBlock:
    """Joins the hops: a trusted relay passes one key on under the other, so the shorter counts."""
    reports = tuple(found.report for found in outcomes)
    lost = next((report for report in reports if report.aborted), None)
    keys = [key_bytes(found.alice) for found in outcomes if found.alice is not None]
    length = 0 if lost else min(len(key) for key in keys) - PAID_BACK
    known = sum(report.known * (report.sifted - report.tested) for report in reports)
    told = KeyBlock(
        qber=max(report.error_rate for report in reports), leaked_bits=known, reports=reports
    )
    if lost and lost.aborted:
        return replace(told, aborted=lost.aborted, why=lost.why)
    if length < 1:
        why = f"the key has {length + PAID_BACK} bytes, which the next session's tags use up"
        return replace(told, aborted="no_secret_bits", why=why)
    return replace(told, bits=keys[0][:length])
