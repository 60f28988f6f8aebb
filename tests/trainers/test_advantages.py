import numpy as np
import pytest

from trainers.algorithms.advantages import generalised_advantages, normalised


def test_hand_computed_advantages():
    # gamma 0.9, lambda 0.5; rewards 1, 2, 3; values 0.5, 1, 1.5; the last step is terminal.
    rewards = np.array([[1.0], [2.0], [3.0]])
    values = np.array([[0.5], [1.0], [1.5]])
    after = np.array([[1.0], [1.5], [0.0]])
    ends = np.array([[False], [False], [True]])
    got = generalised_advantages(rewards, values, after, ends, 0.9, 0.5)[:, 0]
    third = 3.0 - 1.5
    second = 2.0 + 0.9 * 1.5 - 1.0 + 0.45 * third
    first = 1.0 + 0.9 * 1.0 - 0.5 + 0.45 * second
    np.testing.assert_allclose(got, [first, second, third], atol=1e-12)


def test_truncation_bootstraps_and_termination_does_not():
    rewards, values = np.ones((1, 2)), np.zeros((1, 2))
    after = np.array([[10.0, 0.0]])  # the first was cut, the second is over
    got = generalised_advantages(rewards, values, after, np.array([[True, True]]), 0.5, 0.9)
    np.testing.assert_allclose(got, [[6.0, 1.0]])


def test_nothing_flows_across_an_end():
    rewards = np.array([[0.0], [100.0]])
    zero = np.zeros((2, 1))
    got = generalised_advantages(rewards, zero, zero, np.array([[True], [True]]), 0.99, 0.95)
    assert got[0, 0] == 0.0


def test_advantages_are_normalised_over_living_steps_alone():
    advantages = np.array([[[1.0], [2.0], [3.0], [1e6]]])
    alive = np.array([[[True], [True], [True], [False]]])
    out = normalised(advantages, alive)
    assert out[0, 3, 0] == 0.0
    assert out[0, :3].mean() == pytest.approx(0.0)
    assert out[0, :3].std() == pytest.approx(1.0, abs=1e-4)
