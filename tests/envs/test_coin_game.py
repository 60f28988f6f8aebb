from dataclasses import replace

import numpy as np
import pytest

from envs.game import GameWorld
from envs.scripted import at_random, play
from envs.tasks.coin_game import MOVES, CoinGameConfig, make
from envs.tasks.coin_scripted import ceiling, collector, optimal
from qmarl.errors import ConfigurationError

NORTH, SOUTH, WEST, EAST = range(4)


def planes_of(board: np.ndarray, side: int) -> np.ndarray:
    """The four planes of every agent, built one by one."""
    agents = len(board) - 1
    x, y, colour = board[-1]
    planes = np.zeros((agents, 4, side, side))
    for me in range(agents):
        for other in range(agents):
            planes[me, 0 if other == me else 1, board[other, 0], board[other, 1]] += 1
        planes[me, 2 if colour == me else 3, x, y] = 1
    return planes


@pytest.mark.parametrize("agents", [2, 4])
def test_what_is_seen_is_what_lies_on_the_board(agents: int) -> None:
    shown = {
        "planes": make(CoinGameConfig(agents=agents), 20),
        "hidden": make(CoinGameConfig(agents=agents, planes=(0, 2, 3)), 20),
        "encoded": make(CoinGameConfig(agents=agents, observation="encoded"), 20),
    }
    views = {name: world.reset(0) for name, world in shown.items()}
    side, policy = 3 if agents == 2 else 5, at_random(0)
    for _ in range(30):
        whole = np.stack([planes_of(board, side) for board in shown["planes"].board()])
        weights = 2.0 ** -np.arange(side)
        wanted = {"planes": whole, "hidden": whole[:, :, [0, 2, 3]], "encoded": whole @ weights}
        for name, view in views.items():
            seen = wanted[name].reshape(20, agents, -1)
            assert (view.observations == seen).all(), name
            assert (view.state == seen.reshape(20, -1)).all(), name
        actions = policy(views["planes"])
        views = {name: world.step(actions).view for name, world in shown.items()}


@pytest.mark.parametrize("agents", [2, 4])
def test_moves_rewards_and_coins_follow_the_rules(agents: int) -> None:
    world = make(CoinGameConfig(agents=agents, max_steps=40), 50)
    view, policy, side = world.reset(1), at_random(1), 3 if agents == 2 else 5
    before, score, coins, own = world.board(), np.zeros(50), np.zeros(50), np.zeros(50)
    for _ in range(40):
        actions = policy(view)
        step = world.step(actions)
        after = world.board(final=True)
        for env in range(50):
            cell, colour = before[env, -1, :2], before[env, -1, 2]
            wanted = np.zeros(agents)
            for agent in range(agents):
                place = before[env, agent, :2] + MOVES[actions[env, agent]]
                place = np.clip(place, 0, side - 1)
                assert (after[env, agent, :2] == place).all()
                if (place == cell).all():
                    wanted[agent] += 1
                    wanted[colour] -= 2 * (agent != colour)
                    coins[env] += 1
                    own[env] += agent == colour
            assert (step.rewards[env] == wanted).all()
            taken = (after[env, :-1, :2] == cell).all(-1).any()
            assert (after[env, -1, :2] == cell).all() != taken
            assert taken or after[env, -1, 2] == colour
        score += step.rewards.sum(1)
        before, view = after, step.view
    assert step.truncated.all()
    assert (step.outcomes["score"] == score).all()
    assert (step.outcomes["coins_collected"] == coins).all()
    assert (step.outcomes["own_coins_collected"] == own).all()
    rate = np.divide(own, coins, out=np.full(50, np.nan), where=coins > 0)
    assert np.allclose(step.outcomes["own_coin_rate"], rate, equal_nan=True)
    assert (world.board() != after).any()


def starts(world: GameWorld, seeds: int) -> np.ndarray:
    boards = []
    for seed in range(seeds):
        world.reset(seed)
        boards.append(world.board())
    return np.concatenate(boards)


def test_episodes_begin_anywhere_on_different_cells() -> None:
    boards = starts(make(CoinGameConfig(), 900), 10)
    cells = boards[..., 0] * 3 + boards[..., 1]
    assert (np.sort(cells, 1)[:, 1:] != np.sort(cells, 1)[:, :-1]).all()
    for column in range(3):
        counts = np.bincount(cells[:, column], minlength=9)
        assert (np.abs(counts - 1000) < 5 * np.sqrt(1000)).all()
    assert abs(boards[:, -1, 2].mean() - 0.5) < 0.03


