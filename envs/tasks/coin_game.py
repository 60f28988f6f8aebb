"""The coin game: agents on a grid collect coins, and hurt each other with coins of another's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self, final

import numpy as np
from pydantic import Field, field_validator, model_validator

from envs.game import GameSection, GameWorld, Look, Steps
from envs.world import WorldSpec
from qmarl.config import Misfits

if TYPE_CHECKING:
    from qmarl.types import Array

MOVES = ((0, 1), (0, -1), (-1, 0), (1, 0))
"""What the actions north, south, west and east add to x and y."""

OWN, OTHERS, OWN_COIN, FOREIGN_COIN = range(4)
"""The planes of an observation."""


class CoinGameConfig(GameSection):
    """Two to eight agents collect coins of their own colour (CoinGame of eQMARL)."""

    id: Literal["coin_game"] = "coin_game"
    """Name of the world."""
    agents: Annotated[int, Field(ge=2, le=8)] = 2
    """Agents, each with a colour; the papers have 2 or 4."""
    size: Annotated[int, Field(ge=2, le=32)] | None = None
    """Cells along each side of the grid; 3 for two agents and 5 for more when left out."""
    max_steps: Steps = 50
    """Steps after which an episode is over; 50 in eQMARL's experiments, 150 by its own default."""
    observation: Literal["planes", "encoded"] = "planes"
    """``planes`` shows grids of 0, 1 and counts, flattened. ``encoded`` shows, as eQMARL's circuits
    see it, for every plane and x the sum of ``2^-y`` over what stands in that column."""
    planes: tuple[Annotated[int, Field(ge=0, le=3)], ...] = (0, 1, 2, 3)
    """What is seen: 0 oneself, 1 the others, 2 a coin of one's own colour, 3 a coin of another's.
    ``[0, 2, 3]`` is eQMARL's partially observable game."""
    walls: Literal["block", "mask"] = "block"
    """A move into a wall does nothing (``block``), or the action mask forbids it (``mask``)."""
    time_limit: Literal["cut", "end"] = "cut"
    """At ``max_steps`` an episode is cut, so that what would follow is estimated, or it has ended
    for good, which is what eQMARL's training takes it for."""

    @field_validator("planes")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError(f"must name planes once each, got {list(value)}")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.agents >= self.side**2:
            text = f"must leave a cell for each of {self.agents} agents and a coin, got {self.size}"
            raise Misfits([("size", text)])
        return self

    @property
    def side(self) -> int:
        """Cells along each side."""
        return self.size or (3 if self.agents == 2 else 5)


