"""Keys from entangled pairs: BBM92, and E91 with its CHSH value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from qmarl.secure import finite
from qmarl.secure.authentication import Ends
from qmarl.secure.eavesdroppers import InterceptResend, ManInTheMiddle
from qmarl.secure.protocols import EntangledConfig
from qmarl.secure.pulses import Receiver, clicking
from qmarl.secure.randomness import Entropy, choices
from qmarl.secure.session import (
    AbortedError,
    Outcome,
    Raw,
    Report,
    Transcript,
    check_error_rate,
    distil,
)
from qmarl.types import Array

_QUARTER = np.pi / 4
_ANGLES = {
    "e91": (np.array([0, 1, 2]) * _QUARTER, np.array([1, 2, 3]) * _QUARTER),
    "bbm92": (np.array([0, 2]) * _QUARTER, np.array([0, 2]) * _QUARTER),
}
_FEWEST = 200  # sifted bits below which nothing can be estimated

PairEavesdropper = InterceptResend | ManInTheMiddle


@dataclass(frozen=True, repr=False)
class Coincidences:
    """Pairs of which both halves were detected, ``(c,)`` each.

    Attributes:
        alice: One end's outcomes, bits.
        bob: The other end's outcomes.
        alice_choice: Index of one end's direction.
        bob_choice: Index of the other end's direction.
        known: What the eavesdropper knows for certain where directions are equal.
    """

    alice: Array
    bob: Array
    alice_choice: Array
    bob_choice: Array
    known: Array


@dataclass(frozen=True)
class Score:
    """A CHSH value.

    Attributes:
        value: ``S``; 2 at most without entanglement, ``2 sqrt 2`` at most with it.
        trials: ``(4,)`` pairs behind each correlation.
    """

    value: float
    trials: Array


def measure_pairs(
    config: EntangledConfig,
    alice: Receiver,
    bob: Receiver,
    entropy: Entropy,
    eavesdropper: PairEavesdropper | None = None,
) -> Coincidences:
    """Sends pairs to both ends and measures them.

    An ideal pair gives equal outcomes with probability ``cos^2((a - b)/2)`` at angles ``a`` and
    ``b`` on the Bloch sphere's great circle. Who intercepts a half measures it at 0 or pi/2 and
    sends a photon on in the state that was found.

    Args:
        config: Source and directions.
        alice: Link and detectors of one end.
        bob: Link and detectors of the other end.
        entropy: Randomness.
        eavesdropper: Who is on the line to the second end.
    """
    rng, (first, second) = entropy.nature, _ANGLES[config.protocol]
    both = _clicks(alice) * _clicks(bob)
    count, even = len(clicking(config.pairs, both, rng)), (1 / len(first),) * len(first)
    choice_a, choice_b = (choices(entropy.parties, count, even) for _ in range(2))
    angle_a, angle_b = first[choice_a], second[choice_b]
    share = eavesdropper.fraction if isinstance(eavesdropper, InterceptResend) else 0.0
    taken = rng.random(count) < share
    between = 2 * _QUARTER * rng.integers(0, 2, count)
    # Without an eavesdropper the middle of the chain is the first end's own outcome.
    middle = rng.integers(0, 2, count, np.uint8)
    out_a = np.where(taken, _turned(middle, angle_a - between, config.visibility, rng), middle)
    out_b = np.where(
        taken,
        _turned(middle, angle_b - between, 1.0, rng),
        _turned(middle, angle_b - angle_a, config.visibility, rng),
    )
    out_a = _clicked(out_a, alice, rng)
    out_b = _clicked(out_b, bob, rng)
    known = taken & np.isclose(between, angle_a)
    if isinstance(eavesdropper, ManInTheMiddle):
        known = np.ones(count, bool)
    return Coincidences(out_a, out_b, choice_a, choice_b, known)


def chsh(found: Coincidences) -> Score:
    """Returns E91's CHSH value, from the directions 0 and 2 of both ends."""
    equal, trials = [], []
    for one, other in ((0, 0), (0, 2), (2, 0), (2, 2)):
        here = (found.alice_choice == one) & (found.bob_choice == other)
        equal.append(float((found.alice == found.bob)[here].sum()))
        trials.append(int(here.sum()))
    each = 2 * np.array(equal) / np.maximum(trials, 1) - 1
    return Score(float(each @ [1, -1, 1, 1]), np.array(trials))


