"""Drone formation: a team takes its slots around a moving leader point and holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from envs.bodies import Bodies, Solids, Start
from envs.mobility import join
from envs.tasks.drone_common import choices, length, mates, total, velocities
from envs.tasks.drone_formation_layout import (
    SHAPES,
    DroneFormationConfig,
    formation_offsets,
    lay_out,
    turned,
)
from envs.world import CRASHED, FLYING, Scene, View, World, WorldSpec

if TYPE_CHECKING:
    from qmarl.types import Array

__all__ = ["DroneFormation", "DroneFormationConfig", "make"]

_SEEN = 11  # numbers in an observation
_ALL = slice(None)


@final
class DroneFormation:
    """The task's state in ``E`` worlds and its rules, as array code.

    A leader, a point that nobody flies, moves along a closed path of waypoints. Slot ``i`` lies at
    an offset from it and belongs to drone ``i``; a drone's error is its distance from its slot.

    Actions are seven velocity commands (:data:`envs.tasks.drone_common.ACTIONS`), or a velocity
    over ``speed`` where they are continuous (longer ones are shortened to length 1). An observation
    has 11 numbers within [-1, 1]: the vector to the slot over ``max(distance, 1 m)``, the velocity
    over ``speed``, the leader's level velocity over ``speed``, and for the nearest drone the unit
    vector towards it times ``clip(1 - gap / sensing_range, 0, 1)``.

    A step's reward is ``closeness_reward / (1 + error / error_scale)``, plus ``formation_reward``
    where the team's mean error is below ``tolerance``, minus ``proximity_penalty * clip(1 - gap /
    proximity_range, 0, 1)``, minus ``collision_penalty`` for those that touch each other. A
    contact ends the episode of the whole team.

    The joint state holds for every drone its position and its slot scaled to [-1, 1] over the arena
    and its velocity over ``speed``; then the leader's level velocity over ``speed``: ``9 A + 2``
    numbers.

    Outcomes: ``success`` (the error, averaged over the team and the last ``hold_steps`` steps, is
    below ``tolerance``, and nobody touched anybody), ``collision``, and that ``formation_error`` in
    m, nan where the episode did not get that far.

    Args:
        config: Sizes, weights and team.
        num_envs: Number ``E`` of worlds.
        dt: Seconds per step, of the backend.

    Attributes:
        spec: What is fixed about the world.
        draws: How many random numbers an episode needs.
        alive: ``(E, A)`` bool, drones that fly.
    """

    def __init__(self, config: DroneFormationConfig, num_envs: int, dt: float) -> None:
        self._config, self._dt = config, dt
        self.spec = _spec(config)
        self.draws = 3 + 3 * config.drones + 2 * config.waypoints
        shape = (num_envs, config.drones)
        self.alive: Array = np.zeros(shape, bool)
        self._crashed: Array = np.zeros(shape, bool)
        self._slots: Array = np.zeros((*shape, 3), np.float32)
        self._heading: Array = np.zeros(num_envs)
        self._shapes: Array = np.zeros((num_envs, 2), np.int64)
        self._path: Array = np.zeros((num_envs, config.waypoints, 3))
        self._leader: Array = np.zeros((num_envs, 2, 3))  # position in m, velocity in m/s
        self._held: Array = np.zeros((2, num_envs))  # sum of the team's last errors, and how many
        table = [formation_offsets(name, config.drones, config.spacing) for name in SHAPES]
        self._offsets: Array = np.stack(table)
        self._limits: Array = np.full(3, config.speed, np.float32)
        self._mask: Array = np.ones((*shape, self.spec.action_counts[0]), bool)
        self._mask.flags.writeable = False
        low, high = config.arena
        self._centre, self._half = (low + high) / 2, (high - low) / 2

    def lay_out(self, uniform: Array) -> Array:
        """Lays out episodes; see :func:`envs.tasks.drone_formation_layout.lay_out`."""
        return lay_out(uniform, self._config)

    def begin(self, rows: Array, layout: Array) -> Start:
        """Starts an episode in some worlds.

        Args:
            rows: ``(k,)`` positions in the batch.
            layout: ``(k, A + W + 1, 3)`` from :meth:`lay_out`.

        Returns:
            Where the drones start.
        """
        agents, corners = self._config.drones, self._config.waypoints
        self._path[rows] = layout[:, agents : agents + corners]
        self._shapes[rows] = layout[:, -1, :2].astype(np.int64)
        self.alive[rows] = True
        self._crashed[rows] = False
        self._held[:, rows] = 0
        self._leader[rows] = leader_at(self._path[rows], np.zeros(len(rows)), self._config)
        if self._config.turn_rate:
            self._heading[rows] = _direction(self._leader[rows])
        self._slots[rows] = self._slots_of(rows, self._shapes[rows, 0])
        return Start.resting(layout[:, :agents])

    def commands(self, actions: Array) -> Array:
        """Turns actions into ``(E, A, 3)`` velocities in m/s."""
        return velocities(actions, self._limits)

    def judge(self, bodies: Bodies, steps: Array) -> tuple[Array, Array]:
        """Moves the leader, rewards a step and finds who touched somebody.

        Args:
            bodies: Where the step brought the drones.
            steps: ``(E,)`` steps of each world's episode, this one included.

        Returns:
            Rewards ``(E, A)`` float32, and ``(E, A)`` bool whose episode ended.
        """
        config = self._config
        self._lead(steps)
        error = length(self._slots - bodies.position)
        mean = total(error) / np.float32(config.drones)
        gap, _ = self._mates(bodies, _ALL)
        hit = self.alive & (gap < 0)
        near = np.clip(1 - gap / np.float32(config.proximity_range), 0, 1)
        rewards = config.closeness_reward / (1 + error / np.float32(config.error_scale))
        rewards += config.formation_reward * (mean < config.tolerance)[:, None]
        rewards -= config.proximity_penalty * near + config.collision_penalty * hit
        rewards *= self.alive
        late = steps > config.max_steps - config.hold_steps
        self._held += late * np.stack([mean, np.ones_like(mean)])
        lost: Array = np.any(hit, 1)
        done = self.alive & lost[:, None]
        self.alive &= ~done
        self._crashed |= hit
        return rewards.astype(np.float32, copy=False), done

    def _lead(self, steps: Array) -> None:
        """Brings the leader, the formation's heading and the slots to where they are now."""
        config = self._config
        self._leader = leader_at(self._path, steps * self._dt, config)
        if config.turn_rate:
            missing = np.mod(_direction(self._leader) - self._heading + np.pi, 2 * np.pi) - np.pi
            most = config.turn_rate * self._dt
            self._heading = self._heading + np.clip(missing, -most, most)
        half = np.where(2 * steps < config.max_steps, self._shapes[:, 0], self._shapes[:, 1])
        self._slots = self._slots_of(_ALL, half)

    def _slots_of(self, rows: Array | slice, shape: Array) -> Array:
        offsets = self._offsets[shape]
        if self._config.turn_rate:
            offsets = turned(offsets, self._heading[rows])
        slots: Array = self._leader[rows, :1] + offsets
        return slots.astype(np.float32)

    def _mates(self, bodies: Bodies, rows: Array | slice) -> tuple[Array, Array]:
        heard = None if bodies.heard is None else bodies.heard[rows]
        everyone = np.ones((len(self.alive), self._config.drones), bool)
        reach, sensing = 2 * self._config.drone_radius, self._config.sensing_range
        return mates(bodies.position[rows], everyone[rows], heard, reach, sensing)

    def view(self, bodies: Bodies, rows: Array | slice = _ALL) -> View:
        """What the drones of some worlds see of where they perceive the bodies to be."""
        alive, here = self.alive[rows].copy(), bodies.position[rows]
        motion = np.clip(bodies.velocity[rows] / self._limits, -1, 1)
        lead = (self._leader[rows, 1, :2] / self._config.speed).astype(np.float32)
        way = self._slots[rows] - here
        seen = np.zeros((*alive.shape, _SEEN), np.float32)
        seen[..., :3] = way / np.maximum(length(way), 1)[..., None]
        seen[..., 3:6] = motion
        seen[..., 6:8] = lead[:, None]
        seen[..., 8:] = self._mates(bodies, rows)[1]
        seen *= alive[..., None]
        places = [(here - self._centre) / self._half, motion]
        places.append((self._slots[rows] - self._centre) / self._half)
        drones = np.concatenate(places, -1).reshape(len(alive), -1)
        state = np.concatenate([drones, lead], 1).astype(np.float32, copy=False)
        return View(seen, state, alive, self._mask[rows])

    def outcomes(self) -> dict[str, Array]:
        """Outcomes ``(E,)`` by name, float32, as they stand now."""
        config, (summed, count) = self._config, self._held
        whole = count == config.hold_steps
        error = np.where(whole, summed / config.hold_steps, np.nan)
        collided = self._crashed.any(1)
        found = np.stack([~collided & (error < config.tolerance), collided, error])
        return dict(zip(self.spec.outcomes, found.astype(np.float32), strict=True))

    def solids(self) -> Solids:
        """Nothing stands in these worlds but the drones themselves."""
        radii = np.where(self._crashed, 0, np.float32(self._config.drone_radius))
        return Solids.of(len(self.alive), radii=radii.astype(np.float32))

    def scene(self, bodies: Bodies, steps: Array) -> Scene:
        """A copy of what a spectator sees: the slots as goals, the leader and its path as marks."""
        return Scene(
            time=steps * self._dt,
            positions=bodies.position.copy(),
            status=np.where(self._crashed, CRASHED, FLYING).astype(np.int8),
            solids=self.solids(),
            goals=self._slots.copy(),
            radii=np.full(self._config.drones, self._config.drone_radius),
            goal_radius=self._config.tolerance,
            marks=np.concatenate([self._leader[:, :1], self._path], 1).astype(np.float32),
        )


