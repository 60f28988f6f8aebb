"""From sifted bits to a key: correction, comparison, authentication, privacy amplification."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from qmarl.errors import RunError
from qmarl.secure.amplification import hash_seed, toeplitz
from qmarl.secure.authentication import Ends
from qmarl.secure.finite import SecurityConfig
from qmarl.secure.protocols import Reconciliation
from qmarl.secure.randomness import Entropy
from qmarl.secure.reconciliation import reconcile
from qmarl.types import Array

Reason = Literal[
    "too_few_detections",
    "error_rate",
    "chsh",
    "no_secret_bits",
    "keys_differ",
    "authentication",
]
"""Why a session gave no key."""


@dataclass(frozen=True)
class Report:
    """What may be told of a session; it holds nothing of the key.

    Attributes:
        protocol: Name of the protocol.
        pulses: Pulses or pairs sent.
        detected: How many were detected.
        sifted: Bits with equal bases.
        tested: Bits that were compared and thrown away.
        error_rate: Share of the compared bits that differed.
        disclosed: Bits that error correction disclosed.
        length: Bits of the key, 0 if there is none.
        known: Share of the raw key that the simulated eavesdropper holds before amplification.
        chsh: CHSH value, where the protocol measures one.
        tags: Authentication tags used up at each end.
        aborted: Why there is no key, or ``None``.
        why: The same as a sentence.
    """

    protocol: str
    pulses: int
    detected: int = 0
    sifted: int = 0
    tested: int = 0
    error_rate: float = 0.0
    disclosed: int = 0
    length: int = 0
    known: float = 0.0
    chsh: float | None = None
    tags: int = 0
    aborted: Reason | None = None
    why: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a session ended. Either both ends hold a key, or neither does.

    Attributes:
        report: What may be told.
        alice: ``(length,)`` bits of one end's key, or ``None``.
        bob: ``(length,)`` bits of the other end's key, or ``None``.
    """

    report: Report
    alice: Array | None = field(default=None, repr=False)
    bob: Array | None = field(default=None, repr=False)


class AbortedError(Exception):
    """A session has to end without a key."""

    def __init__(self, reason: Reason, why: str) -> None:
        super().__init__(why)
        self.reason: Reason = reason


@dataclass
class Transcript:
    """Everything that was said in public, as each end sent it.

    Attributes:
        alice: What the first end said.
        bob: What the second end said.
    """

    alice: list[bytes] = field(default_factory=list)
    bob: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, repr=False)
class Raw:
    """What is left to make a key of.

    Attributes:
        alice: ``(n,)`` uint8 bits of the first end, which is taken for right.
        bob: ``(n,)`` bits of the second end.
        error: Expected share of wrong bits.
        length: Says how long a key may be after so many disclosed bits.
        transcript: What was said so far.
        reconciliation: How errors are corrected.
    """

    alice: Array
    bob: Array
    error: float
    length: Callable[[float], int]
    transcript: Transcript
    reconciliation: Reconciliation = "cascade"


def key_bytes(key: Array) -> bytes:
    """Returns the whole bytes of a key of bits; up to seven bits at its end are left out."""
    return np.packbits(key[: len(key) // 8 * 8]).tobytes()


def check_error_rate(error: float, limit: float) -> None:
    """Ends a session whose error rate is too great.

    Raises:
        AbortedError: It is.
    """
    if error > limit:
        why = f"{error:.2%} of the compared bits differ; {limit:.2%} is the most that is allowed"
        raise AbortedError("error_rate", why)


def distil(
    raw: Raw,
    report: Report,
    security: SecurityConfig,
    ends: Ends,
    entropy: Entropy,
    impersonated: bool = False,
) -> Outcome:
    """Makes a key of raw bits.

    Args:
        raw: The bits.
        report: What is known of the session so far.
        security: Distances from an ideal key.
        ends: Authenticators of both ends; each session uses two tags up.
        entropy: Randomness.
        impersonated: Someone without the seed speaks for the second end.

    Returns:
        The outcome with a key.

    Raises:
        AbortedError: There must not be a key.
    """
    if raw.length(0) < 1:
        raise AbortedError("no_secret_bits", _none_left(len(raw.alice)))
    corrected = reconcile(raw.alice, raw.bob, raw.error, raw.reconciliation, entropy.parties)
    bob = corrected.key
    said = [*corrected.said, *_compared(raw.alice, bob, security, entropy)]
    length = raw.length(corrected.disclosed)
    if length < 1:
        raise AbortedError("no_secret_bits", _none_left(len(raw.alice)))
    seed = hash_seed(entropy.parties, len(raw.alice), length)
    raw.transcript.alice.extend([*said, np.packbits(seed).tobytes()])
    authenticate(raw.transcript, ends, entropy, impersonated)
    keys = (toeplitz(raw.alice, seed, length), toeplitz(bob, seed, length))
    done = replace(report, disclosed=corrected.disclosed, length=length, tags=2)
    return Outcome(done, *keys)


def authenticate(
    transcript: Transcript, ends: Ends, entropy: Entropy, impersonated: bool = False
) -> None:
    """Has each end check that all that it heard was said by the other.

    Raises:
        AbortedError: A tag is wrong, or the seed is used up.
    """
    alice, bob = ends.alice, ends.bob
    if impersonated:  # the second end fails with them as well
        bob = ends.bob.impostor(entropy.nature.bytes(48))
        ends.bob.skip(2)
    spoken, answered = b"".join(transcript.alice), b"".join(transcript.bob)
    try:
        right = bob.accepts(spoken, alice.tag(spoken))
        right &= alice.accepts(answered, bob.tag(answered))
    except RunError as error:
        raise AbortedError("authentication", str(error)) from None
    if not right:
        raise AbortedError("authentication", "a tag is not the other end's: its words were altered")


def _compared(alice: Array, bob: Array, security: SecurityConfig, entropy: Entropy) -> list[bytes]:
    """Compares hashes of the two keys; returns what was said."""
    seed = hash_seed(entropy.parties, len(alice), security.check_bits)
    ours, theirs = (toeplitz(key, seed, security.check_bits) for key in (alice, bob))
    if not np.array_equal(ours, theirs):
        raise AbortedError("keys_differ", "the two ends' keys still differ after error correction")
    return [np.packbits(seed).tobytes(), np.packbits(ours).tobytes()]


def _none_left(bits: int) -> str:
    return f"no secret bits are left of {bits} sifted ones at the wanted security"
