import warnings

import numpy as np
import pytest

from envs.parallel import parallel_env
from envs.registry import make
from envs.scripted import straight
from envs.tasks.drone_layout import DroneNavigationConfig
from qmarl.errors import ConfigurationError, RunError

with warnings.catch_warnings():  # PettingZoo's own tests import its own deprecated modules
    warnings.simplefilter("ignore", DeprecationWarning)
    from pettingzoo.test import parallel_api_test, parallel_seed_test, state_test
from pettingzoo.utils.conversions import parallel_to_aec

SETTINGS = [{}, {"drones": 1, "obstacles": 0}, {"drones": 4, "obstacles": 3}]


@pytest.mark.parametrize("settings", SETTINGS)
def test_pettingzoo_accepts_it(settings: dict[str, int]) -> None:
    parallel_api_test(parallel_env(settings), 150)
    parallel_seed_test(lambda: parallel_env(settings), 150)
    state_test(parallel_to_aec(parallel_env(settings)), parallel_env(settings))


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_batch_step_by_step(seed: int) -> None:
    world, env = make(DroneNavigationConfig(), 3), parallel_env()
    view = world.reset(seed)
    seen, _ = env.reset(seed=seed)
    names, episodes = env.possible_agents, 0
    for _ in range(250):
        actions = straight(view)
        step = world.step(actions)
        acting = env.agents
        given = {name: actions[0, names.index(name)] for name in acting}
        seen, rewards, over, cut, infos = env.step(given)
        for name in acting:
            at = names.index(name)
            assert (seen[name] == step.final.observations[0, at]).all()
            assert rewards[name] == step.rewards[0, at]
            assert over[name] == step.terminated[0, at]
            assert cut[name] == step.truncated[0, at]
        assert (env.state() == step.final.state[0]).all()
        assert set(seen) == set(rewards) == set(over) == set(cut) == set(infos) == set(acting)
        assert (not env.agents) == step.ended[0]
        view = step.view
        if step.ended[0]:
            episodes += 1
            info = infos[acting[0]]
            assert info["success"] == step.outcomes["success"][0]
            assert info["collision"] == step.outcomes["collision"][0]
            time = step.outcomes["time_to_goal"][0]
            assert info.get("time_to_goal", pytest.approx(np.nan, nan_ok=True)) == pytest.approx(
                time, nan_ok=True
            )
            seen, _ = env.reset()
            for at, name in enumerate(names):
                assert (seen[name] == view.observations[0, at]).all()
    assert episodes >= 3


def test_a_broken_off_episode_is_followed_by_another() -> None:
    env, twin = parallel_env(), parallel_env()
    first = [e.reset(seed=3)[0]["drone_0"] for e in (env, twin)]
    for e in (env, twin):
        moved = e.step(dict.fromkeys(e.agents, 4))[0]["drone_0"]
        assert moved[5] == 0.5
    second = [e.reset()[0]["drone_0"] for e in (env, twin)]
    assert (second[0][3:6] == 0).all()
    third = [e.reset()[0]["drone_0"] for e in (env, twin)]
    for one, other in (first, second, third):
        assert (one == other).all()
    assert (first[0] != second[0]).any()
    assert (second[0] != third[0]).any()


def test_spaces_hold_what_is_seen() -> None:
    env = parallel_env({"drones": 2})
    seen, _ = env.reset(seed=0)
    for name in env.agents:
        assert env.observation_space(name).contains(seen[name])
        assert env.observation_space(name) is env.observation_space(name)
        assert env.action_space(name).n == 7
    assert env.state_space.contains(env.state())


def test_it_renders_only_when_asked() -> None:
    env = parallel_env(render_mode="rgb_array")
    env.reset(seed=0)
    start = env.render()
    for _ in range(5):
        env.step(dict.fromkeys(env.agents, 0))
    picture = env.render()
    assert picture is not None
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert (picture != start).any()
    silent = parallel_env()
    silent.reset(seed=0)
    assert silent.render() is None


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"drones": 0}, "greater than or equal to 1"),
        ("drone_nav", "nearest world is 'drone_navigation'"),
        ("mpe2.simple_spread_v3:parallel_env", "PettingZoo environment already"),
    ],
)
def test_what_it_cannot_make(config: object, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        parallel_env(config)  # type: ignore[arg-type]


def test_other_render_modes_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="human"):
        parallel_env(render_mode="human")


def test_every_agent_must_choose() -> None:
    env = parallel_env()
    env.reset(seed=0)
    with pytest.raises(RunError, match="no action for drone_1, drone_2"):
        env.step({"drone_0": 1})


def test_an_episode_that_is_over_must_be_reset() -> None:
    env = parallel_env()
    with pytest.raises(RunError, match="reset"):
        env.step({})
