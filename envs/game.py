"""Joins the rules of an abstract game, one without bodies, into a world of ``E`` copies."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, NamedTuple, Protocol, Self, final

import numpy as np
from pydantic import Field, model_validator

from envs.guard import check_actions, check_finite, check_mask
from envs.section import WorldSection
from envs.world import Scene, Step, View, WorldSpec
from qmarl.errors import RunError
from qmarl.seeding import uniforms

if TYPE_CHECKING:
    from qmarl.types import Array

_AHEAD = 16  # episodes, or steps, per pass of the counter: sixteen cost little more than one
_BEGINNING, _STEPS = 0, 1  # purposes of the random streams; parts of an episode count up from here


Steps = Annotated[int, Field(ge=1)]


class GameSection(WorldSection):
    """Base of the games' sections."""

    max_steps: Steps = 50
    """Steps after which an episode is over."""

    @model_validator(mode="after")
    def _rollout_holds_episode(self) -> Self:
        self.check_rollout(self.max_steps)
        return self


class Look(NamedTuple):
    """What there is to see.

    Attributes:
        observations: ``(E, A, D)`` float32.
        state: ``(E, S)`` float32.
        legal: ``(E, A, N)`` bool, actions that are allowed; None when all are.
    """

    observations: Array
    state: Array
    legal: Array | None = None


class Game(Protocol):
    """Rules and state of a game in ``E`` worlds; every agent plays to the end of the episode.

    An episode ends when any agent's does: the game terminates that agent, and who is left is cut.

    Attributes:
        spec: What is fixed about the world.
        draws: How many random numbers an episode begins with.
        step_draws: How many random numbers each step needs.
    """

    spec: WorldSpec
    draws: int
    step_draws: int

    def begin(self, rows: Array, uniform: Array) -> None:
        """Starts episodes in worlds ``rows`` with ``(k, draws)`` numbers in [0, 1)."""
        ...

    def play(self, actions: Array, steps: Array, uniform: Array) -> tuple[Array, Array]:
        """Plays one step in every world.

        Args:
            actions: ``(E, A)`` int64, or ``(E, A, C)`` float32 where actions are continuous.
            steps: ``(E,)`` steps of each world's episode, this one included.
            uniform: ``(E, step_draws)`` numbers in [0, 1).

        Returns:
            Rewards ``(E, A)`` float32, and ``(E, A)`` bool whose episode ended.
        """
        ...

    def look(self) -> Look:
        """What there is to see, in new arrays."""
        ...

    def outcomes(self) -> dict[str, Array]:
        """Outcomes ``(E,)`` float32 of the episodes as they stand."""
        ...


@final
class GameDraws:
    """Random numbers by world, episode and step, the same whatever else lives in the batch.

    Args:
        seed: Seed of the batch.
        envs: ``(E,)`` global indices of the worlds.
        game: Says how many numbers an episode begins with, and how many a step needs.
    """

    def __init__(self, seed: int, envs: Array, game: Game) -> None:
        count = len(envs)
        self._seed, self._envs, self._rows = seed, envs, np.arange(count)
        self._ahead = min(_AHEAD, game.spec.max_steps)
        self._latest = np.zeros(count, np.int64)
        self._first = np.full(count, -_AHEAD)  # of the episodes whose beginnings are drawn
        self._starts: Array = np.zeros((count, _AHEAD, game.draws))
        self._numbers: Array = np.zeros((count, self._ahead, game.step_draws))

    def beginning(self, rows: Array, episodes: Array) -> Array:
        """Numbers ``(k, draws)`` that the episodes ``(k,)`` of worlds ``rows`` begin with.

        Args:
            rows: ``(k,)`` positions in the batch.
            episodes: ``(k,)`` episode of each; never one before an episode already begun.
        """
        if not self._starts.shape[-1]:
            return np.zeros((len(rows), 0))
        self._latest[rows] = episodes
        if (episodes - self._first[rows] >= _AHEAD).any():
            self._first = self._latest.copy()
            coming = (self._first[:, None] + np.arange(_AHEAD)).ravel()
            envs = np.repeat(self._envs, _AHEAD)
            found = uniforms(self._seed, envs, coming, self._starts.shape[-1], _BEGINNING)
            self._starts = found.reshape(self._starts.shape)
        starts: Array = self._starts[rows, episodes - self._first[rows]]
        return starts

    def step(self, episodes: Array, steps: Array) -> Array:
        """Numbers ``(E, step_draws)`` of the next step, after ``steps`` ``(E,)`` of each episode.

        Steps go on one by one from 0.
        """
        parts, at = np.divmod(steps, self._ahead)
        fresh = np.flatnonzero(at == 0)
        if self._numbers.shape[-1] and fresh.size:
            for part in np.unique(parts[fresh]).tolist():
                rows = fresh[parts[fresh] == part]
                self._draw(rows, episodes[rows], part)
        numbers: Array = self._numbers[self._rows, at]
        return numbers

    def _draw(self, rows: Array, episodes: Array, part: int) -> None:
        shape = self._numbers.shape[1:]
        found = uniforms(self._seed, self._envs[rows], episodes, shape[0] * shape[1], _STEPS + part)
        self._numbers[rows] = found.reshape(len(rows), *shape)


