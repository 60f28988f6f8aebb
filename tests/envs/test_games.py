from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from envs.game import GameDraws, GameWorld
from envs.tasks import cartpole_pair, chsh, coin_game, single_hop_offloading, two_step_game
from envs.tasks.cartpole_pair import CartpolePairConfig
from envs.tasks.chsh import ChshConfig
from envs.tasks.coin_game import CoinGame, CoinGameConfig
from envs.tasks.single_hop_offloading import SingleHopOffloadingConfig
from envs.tasks.two_step_game import TwoStepGameConfig
from envs.world import Step, View
from qmarl.errors import RunError

GAMES: dict[str, Callable[[int], GameWorld]] = {
    "single hop": lambda n: single_hop_offloading.make(SingleHopOffloadingConfig(), n),
    "coins": lambda n: coin_game.make(CoinGameConfig(max_steps=37), n),
    "coins of four": lambda n: coin_game.make(
        CoinGameConfig(agents=4, planes=(0, 2, 3), observation="encoded", time_limit="end"), n
    ),
    "walled coins": lambda n: coin_game.make(CoinGameConfig(walls="mask", max_steps=5), n),
    "chsh": lambda n: chsh.make(ChshConfig(), n),
    "long chsh": lambda n: chsh.make(
        ChshConfig(actions="continuous", visibility=0.7, max_steps=21), n
    ),
    "plain chsh": lambda n: chsh.make(ChshConfig(actions="answers", entangled_pairs=False), n),
    "two steps": lambda n: two_step_game.make(TwoStepGameConfig(), n),
    "poles": lambda n: cartpole_pair.make(CartpolePairConfig(max_steps=20), n),
    "half seen poles": lambda n: cartpole_pair.make(CartpolePairConfig(features=(0, 2, 3)), n),
}


@pytest.fixture(params=GAMES)
def made(request: pytest.FixtureRequest) -> Callable[[int], GameWorld]:
    return GAMES[request.param]


def acting(world: GameWorld, view: View, generator: np.random.Generator) -> np.ndarray:
    """Legal actions at random."""
    if world.spec.continuous:
        return generator.uniform(-1, 1, (*view.alive.shape, 1)).astype(np.float32)
    draws = generator.random(view.action_mask.shape)
    chosen: np.ndarray = np.where(view.action_mask, draws, -1).argmax(-1)
    return chosen


def flat(step: Step) -> dict[str, np.ndarray]:
    """Every array of a step, by name."""
    arrays = {f"view.{f.name}": getattr(step.view, f.name) for f in fields(step.view)}
    arrays |= {f"final.{f.name}": getattr(step.final, f.name) for f in fields(step.final)}
    names = ("rewards", "terminated", "truncated", "ended")
    return arrays | {name: getattr(step, name) for name in names} | step.outcomes


def test_shapes_and_types(made: Callable[[int], GameWorld]) -> None:
    world = made(5)
    view, spec = world.reset(0), world.spec
    agents = len(spec.agents)
    assert view.observations.shape == (5, agents, spec.observation_sizes[0])
    assert view.state.shape == (5, spec.state_size)
    assert view.action_mask.shape == (5, agents, max(spec.action_counts))
    assert view.observations.dtype == view.state.dtype == np.float32
    step = world.step(acting(world, view, np.random.default_rng(0)))
    assert step.rewards.shape == (5, agents)
    assert step.rewards.dtype == np.float32
    assert (step.final is step.view) != step.ended.any()


def test_a_copy_is_the_same_whatever_the_batch_and_shard(made: Callable[[int], GameWorld]) -> None:
    whole, alone, shard = made(6), made(1), made(2)
    view = whole.reset(11)
    starts = [(alone, alone.reset(11, 3), slice(3, 4)), (shard, shard.reset(11, 3), slice(3, 5))]
    for _, start, rows in starts:
        assert (start.observations == view.observations[rows]).all()
    generator, episodes = np.random.default_rng(0), 0
    for t in range(700):  # past the episodes and steps that are drawn ahead
        actions = acting(whole, view, generator)
        step = whole.step(actions)
        one = flat(step)
        for world, _, rows in starts:
            other = flat(world.step(actions[rows]))
            ended = other["ended"]
            for name, array in other.items():
                valid = ended if name in world.spec.outcomes else slice(None)
                same = np.array_equal(array[valid], one[name][rows][valid], equal_nan=True)
                assert same, (t, name)
        view = step.view
        episodes += int(step.ended[3])
    assert episodes >= 14


def test_same_seed_same_bytes_and_a_reset_forgets(made: Callable[[int], GameWorld]) -> None:
    world, records = made(4), []
    for _ in range(2):
        view, generator, record = world.reset(3), np.random.default_rng(0), []
        for _ in range(45):
            step = world.step(acting(world, view, generator))
            record.append(flat(step))
            view = step.view
        records.append(record)
    for one, other in zip(*records, strict=True):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)


@pytest.mark.parametrize("name", ["single hop", "coins", "chsh", "poles"])
def test_another_seed_is_another_world(name: str) -> None:
    states = []
    for seed in (0, 1):
        world, generator = GAMES[name](8), np.random.default_rng(0)
        view = world.reset(seed)
        for _ in range(3):
            view = world.step(acting(world, view, generator)).view
        states.append(view.state)
    assert (states[0] != states[1]).any()
    assert len(np.unique(states[0], axis=0)) > 1


