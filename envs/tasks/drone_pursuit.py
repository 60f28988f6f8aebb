"""Drone pursuit: a team of pursuers catches evaders before the time is up."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from envs.bodies import Bodies, Solids, Start
from envs.mobility import join
from envs.tasks.drone_common import choices, length, mates, velocities
from envs.tasks.drone_pursuit_layout import DronePursuitConfig, flee, lay_out
from envs.world import CRASHED, FLYING, Scene, View, World, WorldSpec

if TYPE_CHECKING:
    from qmarl.types import Array

__all__ = ["DronePursuit", "DronePursuitConfig", "make"]

_SEEN = 14  # numbers in an observation
_FAR = np.float32(1e6)  # m: where evaders are that are caught
_AGILITY = np.float32(
    0.5
)  # share of the gap to its wanted velocity that an evader closes in a step
_ALL = slice(None)


@final
class DronePursuit:
    """The task's state in ``E`` worlds and its rules, as array code.

    Evaders are points that follow a rule (:func:`envs.tasks.drone_pursuit_layout.flee`): they see
    where pursuers were when the step began. One is caught as soon as ``captors`` pursuers are
    within ``capture_radius`` of it at the end of a step, and is gone.

    Pursuers' actions are seven velocity commands (:data:`envs.tasks.drone_common.ACTIONS`), or a
    velocity over ``speed`` where they are continuous (longer ones are shortened to length 1). An
    observation has 14 numbers within [-1, 1]: for the nearest free evader the vector to it over
    ``max(distance, 1 m)``, the distance over the arena's diagonal, and the share of evaders that
    are free; the own velocity over ``speed``, the position over the arena, and for the nearest
    other pursuer the unit vector towards it times ``clip(1 - gap / sensing_range, 0, 1)``.

    A step's reward is ``progress_reward`` times the metres by which the nearest free evader came
    nearer, plus ``capture_reward`` for each evader that the team caught, minus ``step_penalty``,
    minus ``proximity_penalty * clip(1 - gap / proximity_range, 0, 1)``, minus
    ``collision_penalty`` on contact. Pursuers that touch each other are removed. When the last
    evader is caught the episode ends for all.

    The joint state holds for every pursuer its position over the arena, its velocity over
    ``speed`` and whether it flies; then for every evader its position over the arena (the middle
    once it is caught), its velocity over the evaders' speed and whether it is free: ``7 A + 7 V``
    numbers.

    Outcomes: ``success`` (all caught in time, and no pursuer touched another one), ``collision``,
    ``caught`` (share of the evaders), and ``time_to_capture`` (seconds until the last one was
    caught, nan when one stayed free).

    Args:
        config: Sizes, weights and team.
        num_envs: Number ``E`` of worlds.
        dt: Seconds per step, of the backend.

    Attributes:
        spec: What is fixed about the world.
        draws: How many random numbers an episode needs.
        alive: ``(E, A)`` bool, pursuers that fly.
    """

    def __init__(self, config: DronePursuitConfig, num_envs: int, dt: float) -> None:
        self._config, self._dt = config, dt
        self.spec = _spec(config)
        self.draws = 1 + config.drones + 4 * config.evaders
        shape = (num_envs, config.drones)
        self.alive: Array = np.zeros(shape, bool)
        self._crashed: Array = np.zeros(shape, bool)
        self._before: Array = np.zeros((*shape, 3), np.float32)
        self._distance: Array = np.zeros(shape, np.float32)  # to the nearest free evader
        self._evaders: Array = np.zeros((num_envs, config.evaders, 3), np.float32)
        self._motion: Array = np.zeros((num_envs, config.evaders, 3), np.float32)
        self._dodge: Array = np.zeros((num_envs, config.evaders), np.float32)
        self._free: Array = np.zeros((num_envs, config.evaders), bool)
        self._taken: Array = np.zeros(num_envs)  # steps until the last capture; 0 before
        self._limits: Array = np.full(3, config.speed, np.float32)
        self._mask: Array = np.ones((*shape, self.spec.action_counts[0]), bool)
        self._mask.flags.writeable = False
        low, high = config.arena
        self._centre, self._half = (low + high) / 2, (high - low) / 2
        self._diagonal = float(length(high - low))

    def lay_out(self, uniform: Array) -> Array:
        """Lays out episodes; see :func:`envs.tasks.drone_pursuit_layout.lay_out`."""
        return lay_out(uniform, self._config)

    def begin(self, rows: Array, layout: Array) -> Start:
        """Starts an episode in some worlds.

        Args:
            rows: ``(k,)`` positions in the batch.
            layout: ``(k, A + 2 V, 3)`` from :meth:`lay_out`.

        Returns:
            Where the pursuers start.
        """
        agents, last = self._config.drones, self._config.drones + self._config.evaders
        self._evaders[rows] = layout[:, agents:last]
        self._motion[rows] = 0
        self._dodge[rows] = layout[:, last:, 0]
        self._free[rows] = True
        self._taken[rows] = 0
        self.alive[rows] = True
        self._crashed[rows] = False
        self._before[rows] = layout[:, :agents]
        self._distance[rows] = self._prey(layout[:, :agents], rows)[1]
        return Start.resting(layout[:, :agents])

    def commands(self, actions: Array) -> Array:
        """Turns actions into ``(E, A, 3)`` velocities in m/s."""
        return velocities(actions, self._limits)

    def judge(self, bodies: Bodies, steps: Array) -> tuple[Array, Array]:
        """Moves the evaders, rewards a step, and finds who was caught and who touched somebody.

        Args:
            bodies: Where the step brought the pursuers.
            steps: ``(E,)`` steps of each world's episode, this one included.

        Returns:
            Rewards ``(E, A)`` float32, and ``(E, A)`` bool whose episode ended.
        """
        config, flying = self._config, self.alive
        self._move_evaders()
        gap, _ = self._mates(bodies, _ALL)
        hit = flying & (gap < 0)
        near = np.clip(1 - gap / np.float32(config.proximity_range), 0, 1)
        distance = self._prey(bodies.position, _ALL)[1]
        rewards = config.progress_reward * (self._distance - distance)
        rewards -= config.step_penalty + config.proximity_penalty * near
        caught = self._catch(bodies.position, flying & ~hit)
        rewards += config.capture_reward * caught[:, None] - config.collision_penalty * hit
        rewards *= flying
        self._crashed |= hit
        over: Array = ~np.any(self._free, 1)
        done = flying & (hit | over[:, None])
        self.alive = flying & ~done
        np.copyto(self._taken, steps, where=over & (self._taken == 0))
        self._before = bodies.position.copy()
        self._distance = self._prey(bodies.position, _ALL)[1] if caught.any() else distance
        return rewards.astype(np.float32, copy=False), done

    def _move_evaders(self) -> None:
        config = self._config
        chasing = np.float32(config.alarm_range) * self.alive
        wanted = flee(self._evaders, self._before, chasing, self._dodge, config.arena)
        wanted *= np.float32(config.speed * config.evader_speed)
        self._motion += _AGILITY * (wanted - self._motion)
        self._motion *= self._free[..., None]
        low, high = config.arena
        open_air = self._evaders + np.float32(self._dt) * self._motion
        self._evaders = np.clip(open_air, low, high)
        self._motion *= self._evaders == open_air  # a wall takes the motion across it

    def _catch(self, here: Array, flying: Array) -> Array:
        """Takes out of the worlds who is caught; returns how many ``(E,)``."""
        distance = length(self._evaders[:, :, None] - here[:, None])
        near = (distance < self._config.capture_radius) & flying[:, None]
        caught = self._free & (near.sum(-1) >= self._config.captors)
        self._free = self._free & ~caught
        count: Array = caught.sum(1)
        return count

    def _prey(self, here: Array, rows: Array | slice) -> tuple[Array, Array]:
        """Ways ``(k, A, 3)`` and distances ``(k, A)`` to the nearest free evader, 0 if none is."""
        offset = self._evaders[rows, None] - here[:, :, None]
        distance = length(offset) + ~self._free[rows, None] * _FAR
        which = distance.argmin(-1)[..., None]
        left: Array = np.any(self._free[rows], 1)
        way = np.take_along_axis(offset, which[..., None], 2)[..., 0, :] * left[:, None, None]
        return way, np.take_along_axis(distance, which, -1)[..., 0] * left[:, None]

    def _mates(self, bodies: Bodies, rows: Array | slice) -> tuple[Array, Array]:
        heard = None if bodies.heard is None else bodies.heard[rows]
        reach, sensing = 2 * self._config.drone_radius, self._config.sensing_range
        return mates(bodies.position[rows], ~self._crashed[rows], heard, reach, sensing)

    def view(self, bodies: Bodies, rows: Array | slice = _ALL) -> View:
        """What the pursuers of some worlds see of where they perceive the bodies to be."""
        alive, here = self.alive[rows].copy(), bodies.position[rows]
        free = self._free[rows]
        way, distance = self._prey(here, rows)
        seen = np.zeros((*alive.shape, _SEEN), np.float32)
        seen[..., :3] = way / np.maximum(distance, 1)[..., None]
        seen[..., 3] = np.minimum(distance / np.float32(self._diagonal), 1)
        seen[..., 4] = (free.sum(1) / np.float32(self._config.evaders))[:, None]
        seen[..., 5:8] = np.clip(bodies.velocity[rows] / self._limits, -1, 1)
        seen[..., 8:11] = np.clip((here - self._centre) / self._half, -1, 1)
        seen[..., 11:] = self._mates(bodies, rows)[1]
        state = self._state(seen[..., 8:11], seen[..., 5:8], rows)
        seen *= alive[..., None]
        return View(seen, state, alive, self._mask[rows])

    def _state(self, position: Array, motion: Array, rows: Array | slice) -> Array:
        free = self._free[rows, :, None]
        fastest = np.float32(max(self._config.speed * self._config.evader_speed, 1e-6))
        places = (self._evaders[rows] - self._centre) / self._half * free
        count = len(position)
        pursuers = np.concatenate([position, motion, self.alive[rows, :, None]], -1)
        evaders = np.concatenate([places, self._motion[rows] / fastest * free, free], -1)
        parts = [pursuers.reshape(count, -1), evaders.reshape(count, -1)]
        return np.concatenate(parts, 1).astype(np.float32, copy=False)

    def outcomes(self) -> dict[str, Array]:
        """Outcomes ``(E,)`` by name, float32, as they stand now."""
        collided, over = self._crashed.any(1), ~self._free.any(1)
        share = (~self._free).sum(1) / self._config.evaders
        time = np.where(over, self._taken * self._dt, np.nan)
        found = np.stack([over & ~collided, collided, share, time])
        return dict(zip(self.spec.outcomes, found.astype(np.float32), strict=True))

    def solids(self) -> Solids:
        """Nothing stands in these worlds but the drones themselves."""
        radii = np.where(self._crashed, 0, np.float32(self._config.drone_radius))
        return Solids.of(len(self.alive), radii=radii.astype(np.float32))

    def scene(self, bodies: Bodies, steps: Array) -> Scene:
        """A copy of what a spectator sees: free evaders as marks."""
        return Scene(
            time=steps * self._dt,
            positions=bodies.position.copy(),
            status=np.where(self._crashed, CRASHED, FLYING).astype(np.int8),
            solids=self.solids(),
            goals=np.full(bodies.position.shape, np.nan, np.float32),
            radii=np.full(self._config.drones, self._config.drone_radius),
            marks=np.where(self._free[..., None], self._evaders, np.float32(np.nan)),
        )


def make(config: DronePursuitConfig, num_envs: int) -> World:
    """Makes the world."""
    return join(DronePursuit(config, num_envs, config.dt), config, num_envs)


def _spec(config: DronePursuitConfig) -> WorldSpec:
    agents = config.drones
    counts, sizes = choices(config.actions == "continuous", agents)
    return WorldSpec(
        name=config.id,
        agents=tuple(f"drone_{i}" for i in range(agents)),
        observation_sizes=(_SEEN,) * agents,
        action_counts=counts,
        state_size=7 * agents + 7 * config.evaders,
        max_steps=config.max_steps,
        outcomes=("success", "collision", "caught", "time_to_capture"),
        arena=config.arena,
        action_sizes=sizes,
        kinds=("drone",) * agents,
    )
