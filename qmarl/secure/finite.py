"""How long a key may be when only finitely many pulses were seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from qmarl.config import Section
from qmarl.secure.rates import binary_entropy, chsh_leak, six_state_leak
from qmarl.types import Array

Epsilon = Annotated[float, Field(gt=0, lt=0.1)]


class SecurityConfig(Section):
    """How far a key may be from an ideal one.

    The key is ``secrecy + correctness`` secure in the composable sense: no one can tell it from
    an ideal key with a better advantage.
    """

    secrecy: Epsilon = 1e-10
    """Distance from a key of which the eavesdropper knows nothing."""
    correctness: Epsilon = 1e-15
    """Probability that the two ends hold different keys without noticing."""

    @property
    def check_bits(self) -> int:
        """Length of the hash that compares the two ends' keys."""
        return math.ceil(math.log2(1 / self.correctness))


def deviation(key_bits: float, test_bits: float, secrecy: float) -> float:
    """Returns how far the error rate of a key may lie above that of a random test of it.

    ``sqrt((n + k)/(n k) * (k + 1)/k * ln(4/eps))`` (Tomamichel, Lim, Gisin and Renner 2012,
    arXiv:1103.4130). The constant inside the logarithm is given as 2 or 4; 4 is the careful one.
    """
    n, k = key_bits, test_bits
    return math.sqrt((n + k) / (n * k) * (k + 1) / k * math.log(4 / secrecy))


def sampled_error(wrong: float, test_bits: float, rest: float, secrecy: float) -> float:
    """Returns the greatest error rate of what was not looked at, given a random sample of it all.

    A sample of ``k`` shows a rate of ``q`` or less, where the whole has ``p``, with probability
    ``exp(-k D(q || p))`` at most (Hoeffding 1963, theorem 1 and section 6, which takes in sampling
    without replacement). Where errors are few this is much tighter than :func:`deviation`.

    Args:
        wrong: Errors in the sample.
        test_bits: ``k``, size of the sample, above 0.
        rest: Bits that were not looked at, above 0.
        secrecy: Probability that the rate is greater.

    Returns:
        A rate of at most 0.5.
    """
    observed, room = wrong / test_bits, math.log(1 / secrecy) / test_bits
    low, high = observed, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _divergence(observed, middle) < room else (low, middle)
    return min(0.5, (high * (test_bits + rest) - wrong) / rest)


def bb84_length(
    key_bits: float, test_bits: float, error: float, leaked: float, security: SecurityConfig
) -> int:
    """Returns the secret bits of BB84 with single photons or entangled pairs, 0 if none.

    ``n [1 - h(Q + mu)] - leak - log2(2 / (eps_sec^2 eps_cor))`` (Tomamichel et al. 2012, eq. 2),
    against all attacks.

    Args:
        key_bits: ``n``, sifted bits that become the key.
        test_bits: ``k``, sifted bits that were compared and thrown away.
        error: ``Q``, error rate of the compared bits.
        leaked: Bits that error correction disclosed.
        security: Distances from an ideal key.
    """
    if key_bits < 1 or test_bits < 1:
        return 0
    worst = min(0.5, error + deviation(key_bits, test_bits, security.secrecy))
    return _floor(key_bits * (1 - float(binary_entropy(worst))) - leaked - _price(security))


def six_state_length(
    key_bits: float, test_bits: float, error: float, leaked: float, security: SecurityConfig
) -> int:
    """Returns the secret bits of the six-state protocol, 0 if none; arguments as for BB84.

    Against collective attacks: the eavesdropper's information at the greatest error rate, less
    ``7 sqrt(n log2(2/eps))`` for finitely many bits (Scarani and Renner 2008, arXiv:0708.0709).
    """
    if key_bits < 1 or test_bits < 1:
        return 0
    worst = min(2 / 3, error + deviation(key_bits, test_bits, security.secrecy))
    secret = key_bits * (1 - min(1.0, float(six_state_leak(worst))))
    return _floor(secret - smoothing(key_bits, security) - leaked - _price(security))


def chsh_length(
    key_bits: float, score: float, trials: Array, leaked: float, security: SecurityConfig
) -> int:
    """Returns the secret bits of E91 by its CHSH value, 0 if none.

    Against collective attacks (Acin et al. 2007), each of the four correlations lowered by what
    Hoeffding's inequality allows, and the finite term of :func:`six_state_length`.

    Args:
        key_bits: Sifted bits that become the key.
        score: Measured CHSH value.
        trials: ``(4,)`` pairs behind each correlation.
        leaked: Bits that error correction disclosed.
        security: Distances from an ideal key.
    """
    if key_bits < 1 or np.min(trials) < 1:
        return 0
    worst = score - float(np.sqrt(2 * math.log(4 / security.secrecy) / np.asarray(trials)).sum())
    secret = key_bits * (1 - float(chsh_leak(worst)))
    return _floor(secret - smoothing(key_bits, security) - leaked - _price(security))


@dataclass(frozen=True)
class Tally:
    """What was counted for each intensity, the brightest first.

    Attributes:
        key: ``(3,)`` sifted bits that become the key.
        test: ``(3,)`` sifted bits that were compared.
        wrong: ``(3,)`` how many of those differed.
    """

    key: Array
    test: Array
    wrong: Array


