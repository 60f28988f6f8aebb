"""Low-density parity-check codes: parities that correct a key, and words that outlast noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qmarl.types import Array

ITERATIONS = 100
"""Rounds of belief propagation before a block is given up."""

_FEW, _MANY = 3, 9  # checks that an information bit takes part in
_SURE = 30.0  # log-likelihood ratio of a bit that is known
_NEAREST = np.float32(1 - 1e-6)  # of a hyperbolic tangent to 1


@dataclass(frozen=True)
class Code:
    """An irregular repeat-accumulate code (Jin, Khandekar and McEliece 2000).

    Its parity-check matrix is ``[A | D]``: ``A`` sparse and random, ``D`` with ones on and below
    the diagonal, so that encoding is a running sum.

    Attributes:
        length: ``n``, bits of a word.
        checks: ``m``, parities; the last ``m`` bits of a word are those that make them even.
        bit: ``(e,)`` bit of each edge of the graph, sorted by check.
        check: ``(e,)`` check of each edge, rising.
        starts: ``(m,)`` first edge of each check.
    """

    length: int
    checks: int
    bit: Array
    check: Array
    starts: Array

    @property
    def room(self) -> int:
        """Information bits of a word."""
        return self.length - self.checks

    def syndrome(self, word: Array) -> Array:
        """Returns the ``(m,)`` parities of ``(n,)`` bits."""
        return np.bitwise_xor.reduceat(word[self.bit], self.starts)

    def encode(self, information: Array) -> Array:
        """Returns the ``(n,)`` word with even parities that begins with ``(n - m,)`` bits."""
        blank = np.concatenate([information, np.zeros(self.checks, np.uint8)])
        return np.concatenate([information, np.bitwise_xor.accumulate(self.syndrome(blank))])


def make_code(length: int, checks: int, rng: np.random.Generator) -> Code:
    """Makes a code of any size, the same at both ends from the same public random numbers.

    Three quarters of the information bits take part in 3 checks and the others in 9; all checks
    have nearly the same size.

    Args:
        length: Bits of a word.
        checks: Parities, fewer than ``length`` and at least 10.
        rng: Public randomness.
    """
    room = length - checks
    degree = np.full(room, _FEW)
    degree[: room // 4] = _MANY
    bit = np.repeat(np.arange(room), np.minimum(degree, checks))
    check = np.arange(len(bit)) % checks
    check = _without_doubles(bit, rng.permutation(check), rng)
    ladder = np.arange(checks)
    bit = np.concatenate([bit, room + ladder, room + ladder[:-1]])
    check = np.concatenate([check, ladder, ladder[1:]])
    order = np.lexsort((bit, check))
    bit, check = bit[order], check[order]
    starts = np.searchsorted(check, ladder)
    return Code(length, checks, bit, check, starts)


@dataclass(frozen=True)
class Decoded:
    """What belief propagation found.

    Attributes:
        word: ``(n,)`` uint8 bits, likeliest ones if it did not settle.
        belief: ``(n,)`` log-likelihood ratios.
        settled: Whether the word has the wanted parities. That it is the right one has to be
            checked by a hash.
    """

    word: Array
    belief: Array
    settled: bool


def decode(code: Code, syndrome: Array, evidence: Array, iterations: int = ITERATIONS) -> Decoded:
    """Finds the word with given parities that the evidence speaks for, by belief propagation.

    Args:
        code: The code.
        syndrome: ``(m,)`` parities of the right word.
        evidence: ``(n,)`` log-likelihood ratios ``ln P(0)/P(1)``; 0 for a bit that was lost.
        iterations: Rounds at most.
    """
    evidence = np.clip(evidence, -_SURE, _SURE).astype(np.float32)
    sign = np.where(syndrome, np.float32(-1), np.float32(1))[code.check]
    order = np.argsort(code.bit, kind="stable")
    first = np.searchsorted(code.bit[order], np.arange(code.length))
    told = np.zeros(len(code.bit), np.float32)
    belief = evidence
    for _ in range(iterations):
        told = _answers(code, belief[code.bit] - told, sign)
        belief = evidence + np.add.reduceat(told[order], first)
        word = (belief < 0).astype(np.uint8)
        if np.array_equal(code.syndrome(word), syndrome):
            return Decoded(word, belief, True)
    return Decoded((belief < 0).astype(np.uint8), belief, False)


def _answers(code: Code, asked: Array, sign: Array) -> Array:
    """What each check tells each of its bits, from what its other bits believe."""
    half = np.tanh(np.clip(np.abs(asked), 1e-4, 2 * _SURE) / 2)
    size = np.log(np.minimum(half, _NEAREST))
    total = np.add.reduceat(size, code.starts)[code.check] - size
    negative = (asked < 0).astype(np.uint8)
    odd = np.bitwise_xor.reduceat(negative, code.starts)[code.check] ^ negative
    value = np.minimum(np.exp(total), _NEAREST)
    return np.asarray(np.where(odd, -sign, sign) * (np.log1p(value) - np.log1p(-value)))


def _without_doubles(bit: Array, check: Array, rng: np.random.Generator) -> Array:
    """Exchanges checks until no bit takes part twice in one; what is left after a while stays."""
    for _ in range(50):
        order = np.lexsort((check, bit))
        same = (np.diff(bit[order]) == 0) & (np.diff(check[order]) == 0)
        double = order[1:][same]
        if not len(double):
            break
        other = rng.integers(0, len(bit), len(double))
        for one, two in zip(double.tolist(), other.tolist(), strict=True):
            check[one], check[two] = check[two], check[one]
    return check
