"""Secrets in pieces: any ``threshold`` pieces give the secret back, fewer say nothing of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence

PRIME = 2**521 - 1
"""The field that pieces live in; secrets of 256 bits fit with much room."""

SHARE_BYTES = 66
"""Length of one piece as bytes."""


def split(
    secret: int,
    threshold: int,
    points: Sequence[int],
    draw: Callable[[int], int] = secrets.randbelow,
) -> dict[int, int]:
    """Cuts a secret into one piece for each point (Shamir 1979).

    Args:
        secret: From 0 to ``PRIME - 1``.
        threshold: How many pieces are needed to get it back, from 1 to their number.
        points: Distinct numbers from 1 to ``PRIME - 1``, one for each holder.
        draw: Returns a uniform number below its argument; from the system's entropy by default.

    Returns:
        The piece of each point.

    Raises:
        ValueError: An argument is outside its range.

    >>> pieces = split(1234, 2, [1, 2, 3])
    >>> combine({1: pieces[1], 3: pieces[3]}, 2)
    1234
    """
    _check_points(points)
    if not 0 <= secret < PRIME:
        raise ValueError("a secret must lie in the field")
    if not 1 <= threshold <= len(points):
        raise ValueError(f"threshold must be from 1 to {len(points)}, got {threshold}")
    coefficients = [secret, *(draw(PRIME) for _ in range(threshold - 1))]
    return {point: _value(coefficients, point) for point in points}


def combine(
    pieces: Mapping[int, int], threshold: int, factors: Mapping[int, int] | None = None
) -> int:
    """Returns the secret behind ``pieces``; if any is wrong, so is the result, without a sign.

    Args:
        pieces: Piece by point; of more than ``threshold`` those of the least points are used.
        threshold: As it was when the secret was cut.
        factors: What :func:`lagrange` gave for the points used, to do that work once for many
            secrets.

    Raises:
        ValueError: There are too few pieces.
    """
    if len(pieces) < threshold:
        raise ValueError(f"{len(pieces)} pieces, {threshold} are needed")
    used = sorted(pieces)[:threshold]
    if factors is None:
        factors = lagrange(used)
    return sum(pieces[point] * factors[point] for point in used) % PRIME


def lagrange(points: Sequence[int]) -> dict[int, int]:
    """Returns the factor of each point in the polynomial's value at 0.

    Raises:
        ValueError: The points are not distinct or outside the field.
    """
    _check_points(points)
    factors: dict[int, int] = {}
    for point in points:
        above = below = 1
        for other in points:
            if other != point:
                above = above * other % PRIME
                below = below * (other - point) % PRIME
        factors[point] = above * pow(below, -1, PRIME) % PRIME
    return factors


def _check_points(points: Sequence[int]) -> None:
    if len(set(points)) != len(points) or not all(0 < point < PRIME for point in points):
        raise ValueError(f"points must be distinct and positive, got {list(points)}")


def _value(coefficients: Sequence[int], point: int) -> int:
    total = 0
    for coefficient in reversed(coefficients):
        total = (total * point + coefficient) % PRIME
    return total
