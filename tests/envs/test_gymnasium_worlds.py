"""Gymnasium's environments as worlds of one agent."""

from typing import Any

import gymnasium
import numpy as np
import pytest

from envs import check_env, make
from envs.world import World
from qmarl.errors import ConfigurationError, RunError
from qmarl.seeding import seed_for


def module_made() -> gymnasium.Env[Any, Any]:
    return gymnasium.make("CartPole-v1")


def endless() -> gymnasium.Env[Any, Any]:
    return gymnasium.make("CartPole-v1", max_episode_steps=-1)


def same_as_by_hand(world: World, name: str, seed: int, steps: int) -> int:
    """Plays copy 1 beside the environment itself; returns how many episodes ended."""
    view, env, episode = world.reset(seed), gymnasium.make(name), 0
    seen, _ = env.reset(seed=seed_for(seed, "env", 1, 0) & 0x7FFFFFFF)
    for step in range(steps):
        assert view.observations[1, 0].tolist() == seen.astype(np.float32).tolist()
        action = step // 3 % 2
        result = world.step(np.full((2, 1), action))
        seen, reward, over, cut, _ = env.step(action)
        assert result.final.state.shape == (2, 0)
        assert result.rewards[1, 0] == reward
        assert (result.terminated[1, 0], result.truncated[1, 0]) == (over, cut and not over)
        if cut and not over:
            assert result.final.observations[1, 0].tolist() == seen.astype(np.float32).tolist()
        if over or cut:
            episode += 1
            seen, _ = env.reset(seed=seed_for(seed, "env", 1, episode) & 0x7FFFFFFF)
        view = result.view
    return episode


def test_it_is_the_environment_itself() -> None:
    world = make("gymnasium/CartPole-v1", 2)
    assert world.spec.agents == ("agent_0",)
    assert world.spec.action_counts == (2,)
    assert world.spec.max_steps == 500
    assert same_as_by_hand(world, "CartPole-v1", 3, 120) >= 2


def test_its_own_time_limit_cuts() -> None:
    world = make({"id": "gymnasium/CartPole-v1", "kwargs": {"max_episode_steps": 7}}, 2)
    assert world.spec.max_steps == 7
    steps = [world.step(np.array([[k % 2]] * 2)) for k in range(7) if k or world.reset(0)]
    assert steps[-1].truncated.all()
    assert steps[-1].ended.all()
    assert not steps[-1].terminated.any()


@pytest.mark.parametrize(
    "name",
    ["CartPole-v1", "Pendulum-v1", "Acrobot-v1", "FrozenLake-v1"],
)
def test_every_kind_passes_the_checks(name: str) -> None:
    report = check_env(f"gymnasium/{name}", steps=60)
    assert report.agents == ("agent_0",)


def test_tuples_and_games_without_a_limit() -> None:
    assert check_env({"id": "gymnasium/Blackjack-v1", "max_steps": 12}).episodes > 3
    with pytest.raises(ConfigurationError, match="max_steps must be set"):
        make("gymnasium/Blackjack-v1", 1)


def test_continuous_actions_are_scaled_to_the_bounds() -> None:
    world = make("gymnasium/Pendulum-v1", 1)
    view = world.reset(0)
    assert world.spec.action_sizes == (1,)
    env = gymnasium.make("Pendulum-v1")
    env.reset(seed=seed_for(0, "env", 0, 0) & 0x7FFFFFFF)
    seen, reward, *_ = env.step(np.array([1.0], np.float32))
    step = world.step(np.array([[[0.5]]], np.float32))
    assert step.rewards[0, 0] == np.float32(reward)
    assert step.view.observations[0, 0].tolist() == seen.tolist()
    assert view.action_mask.shape == (1, 1, 0)


def test_a_module_may_make_one_too() -> None:
    here = make(f"{__name__}:module_made", 2)
    there = make("gymnasium/CartPole-v1", 2)
    assert (here.reset(5).observations == there.reset(5).observations).all()
    assert here.spec.max_steps == 500
    assert make({"id": f"{__name__}:endless", "max_steps": 40}, 1).spec.max_steps == 40


def test_an_environment_itself_can_be_checked() -> None:
    report = check_env(gymnasium.make("CartPole-v1"), steps=50)
    assert report.name == "CartPoleEnv"
    assert "whether copies depend on how many there are was not checked" in report.notes


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "gymnasium/CartPole-v7",
            "not in Gymnasium's registry, nearest is 'gymnasium/CartPole-v1'",
        ),
        ("gymnasium/CartPoel-v1", "nearest is 'gymnasium/CartPole-v1'"),
        ("gymnasium/no_such_module:Thing-v0", "not in Gymnasium's registry"),
    ],
)
def test_an_unknown_id_names_the_nearest(name: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make(name, 1)


def test_actions_out_of_range_are_refused_by_name() -> None:
    world = make("gymnasium/CartPole-v1", 2)
    world.reset(0)
    with pytest.raises(RunError, match=r"CartPole-v1: agent_0 in world 1 chose action 2, allowed"):
        world.step(np.array([[0], [2]]))
