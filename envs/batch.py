"""Joins a task (what is rewarded) and a backend (what moves) into a world of ``E`` copies."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, final

import numpy as np

from envs.draws import EpisodeDraws
from envs.guard import check_actions, check_finite
from envs.world import Scene, Step, View, WorldSpec
from qmarl.errors import RunError

if TYPE_CHECKING:
    from qmarl.types import Array


class Backend(Protocol):
    """What moves: bodies in ``E`` worlds.

    Attributes:
        position: ``(E, A, 3)`` float32 m.
        velocity: ``(E, A, 3)`` float32 m/s.
    """

    position: Array
    velocity: Array

    def place(self, rows: Array, position: Array) -> None:
        """Puts the bodies of worlds ``rows`` at rest at ``(k, A, 3)`` positions in m."""
        ...

    def advance(self, command: Array, moving: Array) -> None:
        """Moves bodies that are ``moving`` ``(E, A)`` by one step towards ``(E, A, 3)`` m/s."""
        ...

    def close(self) -> None:
        """Lets go of what the backend holds."""
        ...


class Task(Protocol):
    """What is rewarded; :class:`envs.tasks.drone_navigation.DroneNavigation` documents each."""

    spec: WorldSpec
    draws: int
    alive: Array

    def lay_out(self, uniform: Array) -> Array:
        """Turns ``(n, draws)`` numbers in [0, 1) into ``(n, ...)`` layouts, row by row."""
        ...

    def begin(self, rows: Array, layout: Array) -> Array:
        """Starts episodes and returns where the bodies stand."""
        ...

    def commands(self, actions: Array) -> Array:
        """Turns actions into commands for the backend."""
        ...

    def measure(self, position: Array, rows: Array) -> None:
        """Brings what the task knows about positions up to date."""
        ...

    def judge(self, position: Array, steps: Array) -> tuple[Array, Array]:
        """Rewards and terminations of a step."""
        ...

    def view(self, position: Array, velocity: Array, rows: Array | slice = ...) -> View:
        """What agents see."""
        ...

    def outcomes(self) -> dict[str, Array]:
        """Outcomes of the episodes as they stand."""
        ...

    def scene(self, position: Array, steps: Array) -> Scene:
        """What a spectator sees."""
        ...


@final
class BatchWorld:
    """A world whose copies live in arrays; implements :class:`envs.world.World`.

    Episode ``n`` of copy ``i`` depends on the seed, ``first_env + i`` and ``n`` alone.

    Args:
        task: Rules and state of the task.
        backend: Dynamics, of the same ``(E, A)``.
        num_envs: Number ``E`` of copies.
    """

    def __init__(self, task: Task, backend: Backend, num_envs: int) -> None:
        self._task, self._backend = task, backend
        self._rows = np.arange(num_envs)
        self._steps = np.zeros(num_envs, np.int64)
        self._episode = np.zeros(num_envs, np.int64)
        self._draws: EpisodeDraws | None = None
        self._view: View | None = None
        self._last: Scene | None = None

    @property
    def spec(self) -> WorldSpec:
        """What is fixed about the world."""
        return self._task.spec

    @property
    def num_envs(self) -> int:
        """Number ``E`` of copies."""
        return len(self._rows)

    def reset(self, seed: int, first_env: int = 0) -> View:
        """Starts episode 0 of ``seed`` in every copy; see :meth:`envs.world.World.reset`."""
        task = self._task
        self._draws = EpisodeDraws(seed, first_env + self._rows, task.draws, task.lay_out)
        self._episode[:] = 0
        self._begin(self._rows)
        self._last = None
        self._view = task.view(self._backend.position, self._backend.velocity)
        return self._view

    def step(self, actions: Array) -> Step:
        """Moves every copy by one decision; see :meth:`envs.world.World.step`."""
        task, backend, view = self._task, self._backend, self._started()
        chosen = check_actions(actions, view.alive, view.action_mask, task.spec)
        backend.advance(task.commands(chosen), view.alive)
        self._steps += 1
        rewards, terminated = task.judge(backend.position, self._steps)
        final = task.view(backend.position, backend.velocity)
        check_finite(final, rewards, task.spec)
        cut = (self._steps >= task.spec.max_steps) & final.alive.any(1)
        truncated = final.alive & cut[:, None]
        ended = cut | ~final.alive.any(1)
        self._last, self._view = None, final
        outcomes = self._restart(ended) if ended.any() else {}
        return Step(self._view, final, rewards, terminated, truncated, ended, outcomes)

    def positions(self) -> Array:
        """``(E, A, 3)`` float32 positions in metres, of the episodes now under way."""
        return self._backend.position.copy()

    def scene(self, final: bool = False) -> Scene:
        """What a spectator sees; see :meth:`envs.world.World.scene`."""
        if final and self._last is not None:
            return self._last
        return self._task.scene(self._backend.position, self._steps)

    def close(self) -> None:
        """Lets go of the backend."""
        self._backend.close()

    def _started(self) -> View:
        if self._view is None:
            raise RunError(f"{self.spec.name}: reset(seed) must come before step(actions)")
        return self._view

    def _begin(self, rows: Array) -> None:
        assert self._draws is not None
        layout = self._draws.take(rows, self._episode[rows])
        self._backend.place(rows, self._task.begin(rows, layout))
        self._steps[rows] = 0
        self._task.measure(self._backend.position, rows)

    def _restart(self, ended: Array) -> dict[str, Array]:
        """Begins the next episode where one ended; returns the outcomes of all."""
        task, backend, rows = self._task, self._backend, np.flatnonzero(ended)
        outcomes = task.outcomes()
        self._last = task.scene(backend.position, self._steps)
        self._episode[rows] += 1
        self._begin(rows)
        fresh = task.view(backend.position, backend.velocity, rows)
        self._view = _overlay(self._started(), fresh, rows)
        return outcomes


def _overlay(view: View, fresh: View, rows: Array) -> View:
    observations, state, alive = view.observations.copy(), view.state.copy(), view.alive.copy()
    observations[rows], state[rows], alive[rows] = fresh.observations, fresh.state, fresh.alive
    return replace(view, observations=observations, state=state, alive=alive)