def run_entangled(
    config: EntangledConfig,
    alice: Receiver,
    bob: Receiver,
    ends: Ends,
    entropy: Entropy,
    eavesdropper: PairEavesdropper | None = None,
) -> Outcome:
    """Runs one session; arguments as for :func:`measure_pairs`, and both ends' authenticators.

    Returns:
        A key at both ends, or none and the reason.
    """
    found = measure_pairs(config, alice, bob, entropy, eavesdropper)
    first, second = _ANGLES[config.protocol]
    same = np.isclose(first[found.alice_choice], second[found.bob_choice])
    share = config.test_fraction
    tested = same & (choices(entropy.parties, len(same), (1 - share, share)) == 1)
    key, used = same & ~tested, ends.alice.used
    score = chsh(found) if config.protocol == "e91" else None
    report = Report(
        protocol=config.protocol,
        pulses=config.pairs,
        detected=len(same),
        sifted=int(same.sum()),
        tested=int(tested.sum()),
        error_rate=float((found.alice != found.bob)[tested].mean()) if tested.any() else 0.0,
        known=float(found.known[key].mean()) if key.any() else 0.0,
        chsh=score.value if score else None,
    )
    try:
        _check(config, report)
        raw = _raw(config, found, key, report, score)
        raw.transcript.bob += [_said(found.bob_choice), _said(found.bob[tested])]
        raw.transcript.alice += [_said(found.alice_choice), _said(tested)]
        impersonated = eavesdropper is not None and eavesdropper.impersonates
        return distil(raw, report, config.security, ends, entropy, impersonated)
    except AbortedError as error:
        tags = ends.alice.used - used
        return Outcome(replace(report, tags=tags, aborted=error.reason, why=str(error)))


def _check(config: EntangledConfig, report: Report) -> None:
    if report.sifted < _FEWEST or not report.tested:
        why = f"{report.sifted} sifted bits are too few; {_FEWEST} is the least"
        raise AbortedError("too_few_detections", why)
    if report.chsh is not None and report.chsh <= config.min_chsh:
        why = f"the CHSH value is {report.chsh:.3f}; it must exceed {config.min_chsh:g}"
        raise AbortedError("chsh", why)
    check_error_rate(report.error_rate, config.max_error_rate)


def _raw(
    config: EntangledConfig, found: Coincidences, key: Array, report: Report, score: Score | None
) -> Raw:
    expected = (report.error_rate * report.tested + 1) / (report.tested + 2)
    length = partial(_length, config, report, score)
    return Raw(
        found.alice[key], found.bob[key], expected, length, Transcript(), config.reconciliation
    )


def _length(config: EntangledConfig, report: Report, score: Score | None, leaked: float) -> int:
    rest = report.sifted - report.tested
    if score is not None:
        return finite.chsh_length(rest, score.value, score.trials, leaked, config.security)
    return finite.bb84_length(rest, report.tested, report.error_rate, leaked, config.security)


def _lit(receiver: Receiver) -> float:
    """Probability of a click by a photon."""
    return receiver.transmittance * receiver.efficiency


def _clicks(receiver: Receiver) -> float:
    """Probability of a click by a photon or without one."""
    return _lit(receiver) + (1 - _lit(receiver)) * receiver.background


def _turned(bits: Array, angle: Array, visibility: float, rng: np.random.Generator) -> Array:
    """Outcomes that equal ``bits`` as often as a measurement at such an angle to them."""
    equal = rng.random(len(bits)) < (1 + visibility * np.cos(angle)) / 2
    return np.where(equal, bits, 1 - bits).astype(np.uint8)


def _clicked(bits: Array, receiver: Receiver, rng: np.random.Generator) -> Array:
    """What is read where there was a click: the bit, now and then flipped, or a coin."""
    photon = rng.random(len(bits)) * _clicks(receiver) < _lit(receiver)
    flipped = bits ^ (rng.random(len(bits)) < receiver.misalignment)
    return np.where(photon, flipped, rng.integers(0, 2, len(bits))).astype(np.uint8)


def _said(values: Array) -> bytes:
    return values.astype(np.uint8).tobytes()