def make(config: DroneFormationConfig, num_envs: int) -> World:
    """Makes the world."""
    return join(DroneFormation(config, num_envs, config.dt), config, num_envs)


def leader_at(path: Array, time: Array, config: DroneFormationConfig) -> Array:
    """Where leaders are, and how fast.

    Args:
        path: ``(k, W, 3)`` corners of closed paths, m.
        time: ``(k,)`` seconds since they stood on their first corner.
        config: Says how fast they move.

    Returns:
        ``(k, 2, 3)``: position in m, velocity in m/s.
    """
    ways = np.concatenate([path[:, 1:], path[:, :1]], 1) - path
    sizes = np.maximum(length(ways), 1e-6)
    ends = np.cumsum(sizes, 1)
    along = np.mod(config.leader_speed * time, ends[:, -1])
    leg = (along[:, None] >= ends[:, :-1]).sum(1)
    rows = np.arange(len(path))
    share = 1 - (ends[rows, leg] - along) / sizes[rows, leg]
    way = ways[rows, leg]
    velocity = config.leader_speed * way / sizes[rows, leg, None]
    return np.stack([path[rows, leg] + share[:, None] * way, velocity], 1)


def _direction(leader: Array) -> Array:
    heading: Array = np.arctan2(leader[:, 1, 1], leader[:, 1, 0])
    return heading


def _spec(config: DroneFormationConfig) -> WorldSpec:
    agents = config.drones
    counts, sizes = choices(config.actions == "continuous", agents)
    return WorldSpec(
        name=config.id,
        agents=tuple(f"drone_{i}" for i in range(agents)),
        observation_sizes=(_SEEN,) * agents,
        action_counts=counts,
        state_size=9 * agents + 2,
        max_steps=config.max_steps,
        outcomes=("success", "collision", "formation_error"),
        arena=config.arena,
        action_sizes=sizes,
        kinds=("drone",) * agents,
    )
