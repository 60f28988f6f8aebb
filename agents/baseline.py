"""The classical twin: the small perceptron nearest in parameter count to a quantum actor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

CLOSE_ENOUGH = 0.05
"""Relative difference in parameter count within which one hidden layer is preferred to two."""


def mlp_size(sizes: Sequence[int]) -> int:
    """Number of weights and biases of a perceptron.

    >>> mlp_size([12, 9, 7])
    187
    """
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))


def twin_widths(n_inputs: int, n_outputs: int, target: int) -> tuple[int, ...]:
    """Finds the hidden widths of the net with one or two hidden layers nearest to ``target``.

    One hidden layer is taken when it comes within 5 %; otherwise two layers compete with it, the
    second at most as wide as the first and at least half as wide.

    Args:
        n_inputs: Numbers that the actor sees.
        n_outputs: Numbers that it puts out.
        target: Parameter count to match.

    Example:
        >>> twin_widths(12, 7, 185)
        (9,)
        >>> twin_widths(36, 4, 136)
        (3, 3)
    """

    def distance(hidden: tuple[int, ...]) -> int:
        return abs(mlp_size([n_inputs, *hidden, n_outputs]) - target)

    single = min(((width,) for width in range(1, target + 2)), key=distance)
    if distance(single) <= CLOSE_ENOUGH * target:
        return single
    return min([single, *_two_layers(target)], key=distance)


def _two_layers(target: int) -> Iterator[tuple[int, int]]:
    for first in range(1, int(target**0.5) + 2):
        for second in range((first + 1) // 2, first + 1):
            yield first, second
