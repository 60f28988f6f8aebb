"""Joins a task (what is rewarded) and a backend (what moves) into a world of ``E`` copies."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, final

import numpy as np

from envs.bodies import Bodies
from envs.draws import EpisodeDraws
from envs.guard import check_actions, check_finite, check_mask
from envs.world import Scene, Step, View, WorldSpec
from qmarl.errors import RunError

if TYPE_CHECKING:
    from envs.bodies import Solids, Start
    from qmarl.types import Array

_ALL = slice(None)


class Backend(Protocol):
    """What moves: bodies in ``E`` worlds.

    Attributes:
        dt: Seconds per decision.
        draws: How many random numbers the conditions of an episode need.
        position: ``(E, A, 3)`` float32 m.
        velocity: ``(E, A, 3)`` float32 m/s.
        heading: ``(E, A)`` float32 radians.
    """

    dt: float
    draws: int
    position: Array
    velocity: Array
    heading: Array

    def place(self, rows: Array, start: Start, uniform: Array) -> None:
        """Puts the bodies of ``k`` worlds at their start, under conditions of an episode.

        Args:
            rows: ``(k,)`` positions in the batch.
            start: Where they begin.
            uniform: ``(k, draws)`` numbers in [0, 1) that settle the conditions.
        """
        ...

    def advance(self, command: Array, moving: Array) -> None:
        """Moves bodies that are ``moving`` ``(E, A)`` by one decision.

        Commands are ``(E, A, 3)`` float32: velocities in m/s for drones, acceleration in m/s^2,
        steering angle in radians and nothing for vehicles.
        """
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

    def begin(self, rows: Array, layout: Array) -> Start:
        """Starts episodes and returns where the bodies stand."""
        ...

    def commands(self, actions: Array) -> Array:
        """Turns actions into commands ``(E, A, 3)`` for the backend."""
        ...

    def judge(self, bodies: Bodies, steps: Array) -> tuple[Array, Array]:
        """Rewards and terminations of a step, from where the bodies truly are."""
        ...

    def view(self, bodies: Bodies, rows: Array | slice = ...) -> View:
        """What agents of some worlds see, from where they perceive the bodies to be."""
        ...

    def outcomes(self) -> dict[str, Array]:
        """Outcomes of the episodes as they stand."""
        ...

    def solids(self) -> Solids:
        """What stands in all worlds, for sensors."""
        ...

    def scene(self, bodies: Bodies, steps: Array) -> Scene:
        """What a spectator sees."""
        ...


class Sensors(Protocol):
    """What stands between the world and what agents know of it.

    Attributes:
        draws: How many random numbers an episode needs.
        size: Numbers that the readings add to each agent's observation.
    """

    draws: int
    size: int

    def start(self, seed: int, envs: Array) -> None:
        """Names the random streams: the batch's seed and ``(E,)`` global indices of the worlds."""
        ...

    def begin(self, rows: Array, episodes: Array, uniform: Array) -> None:
        """Starts episodes ``(k,)`` in worlds ``rows`` with ``(k, draws)`` numbers in [0, 1)."""
        ...

    def perceive(self, bodies: Bodies, steps: Array) -> Bodies:
        """What agents take the bodies' places to be at ``steps`` ``(E,)`` of their episodes."""
        ...

    def readings(self, bodies: Bodies, solids: Solids, steps: Array, rows: Array | slice) -> Array:
        """Readings ``(k, A, size)`` of some worlds, float32 within [-1, 1]."""
        ...


class Watch(Protocol):
    """Tells what became of bodies that move in other programs.

    Attributes:
        names: Outcomes that an episode has besides the task's.
        lost: ``(E,)`` bool, whose bodies cannot be moved any more in this episode.
    """

    names: tuple[str, ...]
    lost: Array

    def outcomes(self) -> dict[str, Array]:
        """Outcomes ``(E,)`` by name of the episodes as they stand."""
        ...


