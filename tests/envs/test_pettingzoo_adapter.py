from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from pettingzoo import ParallelEnv

from envs.adapters import PettingZooWorld
from envs.pettingzoo_source import PettingZooConfig
from envs.registry import make
from envs.scripted import at_random
from envs.world import World
from qmarl.errors import ConfigurationError, RunError
from qmarl.seeding import seed_for

SPREAD = "mpe2.simple_spread_v3:parallel_env"


class Caravan(ParallelEnv):
    """Three unlike agents: ``ant`` dies in step 2, ``bee`` is cut in step 3, ``cow`` goes on."""

    metadata = {"name": "caravan"}  # noqa: RUF012 - PettingZoo's own convention

    def __init__(self, spoil: str = "", length: int = 5) -> None:
        self.possible_agents = ["ant", "bee", "cow"]
        self.agents: list[str] = []
        self.spoil, self.length, self.seeds, self.moves = spoil, length, [], []
        masked = {"observation": Box(-9, 9, (2,)), "action_mask": MultiBinary(3)}
        self.seen = {"ant": Box(-9, 9, (2, 2)), "bee": Dict(masked), "cow": Discrete(3)}
        self.acts = {"ant": Discrete(2), "bee": Discrete(3), "cow": Discrete(4, start=10)}

    def observation_space(self, agent: str) -> Any:
        return self.seen[agent]

    def action_space(self, agent: str) -> Any:
        return self.acts[agent]

    def observe(self) -> dict[str, Any]:
        late = self.spoil == "restart" and len(self.seeds) > 2
        bad = np.nan if late or (self.spoil == "observation" and self.clock == 1) else 0
        seen = {
            "ant": np.full((2, 2), self.clock + bad, np.float32),
            "bee": {
                "observation": np.array([self.clock, -1], np.float32),
                "action_mask": np.array([1, 0, 1], np.int8),
            },
            "cow": self.clock % 3,
        }
        return {agent: seen[agent] for agent in self.agents}

    def state(self) -> np.ndarray:
        if self.spoil != "state":
            raise NotImplementedError
        return np.array([np.nan])

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.clock, self.agents = 0, list(self.possible_agents)
        self.seeds.append(seed)  # the first one is the adapter's look at a first episode
        return self.observe(), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, int]) -> Any:
        assert set(actions) == set(self.agents)
        if self.spoil == "raise":
            raise RuntimeError("a wheel came off")
        self.clock += 1
        self.moves.append(actions)
        seen = self.observe()
        bad = np.inf if self.spoil == "reward" else 0
        rewards = {agent: float(self.clock) for agent in self.agents} | {"cow": 1 + bad}
        ends = {agent: agent == "ant" and self.clock == 2 for agent in self.agents}
        cuts = {
            agent: (agent == "bee" and self.clock == 3) or self.clock == self.length
            for agent in self.agents
        }
        infos = {agent: {"milk": 2.0} if agent == "cow" else {} for agent in self.agents}
        self.agents = [a for a in self.agents if not (ends[a] or cuts[a])]
        return seen, rewards, ends, cuts, infos


def talker() -> ParallelEnv:
    env = Caravan()
    env.acts["cow"] = Box(-1, 1, (2,))
    return env


def gridder() -> ParallelEnv:
    env = Caravan()
    env.seen["cow"] = MultiDiscrete([2, 3])
    env.observe = lambda: {**Caravan.observe(env), "cow": np.array([1, 2])}
    return env


def broken() -> ParallelEnv:
    raise OSError("no such\n simulator")


def plain() -> object:
    return object()


HERE = f"{__name__}:"


def caravan(num_envs: int = 2, **settings: Any) -> World:
    return make(PettingZooConfig(**{"id": HERE + "Caravan", "max_steps": 5, **settings}), num_envs)


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
    assert isinstance(world, PettingZooWorld)
    world.reset(0)
    for _ in range(3):
        world.step(MOVES[:1])
    env = world._envs[0]
    assert env.moves == [{"ant": 1, "bee": 2, "cow": 13}] * 2 + [{"bee": 2, "cow": 13}]


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
    assert isinstance(world, PettingZooWorld)
    assert isinstance(shard, PettingZooWorld)
    expected = [seed_for(7, "env", 2, episode) & 0x7FFFFFFF for episode in (0, 1)]
    assert world._envs[2].seeds[-2:] == shard._envs[0].seeds[-2:] == expected


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
        (HERE + "talker", "only Discrete actions"),
        (HERE + "missing", "has no attribute 'missing'"),
        (HERE + "SPREAD", "not a factory"),
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


class Faulty(Caravan):
    """Breaks the API in the way that ``spoil`` names."""

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        if self.spoil == "reset" and len(self.seeds) > 1:
            raise RuntimeError("no runway")
        return super().reset(seed, options)

    def step(self, actions: Any) -> Any:
        seen, *rest = super().step(actions)
        if self.spoil == "length" and "ant" in seen:
            seen["ant"] = np.zeros(3, np.float32)
        return (seen, *rest[:-1]) if self.spoil == "short" else (seen, *rest)


@pytest.mark.parametrize("fault", ["reset", "length", "short"])
def test_any_fault_of_a_foreign_world_is_told_as_its_own(fault: str) -> None:
    world = make(PettingZooConfig(id=HERE + "Faulty", max_steps=5, kwargs={"spoil": fault}), 1)
    with pytest.raises(RunError, match=r"world 4 raised \w+Error"):
        fly(world)


def fly(world: World) -> None:
    view = world.reset(0, first_env=4)
    policy = at_random(0)
    for _ in range(12):
        view = world.step(policy(view)).view
