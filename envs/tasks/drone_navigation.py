"""Drone navigation: a team crosses an arena to its goals without touching anything."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, final

import numpy as np

from envs.bodies import Bodies, Solids, Start
from envs.mobility import join
from envs.sensing.geometry import surfaces
from envs.tasks.drone_common import ACTIONS, DIRECTIONS, length, square
from envs.tasks.drone_layout import DroneNavigationConfig, lay_out, obstacles
from envs.world import ARRIVED, CRASHED, FLYING, Scene, View, World, WorldSpec

if TYPE_CHECKING:
    from qmarl.types import Array

__all__ = ["ACTIONS", "DroneNavigation", "DroneNavigationConfig", "make"]

_GONE = np.float32(1e6)  # m^2, added to a squared distance: puts what is not there 1 km away
_SEEN = 12  # numbers in an observation
_ALL = slice(None)


@final
class DroneNavigation:
    """The task's state in ``E`` worlds and its rules, as array code.

    Actions are seven velocity commands (:data:`ACTIONS`), or a velocity over ``speed`` where they
    are continuous (longer ones are shortened to length 1). An observation has 12 numbers, within
    [-1, 1] but for speeds in wind or noise: the vector to the goal over ``max(distance, 1 m)``, the
    velocity over ``speed``, then for the nearest drone and for the nearest obstacle the unit vector
    towards it (towards the nearest point of its surface) times ``clip(1 - gap / sensing_range, 0,
    1)``. A step's reward is ``progress_reward`` times the metres won, minus ``step_penalty``, minus
    ``proximity_penalty * clip(1 - gap / proximity_range, 0, 1)``, plus ``goal_reward`` on arrival,
    minus ``collision_penalty`` on contact. An arrived drone parks and stays an obstacle; one that
    touches anything is removed. Contact comes before arrival. A parked drone that is hit keeps its
    own arrival.

    The joint state holds for every drone its position and goal scaled to [-1, 1] over the arena,
    its velocity over ``speed``, whether it flies and whether it has crashed; then the obstacles'
    centres, and 0 in slots without one: ``11 A + 3 slots`` numbers.

    Outcomes: ``success`` (every drone arrived and none touched anything), ``collision`` (any
    contact), ``time_to_goal`` (mean seconds over the drones that arrived, nan when none did).

    Args:
        config: Sizes, weights and team.
        num_envs: Number ``E`` of worlds.
        dt: Seconds per step, of the backend.

    Attributes:
        spec: What is fixed about the world.
        draws: How many random numbers an episode needs.
        alive: ``(E, A)`` bool, drones that fly.
    """

    def __init__(self, config: DroneNavigationConfig, num_envs: int, dt: float) -> None:
        self._config, self._dt = config, dt
        self.spec = _spec(config)
        self.draws = 1 + 4 * config.drones + 3 * config.obstacles
        agents, shape = config.drones, (num_envs, config.drones)
        spheres = max(config.shapes.count("sphere"), 1)
        self.alive: Array = np.zeros(shape, bool)
        self._crashed: Array = np.zeros(shape, bool)
        self._goals: Array = np.zeros((*shape, 3), np.float32)
        self._arrival: Array = np.zeros(shape, np.float32)  # steps; 0 before
        self._solids = obstacles(np.zeros((num_envs, config.obstacles, 3), np.float32), config)
        self._radii: Array = np.full(shape, config.drone_radius, np.float32)
        self._places = _places(self._solids, config)
        self._pillars = config.obstacles > config.shapes.count("sphere")
        # All that is round stands in one array: first the drones, then the spheres.
        self._things: Array = np.zeros((num_envs, agents + spheres, 3), np.float32)
        self._absent: Array = np.zeros((num_envs, agents, agents + spheres), np.float32)
        # What the last measurement found.
        self._distance: Array = np.zeros(shape, np.float32)
        self._gap: Array = np.zeros(shape, np.float32)
        self._seen: Array = np.zeros((*shape, _SEEN), np.float32)
        self._measured: Bodies | None = None
        # The part of the joint state that an episode does not change.
        self._still: Array = np.zeros((num_envs, self.spec.state_size), np.float32)
        self._commands: Array = np.array(DIRECTIONS, np.float32) * np.float32(config.speed)
        self._mask: Array = np.ones((*shape, self.spec.action_counts[0]), bool)
        self._mask.flags.writeable = False
        drone, sphere = config.drone_radius, config.obstacle_radius
        self._speed = np.float32(config.speed)
        self._reach: Array = np.array([2 * drone, drone + sphere], np.float32)
        low, high = config.arena
        self._centre, self._half = (low + high) / 2, (high - low) / 2

    def lay_out(self, uniform: Array) -> Array:
        """Lays out episodes; see :func:`envs.tasks.drone_layout.lay_out`."""
        return lay_out(uniform, self._config)

    def begin(self, rows: Array, layout: Array) -> Start:
        """Starts an episode in some worlds.

        Args:
            rows: ``(k,)`` positions in the batch.
            layout: ``(k, 2 A + M, 3)`` from :meth:`lay_out`.

        Returns:
            Where the drones start.
        """
        agents, spheres = self._config.drones, self._solids.spheres.shape[1]
        self._goals[rows] = layout[:, agents : 2 * agents]
        for array, which in self._places:
            array[rows, :, :3] = layout[:, which]
        self._things[rows, agents : agents + spheres] = self._solids.spheres[rows, :, :3]
        self._absent[rows] = _absent_at_start(agents, spheres)
        self._radii[rows] = self._config.drone_radius
        self.alive[rows] = True
        self._crashed[rows] = False
        self._arrival[rows] = 0
        scaled = (layout - self._centre) / self._half
        still = np.zeros((len(rows), agents, 11), np.float32)
        still[..., 6:9] = scaled[:, agents : 2 * agents]
        self._still[rows, : 11 * agents] = still.reshape(len(rows), -1)
        used = 11 * agents + 3 * self._config.obstacles
        self._still[rows, 11 * agents : used] = scaled[:, 2 * agents :].reshape(len(rows), -1)
        self._distance[rows] = length(layout[:, agents : 2 * agents] - layout[:, :agents])
        self._measured = None
        return Start.resting(layout[:, :agents])

    def commands(self, actions: Array) -> Array:
        """Turns actions into ``(E, A, 3)`` velocities in m/s."""
        if self.spec.continuous:
            return actions * (self._config.speed / np.maximum(length(actions), 1))[..., None]
        return np.take(self._commands, actions, axis=0)

    def judge(self, bodies: Bodies, steps: Array) -> tuple[Array, Array]:
        """Rewards a step and finds who arrived and who touched something.

        Args:
            bodies: Where the step brought the drones.
            steps: ``(E,)`` steps of each world's episode, this one included.

        Returns:
            Rewards ``(E, A)`` float32, and ``(E, A)`` bool whose episode ended.
        """
        before = self._distance
        self._distance, self._gap, self._seen = self._look(bodies)
        self._measured = bodies
        hit = self.alive & (self._gap < 0)
        arrived = self.alive & ~hit & (self._distance < self._config.goal_radius)
        rewards = self._reward(before, arrived, hit)
        done = hit | arrived
        if done.any():
            self.alive ^= done
            np.copyto(self._arrival, steps[:, None], where=arrived, casting="same_kind")
            self._remove(hit, bodies)
        return rewards, done

    def _look(self, bodies: Bodies, rows: Array | slice = _ALL) -> tuple[Array, Array, Array]:
        """Distances to goals ``(k, A)``, gaps ``(k, A)`` and what is seen of some worlds."""
        agents, here = self._config.drones, bodies.position[rows]
        self._things[rows, :agents] = here
        way = self._goals[rows] - here
        distance = length(way)
        seen = np.zeros((*distance.shape, _SEEN), np.float32)
        np.divide(way, np.maximum(distance, 1)[..., None], out=seen[..., :3])
        offset = self._things[rows, None] - here[:, :, None]
        apart = square(offset) + self._absent[rows]
        if bodies.heard is not None:
            apart[..., :agents] += ~bodies.heard[rows] * _GONE
        gaps, seen[..., 6:] = _nearest(offset, apart, self._reach, self._config.sensing_range)
        if self._pillars:
            self._look_at_pillars(here, rows, gaps, seen)
        return distance, np.minimum(gaps[..., 0], gaps[..., 1]), seen

    def _look_at_pillars(self, here: Array, rows: Array | slice, gaps: Array, seen: Array) -> None:
        """Puts the nearest pillar in the place of the nearest sphere where it is nearer."""
        standing = self._solids.take(rows)
        found = surfaces(here, Solids(standing.spheres[:, :0], standing.boxes, standing.cylinders))
        which = found.gap.argmin(-1)[..., None]
        gap = np.take_along_axis(found.gap, which, -1) - np.float32(self._config.drone_radius)
        toward = np.take_along_axis(found.toward, which[..., None], -2)[..., 0, :]
        weight = np.clip(1 - gap / np.float32(self._config.sensing_range), 0, 1)
        nearer = gap < gaps[..., 1:]
        np.copyto(seen[..., 9:], toward * weight, where=nearer)
        np.copyto(gaps[..., 1:], gap, where=nearer)

    def _reward(self, before: Array, arrived: Array, hit: Array) -> Array:
        config = self._config
        near = np.clip(1 - self._gap / np.float32(config.proximity_range), 0, 1)
        reward = config.progress_reward * (before - self._distance)
        reward -= config.step_penalty + config.proximity_penalty * near
        reward += config.goal_reward * arrived - config.collision_penalty * hit
        reward *= self.alive
        return reward.astype(np.float32, copy=False)

    def _remove(self, hit: Array, bodies: Bodies) -> None:
        self._crashed |= hit
        self._radii[hit] = 0
        rows = np.flatnonzero(hit.any(1) & self.alive.any(1))  # where someone is left to see it
        if rows.size:
            self._absent[rows, :, : self._config.drones] += self._crashed[rows, None] * _GONE
            self._distance[rows], self._gap[rows], self._seen[rows] = self._look(bodies, rows)

    def view(self, bodies: Bodies, rows: Array | slice = _ALL) -> View:
        """What the drones of some worlds see of where they perceive the bodies to be."""
        alive, motion = self.alive[rows].copy(), bodies.velocity[rows] / self._speed
        judged = bodies is self._measured
        observations = self._seen[rows].copy() if judged else self._look(bodies, rows)[2]
        observations[..., 3:6] = motion
        observations *= alive[..., None]
        state = self._state(bodies.position[rows], motion, rows)
        return View(observations, state, alive, self._mask[rows])

    def _state(self, position: Array, motion: Array, rows: Array | slice) -> Array:
        state = self._still[rows].copy()
        count, agents = motion.shape[:2]
        drones = state[:, : 11 * agents].reshape(count, agents, 11)  # a view: rows are contiguous
        drones[..., :3] = (position - self._centre) / self._half
        drones[..., 3:6] = motion
        drones[..., 9] = self.alive[rows]
        drones[..., 10] = self._crashed[rows]
        return state

    def outcomes(self) -> dict[str, Array]:
        """Outcomes ``(E,)`` by name, float32, as they stand now."""
        arrived = self._arrival > 0
        count = arrived.sum(1)
        with np.errstate(invalid="ignore"):  # nan where no drone arrived
            time = self._arrival.sum(1) * self._dt / count
        found = np.stack([count == arrived.shape[1], self._crashed.any(1), time])
        return dict(zip(self.spec.outcomes, found.astype(np.float32), strict=True))

    def solids(self) -> Solids:
        """The obstacles of all worlds, and the drones but for those that crashed; no copies."""
        return replace(self._solids, radii=self._radii)

    def scene(self, bodies: Bodies, steps: Array) -> Scene:
        """A copy of what a spectator sees; steps are ``(E,)``."""
        config, status = self._config, np.where(self.alive, FLYING, ARRIVED)
        solids = self._solids
        return Scene(
            time=steps * self._dt,
            positions=bodies.position.copy(),
            status=np.where(self._crashed, CRASHED, status).astype(np.int8),
            solids=Solids(solids.spheres.copy(), solids.boxes.copy(), solids.cylinders.copy()),
            goals=self._goals.copy(),
            radii=np.full(config.drones, config.drone_radius),
            goal_radius=config.goal_radius,
        )


def make(config: DroneNavigationConfig, num_envs: int) -> World:
    """Makes the world."""
    return join(DroneNavigation(config, num_envs, config.dt), config, num_envs)


def _spec(config: DroneNavigationConfig) -> WorldSpec:
    agents, numbers = config.drones, config.actions == "continuous"
    return WorldSpec(
        name=config.id,
        agents=tuple(f"drone_{i}" for i in range(agents)),
        observation_sizes=(_SEEN,) * agents,
        action_counts=(0 if numbers else len(ACTIONS),) * agents,
        state_size=11 * agents + 3 * config.slots,
        max_steps=config.max_steps,
        outcomes=("success", "collision", "time_to_goal"),
        arena=config.arena,
        action_sizes=(3 if numbers else 0,) * agents,
        kinds=("drone",) * agents,
    )


def _places(solids: Solids, config: DroneNavigationConfig) -> list[tuple[Array, Array]]:
    """Each kind of obstacles as an array of solids, and where in a layout it finds its centres."""
    shapes, first = np.array(config.shapes), 2 * config.drones
    kinds = {"sphere": solids.spheres, "box": solids.boxes, "cylinder": solids.cylinders}
    found = [(array, first + np.flatnonzero(shapes == name)) for name, array in kinds.items()]
    return [(array, which) for array, which in found if which.size]


def _absent_at_start(agents: int, spheres: int) -> Array:
    absent = np.zeros((agents, agents + max(spheres, 1)), np.float32)
    np.fill_diagonal(absent, _GONE)  # no one is one's own neighbour
    if not spheres:
        absent[:, -1] = _GONE  # stands in for obstacles where there are none
    return absent


def _nearest(offset: Array, apart: Array, reach: Array, sensing: float) -> tuple[Array, Array]:
    """Gaps to the nearest drone and the nearest sphere, and where they are.

    Args:
        offset: ``(k, A, T, 3)`` from each drone to all that is round, m; first the drones.
        apart: ``(k, A, T)`` squared distances, m^2.
        reach: ``(2,)`` distance of contact with a drone and with a sphere, m.
        sensing: Gap beyond which nothing is seen, m.

    Returns:
        Gaps ``(k, A, 2)`` in m, and the proximity vectors ``(k, A, 6)``.
    """
    k, agents, things = apart.shape
    which = np.empty((k, agents, 2), np.int64)
    apart[..., :agents].argmin(-1, out=which[..., 0])
    apart[..., agents:].argmin(-1, out=which[..., 1])
    which[..., 1] += agents
    which += np.arange(0, apart.size, things).reshape(k, agents, 1)
    distance = np.sqrt(apart.reshape(-1)[which])
    gap = distance - reach
    weight = np.clip(1 - gap / np.float32(sensing), 0, 1) / np.maximum(distance, np.float32(1e-6))
    toward = offset.reshape(-1, 3)[which] * weight[..., None]
    return gap, toward.reshape(k, agents, 6)
