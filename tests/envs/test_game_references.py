"""The scores that are known of the papers' games; benchmarks/papers_reference.py has more."""

import numpy as np
import pytest

from envs.game import GameWorld
from envs.scripted import Policy, at_random, play
from envs.tasks import single_hop_offloading as hop
from envs.tasks import two_step_game as steps
from envs.tasks.coin_game import CoinGameConfig
from envs.tasks.coin_game import make as coins

EPISODES = 4000


def standard_error(values: np.ndarray) -> float:
    return float(values.std() / np.sqrt(len(values)))


@pytest.mark.parametrize(
    ("policy", "mean", "spread"),
    [
        (at_random(0), -3.55, 2.27),
        (hop.fixed((1, 0, 3, 2)), -4.69, 2.26),
        (hop.greedy, -0.01, 0.08),
    ],
)
def test_offloading_scores_what_is_published_of_it(
    policy: Policy, mean: float, spread: float
) -> None:
    # The reference values come from 2000 episodes, so they have an error too.
    found = play(hop.make(hop.SingleHopOffloadingConfig(), EPISODES), policy, 0)
    own, theirs = standard_error(found["return"]), spread / np.sqrt(2000)
    assert abs(found["return"].mean() - mean) < 4 * np.hypot(own, theirs) + 0.005
    assert found["return"].std() == pytest.approx(spread, abs=0.15)
    assert np.allclose(found["return"], -found["overflow"] - 4 * found["empty"], atol=1e-4)
    assert (found["length"] == 30).all()


def test_offloading_by_each_agent_alone_is_nearly_solved() -> None:
    found = play(hop.make(hop.SingleHopOffloadingConfig(), EPISODES), hop.homes, 0)
    assert -0.06 < found["return"].mean() < -0.01


def test_offloading_is_the_published_step() -> None:
    """Written out for one world, queue by queue."""
    world, generator = hop.make(hop.SingleHopOffloadingConfig(), 1), np.random.default_rng(0)
    edge, cloud = np.array([0.8, 0.8, 0.2, 0.2]), np.array([0.5, 0.5])
    view = world.reset(0)
    assert np.allclose(view.observations[0, 3], [0.2, 0.2, 0.5, 0.5])
    for t in range(30):
        actions = generator.integers(0, 4, (1, 4))
        step = world.step(actions)
        now = step.final.observations[0, :, 1]
        sent = np.zeros(2)
        for n, action in enumerate(actions[0]):
            amount = 0.1 + 0.1 * (action % 2)
            if now[n] == 0:  # perhaps there was too little: at most the amount has been sent
                assert edge[n] <= amount + 1e-6
                amount = np.nan
            else:
                assert -1e-6 <= now[n] - edge[n] + amount <= 0.3 + 1e-6
            sent[action // 2] += amount
            assert step.final.observations[0, n, 0] == pytest.approx(edge[n])
        wanted = cloud + sent - 0.3
        seen = step.final.observations[0, 0, 2:]
        known = np.isfinite(wanted)
        assert np.allclose(seen[known], np.clip(wanted, 0, 1)[known], atol=1e-6)
        if known.all():
            lost = np.maximum(wanted - 1, 0).sum() + 4 * np.maximum(-wanted, 0).sum()
            assert np.allclose(step.rewards, -lost, atol=1e-5)
        edge, cloud = now, seen
        assert step.truncated.all() == (t == 29)
        assert (step.final.state == step.final.observations.reshape(1, 16)).all()


def many(config: CoinGameConfig) -> GameWorld:
    return coins(config, EPISODES)


def test_random_coin_games_score_what_is_published_of_them() -> None:
    two = play(many(CoinGameConfig(max_steps=150)), at_random(0), 0)["score"]
    # Whoever takes a coin, it is anyone's in equal shares: 1 - 2 / 2 for two agents. The published
    # -0.52 lies within the error of a hundred episodes.
    assert abs(two.mean()) < 4 * standard_error(two)
    assert abs(two.mean() + 0.52) < 4 * two.std() / np.sqrt(100)
    four = play(many(CoinGameConfig(agents=4, max_steps=150)), at_random(0), 0)
    assert four["score"].mean() == pytest.approx(-6.74, abs=0.3)
    expected = -0.5 * four["coins_collected"].mean()
    assert abs(four["score"].mean() - expected) < 4 * standard_error(four["score"])


def test_the_two_step_game_pays_seven_and_eight() -> None:
    world = steps.make(steps.TwoStepGameConfig(), EPISODES)
    for action, wanted in ((0, 7), (1, 8)):
        found = play(world, steps.always(action), 0)
        assert (found["return"] == wanted).all()
        assert (found["payoff"] == wanted).all()
        assert (found["optimal"] == (wanted == 8)).all()
        assert (found["length"] == 2).all()
    chance = play(world, at_random(0), 0)["return"]
    assert abs(chance.mean() - 4.75) < 4 * standard_error(chance)


def test_the_two_step_game_shows_where_it_stands() -> None:
    world = steps.make(steps.TwoStepGameConfig(), 4)
    view = world.reset(0)
    assert (view.observations == [1, 0, 0]).all()
    step = world.step(np.array([[0, 0], [0, 1], [1, 0], [1, 1]]))
    assert (step.rewards == 0).all()
    assert (step.view.state == [[0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]).all()
    step = world.step(np.array([[0, 1], [1, 1], [0, 1], [1, 1]]))
    assert (step.rewards == np.array([[7], [7], [1], [8]])).all()
    assert step.terminated.all()
    assert (step.view.state == [1, 0, 0]).all()