def test_a_new_coin_lies_on_any_other_cell_in_any_colour() -> None:
    world = make(CoinGameConfig(max_steps=1000), 2000)
    view, policy = world.reset(0), collector(CoinGameConfig())
    found = []
    for _ in range(20):
        before = world.board()[:, -1]
        view = world.step(policy(view)).view
        after = world.board()[:, -1]
        moved = (before[:, :2] != after[:, :2]).any(1)
        found.append(np.concatenate([before[moved], after[moved]], 1))
    pairs = np.concatenate(found)
    old, new = pairs[:, 0] * 3 + pairs[:, 1], pairs[:, 3] * 3 + pairs[:, 4]
    assert abs(pairs[:, 5].mean() - 0.5) < 5 * 0.5 / np.sqrt(len(pairs))
    for cell in range(9):
        counts = np.bincount(new[old == cell], minlength=9)
        others = np.delete(counts, cell)
        assert counts[cell] == 0
        assert (np.abs(others - others.mean()) < 5 * np.sqrt(others.mean())).all()


def test_walls_block_or_are_masked() -> None:
    world = make(CoinGameConfig(walls="mask"), 200)
    view = world.reset(0)
    x, y = np.moveaxis(world.board()[:, :-1, :2], -1, 0)
    wanted = np.stack([y < 2, y > 0, x > 0, x < 2], -1)
    assert (view.action_mask == wanted).all()
    free = make(CoinGameConfig(), 200)
    free.reset(0)
    for _ in range(2):
        free.step(np.full((200, 2), NORTH))
    assert (free.board()[:, :-1, 1] == 2).all()


def test_a_time_limit_cuts_or_ends() -> None:
    for limit in ("cut", "end"):
        world = make(CoinGameConfig.model_validate({"max_steps": 2, "time_limit": limit}), 3)
        world.reset(0)
        world.step(np.zeros((3, 2), int))
        step = world.step(np.zeros((3, 2), int))
        assert step.ended.all()
        assert step.truncated.all() == (limit == "cut")
        assert step.terminated.all() == (limit == "end")


@pytest.mark.parametrize(
    "config",
    [
        CoinGameConfig(),
        CoinGameConfig(observation="encoded", planes=(3, 0, 2)),
        CoinGameConfig(walls="mask", max_steps=30),
        CoinGameConfig(size=4),
    ],
)
def test_the_ceiling_is_what_the_best_policy_comes_to(config: CoinGameConfig) -> None:
    world, most = make(config, 3000), ceiling(config)
    best = play(world, optimal(config), 0)
    rule = play(world, collector(config), 0)
    assert (rule["own_coin_rate"] == 1).all()
    error = best["score"].std() / np.sqrt(3000)
    assert most - 0.06 - 4 * error < best["score"].mean() < most + 4 * error
    assert best["score"].mean() > rule["score"].mean() > 0.9 * most


def test_the_ceiling_of_short_games_is_that_of_trying_everything() -> None:
    # In one step on 2 x 2 cells a coin of one's own beside one is taken, in the corner it is not.
    config = CoinGameConfig(size=2, max_steps=1)
    world = make(config, 4000)
    tries = []
    for joint in range(16):
        world.reset(0)
        tries.append(world.step(np.tile(np.divmod(joint, 4), (4000, 1))).rewards.sum(1))
    best = np.max(tries, 0)
    assert abs(best.mean() - ceiling(config)) < 4 * best.std() / np.sqrt(4000)


def test_more_than_two_agents_are_not_solved() -> None:
    with pytest.raises(ConfigurationError, match="2 agents"):
        ceiling(CoinGameConfig(agents=4))


def test_four_agents_that_look_after_their_own_do_well() -> None:
    config = CoinGameConfig(agents=4)
    world = make(config, 500)
    view = world.reset(0)
    assert play(world, collector(config), 0)["score"].mean() > 15
    masked = replace(view, action_mask=np.arange(4) == np.full((500, 4, 1), SOUTH))
    assert (collector(config)(masked) == SOUTH).all()
