"""Cascade: two keys that differ in a few bits made equal by comparing parities."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from qmarl.types import Array

PASSES = 14
"""Passes over the key; the third and later ones compare halves of it."""


class Parities(Protocol):
    """The end that answers: says parities of its key, and nothing else."""

    def shuffle(self, order: Array, size: int) -> None:
        """Starts a pass.

        Args:
            order: ``(n,)`` permutation of the bits.
            size: Bits in a block of the permuted key.
        """
        ...

    def ask(self, turn: int, starts: Array, stops: Array) -> Array:
        """Returns the parities of the ranges ``[start, stop)`` of the key permuted in a pass."""
        ...


@dataclass
class Answering:
    """Answers from a key, and counts what was disclosed.

    A question that was asked before discloses nothing, and neither does the second half of a block
    whose parity and first half are known.

    Attributes:
        key: ``(n,)`` bits of the right key.
        disclosed: Parities that were said so far.
        said: Every answer so far, as it went over the line.
    """

    key: Array = field(repr=False)
    disclosed: int = 0
    said: list[bytes] = field(default_factory=list, repr=False)
    _sums: list[Array] = field(default_factory=list, repr=False)
    _known: list[Array] = field(default_factory=list, repr=False)

    def shuffle(self, order: Array, size: int) -> None:
        """Takes a new permutation; the size of its blocks concerns only the other end."""
        del size
        self._sums.append(_running(self.key[order]))
        self._known.append(np.zeros(len(order) + 1, bool))

    def ask(self, turn: int, starts: Array, stops: Array) -> Array:
        """Returns the parities of some ranges; within a block each is known by its end."""
        known, sums = self._known[turn], self._sums[turn]
        self.disclosed += int(np.count_nonzero(~known[stops]))
        known[stops] = True
        answer = sums[stops] ^ sums[starts]
        self.said.append(np.packbits(answer).tobytes())
        return answer


@dataclass
class _Pass:
    """One permutation of the key, cut into blocks."""

    order: Array
    size: int
    place: Array
    odd: Array
    """Whether the parity of a block still differs."""

    def limits(self, blocks: Array) -> tuple[Array, Array]:
        return blocks * self.size, np.minimum((blocks + 1) * self.size, len(self.order))


def block_sizes(length: int, error: float) -> list[int]:
    """Returns the block size of every pass.

    The first is the power of two at or above ``1/e``, the second four times that, the others half
    the key (Martinez-Mateo, Pacher, Peev, Ciurana and Martin 2015, arXiv:1407.3257, table 1).

    Args:
        length: Bits of the key, at least 2.
        error: Expected share of wrong bits.
    """
    half = -(-length // 2)
    first = 1 << math.ceil(math.log2(1 / min(0.5, max(error, 1 / length))))
    return [min(half, size) for size in (first, 4 * first)] + [half] * (PASSES - 2)


def correct(key: Array, error: float, other: Parities, permute: Callable[[int], Array]) -> Array:
    """Corrects a key by questions to the end with the right one.

    Whether the keys are equal in the end has to be checked by a hash; they nearly always are.

    Args:
        key: ``(n,)`` uint8 bits.
        error: Expected share of wrong bits.
        other: The end with the right key.
        permute: Returns a public random permutation of so many bits.

    Returns:
        ``(n,)`` corrected copy.
    """
    key, passes = key.copy(), list[_Pass]()
    if len(key) < 2:
        return key
    for turn, size in enumerate(block_sizes(len(key), error)):
        order = np.arange(len(key)) if turn == 0 else permute(len(key))
        other.shuffle(order, size)
        passes.append(_begin(turn, order, size, key, other))
        _settle(passes, key, other)
    return key


def efficiency(disclosed: int, length: int, error: float) -> float:
    """Returns disclosed bits over the ``n h(e)`` that no method can do without; ``e`` in (0, 1)."""
    return disclosed / (length * -(error * math.log2(error) + (1 - error) * math.log2(1 - error)))


def _begin(turn: int, order: Array, size: int, key: Array, other: Parities) -> _Pass:
    """Compares the parities of all blocks of a new pass."""
    place = np.empty(len(order), np.intp)
    place[order] = np.arange(len(order))
    fresh = _Pass(order, size, place, np.zeros(-(-len(order) // size), bool))
    starts, stops = fresh.limits(np.arange(len(fresh.odd)))
    sums = _running(key[order])
    fresh.odd = (other.ask(turn, starts, stops) ^ sums[stops] ^ sums[starts]).astype(bool)
    return fresh


def _settle(passes: list[_Pass], key: Array, other: Parities) -> None:
    """Corrects one bit of every odd block, the smallest blocks first, until none is odd."""
    while True:
        turn = next((t for t, item in enumerate(passes) if item.odd.any()), None)
        if turn is None:
            return
        wrong = passes[turn].order[_search(passes[turn], turn, key, other)]
        key[wrong] ^= 1
        for item in passes:
            item.odd ^= (np.bincount(item.place[wrong] // item.size, None, len(item.odd)) & 1) == 1


def _search(item: _Pass, turn: int, key: Array, other: Parities) -> Array:
    """Finds one wrong bit in every odd block by halving all of them together."""
    low, high = item.limits(np.flatnonzero(item.odd))
    first = low.copy()
    own, base = _rows(item, first, high, key)
    while (open_ := np.flatnonzero(high - low > 1)).size:
        a, middle = low[open_], (low[open_] + high[open_]) // 2
        mine = own[base[open_] + middle - first[open_]] ^ own[base[open_] + a - first[open_]]
        differs = (other.ask(turn, a, middle) ^ mine).astype(bool)
        high[open_[differs]] = middle[differs]
        low[open_[~differs]] = middle[~differs]
    return low


def _rows(item: _Pass, starts: Array, stops: Array, key: Array) -> tuple[Array, Array]:
    """Running parities of the searched blocks alone, one after the other, and where each starts."""
    lengths = stops - starts
    base = np.cumsum(lengths) - lengths
    index = np.arange(int(lengths.sum())) + np.repeat(starts - base, lengths)
    return _running(key[item.order[index]]), base


def _running(values: Array) -> Array:
    """Parity of every prefix, the empty one first."""
    return np.concatenate([np.zeros(1, np.uint8), np.bitwise_xor.accumulate(values)])
