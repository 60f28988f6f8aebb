"""Quantum secure direct communication: a payload on entangled pairs, whole or not at all."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from qmarl.secure.amplification import hash_seed, toeplitz
from qmarl.secure.authentication import Ends
from qmarl.secure.finite import sampled_error, smoothing
from qmarl.secure.ldpc import Code, decode, make_code
from qmarl.secure.protocols import DirectConfig
from qmarl.secure.pulses import Receiver
from qmarl.secure.qsdc_pairs import DirectEavesdropper, Frames, arrival, compared, travel, twice
from qmarl.secure.randomness import Entropy, bits, choices, permutation
from qmarl.secure.rates import binary_entropy
from qmarl.secure.session import AbortedError, Reason, Transcript, authenticate, check_error_rate
from qmarl.types import Array

_FILLED = 0.85  # of the channel's capacity, which the code is let carry
_FEWEST = 100  # pairs compared in each basis
_MOST = 1_000_000  # pairs handled together; a code for more takes too long


@dataclass(frozen=True)
class DirectReport:
    """What may be told of an attempt; it holds nothing of the payload.

    Attributes:
        protocol: Name of the protocol.
        pairs: Pairs sent.
        arrived: Pairs of which both photons were there after the first step.
        error_rate: Greater error rate of the two bases before anything was written.
        second_error_rate: The same of what was written.
        written: Pairs that carried the payload.
        leak: Bits that an eavesdropper may know of what was written, at most; the secrecy code
            takes them out.
        known: Bits that the simulated eavesdropper knew of what was written.
        secrecy: Distance of the payload from one that nobody knows anything of.
        aborted: Why nothing arrived, or ``None``.
        why: The same as a sentence.
    """

    protocol: str
    pairs: int = 0
    arrived: int = 0
    error_rate: float = 0.0
    second_error_rate: float = 0.0
    written: int = 0
    leak: float = 0.0
    known: int = 0
    secrecy: float = 0.0
    aborted: Reason | None = None
    why: str = ""


@dataclass(frozen=True)
class Delivery:
    """How an attempt ended.

    Attributes:
        report: What may be told.
        payload: What the second end holds, or ``None``.
    """

    report: DirectReport
    payload: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Plan:
    """How a payload is written, once the pairs are known.

    Attributes:
        pairs: Pairs that carry it, two bits each.
        blind: Random bits that hide it from what may leak.
        payload: Bits of the payload.
        leak: Bits that may leak.
    """

    pairs: int
    blind: int
    payload: int
    leak: float

    @property
    def room(self) -> int:
        """Bits that go into the code."""
        return self.blind + self.payload


def send(
    payload: bytes,
    config: DirectConfig,
    receiver: Receiver,
    ends: Ends,
    entropy: Entropy,
    eavesdropper: DirectEavesdropper | None = None,
) -> Delivery:
    """Sends a payload over a link.

    Both ends check each other before anything is written, and once more at the end; each time uses
    two tags up.

    Args:
        payload: At least one byte.
        config: The protocol.
        receiver: Link and detectors. Its efficiency counts where pairs are measured.
        ends: What the two ends know each other by.
        entropy: Randomness, named after the attempt.
        eavesdropper: Who is on the line.
    """
    attempt = _Attempt(config, receiver, ends, entropy, eavesdropper)
    try:
        return attempt.run(payload)
    except AbortedError as error:
        return Delivery(replace(attempt.report, aborted=error.reason, why=str(error)))


def pairs_for(payload_bits: int, config: DirectConfig, receiver: Receiver) -> int:
    """Returns how many pairs a payload needs on a quiet line, to within a tenth, and a third more.

    Raises:
        AbortedError: A million pairs at the receiver would not be enough.
    """
    error = config.depolarisation / 2 + receiver.misalignment
    share = _found(config, receiver)
    for arrived in map(float, np.geomspace(1000, _MOST * 3 / 4, 70)):
        tested = arrived * config.check_fraction / 2
        unlucky = error * tested + 3 * math.sqrt(error * tested)
        each = sampled_error(min(unlucky, tested), tested, arrived, _epsilon(config))
        count = arrived * (1 - config.check_fraction) * (1 - config.test_fraction)
        plan = _plan(config, receiver, count, [each] * _rates(config), error, payload_bits)
        if plan is not None:
            return math.ceil(arrived * 4 / 3 / share)
    raise AbortedError("no_secret_bits", "too much may leak: a million pairs would not be enough")


@dataclass(frozen=True)
class _Checked:
    """Pairs that were not compared, and for each register and basis what the others showed.

    The pairs lie in a secret order, so that nobody knows which of them will carry the payload.
    """

    registers: list[Frames]
    wrong: list[float]
    tested: list[int]


@final
class _Attempt:
    """One attempt, step by step; ``report`` says how far it got."""

    def __init__(
        self,
        config: DirectConfig,
        receiver: Receiver,
        ends: Ends,
        entropy: Entropy,
        eavesdropper: DirectEavesdropper | None,
    ) -> None:
        self._config, self._ends, self._entropy = config, ends, entropy
        self._eve = eavesdropper
        self._quiet = receiver
        self._receiver = receiver if eavesdropper is None else eavesdropper.lights(receiver)
        self.report = DirectReport(config.protocol)

    def run(self, payload: bytes) -> Delivery:
        message = np.unpackbits(np.frombuffer(payload, np.uint8))
        checked = self._distribute(len(message))
        plan = self._plan(len(message), checked)
        return self._write(message, plan, checked.registers)

    def _travel(self, count: int, before: Frames | None = None) -> Frames:
        rng, p = self._entropy.nature, self._config.depolarisation
        return travel(count, self._receiver, p, self._eve, rng, before)

    def _distribute(self, payload_bits: int) -> _Checked:
        """The first step: pairs arrive and some are compared, before anything is written."""
        config = self._config
        pairs = config.pairs or pairs_for(payload_bits, config, self._quiet)
        share = min(1.0, _found(config, self._receiver))
        count = min(_MOST, int(self._entropy.nature.binomial(pairs, share)))
        self.report = replace(self.report, pairs=pairs, arrived=count)
        registers = [self._travel(count)]
        if config.protocol == "one_step":  # who holds a photon measures both of its properties
            registers.append(self._travel(count, registers[0]))
        each = config.check_fraction / 2
        turn = choices(self._entropy.parties, count, (1 - 2 * each, each, each))
        bases = [turn == 1, turn == 2]
        if min(int(basis.sum()) for basis in bases) < _FEWEST:
            why = f"{count} pairs arrived, too few to compare {_FEWEST} in each basis"
            raise AbortedError("too_few_detections", why)
        wrong = [
            float(found[basis].mean())
            for frames in registers
            for basis, found in zip(bases, (frames.flipped, frames.turned), strict=True)
        ]
        self.report = replace(self.report, error_rate=max(wrong))
        check_error_rate(max(wrong), config.max_error_rate)
        self._confirm(Transcript([turn.tobytes()], [np.array(wrong).tobytes()]))
        tested = [int(basis.sum()) for basis in bases] * len(registers)
        others = np.flatnonzero(turn == 0)
        others = others[permutation(self._entropy.parties, len(others))]
        return _Checked([frames.take(others) for frames in registers], wrong, tested)

    def _plan(self, payload_bits: int, checked: _Checked) -> Plan:
        config, rest = self._config, len(checked.registers[0].flipped)
        worst = [
            sampled_error(rate * tested, tested, rest, _epsilon(config))
            for rate, tested in zip(checked.wrong, checked.tested, strict=True)
        ]
        usable, wrong = rest * (1 - config.test_fraction), checked.wrong
        likely = float(np.mean(wrong)) + 2 * math.sqrt(max(wrong) / min(checked.tested))
        plan = _plan(config, self._receiver, usable, worst, likely, payload_bits)
        if plan is None:
            why = f"{rest} pairs are too few to hide {payload_bits} bits from what may leak"
            raise AbortedError("no_secret_bits", why)
        self.report = replace(self.report, leak=plan.leak, secrecy=config.security.secrecy)
        return plan

    def _confirm(self, transcript: Transcript) -> None:
        impersonated = self._eve is not None and self._eve.impersonates
        authenticate(transcript, self._ends, self._entropy, impersonated)

    def _write(self, message: Array, plan: Plan, registers: list[Frames]) -> Delivery:
        """The payload goes onto the pairs, and what comes out is believed only if it is right."""
        config, public = self._config, self._entropy.parties
        code = _code(plan, self._entropy)
        blind, seed = bits(public, plan.blind), hash_seed(public, plan.blind, plan.payload)
        # The payload is a two-universal hash of what is written: blind bits and it, masked.
        inside = np.concatenate([blind, message ^ toeplitz(blind, seed, plan.payload)])
        frames, tests = self._carried(registers, plan.pairs)
        word = _received(code.encode(inside), frames)
        lost = self._lost(plan.pairs)
        error = self._second(tests)
        evidence = np.log((1 - error) / error) * (1 - 2.0 * word) * np.repeat(~lost, 2)
        found = decode(code, np.zeros(code.checks, np.uint8), evidence)
        self.report = replace(
            self.report,
            written=plan.pairs,
            known=int(frames.seen_bit.sum() + frames.seen_phase.sum()),
        )
        length = config.security.check_bits
        check = hash_seed(public, len(inside), length)
        theirs = found.word[: code.room]
        said = toeplitz(inside, check, length)
        if not found.settled or not np.array_equal(said, toeplitz(theirs, check, length)):
            raise AbortedError("keys_differ", "what arrived has more errors than the code corrects")
        spoken = [np.packbits(seed).tobytes(), np.packbits(check).tobytes(), said.tobytes()]
        self._confirm(Transcript(spoken, [b"received", np.packbits(lost).tobytes()]))
        out = theirs[plan.blind :] ^ toeplitz(theirs[: plan.blind], seed, plan.payload)
        return Delivery(self.report, np.packbits(out).tobytes())

    def _carried(self, registers: list[Frames], count: int) -> tuple[Frames, Frames]:
        """What becomes of the pairs with the payload, and of those with something known."""
        if self._config.protocol == "one_step":
            both = compared(registers[0], registers[1])
        else:
            first = registers[0]
            both = twice(first, self._travel(len(first.flipped), first))
        order = np.arange(len(both.flipped))
        return both.take(order < count), both.take(order >= count)

    def _lost(self, count: int) -> Array:
        """Which pairs are lost after they were written on."""
        survival = _survival(self._config, self._receiver)
        return self._entropy.nature.random(count) >= survival

    def _second(self, tests: Frames) -> float:
        """Compares what is known to have been written; returns the error rate to decode with."""
        wrong = np.concatenate([tests.flipped, tests.turned])
        rate = float(wrong.mean()) if len(wrong) else 0.0
        self.report = replace(self.report, second_error_rate=rate)
        check_error_rate(rate, 2 * self._config.max_error_rate)
        return (float(wrong.sum()) + 1) / (len(wrong) + 2)


def _plan(
    config: DirectConfig,
    receiver: Receiver,
    pairs: float,
    worst: list[float],
    likely: float,
    payload_bits: int,
) -> Plan | None:
    """Says how a payload is hidden and protected, or ``None`` if there is no room.

    An eavesdropper who has caught every photon knows at most the entropy of the Bell states of
    each pair (Holevo; Wyner 1975; Wu, Lin, Yin and Long 2019), which the error rates bound. Half
    of the secrecy goes to their sampling, a quarter to finitely many pairs, each taken for two
    signals, and a quarter to the hash.
    """
    count = math.floor(pairs)
    each = min(2.0, sum(float(binary_entropy(rate)) for rate in worst))
    security = config.security
    quarter = security.model_copy(update={"secrecy": security.secrecy / 4})
    leak = count * each + smoothing(2 * count, quarter) + security.check_bits
    blind = math.ceil(leak + 2 * math.log2(1 / quarter.secrecy))
    final_error = min(0.5, 2 * likely * (1 - likely))
    capacity = _survival(config, receiver) * (1 - float(binary_entropy(final_error)))
    if blind + payload_bits > _FILLED * capacity * 2 * count or 2 * count < 100:
        return None
    return Plan(count, blind, payload_bits, leak)


def _code(plan: Plan, entropy: Entropy) -> Code:
    seed = int.from_bytes(entropy.parties.octets(16), "little")
    rng = np.random.Generator(np.random.Philox(seed))
    return make_code(2 * plan.pairs, 2 * plan.pairs - plan.room, rng)


def _received(word: Array, frames: Frames) -> Array:
    """What is read of a word that was written two bits to a pair."""
    errors: Array = np.stack([frames.flipped, frames.turned], 1).ravel()
    return np.asarray(word ^ errors, np.uint8)


def _found(config: DirectConfig, receiver: Receiver) -> float:
    """Share of the pairs that can be used after the first step."""
    if config.protocol == "two_step":
        return arrival(receiver)
    return arrival(receiver) * receiver.efficiency**2  # both ends have measured


def _survival(config: DirectConfig, receiver: Receiver) -> float:
    """Share of the pairs that carry something to the end."""
    if config.protocol == "one_step":
        return 1.0
    return receiver.transmittance * receiver.efficiency


def _rates(config: DirectConfig) -> int:
    return 4 if config.protocol == "one_step" else 2


def _epsilon(config: DirectConfig) -> float:
    """Probability that one of the error rates is greater than its bound."""
    return config.security.secrecy / (2 * _rates(config))