def test_episodes_end_for_the_whole_team_and_start_anew(made: Callable[[int], GameWorld]) -> None:
    world, generator = made(8), np.random.default_rng(2)
    view, lengths, episodes = world.reset(1), np.zeros(8, int), 0
    for _ in range(120):
        step = world.step(acting(world, view, generator))
        lengths += 1
        assert (lengths <= world.spec.max_steps).all()
        assert not (step.terminated & step.truncated).any()
        over = step.terminated | step.truncated
        assert (over == step.ended[:, None]).all()
        assert ((lengths == world.spec.max_steps) <= step.ended).all()
        assert step.view.alive.all()
        assert (step.final.alive == ~step.terminated).all()
        assert (step.final.observations[step.terminated] == 0).all()
        going = ~step.ended
        assert (step.view.state[going] == step.final.state[going]).all()
        assert (step.view.observations[going] == step.final.observations[going]).all()
        assert set(step.outcomes) == (set(world.spec.outcomes) if step.ended.any() else set())
        episodes += int(step.ended.sum())
        lengths[step.ended] = 0
        view = step.view
    assert episodes >= 16


def test_steps_do_not_change_what_was_handed_out(made: Callable[[int], GameWorld]) -> None:
    world, generator = made(4), np.random.default_rng(0)
    view, kept = world.reset(0), []
    for _ in range(60):
        kept.append((view, [getattr(view, f.name).copy() for f in fields(view)]))
        step = world.step(acting(world, view, generator))
        view = step.view
        if step.ended.any():
            kept.append((step.final, [getattr(step.final, f.name).copy() for f in fields(view)]))
    for view, copies in kept:
        for f, copy in zip(fields(view), copies, strict=True):
            assert (getattr(view, f.name) == copy).all()


def test_outcomes_stay_what_they_were(made: Callable[[int], GameWorld]) -> None:
    world, generator = made(4), np.random.default_rng(0)
    view, kept = world.reset(0), []
    for _ in range(120):
        step = world.step(acting(world, view, generator))
        kept += [(array, array.copy()) for array in step.outcomes.values()]
        view = step.view
    assert kept
    assert all(np.array_equal(array, copy, equal_nan=True) for array, copy in kept)


def test_every_number_is_drawn_once() -> None:
    game = CoinGame(CoinGameConfig(max_steps=40), 3)
    draws, seen = GameDraws(0, np.arange(3), game), []
    rows = np.arange(3)
    for episode in range(20):
        episodes = np.full(3, episode)
        seen.append(draws.beginning(rows, episodes).ravel())
        seen += [draws.step(episodes, np.full(3, step)).ravel() for step in range(40)]
    numbers = np.concatenate(seen)
    assert len(numbers) == 3 * 20 * (10 + 80)
    assert len(np.unique(numbers)) == len(numbers)
    assert abs(numbers.mean() - 0.5) < 0.02


@pytest.mark.parametrize(
    ("name", "bad", "words"),
    [
        ("coins", np.zeros((4, 3), int), r"coin_game: actions .* \(4, 2\).*\(4, 3\)"),
        ("coins", np.full((4, 2), 4), "agent_0 in world 0 chose action 4"),
        ("two steps", np.full((4, 2), -1), "agent_0 in world 0 chose action -1"),
        ("single hop", np.zeros((4, 4)), "single_hop_offloading: actions must be integers"),
        ("long chsh", np.full((4, 2, 1), 1.5, np.float32), "alice in world 0 chose 1.5"),
        ("long chsh", np.full((4, 2, 1), np.nan, np.float32), "alice in world 0 chose nan"),
        ("long chsh", np.zeros((4, 2), np.float32), "chsh: actions"),
    ],
)
def test_bad_actions_are_refused(name: str, bad: np.ndarray, words: str) -> None:
    world = GAMES[name](4)
    world.reset(0)
    with pytest.raises(RunError, match=words):
        world.step(bad)


def test_a_game_has_no_bodies_and_waits_for_a_reset() -> None:
    world = GAMES["two steps"](2)
    with pytest.raises(RunError, match="reset"):
        world.step(np.zeros((2, 2), int))
    world.reset(0)
    for look in (world.positions, world.scene):
        with pytest.raises(RunError, match="two_step_game"):
            look()
    with pytest.raises(RunError, match="no board"):
        world.board()
    assert world.num_envs == 2
    world.close()


@pytest.mark.parametrize(
    ("section", "settings", "words"),
    [
        (CoinGameConfig, {"rollout_steps": 49}, "max_steps 50, got 49"),
        (CoinGameConfig, {"agents": 4, "size": 2}, "4 agents and a coin"),
        (CoinGameConfig, {"planes": (0, 0)}, "once each"),
        (CoinGameConfig, {"planes": (4,)}, "less than or equal to 3"),
        (CartpolePairConfig, {"features": ()}, "once each"),
        (ChshConfig, {"actions": "answers"}, "nothing is measured"),
        (ChshConfig, {"entangled_pairs": False, "visibility": 0.5}, "no entangled pairs"),
        (ChshConfig, {"max_steps": 40, "rollout_steps": 9}, "max_steps 40, got 9"),
        (TwoStepGameConfig, {"max_steps": 3}, "2"),
        (SingleHopOffloadingConfig, {"max_steps": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    section: type[Any], settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        section(**settings)
