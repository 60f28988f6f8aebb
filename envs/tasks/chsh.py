"""The CHSH game: two agents who cannot talk, and what shared entangled pairs are worth to them."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, Self, final

import numpy as np
from pydantic import Field, model_validator

from envs.game import GameSection, GameWorld, Look, Steps
from envs.world import WorldSpec
from qmarl.config import Misfits

if TYPE_CHECKING:
    from envs.scripted import Policy
    from envs.world import View
    from qmarl.types import Array

CLASSICAL_CEILING = 0.75
"""Greatest share of rounds that agents without entanglement can win."""

QUANTUM_CEILING = math.cos(math.pi / 8) ** 2
"""Greatest share with entangled pairs (Tsirelson's bound), about 0.8536."""

_SIGNS = {"phi+": (1, -1), "phi-": (1, 1), "psi+": (-1, 1), "psi-": (-1, -1)}


class ChshConfig(GameSection):
    """Two agents answer a bit each so that the answers' XOR is the questions' AND."""

    id: Literal["chsh"] = "chsh"
    """Name of the world."""
    num_envs: Annotated[int, Field(ge=1)] = 512
    """Copies of the world; many, as an episode is short."""
    max_steps: Steps = 1
    """Rounds of the game in an episode."""
    actions: Literal["angles", "continuous", "answers"] = "angles"
    """``angles`` chooses the angle of a measurement from a set, ``continuous`` gives it as a number
    ``x`` in [-1, 1] for the angle ``pi x``, and ``answers`` names the answer, 0 or 1."""
    angles: Annotated[int, Field(ge=2, le=360)] = 8
    """Action ``k`` measures at the angle ``2 pi k / angles``; multiples of 4 have a 0 and a pi/2,
    multiples of 8 also have the best angles."""
    entangled_pairs: bool = True
    """Whether the agents share an entangled pair in every round. Otherwise each measures a qubit of
    its own, prepared as 0."""
    pair: Literal["phi+", "phi-", "psi+", "psi-"] = "phi+"
    """The Bell state of the pairs."""
    visibility: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of pairs that arrive; the others are white noise (a Werner state). No gain is left at
    1 / sqrt(2)."""

    @model_validator(mode="after")
    def _pairs_are_measured(self) -> Self:
        wrong = []
        if self.actions == "answers" and self.entangled_pairs:
            text = "must be false where actions are answers: nothing is measured"
            wrong.append(("entangled_pairs", text))
        if self.visibility < 1 and not self.entangled_pairs:
            wrong.append(("visibility", "must be 1 where there are no entangled pairs"))
        if wrong:
            raise Misfits(wrong)
        return self


@final
class Chsh:
    """The game of Clauser, Horne, Shimony and Holt (1969), as Dahia and Szabo play it (2605.14235).

    In a round each agent sees its own question, a fair bit as one of two numbers that is 1. Both
    win 1 when ``a XOR b = x AND y``, otherwise 0. Without entanglement nobody wins more than 3 of
    4 rounds; with a shared pair and the right angles cos^2(pi / 8) of them are won.

    The pair is a resource of the task: the world holds it and measures each agent's half in the
    x-z plane at the angle that the agent chose, so the agents' policies may be of any kind. An
    agent's own answer is a fair bit whatever anybody's angle is: nothing can be signalled. The
    answers agree with probability ``(1 + v E) / 2`` with the visibility ``v`` and the correlation
    ``E`` of :func:`correlation`. A qubit of one's own answers 1 with probability
    ``sin^2(angle / 2)``.

    The joint state is both questions. An episode terminates after ``max_steps`` rounds, in each of
    which the questions and the pair are new.

    Outcomes: ``win_rate``, the share of the episode's rounds that were won.

    Args:
        config: What agents share, and how they act.
        num_envs: Number ``E`` of worlds.
    """

    def __init__(self, config: ChshConfig, num_envs: int) -> None:
        self._config = config
        self.spec = _spec(config)
        self.draws, self.step_draws = 2, 4
        self._questions: Array = np.zeros((num_envs, 2), np.int64)
        self._wins: Array = np.zeros(num_envs)

    def begin(self, rows: Array, uniform: Array) -> None:
        """Asks the first questions; see :meth:`envs.game.Game.begin`."""
        self._questions[rows] = uniform < 0.5
        self._wins[rows] = 0

    def play(self, actions: Array, steps: Array, uniform: Array) -> tuple[Array, Array]:
        """Takes both answers and asks anew; see :meth:`envs.game.Game.play`."""
        found = answers(self._config, actions, uniform[:, :2])
        won = (found[:, 0] ^ found[:, 1]) == self._questions.all(1)
        self._wins += won
        self._questions = (uniform[:, 2:] < 0.5).astype(np.int64)
        over = steps >= self.spec.max_steps
        rewards = np.repeat(won[:, None], 2, 1).astype(np.float32)
        return rewards, np.repeat(over[:, None], 2, 1)

    def look(self) -> Look:
        """Each agent's own question; see :meth:`envs.game.Game.look`."""
        seen = (self._questions[..., None] == np.arange(2)).astype(np.float32)
        return Look(seen, seen.reshape(len(seen), 4).copy())

    def outcomes(self) -> dict[str, Array]:
        """``win_rate`` of the episodes, ``(E,)`` float32."""
        return {"win_rate": (self._wins / self.spec.max_steps).astype(np.float32)}


def make(config: ChshConfig, num_envs: int) -> GameWorld:
    """Makes ``num_envs`` copies of the world."""
    return GameWorld(Chsh(config, num_envs), num_envs)


def _spec(config: ChshConfig) -> WorldSpec:
    continuous = config.actions == "continuous"
    count = {"angles": config.angles, "continuous": 0, "answers": 2}[config.actions]
    return WorldSpec(
        name=config.id,
        agents=("alice", "bob"),
        observation_sizes=(2, 2),
        action_counts=(count, count),
        state_size=4,
        max_steps=config.max_steps,
        outcomes=("win_rate",),
        action_sizes=(1, 1) if continuous else (),
    )


def angles_of(config: ChshConfig, actions: Array) -> Array:
    """The angles ``(E, 2)`` in radians at which actions measure, float64."""
    if config.actions == "continuous":
        return math.pi * actions[..., 0].astype(np.float64)
    angles: Array = 2 * math.pi / config.angles * actions
    return angles


def answers(config: ChshConfig, actions: Array, uniform: Array) -> Array:
    """Both agents' answers ``(E, 2)`` bool, by chance ``(E, 2)`` in [0, 1) where it is measured."""
    if config.actions == "answers":
        return actions.astype(bool)
    angle = angles_of(config, actions)
    if not config.entangled_pairs:
        ones: Array = uniform < np.sin(angle / 2) ** 2
        return ones
    first = uniform[:, 0] < 0.5
    agree = uniform[:, 1] < (1 + correlation(config, angle[:, 0], angle[:, 1])) / 2
    return np.stack([first, first == agree], 1)


def correlation(config: ChshConfig, first: Array, second: Array) -> Array:
    """Mean product of both answers as +1 and -1, of pairs measured at two angles in radians.

    ``cos(a - b)`` for phi+, ``cos(a + b)`` for phi-, and minus these for psi- and psi+, times the
    visibility.
    """
    sign, turn = _SIGNS[config.pair]
    product: Array = sign * config.visibility * np.cos(first + turn * second)
    return product


def win_probability(config: ChshConfig, first: Array, second: Array) -> float:
    """Probability of winning a round, exactly.

    Args:
        config: What the agents share; actions are not answers.
        first: ``(2,)`` angles in radians of the first agent, by its question.
        second: ``(2,)`` angles in radians of the second agent, by its question.

    >>> a, b = best_angles(ChshConfig())
    >>> round(win_probability(ChshConfig(), a, b), 4)
    0.8536
    """
    if config.entangled_pairs:
        product = correlation(config, first[:, None], second[None])
    else:
        product = np.cos(first)[:, None] * np.cos(second)[None]
    wanted = np.array([[1, 1], [1, -1]])
    return float((1 + (wanted * product).mean()) / 2)


def best_angles(config: ChshConfig) -> tuple[Array, Array]:
    """Both agents' best angles in radians by question: ``(2,)`` each.

    They win :data:`QUANTUM_CEILING` of the rounds with pairs of full visibility, and
    :data:`CLASSICAL_CEILING` without pairs, where both agents always answer 0.
    """
    if not config.entangled_pairs:
        return np.zeros(2), np.zeros(2)
    sign, turn = _SIGNS[config.pair]
    first, second = np.array([0, math.pi / 2]), np.array([math.pi / 4, -math.pi / 4])
    return first, -turn * second + (math.pi if sign < 0 else 0)


def best(config: ChshConfig) -> Policy:
    """The best policy, or the nearest to it where actions are a set of angles."""
    if config.actions == "answers":
        return partial(_by_question, np.zeros((2, 2), np.int64))
    angles = np.stack(best_angles(config))
    if config.actions == "angles":
        chosen = np.rint(angles * config.angles / (2 * math.pi)) % config.angles
        return partial(_by_question, chosen.astype(np.int64))
    turned = np.remainder(angles / math.pi + 1, 2) - 1
    return partial(_by_question, turned[..., None].astype(np.float32))


def _by_question(table: Array, view: View) -> Array:
    """Looks up each agent's action for its question in a ``(2 agents, 2 questions, ...)`` table."""
    actions: Array = table[np.arange(2), view.observations.argmax(-1)]
    return actions