@final
class GameWorld:
    """A game whose copies live in arrays; implements :class:`envs.world.World`.

    Episode ``n`` of copy ``i`` depends on the seed, ``first_env + i``, ``n`` and what the agents
    do, on nothing else.

    Args:
        game: Rules and state.
        num_envs: Number ``E`` of copies.
        drawn: Returns a copy of what a spectator can be shown, of all copies; None when there is
            nothing to see.
    """

    def __init__(self, game: Game, num_envs: int, drawn: Callable[[], Array] | None = None) -> None:
        self._game, self._drawn = game, drawn
        self._rows = np.arange(num_envs)
        self._steps = np.zeros(num_envs, np.int64)
        self._episode = np.zeros(num_envs, np.int64)
        shape = num_envs, len(game.spec.agents)
        self._everyone = np.ones(shape, bool)
        self._mask = np.ones((*shape, max(game.spec.action_counts)), bool)
        for shared in (self._everyone, self._mask):  # handed out with every view
            shared.flags.writeable = False
        self._numbers: GameDraws | None = None
        self._view: View | None = None
        self._last: Array | None = None

    @property
    def spec(self) -> WorldSpec:
        """What is fixed about the world."""
        return self._game.spec

    @property
    def num_envs(self) -> int:
        """Number ``E`` of copies."""
        return len(self._rows)

    def reset(self, seed: int, first_env: int = 0) -> View:
        """Starts episode 0 of ``seed`` in every copy; see :meth:`envs.world.World.reset`."""
        self._numbers = GameDraws(seed, first_env + self._rows, self._game)
        self._episode[:] = 0
        self._begin(self._numbers, self._rows)
        self._last, self._view = None, self._look(self._everyone)
        return self._view

    def step(self, actions: Array) -> Step:
        """Plays one step in every copy; see :meth:`envs.world.World.step`."""
        view, numbers, spec = self._view, self._numbers, self.spec
        if view is None or numbers is None:
            raise RunError(f"{spec.name}: reset(seed) must come before step(actions)")
        chosen = check_actions(actions, view.alive, view.action_mask, spec)
        uniform = numbers.step(self._episode, self._steps)
        self._steps += 1
        rewards, terminated = self._game.play(chosen, self._steps, uniform)
        final = self._look(~terminated)
        check_finite(final, rewards, spec)
        ended = terminated.any(1) | (self._steps >= spec.max_steps)
        truncated = ended[:, None] & ~terminated
        self._last, self._view = None, final
        outcomes = self._restart(numbers, ended) if ended.any() else {}
        return Step(self._view, final, rewards, terminated, truncated, ended, outcomes)

    def restart(self, mask: Array) -> View:
        """Begins the next episode of some copies; see :meth:`envs.world.World.restart`."""
        if self._view is None or self._numbers is None:
            raise RunError(f"{self.spec.name}: reset(seed) must come before restart(mask)")
        rows, self._last = check_mask(mask, self.num_envs, self.spec), None
        return self._renewed(self._numbers, rows)

    def positions(self) -> Array:
        """Raises ``RunError``: agents of a game are nowhere."""
        raise RunError(f"{self.spec.name} has no positions: it is a game without bodies")

    def scene(self, final: bool = False) -> Scene:  # noqa: ARG002 - the protocol's signature
        """Raises ``RunError``: there is nothing to see in three dimensions."""
        raise RunError(f"{self.spec.name} cannot be drawn as a flight: it has no bodies")

    def board(self, final: bool = False) -> Array:
        """What a spectator of a board game sees; its shape is the game's own.

        Args:
            final: Show worlds that ended in the last step as they ended, not their next episode.

        Raises:
            RunError: The game has no board.
        """
        if self._drawn is None:
            raise RunError(f"{self.spec.name} cannot be drawn: it has no board")
        return self._last if final and self._last is not None else self._drawn()

    def close(self) -> None:
        """Has nothing to let go of."""

    def _begin(self, numbers: GameDraws, rows: Array) -> None:
        self._game.begin(rows, numbers.beginning(rows, self._episode[rows]))
        self._steps[rows] = 0

    def _look(self, alive: Array) -> View:
        observations, state, legal = self._game.look()
        if not alive.all():
            observations = observations * alive[..., None]
        mask = self._mask if legal is None else legal | ~alive[..., None]
        return View(observations, state, alive, mask)

    def _restart(self, numbers: GameDraws, ended: Array) -> dict[str, Array]:
        """Begins the next episode where one ended; returns the outcomes of all."""
        outcomes, rows = self._game.outcomes(), np.flatnonzero(ended)
        if self._drawn is not None:
            self._last = self._drawn()
        self._renewed(numbers, rows)
        return outcomes

    def _renewed(self, numbers: GameDraws, rows: Array) -> View:
        """Begins the next episode in worlds ``rows``; returns what all see."""
        self._episode[rows] += 1
        self._begin(numbers, rows)
        # Looking at all worlds once more costs no more than looking at some and mixing the two.
        self._view = self._look(self._everyone)
        return self._view