@dataclass(frozen=True)
class Decoys:
    """The three intensities of a source.

    Attributes:
        photons: ``(3,)`` mean numbers of photons, falling; the first above the other two together.
        chosen: ``(3,)`` how often each is chosen.
    """

    photons: Array
    chosen: Array

    def sent(self, number: int) -> float:
        """Returns the probability that a pulse holds ``number`` photons."""
        share = np.exp(-self.photons) * self.photons**number * self.chosen
        return float(share.sum()) / math.factorial(number)


@dataclass(frozen=True)
class Singles:
    """What decoys bound.

    Attributes:
        vacuum: Least number of key bits from empty pulses.
        single: Least number of key bits from single photons.
        phase_error: Greatest phase error rate of the latter, at most 0.5.
    """

    vacuum: float
    single: float
    phase_error: float


def single_photons(tally: Tally, decoys: Decoys, secrecy: float | None) -> Singles:
    """Bounds what came from single photons, by two decoys.

    Lim, Curty, Walenta, Xu and Zbinden 2014 (arXiv:1311.7129), eqs. 2 to 5. ``tally`` may hold
    expected numbers as well.

    Args:
        tally: What was counted.
        decoys: Intensities.
        secrecy: Distance from an ideal key; ``None`` takes the counts for exact.
    """
    vacuum, single = _singles(tally.key, decoys, secrecy)
    _, tested = _singles(tally.test, decoys, secrecy)
    wrong = _single_errors(tally.wrong, decoys, secrecy)
    if single <= 0 or tested <= 0 or wrong >= tested / 2:
        return Singles(vacuum, max(0.0, single), 0.5)
    rate = wrong / tested
    return Singles(vacuum, single, min(0.5, rate + _sampling(secrecy, rate, tested, single)))


def decoy_length(tally: Tally, decoys: Decoys, leaked: float, security: SecurityConfig) -> int:
    """Returns the secret bits of BB84 with coherent pulses and two decoys, 0 if none.

    ``s0 + s1 [1 - h(phi)] - leak - 6 log2(21/eps_sec) - log2(2/eps_cor)`` (Lim et al. 2014, eq. 1),
    against all attacks.
    """
    found = single_photons(tally, decoys, security.secrecy)
    secret = found.vacuum + found.single * (1 - float(binary_entropy(found.phase_error)))
    return _floor(secret - leaked - decoy_price(security))


def decoy_price(security: SecurityConfig) -> float:
    """Returns the bits that a decoy session pays for its security, however long it is."""
    return 6 * math.log2(21 / security.secrecy) + math.log2(2 / security.correctness)


def _floor(length: float) -> int:
    return max(0, math.floor(length))


def _divergence(q: float, p: float) -> float:
    """``D(q || p)`` in nats of two coins, for ``p`` in (0, 1) at or above ``q``."""
    first = q * math.log(q / p) if q > 0 else 0.0
    if p >= 1:
        return math.inf if q < 1 else 0.0
    return first + ((1 - q) * math.log((1 - q) / (1 - p)) if q < 1 else 0.0)


def _price(security: SecurityConfig) -> float:
    return math.log2(2 / (security.secrecy**2 * security.correctness))


def smoothing(key_bits: float, security: SecurityConfig) -> float:
    """Returns the bits that finitely many signals cost against collective attacks.

    ``7 sqrt(n log2(2/eps))`` (Scarani and Renner 2008, arXiv:0708.0709).
    """
    return 7 * math.sqrt(key_bits * math.log2(2 / security.secrecy))


def _bounds(counts: Array, decoys: Decoys, secrecy: float | None) -> tuple[Array, Array]:
    """Counts for each intensity as if always chosen, lower and upper bound (eq. 3)."""
    room = 0.0 if secrecy is None else math.sqrt(counts.sum() / 2 * math.log(21 / secrecy))
    scale = np.exp(decoys.photons) / decoys.chosen
    return scale * np.maximum(counts - room, 0), scale * (counts + room)


def _singles(counts: Array, decoys: Decoys, secrecy: float | None) -> tuple[float, float]:
    mu1, mu2, mu3 = decoys.photons
    low, high = _bounds(counts, decoys, secrecy)
    vacuum = max(0.0, decoys.sent(0) * (mu2 * low[2] - mu3 * high[1]) / (mu2 - mu3))
    bright = (mu2**2 - mu3**2) / mu1**2 * (high[0] - vacuum / decoys.sent(0))
    weight = decoys.sent(1) * mu1 / (mu1 * (mu2 - mu3) - mu2**2 + mu3**2)
    return vacuum, float(weight * (low[1] - high[2] - bright))


def _single_errors(wrong: Array, decoys: Decoys, secrecy: float | None) -> float:
    low, high = _bounds(wrong, decoys, secrecy)
    gap = decoys.photons[1] - decoys.photons[2]
    return float(max(0.0, decoys.sent(1) * (high[1] - low[2]) / gap))


def _sampling(secrecy: float | None, rate: float, tested: float, key: float) -> float:
    """How far the key's phase error rate may lie above the test's (``gamma`` of Lim et al.)."""
    if secrecy is None:
        return 0.0
    spread = max(rate * (1 - rate), 1 / tested)  # the bound is void at no error at all
    shares = (tested + key) / (tested * key)
    return math.sqrt(
        shares * spread / math.log(2) * math.log2(max(2.0, shares / spread * 441 / secrecy**2))
    )
