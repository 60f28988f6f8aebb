"""The coin game without learning: a rule for each agent alone, and the best that two can do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from envs.tasks.coin_game import FOREIGN_COIN, MOVES, OWN, OWN_COIN
from qmarl.errors import ConfigurationError

if TYPE_CHECKING:
    from envs.scripted import Policy
    from envs.tasks.coin_game import CoinGameConfig
    from envs.world import View
    from qmarl.types import Array


def collector(config: CoinGameConfig) -> Policy:
    """A rule for each agent alone: walk to a coin of its own colour, else wait in the middle.

    An agent steps on no coin of another's colour. It needs to see planes 0, 2 and 3.
    """
    return partial(_collect, config)


def _collect(config: CoinGameConfig, view: View) -> Array:
    here, own, foreign = (_find(config, view, plane) for plane in (OWN, OWN_COIN, FOREIGN_COIN))
    middle = np.full(2, config.side // 2)
    target = np.where(own[..., :1] >= 0, own, middle)
    landed = np.clip(here[:, :, None] + np.array(MOVES), 0, config.side - 1)
    cost = np.abs(landed - target[:, :, None]).sum(-1).astype(np.float64)
    cost += 100 * (landed == foreign[:, :, None]).all(-1)
    # Of two ways, along the axis on which more is missing: it leaves both ways open for longer.
    cost += 0.01 * np.abs(landed - target[:, :, None]).max(-1)
    best: Array = np.where(view.action_mask, cost, np.inf).argmin(-1)
    return best


def _find(config: CoinGameConfig, view: View, plane: int) -> Array:
    """Where the one thing of a plane is, ``(E, A, 2)`` x and y; -1 where the plane is empty."""
    side, at = config.side, config.planes.index(plane)
    shape = (*view.alive.shape, len(config.planes), -1)
    seen = view.observations.reshape(shape)[:, :, at]
    if config.observation == "encoded":
        x, value = seen.argmax(-1), seen.max(-1)
        y = -np.log2(np.where(value > 0, value, 1)).astype(np.int64)
    else:
        x, y = np.divmod(seen.argmax(-1), side)
        value = seen.max(-1)
    return np.where(value[..., None] > 0, np.stack([x, y], -1), -1)


def ceiling(config: CoinGameConfig) -> float:
    """The greatest expected score of two agents, exactly, by dynamic programming.

    Args:
        config: A game of two agents, whose ``max_steps`` is the horizon.

    Raises:
        ConfigurationError: The game has more agents: its states are too many.
    """
    value, _ = _solve(config)
    cells = np.arange(config.side**2)
    one, two, coin = np.ix_(cells, cells, cells)
    start = (one != two) & (one != coin) & (two != coin)
    return float(value[start].mean())


def optimal(config: CoinGameConfig) -> Policy:
    """The joint policy of two agents that is best with ``max_steps`` steps to go.

    Agents cannot see how many steps are left, so it falls short of :func:`ceiling` by what the
    last steps would have gained. The agents need to see planes 0, 2 and 3.

    Raises:
        ConfigurationError: The game has more agents: its states are too many.
    """
    return partial(_look_up, config, _solve(config)[1])


def _look_up(config: CoinGameConfig, table: Array, view: View) -> Array:
    here, own, foreign = (_find(config, view, plane) for plane in (OWN, OWN_COIN, FOREIGN_COIN))
    mine = own[:, 0, 0] >= 0
    coin = np.where(mine[:, None], own[:, 0], foreign[:, 0]) @ (config.side, 1)
    one, two = (here[:, agent] @ (config.side, 1) for agent in range(2))
    return np.stack(np.divmod(table[one, two, coin, 1 - mine], len(MOVES)), -1)


def _solve(config: CoinGameConfig) -> tuple[Array, Array]:
    """Values and joint actions ``a * 4 + b`` by cells of both agents, cell and colour of the coin.

    A joint state's value before a move is the best value of landing among its neighbours.
    """
    if config.agents != 2:
        raise ConfigurationError(f"only a game of 2 agents can be solved, not {config.agents}")
    cells = np.arange(config.side**2)
    paths = np.stack(np.divmod(cells, config.side), -1)[:, None] + MOVES
    steps = np.clip(paths, 0, config.side - 1) @ (config.side, 1)  # (cells, 4)
    outside = (paths < 0) | (paths >= config.side)
    barred = np.any(outside & (config.walls == "mask"), axis=-1)
    closed = np.where(barred[:, :, None, None] | barred, -np.inf, 0)[..., None, None]
    one, two, coin, colour = np.ix_(cells, cells, cells, np.arange(2))
    first, second = one == coin, two == coin
    wrong = np.where(colour == 0, second, first)
    reward = (first * 1.0 + second) * np.ones(colour.shape) - 2.0 * wrong
    value: Array = np.zeros(reward.shape)
    choice: Array = np.zeros(reward.shape, np.int64)
    for _ in range(config.max_steps):
        fresh = value.mean(3)  # any colour; and any cell but the old one:
        fresh = (fresh.sum(2, keepdims=True) - fresh) / (len(cells) - 1)
        landing = reward + np.where(first | second, fresh[..., None], value)
        options = landing[steps[:, :, None, None], steps] + closed  # (cells, 4, cells, 4, ...)
        joint = options.swapaxes(1, 2).reshape(len(cells), len(cells), -1, len(cells), 2)
        value, choice = joint.max(2), joint.argmax(2)
    return value, choice
