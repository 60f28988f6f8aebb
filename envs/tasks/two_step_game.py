"""The two-step game: one agent's first choice decides between a safe payoff and a shared risk."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, final

import numpy as np
from pydantic import Field

from envs.game import GameSection, GameWorld, Look
from envs.world import WorldSpec

if TYPE_CHECKING:
    from envs.scripted import Policy
    from envs.world import View
    from qmarl.types import Array

PAYOFFS = (((7, 7), (7, 7)), ((0, 1), (1, 8)))
"""What the second step pays, by the first choice and then by both agents' actions."""

_SITUATIONS = np.eye(3, dtype=np.float32)


class TwoStepGameConfig(GameSection):
    """Two agents: a first choice, then one of two matrix games (Rashid et al. 2018)."""

    id: Literal["two_step_game"] = "two_step_game"
    """Name of the world."""
    num_envs: Annotated[int, Field(ge=1)] = 256
    """Copies of the world; many, as an episode is short."""
    max_steps: Literal[2] = 2
    """Steps of an episode, always two."""


@final
class TwoStepGame:
    """The two-step game of Rashid et al., "QMIX", ICML 2018, section 5.

    The first step pays nothing; the first agent's action leads to game 2A or 2B. There both agents
    get the entry of :data:`PAYOFFS`: always 7 in 2A; in 2B 8 if both take action 1, 1 if one of
    them does, 0 if none does. The best joint policy gets 8; agents who do not trust each other
    settle for 7.

    Every agent, and the joint state, sees which of the three situations it is in, as three numbers
    of which one is 1. An episode terminates after its second step.

    Outcomes: ``payoff``, and ``optimal``, whether it was 8.

    Args:
        config: Names the world.
        num_envs: Number ``E`` of worlds.
    """

    def __init__(self, config: TwoStepGameConfig, num_envs: int) -> None:
        self.spec = WorldSpec(
            name=config.id,
            agents=("agent_0", "agent_1"),
            observation_sizes=(3, 3),
            action_counts=(2, 2),
            state_size=3,
            max_steps=config.max_steps,
            outcomes=("payoff", "optimal"),
        )
        self.draws, self.step_draws = 0, 0
        self._situation: Array = np.zeros(num_envs, np.int64)  # 0 the first step, 1 2A, 2 2B
        self._payoff: Array = np.zeros(num_envs, np.float32)
        self._payoffs: Array = np.array(PAYOFFS, np.float32)

    def begin(self, rows: Array, uniform: Array) -> None:  # noqa: ARG002 - the protocol's
        """Starts episodes in worlds ``rows``."""
        self._situation[rows] = 0
        self._payoff[rows] = 0

    def play(self, actions: Array, steps: Array, uniform: Array) -> tuple[Array, Array]:  # noqa: ARG002
        """Makes the first choice, or pays out; see :meth:`envs.game.Game.play`."""
        over = steps >= self.spec.max_steps
        which = np.maximum(self._situation - 1, 0)
        paid = self._payoffs[which, actions[:, 0], actions[:, 1]]
        self._payoff = np.where(over, paid, np.float32(0))
        self._situation = np.where(over, self._situation, 1 + actions[:, 0])
        return np.repeat(self._payoff[:, None], 2, 1), np.repeat(over[:, None], 2, 1)

    def look(self) -> Look:
        """Which situation it is; see :meth:`envs.game.Game.look`."""
        state = _SITUATIONS[self._situation]
        return Look(np.repeat(state[:, None], 2, 1), state)

    def outcomes(self) -> dict[str, Array]:
        """``payoff`` and ``optimal`` of the episodes, ``(E,)`` float32."""
        return {"payoff": self._payoff.copy(), "optimal": (self._payoff == 8).astype(np.float32)}


def make(config: TwoStepGameConfig, num_envs: int) -> GameWorld:
    """Makes ``num_envs`` copies of the world."""
    return GameWorld(TwoStepGame(config, num_envs), num_envs)


def always(action: int) -> Policy:
    """Both agents always take one action: 0 is the safe way to 7, 1 the way to 8."""
    return partial(_always, action)


def _always(action: int, view: View) -> Array:
    return np.full(view.alive.shape, action)