@final
class BatchWorld:
    """A world whose copies live in arrays; implements :class:`envs.world.World`.

    Episode ``n`` of copy ``i`` depends on the seed, ``first_env + i`` and ``n`` alone.

    Args:
        task: Rules and state of the task.
        backend: Dynamics, of the same ``(E, A)``.
        num_envs: Number ``E`` of copies.
        sensors: What agents perceive by; they know everything exactly where it is left out.
        watch: Tells which episodes must be cut because their bodies are out of reach; none need be
            where it is left out.
    """

    def __init__(
        self,
        task: Task,
        backend: Backend,
        num_envs: int,
        sensors: Sensors | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._task, self._backend, self._sensors, self._watch = task, backend, sensors, watch
        more = watch.names if watch is not None else ()
        self._spec = _sensing_spec(task.spec, sensors)
        self._spec = replace(self._spec, outcomes=self._spec.outcomes + more)
        self._rows = np.arange(num_envs)
        self._steps = np.zeros(num_envs, np.int64)
        self._episode = np.zeros(num_envs, np.int64)
        self._draws: EpisodeDraws | None = None
        self._view: View | None = None
        self._last: Scene | None = None

    @property
    def spec(self) -> WorldSpec:
        """What is fixed about the world."""
        return self._spec

    @property
    def num_envs(self) -> int:
        """Number ``E`` of copies."""
        return len(self._rows)

    def reset(self, seed: int, first_env: int = 0) -> View:
        """Starts episode 0 of ``seed`` in every copy; see :meth:`envs.world.World.reset`."""
        envs = first_env + self._rows
        self._draws = EpisodeDraws(seed, envs, self._count, self._lay_out)
        if self._sensors is not None:
            self._sensors.start(seed, envs)
        self._episode[:] = 0
        self._begin(self._rows)
        self._last = None
        self._view = self._look(self._bodies())
        return self._view

    def step(self, actions: Array) -> Step:
        """Moves every copy by one decision; see :meth:`envs.world.World.step`."""
        task, view = self._task, self._started()
        chosen = check_actions(actions, view.alive, view.action_mask, self._spec)
        self._backend.advance(task.commands(chosen), view.alive)
        self._steps += 1
        bodies = self._bodies()
        rewards, terminated = task.judge(bodies, self._steps)
        final = self._look(bodies)
        check_finite(final, rewards, self._spec)
        over = self._steps >= self._spec.max_steps
        if self._watch is not None:
            over = over | self._watch.lost
        cut = over & final.alive.any(1)
        truncated = final.alive & cut[:, None]
        ended = cut | ~final.alive.any(1)
        self._last, self._view = None, final
        outcomes = self._restart(ended, bodies) if ended.any() else {}
        return Step(self._view, final, rewards, terminated, truncated, ended, outcomes)

    def restart(self, mask: Array) -> View:
        """Begins the next episode of some copies; see :meth:`envs.world.World.restart`."""
        view, self._last = self._started(), None
        rows = check_mask(mask, self.num_envs, self._spec)
        self._view = self._renewed(view, rows) if rows.size else view
        return self._view

    def positions(self) -> Array:
        """``(E, A, 3)`` float32 positions in metres, of the episodes now under way."""
        return self._backend.position.copy()

    def scene(self, final: bool = False) -> Scene:
        """What a spectator sees; see :meth:`envs.world.World.scene`."""
        if final and self._last is not None:
            return self._last
        return self._task.scene(self._bodies(), self._steps)

    def close(self) -> None:
        """Lets go of the backend."""
        self._backend.close()

    @property
    def _count(self) -> int:
        sensing = self._sensors.draws if self._sensors is not None else 0
        return self._task.draws + self._backend.draws + sensing

    def _lay_out(self, uniform: Array) -> tuple[Array, Array]:
        """Layouts of episodes, and what is left of their random numbers."""
        own = self._task.draws
        return self._task.lay_out(uniform[:, :own]), uniform[:, own:]

    def _bodies(self) -> Bodies:
        backend = self._backend
        return Bodies(backend.position, backend.velocity, backend.heading)

    def _look(self, bodies: Bodies, rows: Array | slice = _ALL) -> View:
        """What agents of some worlds see, through their sensors where they have any."""
        sensors = self._sensors
        if sensors is None:
            return self._task.view(bodies, rows)
        view = self._task.view(sensors.perceive(bodies, self._steps), rows)
        if not sensors.size:
            return view
        found = sensors.readings(bodies, self._task.solids(), self._steps, rows)
        found *= view.alive[..., None]
        return replace(view, observations=np.concatenate([view.observations, found], -1))

    def _started(self) -> View:
        if self._view is None:
            raise RunError(f"{self.spec.name}: reset(seed) must come before step(actions)")
        return self._view

    def _begin(self, rows: Array) -> None:
        assert self._draws is not None
        episodes = self._episode[rows]
        layout, numbers = self._draws.take(rows, episodes)
        split = self._backend.draws
        self._backend.place(rows, self._task.begin(rows, layout), numbers[:, :split])
        if self._sensors is not None:
            self._sensors.begin(rows, episodes, numbers[:, split:])
        self._steps[rows] = 0

    def _restart(self, ended: Array, bodies: Bodies) -> dict[str, Array]:
        """Begins the next episode where one ended; returns the outcomes of all."""
        task, rows = self._task, np.flatnonzero(ended)
        outcomes = task.outcomes()
        if self._watch is not None:
            outcomes |= self._watch.outcomes()
        self._last = task.scene(bodies, self._steps)
        self._view = self._renewed(self._started(), rows)
        return outcomes

    def _renewed(self, view: View, rows: Array) -> View:
        """Begins the next episode in worlds ``rows``; returns the view with their new sight."""
        self._episode[rows] += 1
        self._begin(rows)
        return _overlay(view, self._look(self._bodies(), rows), rows)


def _sensing_spec(spec: WorldSpec, sensors: Sensors | None) -> WorldSpec:
    if sensors is None:
        return spec
    widened = tuple(size + sensors.size for size in spec.observation_sizes)
    return replace(spec, observation_sizes=widened)


def _overlay(view: View, fresh: View, rows: Array) -> View:
    mixed = {}
    for name in ("observations", "state", "alive", "action_mask"):
        mixed[name] = getattr(view, name).copy()
        mixed[name][rows] = getattr(fresh, name)
    return View(**mixed)
