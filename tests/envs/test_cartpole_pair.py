import gymnasium
import numpy as np

from envs.game import GameWorld
from envs.scripted import play
from envs.tasks.cartpole_pair import SCALE, CartpolePairConfig, balancing, leaning, make


def test_each_pole_is_gymnasiums_step_by_step() -> None:
    world = make(CartpolePairConfig(scaled=False), 6)
    view, generator, ends = world.reset(0), np.random.default_rng(0), 0
    twins = [gymnasium.make("CartPole-v1") for _ in range(12)]
    fresh = np.ones(6, bool)
    for _ in range(200):
        for at, twin in enumerate(twins):
            if fresh[at // 2]:
                twin.reset()
                twin.unwrapped.state = world.board()[at // 2, at % 2]  # type: ignore[attr-defined]
        actions = np.where(generator.random((6, 2)) < 0.4, 1, balancing(view))
        step = world.step(actions)
        board = world.board(final=True)
        for at, twin in enumerate(twins):
            place = at // 2, at % 2
            seen, reward, terminated, truncated, _ = twin.step(int(actions[place]))
            assert (board[place] == twin.unwrapped.state).all()  # type: ignore[attr-defined]
            assert reward == step.rewards[place]
            assert terminated == step.terminated[place]
            assert not truncated
            if not terminated:
                assert (step.final.observations[place] == seen).all()
            size = len(seen)
            assert (step.final.state[at // 2].reshape(2, size)[at % 2] == seen).all()
        fresh, view = step.ended, step.view
        ends += int(fresh.sum())
    assert ends >= 6
    for twin in twins:
        twin.close()


def test_the_limit_is_gymnasiums_and_both_poles_are_cut() -> None:
    twin = gymnasium.make("CartPole-v1")
    assert twin.spec is not None
    assert twin.spec.max_episode_steps == CartpolePairConfig().max_steps
    world = make(CartpolePairConfig(), 2)
    view = world.reset(0)
    for t in range(500):
        step = world.step(balancing(view))
        assert step.ended.all() == (t == 499)
        view = step.view
    assert step.truncated.all()
    assert (step.outcomes["balanced"] == 500).all()


def test_a_fallen_pole_terminates_and_cuts_its_partner() -> None:
    world = make(CartpolePairConfig(), 50)
    view, lone = world.reset(0), 0
    for _ in range(100):
        actions = balancing(view)
        actions[:, 0] = 1  # always to the right: falls within a dozen steps
        step = world.step(actions)
        fallen = step.ended & ~step.terminated[:, 1]
        assert (step.terminated[fallen] == [True, False]).all()
        assert (step.truncated[fallen] == [False, True]).all()
        assert (step.final.observations[fallen, 1] != 0).any(-1).all()
        lone += int(fallen.sum())
        view = step.view
    assert lone > 300


def test_starts_are_small_and_even() -> None:
    world = make(CartpolePairConfig(), 4000)
    world.reset(0)
    numbers = world.board().reshape(4000, 8) / 0.05
    assert np.abs(numbers).max() < 1
    assert (np.abs(numbers.mean(0)) < 0.05).all()
    assert (np.abs((numbers**2).mean(0) - 1 / 3) < 0.03).all()


def test_features_are_chosen_and_scaled() -> None:
    def seen(world: GameWorld) -> np.ndarray:
        return world.reset(5).observations

    everything = seen(make(CartpolePairConfig(scaled=False), 9))
    part = make(CartpolePairConfig(features=(0, 2, 3)), 9)
    assert np.allclose(seen(part), (everything / SCALE)[..., [0, 2, 3]], rtol=1e-6)
    assert part.spec.observation_sizes == (3, 3)
    assert (part.reset(5).state == seen(part).reshape(9, 6)).all()


def test_the_scripts_balance_for_as_long_as_they_say() -> None:
    world = make(CartpolePairConfig(), 200)
    assert (play(world, balancing, 0)["balanced"] == 500).all()
    assert 30 < play(world, leaning, 0)["balanced"].mean() < 45