@final
class CoinGame:
    """CoinGame-2 and CoinGame-4 of DeRieux and Saad, "eQMARL", ICLR 2025 (arXiv 2405.17486).

    The game is Phan et al.'s (AAMAS 2022). One coin lies on the grid and has the colour of one of
    the agents. In a step every agent moves north (y + 1), south, west (x - 1) or east; walls stop
    it, and agents may share a cell. Every agent that then stands on the coin gets 1; the agent
    whose colour the coin has loses 2 for every other one that stands there. A collected coin is
    laid anew on any other cell, in any colour, all equally likely. Episodes begin with agents and
    coin on different cells. (The published code shuffles the order of moves; as agents do not
    hinder each other and the coin is laid after all have moved, the order changes nothing.)

    Observations are the planes of :class:`CoinGameConfig`, indexed ``[plane, x, y]``; the joint
    state is all agents' observations in a row.

    Outcomes: ``score`` (undiscounted, summed over agents), ``coins_collected``,
    ``own_coins_collected``, and ``own_coin_rate``, their ratio (nan when nobody collected any).

    Args:
        config: Sizes, and what is seen.
        num_envs: Number ``E`` of worlds.
    """

    def __init__(self, config: CoinGameConfig, num_envs: int) -> None:
        self._config, self._side = config, config.side
        self.spec = _spec(config)
        self.draws, self.step_draws = self._side**2 + 1, 2
        self._rows = np.arange(num_envs)
        self._agents: Array = np.zeros((num_envs, config.agents, 2), np.int64)
        self._coin: Array = np.zeros(num_envs, np.int64)  # cell x * side + y
        self._colour: Array = np.zeros(num_envs, np.int64)
        self._tally: Array = np.zeros((3, num_envs))  # score, coins, own coins
        self._moves: Array = np.array(MOVES)
        self._weights: Array = np.float32(2) ** -np.arange(self._side, dtype=np.float32)

    def begin(self, rows: Array, uniform: Array) -> None:
        """Puts agents and coin on different cells; see :meth:`envs.game.Game.begin`."""
        count = self._config.agents
        cells = uniform[:, :-1].argsort(1, kind="stable")[:, : count + 1]
        self._agents[rows] = np.stack(np.divmod(cells[:, :count], self._side), -1)
        self._coin[rows] = cells[:, count]
        self._colour[rows] = (uniform[:, -1] * count).astype(np.int64)
        self._tally[:, rows] = 0

    def play(self, actions: Array, steps: Array, uniform: Array) -> tuple[Array, Array]:
        """Moves the agents and hands out coins; see :meth:`envs.game.Game.play`."""
        self._agents = np.clip(self._agents + self._moves[actions], 0, self._side - 1)
        takers = self._cells() == self._coin[:, None]
        owner = np.arange(takers.shape[1]) == self._colour[:, None]
        own, coins = (takers & owner).sum(1), takers.sum(1)
        rewards = takers - 2.0 * owner * (coins - own)[:, None]
        self._tally += (rewards.sum(1), coins, own)
        self._lay(np.flatnonzero(coins), uniform)
        over = (steps >= self.spec.max_steps) & (self._config.time_limit == "end")
        return rewards.astype(np.float32), np.repeat(over[:, None], takers.shape[1], 1)

    def _lay(self, rows: Array, uniform: Array) -> None:
        """Lays new coins in worlds ``rows``: on any cell but the old one, in any colour."""
        cell = (uniform[rows, 0] * (self._side**2 - 1)).astype(np.int64)
        self._coin[rows] = cell + (cell >= self._coin[rows])
        self._colour[rows] = (uniform[rows, 1] * self._config.agents).astype(np.int64)

    def look(self) -> Look:
        """What the agents see of the grid; see :meth:`envs.game.Game.look`."""
        planes = self._planes()[:, :, list(self._config.planes)]
        if self._config.observation == "encoded":
            planes = planes @ self._weights
        seen = planes.reshape(*planes.shape[:2], -1)
        legal = self._inside() if self._config.walls == "mask" else None
        return Look(seen, seen.reshape(len(seen), -1).copy(), legal)

    def _planes(self) -> Array:
        """All four planes, ``(E, A, 4, size, size)`` float32."""
        count, side = self._config.agents, self._side
        found = np.zeros((len(self._rows), count, 4, side * side), np.float32)
        rows, agents = self._rows[:, None], np.arange(count)
        found[rows, agents, OWN, self._cells()] = 1
        found[:, :, OTHERS] = found[:, :, OWN].sum(1, keepdims=True) - found[:, :, OWN]
        which = np.where(agents == self._colour[:, None], OWN_COIN, FOREIGN_COIN)
        found[rows, agents, which, self._coin[:, None]] = 1
        return found.reshape(*found.shape[:3], side, side)

    def _inside(self) -> Array:
        """Moves ``(E, A, 4)`` that do not end in a wall."""
        landed = self._agents[:, :, None] + self._moves
        inside = (landed >= 0) & (landed < self._side)
        legal: Array = np.all(inside, axis=-1)
        return legal

    def _cells(self) -> Array:
        return self._agents[..., 0] * self._side + self._agents[..., 1]

    def outcomes(self) -> dict[str, Array]:
        """The episodes' outcomes ``(E,)`` by name, float32."""
        score, coins, own = self._tally
        with np.errstate(invalid="ignore"):  # nan where no coin was collected
            found = np.stack([score, coins, own, own / coins]).astype(np.float32)
        return dict(zip(self.spec.outcomes, found, strict=True))

    def board(self) -> Array:
        """``(E, A + 1, 3)`` int64: x, y and colour of every agent, and of the coin at the end."""
        coin = np.stack([*np.divmod(self._coin, self._side), self._colour], -1)
        colours = np.broadcast_to(np.arange(self._config.agents), self._agents.shape[:2])
        agents = np.concatenate([self._agents, colours[..., None]], -1)
        return np.concatenate([agents, coin[:, None]], 1)


def make(config: CoinGameConfig, num_envs: int) -> GameWorld:
    """Makes ``num_envs`` copies of the world."""
    game = CoinGame(config, num_envs)
    return GameWorld(game, num_envs, game.board)


def _spec(config: CoinGameConfig) -> WorldSpec:
    agents, side = config.agents, config.side
    size = len(config.planes) * (side if config.observation == "encoded" else side**2)
    return WorldSpec(
        name=config.id,
        agents=tuple(f"agent_{i}" for i in range(agents)),
        observation_sizes=(size,) * agents,
        action_counts=(len(MOVES),) * agents,
        state_size=size * agents,
        max_steps=config.max_steps,
        outcomes=("score", "coins_collected", "own_coins_collected", "own_coin_rate"),
        masked=config.walls == "mask",
    )
