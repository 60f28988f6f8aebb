from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmarl.errors import RunError
from qmarl.secure.amplification import toeplitz
from qmarl.secure.authentication import Authenticator, paired, seed_bytes, tag
from qmarl.secure.cascade import Answering, correct, efficiency


def noisy(n: int, error: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    right = rng.integers(0, 2, n, np.uint8)
    return right, right ^ (rng.random(n) < error).astype(np.uint8), rng


@pytest.mark.parametrize("error", [0.01, 0.02, 0.03, 0.04, 0.05])
def test_cascade_is_efficient(error: float) -> None:
    spent = []
    for seed in range(5):
        right, wrong, rng = noisy(20_000, error, seed)
        answering = Answering(right)
        np.testing.assert_array_equal(correct(wrong, error, answering, rng.permutation), right)
        spent.append(efficiency(answering.disclosed, 20_000, float((right ^ wrong).mean())))
    assert 1 < np.mean(spent) <= 1.15


@given(n=st.integers(0, 400), error=st.floats(0, 0.2), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_cascade_takes_any_key(n: int, error: float, seed: int) -> None:
    right, wrong, rng = noisy(n, error, seed)
    before = wrong.copy()
    found = correct(wrong, error, Answering(right), rng.permutation)
    np.testing.assert_array_equal(wrong, before)
    assert (found != right).sum() <= (wrong != right).sum()
    assert (found != right).sum() % 2 == 0 or n < 2  # the whole key's parity was compared


def test_what_was_disclosed_is_the_rank_of_all_answers() -> None:
    """Parities as rows over the key's bits: their rank is what an eavesdropper can learn."""
    right, wrong, rng = noisy(200, 0.1, 3)
    rows: list[np.ndarray] = []

    class Noting(Answering):
        orders: list[np.ndarray] = []  # noqa: RUF012

        def shuffle(self, order: np.ndarray, size: int) -> None:
            self.orders.append(order)
            super().shuffle(order, size)

        def ask(self, turn: int, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
            for start, stop in zip(starts, stops, strict=True):
                row = np.zeros(200, np.uint8)
                row[self.orders[turn][start:stop]] = 1
                rows.append(row)
            return super().ask(turn, starts, stops)

    answering = Noting(right)
    correct(wrong, 0.1, answering, rng.permutation)
    assert rank(np.array(rows)) <= answering.disclosed < len(rows)


def rank(matrix: np.ndarray) -> int:
    matrix, found = matrix.copy(), 0
    for column in range(matrix.shape[1]):
        pivots = np.flatnonzero(matrix[found:, column]) + found
        if len(pivots):
            matrix[[found, pivots[0]]] = matrix[[pivots[0], found]]
            others = np.flatnonzero(matrix[:, column])
            matrix[others[others != found]] ^= matrix[found]
            found += 1
    return found


@pytest.mark.parametrize(("n", "length"), [(60, 20), (1, 1), (64, 64), (7, 1), (33, 50)])
def test_toeplitz_is_the_product_with_the_matrix(n: int, length: int) -> None:
    rng = np.random.default_rng(n)
    key, seed = (rng.integers(0, 2, size, np.uint8) for size in (n, n + length - 1))
    matrix = np.array([[seed[n - 1 + i - j] for j in range(n)] for i in range(length)])
    np.testing.assert_array_equal(toeplitz(key, seed, length), matrix @ key % 2)


def test_toeplitz_known_answer() -> None:
    """Worked by hand: rows 101, 110, 011 over the key 110."""
    key, seed = np.array([1, 1, 0], np.uint8), np.array([1, 0, 1, 1, 0], np.uint8)
    np.testing.assert_array_equal(toeplitz(key, seed, 3), [1, 0, 1])
    with pytest.raises(ValueError, match="5 bits is needed, not 4"):
        toeplitz(key, seed[:4], 3)


def test_toeplitz_is_exact_for_long_keys() -> None:
    rng = np.random.default_rng(0)
    key, seed = rng.integers(0, 2, 10**6, np.uint8), rng.integers(0, 2, 10**6 + 2, np.uint8)
    rows = [int(seed[i : i + 10**6] @ key[::-1].astype(np.int64)) % 2 for i in range(3)]
    np.testing.assert_array_equal(toeplitz(key, seed, 3), rows)


@pytest.mark.parametrize(
    ("point", "pad", "message", "expected"),
    [
        (  # RFC 8439, section 2.5.2
            "85d6be7857556d337f4452fe42d506a8",
            "0103808afb0db2fd4abff6af4149f51b",
            b"Cryptographic Forum Research Group",
            "a8061dc1305136c6c22b8baf0c0127a9",
        ),
        (  # RFC 8439, appendix A.3, vectors 1 and 7
            "00" * 16,
            "00" * 16,
            bytes(64),
            "00" * 16,
        ),
        (
            "02" + "00" * 15,
            "00" * 16,
            bytes.fromhex("ff" * 16),
            "03" + "00" * 15,
        ),
    ],
)
def test_tags_known_answers(point: str, pad: str, message: bytes, expected: str) -> None:
    assert tag(bytes.fromhex(point), bytes.fromhex(pad), message).hex() == expected


def test_a_flipped_bit_anywhere_is_refused() -> None:
    message = bytes(range(40))
    for bit in range(8 * (len(message) + 16)):
        ends = paired(bytes(range(32)))
        sent = bytearray(message + ends.alice.tag(message))
        sent[bit // 8] ^= 1 << bit % 8
        assert not ends.bob.accepts(bytes(sent[:40]), bytes(sent[40:]))


def test_a_pad_serves_once_and_a_seed_ends() -> None:
    ends = paired(bytes(range(seed_bytes(2))))
    first, second = ends.alice.tag(b"go"), ends.alice.tag(b"go")
    assert first != second
    assert ends.bob.accepts(b"go", first)
    assert not ends.bob.accepts(b"go", first)  # a replay meets the next pad
    with pytest.raises(RunError, match="used up"):
        ends.alice.tag(b"go")
    ends.alice.replenish(bytes(16))
    assert ends.alice.left == 1


def test_a_seed_does_not_show() -> None:
    assert "secretsecret" not in repr(Authenticator(b"secretsecret" * 4))
