"""Any PettingZoo parallel environment as a batched world: a loop over its copies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

import numpy as np

from envs.guard import check_actions, check_finite
from envs.pettingzoo_source import (
    Environment,
    PettingZooConfig,
    factory,
    longest_episode,
    sight,
    state_size,
)
from envs.world import Scene, Step, View, WorldSpec
from qmarl.errors import ConfigurationError, QmarlError, RunError
from qmarl.seeding import seed_for

if TYPE_CHECKING:
    from qmarl.types import Array

__all__ = ["PettingZooConfig", "PettingZooWorld"]


@final
class PettingZooWorld:
    """``E`` copies of a PettingZoo ``ParallelEnv``; implements :class:`envs.world.World`.

    Agents may have different spaces, die early and carry action masks. The seed of an episode is
    ``seed_for(seed, "env", first_env + i, episode)``, cut to 31 bits for environments that hand it
    to old generators.

    Args:
        config: Which environment.
        num_envs: Number ``E`` of copies.

    Raises:
        ConfigurationError: The environment cannot be made, or its spaces cannot be used.
    """

    def __init__(self, config: PettingZooConfig, num_envs: int) -> None:
        make = factory(config)
        self._envs: list[Environment] = [make() for _ in range(num_envs)]
        self._outcomes = config.outcomes
        self._agents = _agents(config, self._envs[0])
        self._sights = {name: sight(config, self._envs[0], name) for name in self._agents}
        self._spec = self._describe(config)
        self._seed, self._first_env = 0, 0
        self._steps = np.zeros(num_envs, np.int64)
        self._episode = np.zeros(num_envs, np.int64)
        self._view: View | None = None

    @property
    def spec(self) -> WorldSpec:
        """What is fixed about the world."""
        return self._spec

    @property
    def num_envs(self) -> int:
        """Number ``E`` of copies."""
        return len(self._envs)

    def reset(self, seed: int, first_env: int = 0) -> View:
        """Starts episode 0 of ``seed`` in every copy; see :meth:`envs.world.World.reset`."""
        self._seed, self._first_env = seed, first_env
        self._steps[:] = 0
        self._episode[:] = 0
        self._view = self._blank()
        for row in range(self.num_envs):
            self._begin(self._view, row)
        check_finite(self._view, np.zeros(1, np.float32), self._spec)
        return self._view

    def step(self, actions: Array) -> Step:
        """Moves every copy by one decision; see :meth:`envs.world.World.step`."""
        if self._view is None:
            raise RunError(f"{self._spec.name}: reset(seed) must come before step(actions)")
        before, final = self._view, self._blank()
        chosen = check_actions(actions, before.alive, before.action_mask, self._spec)
        shape = before.alive.shape
        rewards = np.zeros(shape, np.float32)
        terminated, truncated = np.zeros(shape, bool), np.zeros(shape, bool)
        infos = []
        for row in range(self.num_envs):
            with self._foreign(row):
                out = rewards, terminated, truncated
                infos.append(self._advance(row, chosen[row], before, final, out))
        check_finite(final, rewards, self._spec)
        ended = np.asarray(~(final.alive & ~truncated).any(1))
        outcomes = self._read(infos) if ended.any() else {}
        self._view = self._next(final, truncated, ended)
        return Step(self._view, final, rewards, terminated, truncated, ended, outcomes)

    def positions(self) -> Array:
        """Raises ``RunError``: foreign worlds do not say where their agents are."""
        raise RunError(f"{self._spec.name} has no positions: it is a foreign world")

    def scene(self, final: bool = False) -> Scene:  # noqa: ARG002 - the protocol's signature
        """Raises ``RunError``: foreign worlds cannot be drawn."""
        raise RunError(f"{self._spec.name} cannot be drawn: it is a foreign world")

    def close(self) -> None:
        """Closes every copy."""
        for env in self._envs:
            env.close()

    def _describe(self, config: PettingZooConfig) -> WorldSpec:
        try:
            self._envs[0].reset(seed=0)
        except Exception as error:
            raise ConfigurationError(
                f"env.id {config.id!r}: its reset raised {type(error).__name__}: {error}"
            ) from error
        return WorldSpec(
            name=config.id,
            agents=self._agents,
            observation_sizes=tuple(eye.size for eye in self._sights.values()),
            action_counts=tuple(eye.actions for eye in self._sights.values()),
            state_size=state_size(self._envs[0]),
            max_steps=longest_episode(config, self._envs[0]),
            outcomes=config.outcomes,
        )

    def _blank(self) -> View:
        shape = self.num_envs, len(self._agents)
        return View(
            observations=np.zeros((*shape, max(self._spec.observation_sizes)), np.float32),
            state=np.zeros((self.num_envs, self._spec.state_size), np.float32),
            alive=np.zeros(shape, bool),
            action_mask=np.ones((*shape, max(self._spec.action_counts)), bool),
        )

    def _begin(self, view: View, row: int) -> None:
        name = self._first_env + row
        seed = seed_for(self._seed, "env", name, int(self._episode[row])) & 0x7FFFFFFF
        with self._foreign(row):
            observations, infos = self._envs[row].reset(seed=seed)
            self._write(view, row, observations, infos, set(self._envs[row].agents))

    @contextmanager
    def _foreign(self, row: int) -> Iterator[None]:
        """Whatever goes wrong in a copy is told as its own, not as a defect of ours."""
        try:
            yield
        except QmarlError:
            raise
        except Exception as error:
            raise RunError(
                f"{self._spec.name}: world {self._first_env + row} raised "
                f"{type(error).__name__}: {error}"
            ) from error

    def _write(
        self, view: View, row: int, observations: Any, infos: Any, present: set[str]
    ) -> None:
        """Writes what the agents who are present see into row ``row`` of a view."""
        for column, agent in enumerate(self._agents):
            view.action_mask[row, column] = True
            view.observations[row, column] = 0
            view.alive[row, column] = agent in present
            if agent in present:
                self._look(view, (row, column), observations.get(agent), infos.get(agent, {}))
        if self._spec.state_size:
            view.state[row] = np.asarray(self._envs[row].state(), np.float32).ravel()

    def _look(self, view: View, at: tuple[int, int], observation: Any, info: Any) -> None:
        eye = self._sights[self._agents[at[1]]]
        if observation is None:  # gone in the very step that cut it: there is nothing to see
            return
        view.observations[at][: eye.size] = eye.numbers(observation)
        view.action_mask[at][eye.actions :] = False
        view.action_mask[at][: eye.actions] = eye.mask(observation, info)
        if not view.action_mask[at].any():
            view.action_mask[at][: eye.actions] = True

    def _advance(
        self,
        row: int,
        actions: Array,
        before: View,
        final: View,
        out: tuple[Array, Array, Array],
    ) -> dict[str, Any]:
        """Moves one copy and writes what it brought; returns its infos by agent."""
        acting = [column for column in range(len(self._agents)) if before.alive[row, column]]
        names = [self._agents[column] for column in acting]
        moves = {
            name: int(actions[column]) + self._sights[name].start
            for name, column in zip(names, acting, strict=True)
        }
        seen, rewards, ends, cuts, infos = self._envs[row].step(moves)
        self._steps[row] += 1
        late = self._steps[row] >= self._spec.max_steps
        for name, column in zip(names, acting, strict=True):
            out[0][row, column] = rewards.get(name, 0)
            out[1][row, column] = over = bool(ends.get(name, False))
            out[2][row, column] = not over and bool(cuts.get(name, False) or late)
        gone = {name for name in names if ends.get(name, False)}
        present = (set(self._envs[row].agents) | set(names)) - gone
        self._write(final, row, seen, infos, present)
        return dict(infos)

    def _next(self, final: View, truncated: Array, ended: Array) -> View:
        """What is seen next: as ``final``, without who was cut, and anew where all ended."""
        if not ended.any() and not truncated.any():
            return final
        view = View(
            final.observations * ~truncated[..., None],
            final.state.copy(),
            final.alive & ~truncated,
            final.action_mask | truncated[..., None],
        )
        for row in np.flatnonzero(ended).tolist():
            self._episode[row] += 1
            self._steps[row] = 0
            self._begin(view, row)
        check_finite(view, np.zeros(1, np.float32), self._spec)
        return view

    def _read(self, infos: list[dict[str, Any]]) -> dict[str, Array]:
        return {
            name: np.array([_mean(name, agents) for agents in infos], np.float32)
            for name in self._outcomes
        }


def _mean(name: str, infos: dict[str, Any]) -> float:
    values = [float(info[name]) for info in infos.values() if name in info]
    return float(np.mean(values)) if values else float("nan")


def _agents(config: PettingZooConfig, env: Environment) -> tuple[str, ...]:
    agents = getattr(env, "possible_agents", None)
    if not agents or not callable(getattr(env, "observation_space", None)):
        raise ConfigurationError(
            f"env.id {config.id!r} made a {type(env).__name__}, which is no PettingZoo ParallelEnv"
        )
    return tuple(agents)
