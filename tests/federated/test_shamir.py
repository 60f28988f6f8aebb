from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmarl.federated.shamir import PRIME, SHARE_BYTES, combine, lagrange, split

SECRETS = st.integers(0, PRIME - 1)


@given(SECRETS, st.data())
def test_any_threshold_of_pieces_gives_the_secret_back(secret: int, data: st.DataObject) -> None:
    points = data.draw(st.lists(st.integers(1, 2**64), min_size=1, max_size=8, unique=True))
    threshold = data.draw(st.integers(1, len(points)))
    pieces = split(secret, threshold, points)
    chosen = data.draw(st.permutations(points))[: data.draw(st.integers(threshold, len(points)))]
    assert combine({point: pieces[point] for point in chosen}, threshold) == secret
    assert all(0 <= piece < PRIME for piece in pieces.values())


def test_every_subset_of_seven_pieces() -> None:
    secret = 2**256 - 1
    pieces = split(secret, 4, range(1, 8))
    for chosen in combinations(pieces, 4):
        factors = lagrange(chosen)
        assert combine({point: pieces[point] for point in chosen}, 4, factors) == secret
    for chosen in combinations(pieces, 3):
        assert combine({point: pieces[point] for point in chosen}, 3) != secret


@given(SECRETS, SECRETS)
def test_fewer_pieces_fit_every_secret(secret: int, other: int) -> None:
    pieces = split(secret, 3, [1, 2, 3])
    # The one polynomial through two pieces and the other secret gives a third piece of its own.
    known = lagrange([1, 2, 3])
    rest = other - sum(known[point] * pieces[point] for point in (1, 2))
    third = rest * pow(known[3], -1, PRIME) % PRIME
    assert combine({1: pieces[1], 2: pieces[2], 3: third}, 3) == other


@given(SECRETS, SECRETS)
def test_sums_of_pieces_are_pieces_of_the_sum(one: int, other: int) -> None:
    left, right = split(one, 2, [1, 2, 3]), split(other, 2, [1, 2, 3])
    added = {point: (left[point] + right[point]) % PRIME for point in (1, 3)}
    assert combine(added, 2) == (one + other) % PRIME


@given(SECRETS, st.integers(1, 4), st.integers(1, PRIME - 1))
def test_one_wrong_piece_gives_another_secret(secret: int, which: int, change: int) -> None:
    pieces = split(secret, 4, [1, 2, 3, 4])
    pieces[which] = (pieces[which] + change) % PRIME
    assert combine(pieces, 4) != secret


def test_coefficients_are_drawn_from_the_whole_field() -> None:
    asked: list[int] = []

    def draw(below: int) -> int:
        asked.append(below)
        return below - 1

    pieces = split(5, 3, [1, 2, 3], draw)
    assert asked == [PRIME, PRIME]
    assert pieces == {1: 3, 2: (5 - 2 - 4) % PRIME, 3: (5 - 3 - 9) % PRIME}
    assert (PRIME - 1).bit_length() <= 8 * SHARE_BYTES


def test_two_cuts_of_one_secret_differ() -> None:
    assert split(1, 2, [1, 2]) != split(1, 2, [1, 2])


@pytest.mark.parametrize(
    ("secret", "threshold", "points", "reason"),
    [
        (-1, 1, [1], "secret"),
        (PRIME, 1, [1], "secret"),
        (0, 0, [1], "threshold"),
        (0, 2, [1], "threshold"),
        (0, 1, [0, 1], "distinct and positive"),
        (0, 1, [1, 1], "distinct and positive"),
        (0, 1, [PRIME], "distinct and positive"),
    ],
)
def test_what_cannot_be_cut(secret: int, threshold: int, points: list[int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        split(secret, threshold, points)


def test_too_few_pieces_are_refused() -> None:
    with pytest.raises(ValueError, match="2 pieces, 3 are needed"):
        combine({1: 1, 2: 2}, 3)
