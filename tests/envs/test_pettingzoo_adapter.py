from typing import Any

import numpy as np
import pytest

from envs.pettingzoo_source import PettingZooConfig
from envs.registry import make
from envs.scripted import at_random
from envs.world import World
from qmarl.errors import ConfigurationError, RunError
from qmarl.seeding import seed_for

SPREAD = "mpe2.simple_spread_v3:parallel_env"


HERE = "foreign_worlds:"


def caravan(num_envs: int = 2, **settings: Any) -> World:
    return make(PettingZooConfig(**{"id": HERE + "Caravan", "max_steps": 5, **settings}), num_envs)


def env_of(world: World, row: int = 0) -> Any:
    return world._crew.copies[row]._source._env  # type: ignore[attr-defined]


MOVES = np.array([[1, 2, 3]] * 2)


def test_unlike_spaces_are_padded_and_masked() -> None:
    world = caravan()
    view = world.reset(0)
    assert world.spec.observation_sizes == (4, 2, 3)
    assert world.spec.action_counts == (2, 3, 4)
    assert world.spec.state_size == 0
    assert view.observations.shape == (2, 3, 4)
    assert view.observations[0].tolist() == [[0, 0, 0, 0], [0, -1, 0, 0], [1, 0, 0, 0]]
    masks = [[True, True, False, False], [True, False, True, False], [True] * 4]
    assert view.action_mask[0].tolist() == masks


def test_agents_die_and_are_cut_one_by_one() -> None:
    world = caravan()
    world.reset(0)
    steps = [world.step(MOVES) for _ in range(6)]
    assert [s.terminated[0].tolist() for s in steps[:3]] == [
        [False, False, False],
        [True, False, False],
        [False, False, False],
    ]
    assert steps[2].truncated[0].tolist() == [False, True, False]
    assert steps[4].truncated[0].tolist() == [False, False, True]
    assert [bool(s.ended[0]) for s in steps] == [False, False, False, False, True, False]
    alive = [s.view.alive[0].tolist() for s in steps]
    assert alive[1:5] == [
        [False, True, True],
        [False, False, True],
        [False, False, True],
        [True] * 3,
    ]
    assert (steps[1].view.observations[0, 0] == 0).all()
    assert [s.rewards[0].tolist() for s in steps[1:3]] == [[2, 2, 1], [0, 3, 1]]
    assert steps[1].view.action_mask[0, 0].all()


def test_who_is_cut_shows_what_it_would_have_seen() -> None:
    world = caravan()
    world.reset(0)
    for _ in range(3):
        step = world.step(MOVES)
    assert step.final.observations[0, 1].tolist() == [3, -1, 0, 0]
    assert step.final.alive[0].tolist() == [False, True, True]
    assert (step.view.observations[0, 1] == 0).all()
    assert step.final.action_mask[0, 1].tolist() == [True, False, True, False]
    assert step.view.action_mask[0, 1].all()
    assert not step.view.alive[0, 1]


def test_actions_reach_the_agents_under_their_own_numbers() -> None:
    world = caravan(1)
    world.reset(0)
    for _ in range(3):
        world.step(MOVES[:1])
    assert env_of(world).moves == [{"ant": 1, "bee": 2, "cow": 13}] * 2 + [{"bee": 2, "cow": 13}]


def test_a_masked_action_is_refused() -> None:
    world = caravan()
    world.reset(0)
    with pytest.raises(RunError, match=r"bee in world 1 chose action 1, allowed are \[0, 2\]"):
        world.step(np.array([[1, 2, 3], [1, 1, 3]]))


def test_seeds_belong_to_the_world_and_the_episode() -> None:
    world, shard = caravan(3), caravan(1)
    for w, first in ((world, 0), (shard, 2)):
        w.reset(7, first)
        for _ in range(5):
            w.step(MOVES[[0] * w.num_envs])
    expected = [seed_for(7, "env", 2, episode) & 0x7FFFFFFF for episode in (0, 1)]
    assert env_of(world, 2).seeds[-2:] == env_of(shard).seeds[-2:] == expected


def test_outcomes_are_read_from_the_last_infos() -> None:
    world = caravan(outcomes=("milk", "honey"))
    world.reset(0)
    steps = [world.step(MOVES) for _ in range(5)]
    assert steps[3].outcomes == {}
    assert steps[4].outcomes["milk"].tolist() == [2, 2]
    assert np.isnan(steps[4].outcomes["honey"]).all()


