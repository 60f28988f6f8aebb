from __future__ import annotations

import numpy as np
import pytest

from qmarl.secure.cascade import efficiency
from qmarl.secure.ldpc import decode, make_code
from qmarl.secure.randomness import SeededRandomness
from qmarl.secure.reconciliation import reconcile


def keys(n: int, error: float, seed: int) -> tuple[np.ndarray, np.ndarray, SeededRandomness]:
    rng = np.random.default_rng(seed)
    right = rng.integers(0, 2, n, np.uint8)
    return right, right ^ (rng.random(n) < error).astype(np.uint8), SeededRandomness(rng)


@pytest.mark.parametrize("error", [0.01, 0.03, 0.05])
def test_one_message_corrects_at_most_a_quarter_above_the_limit(error: float) -> None:
    spent = []
    for seed in range(2):
        right, wrong, public = keys(20_000, error, seed)
        before = wrong.copy()
        found = reconcile(right, wrong, error, "ldpc", public)
        np.testing.assert_array_equal(found.key, right)
        np.testing.assert_array_equal(wrong, before)
        # Bits that were said are never more than what is counted.
        assert sum(len(said) * 8 for said in found.said) < found.disclosed + 8 * len(found.said)
        spent.append(efficiency(found.disclosed, 20_000, float((right ^ wrong).mean())))
    assert 1 < np.mean(spent) < 1.25


@pytest.mark.parametrize("error", [0.005, 0.11, 0.3])
@pytest.mark.parametrize("n", [30, 200, 3000])
def test_any_key_is_corrected_or_differs_openly(n: int, error: float) -> None:
    right, wrong, public = keys(n, error, n)
    found = reconcile(right, wrong, error, "ldpc", public)
    assert len(found.key) == n
    assert found.disclosed >= 20 or n == found.disclosed
    if n == 3000:
        np.testing.assert_array_equal(found.key, right)


def test_more_errors_than_expected_cost_more_words() -> None:
    right, wrong, public = keys(10_000, 0.03, 1)
    few, many = (reconcile(right, wrong, error, "ldpc", public) for error in (0.03, 0.024))
    np.testing.assert_array_equal(many.key, right)
    assert len(many.said) > len(few.said)


def test_a_word_has_even_parities_and_survives_noise_and_loss() -> None:
    rng = np.random.default_rng(2)
    code = make_code(4000, 2400, rng)
    inside = rng.integers(0, 2, code.room, np.uint8)
    word = code.encode(inside)
    np.testing.assert_array_equal(word[: code.room], inside)
    assert not code.syndrome(word).any()
    heard = word ^ (rng.random(4000) < 0.04).astype(np.uint8)
    evidence = np.log(0.96 / 0.04) * (1 - 2.0 * heard) * (rng.random(4000) > 0.25)
    found = decode(code, np.zeros(code.checks, np.uint8), evidence)
    assert found.settled
    np.testing.assert_array_equal(found.word, word)
    hopeless = decode(code, np.zeros(code.checks, np.uint8), rng.normal(0, 1, 4000), 5)
    assert not hopeless.settled


def test_the_graph_has_no_doubles_and_its_syndrome_is_the_matrix() -> None:
    code = make_code(600, 200, np.random.default_rng(3))
    matrix = np.zeros((200, 600), np.int64)
    np.add.at(matrix, (code.check, code.bit), 1)
    assert matrix.max() == 1
    word = np.random.default_rng(4).integers(0, 2, 600, np.uint8)
    np.testing.assert_array_equal(code.syndrome(word), matrix @ word % 2)
    assert set(np.unique(matrix.sum(0))) <= {1, 2, 3, 9}
    spread = matrix.sum(1)
    assert spread.max() - spread.min() <= 3