def test_our_own_limit_cuts_an_episode_short() -> None:
    world = caravan(max_steps=2)
    world.reset(0)
    world.step(MOVES)
    step = world.step(MOVES)
    assert step.ended.all()
    assert step.terminated[0].tolist() == [True, False, False]
    assert step.truncated[0].tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("observation", "an observation of ant in world 0 is nan"),
        ("reward", "a reward of cow in world 0 is inf"),
        ("raise", "world 0 raised RuntimeError: a wheel came off"),
    ],
)
def test_a_spoiled_step_is_one_clear_sentence(spoil: str, words: str) -> None:
    world = caravan(kwargs={"spoil": spoil})
    world.reset(0)
    with pytest.raises(RunError, match=words):
        world.step(MOVES)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (HERE + "broken", "raised OSError: no such simulator"),
        (HERE + "plain", "no PettingZoo ParallelEnv"),
        (HERE + "talker", "cow acts by numbers and ant by choices"),
        (HERE + "missing", "has no attribute 'missing'"),
        (HERE + "NUMBER", "not a factory"),
        ("no_such_module:env", "No module named 'no_such_module'"),
        ("sisl/pursuit-v9", "nearest is 'sisl/pursuit-v5'"),
    ],
)
def test_what_cannot_be_made_is_one_clear_sentence(name: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        make(PettingZooConfig(id=name, max_steps=5), 1)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_an_unknown_length_must_be_given() -> None:
    with pytest.raises(ConfigurationError, match="max_steps must be set"):
        caravan(max_steps=None)


def test_a_spoiled_restart_is_found_too() -> None:
    world = caravan(1, kwargs={"spoil": "restart"})
    world.reset(0)
    for _ in range(4):
        world.step(MOVES[:1])
    with pytest.raises(RunError, match="an observation of ant in world 0 is nan"):
        world.step(MOVES[:1])


def test_a_spoiled_state_is_found() -> None:
    world = make(PettingZooConfig(id=HERE + "Caravan", max_steps=5, kwargs={"spoil": "state"}), 1)
    with pytest.raises(RunError, match="the joint state in world 0 is nan"):
        world.reset(0)


def test_multidiscrete_is_flattened() -> None:
    world = make(PettingZooConfig(id=HERE + "gridder", max_steps=5), 1)
    assert world.reset(0).observations[0, 2].tolist() == [0, 1, 0, 0, 1]


def test_foreign_worlds_have_nothing_to_draw() -> None:
    world = caravan()
    with pytest.raises(RunError, match="no positions"):
        world.positions()
    with pytest.raises(RunError, match="cannot be drawn"):
        world.scene()


def test_simple_spread_is_the_same_whatever_the_batch() -> None:
    config = PettingZooConfig(id=SPREAD, kwargs={"N": 2, "max_cycles": 6})
    whole, alone = make(config, 3), make(config, 1)
    one, other = whole.reset(5), alone.reset(5, 2)
    policy, ended = at_random(0), 0
    assert whole.spec.max_steps == 6
    assert one.state.shape == (3, 24)
    for _ in range(20):
        assert (one.observations[2:] == other.observations).all()
        assert (one.state[2:] == other.state).all()
        actions = policy(one)
        step, twin = whole.step(actions), alone.step(actions[2:])
        assert (step.rewards[2:] == twin.rewards).all()
        assert (step.final.observations[2:] == twin.final.observations).all()
        assert step.truncated.all() == step.ended.all()
        ended += int(step.ended[0])
        one, other = step.view, twin.view
    assert ended == 3
    for world in (whole, alone):
        world.close()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("reset", "world 4 raised RuntimeError: no runway"),
        ("length", r"world 4: what ant sees is float32 of shape \(3,\), its space has \(2, 2\)"),
        ("short", "world 4: its step returned 4 values, a ParallelEnv returns 5"),
        ("list", "world 4: its step returned a list among its 5 values"),
        ("blind", "world 4: cow was given no observation"),
        ("unpaid", "world 4: cow was given no reward"),
        ("words", "world 4: the reward of cow is 'plenty', which is not a number"),
        ("vanish", "world 4: cow left without being terminated or truncated"),
        ("stranger", "world 4: 'dog' is there, but not among its possible_agents"),
        ("nobody", "world 4: no agent is there after reset"),
        ("mask", "world 4: what bee may do has a mask of 2 entries for 3 actions"),
        ("kind", r"world 4: what cow sees is 7, allowed are \[0\] to \[2\]"),
        ("huge", "an observation of ant in world 4 is inf"),
    ],
)
def test_any_fault_of_a_foreign_world_is_told_as_its_own(fault: str, words: str) -> None:
    world = make(PettingZooConfig(id=HERE + "Faulty", max_steps=5, kwargs={"spoil": fault}), 1)
    with pytest.raises(RunError, match=words):
        fly(world)
    with pytest.raises(RunError, match="reset"):  # nothing to go on from
        world.step(MOVES[:1])


def test_who_ended_stays_away_even_where_the_environment_forgets_it() -> None:
    world = caravan(1, kwargs={"spoil": "forget"})
    world.reset(0)
    alive = [world.step(MOVES[:1]).view.alive[0, 0] for _ in range(5)]
    assert alive == [True, False, False, False, True]


def fly(world: World) -> None:
    view = world.reset(0, first_env=4)
    policy = at_random(0)
    for _ in range(12):
        view = world.step(policy(view)).view
