"""Drone coverage: flying base stations serve users on the ground, at a price in energy.

Inspired by work on mobile access by several UAVs (Park et al., arXiv 2302.04445, and its classical
precursor arXiv 2210.00945). It is no reproduction: their constants are not public, so the radio,
the energy model and every weight are this task's own, from the sources named beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from envs.bodies import Bodies, Solids, Start
from envs.mobility import join
from envs.tasks.drone_common import choices, closest, mates, total, velocities
from envs.tasks.drone_coverage_layout import DroneCoverageConfig, draws, lay_out, users_at
from envs.tasks.drone_energy import HOVER_POWER, propulsion_power
from envs.tasks.drone_radio import serve, utility
from envs.world import ARRIVED, CRASHED, FLYING, Scene, View, World, WorldSpec

if TYPE_CHECKING:
    from qmarl.types import Array

__all__ = ["DroneCoverage", "DroneCoverageConfig", "make"]

_SEEN = 16  # numbers in an observation
_ALL = slice(None)


@final
class DroneCoverage:
    """The task's state in ``E`` worlds and its rules, as array code.

    Every user is served by the drone with the best link (:mod:`envs.tasks.drone_radio`), and a
    drone's bandwidth is shared equally among its users: so drones serve best when they are near to
    users and share them out. A user is served when its rate reaches its demand.

    Actions are seven velocity commands (:data:`envs.tasks.drone_common.ACTIONS`) at ``speed``
    level and ``climb_speed`` up and down, or continuous numbers in these measures (longer ones are
    shortened to length 1). An observation has 16 numbers within [-1, 1]:

    - the position over the arena (3), the velocity over the commanded speeds (3), the charge (1);
    - for the nearest drone, the unit vector towards it times ``clip(1 - gap / sensing_range, 0,
      1)`` (3);
    - the level vector to the middle of the users that it serves, over ``half_width`` (2), and
      their share of all users (1);
    - the level vector to the nearest user that is not served, over ``half_width`` (2), and the
      share of such users (1).

    A step's reward is ``qos_reward`` times the mean utility of the users' rates, for everyone who
    flies, minus ``energy_penalty`` times the drone's own propulsion power over that of hovering
    (:mod:`envs.tasks.drone_energy`), minus ``overlap_penalty * clip(1 - gap / overlap_range, 0,
    1)``, minus ``collision_penalty`` on contact. Drones that came nearer to each other than two
    radii at any moment of a step are lost. One whose battery is empty has to land: it serves nobody
    any more, and its episode ends.

    The joint state holds for every drone its position over the arena, its velocity over the
    commanded speeds, its charge and whether it flies; then for every user its place over the
    arena, its demand over ``most_demand`` and whether it is served: ``8 A + 4 N`` numbers.

    Outcomes: ``success`` (the share of served users, averaged over the episode's steps, reaches
    ``served_threshold``, and no drones collided), ``collision``, that share as ``served``,
    ``energy`` (kJ per drone), and ``fairness``: Jain's index ``(sum x)^2 / (N sum x^2)`` of each
    user's mean utility ``x`` (Jain, Chiu and Hawe, DEC-TR-301, 1984).

    Args:
        config: Sizes, weights and team.
        num_envs: Number ``E`` of worlds.
        dt: Seconds per step, of the backend.

    Attributes:
        spec: What is fixed about the world.
        draws: How many random numbers an episode needs.
        alive: ``(E, A)`` bool, drones that fly.
    """

    def __init__(self, config: DroneCoverageConfig, num_envs: int, dt: float) -> None:
        self._config, self._dt = config, dt
        self.spec = _spec(config)
        self.draws = draws(config)
        shape = (num_envs, config.drones)
        self.alive: Array = np.zeros(shape, bool)
        self._crashed: Array = np.zeros(shape, bool)
        self._charge: Array = np.zeros(shape)  # kJ
        self._spent: Array = np.zeros(shape)  # kJ
        self._before: Array = np.zeros((*shape, 3), np.float32)
        self._users: Array = np.zeros((num_envs, config.users, 5), np.float32)
        self._places: Array = np.zeros((num_envs, config.users, 2), np.float32)
        self._station: Array = np.zeros((num_envs, config.users), np.int64)
        self._served: Array = np.zeros((num_envs, config.users), bool)
        self._worth: Array = np.zeros((num_envs, config.users))  # sums over the episode
        self._share: Array = np.zeros(num_envs)
        self._steps: Array = np.ones(num_envs)
        self._limits: Array = np.array([config.speed, config.speed, config.climb_speed], np.float32)
        self._mask: Array = np.ones((*shape, self.spec.action_counts[0]), bool)
        self._mask.flags.writeable = False
        low, high = config.arena
        self._centre, self._half = (low + high) / 2, (high - low) / 2

    def lay_out(self, uniform: Array) -> Array:
        """Lays out episodes; see :func:`envs.tasks.drone_coverage_layout.lay_out`."""
        return lay_out(uniform, self._config)

    def begin(self, rows: Array, layout: Array) -> Start:
        """Starts an episode in some worlds.

        Args:
            rows: ``(k,)`` positions in the batch.
            layout: ``(k, 4 A + 5 N)`` from :meth:`lay_out`.

        Returns:
            Where the drones start.
        """
        count, agents = len(rows), self._config.drones
        stations = layout[:, : 4 * agents].reshape(count, agents, 4)
        self._users[rows] = layout[:, 4 * agents :].reshape(count, -1, 5)
        self._charge[rows] = stations[..., 3]
        self.alive[rows] = True
        self._crashed[rows] = False
        self._spent[rows] = self._worth[rows] = 0
        self._share[rows], self._steps[rows] = 0, 1
        self._before[rows] = stations[..., :3]
        self._serve(rows, stations[..., :3], np.zeros(count))
        return Start.resting(stations[..., :3])

    def _serve(self, rows: Array | slice, here: Array, time: Array) -> Array:
        """Lets drones at ``here`` serve the users of some worlds; returns the rates."""
        users, config = self._users[rows], self._config
        self._places[rows] = users_at(users, time, config.half_width)
        found = serve(here, self.alive[rows], self._places[rows], config.radio)
        self._station[rows] = found.station
        self._served[rows] = found.rate >= users[..., 4]
        return found.rate

    def commands(self, actions: Array) -> Array:
        """Turns actions into ``(E, A, 3)`` velocities in m/s."""
        return velocities(actions, self._limits)

    def judge(self, bodies: Bodies, steps: Array) -> tuple[Array, Array]:
        """Moves the users, rewards a step, and finds who collided and whose battery is empty.

        Args:
            bodies: Where the step brought the drones.
            steps: ``(E,)`` steps of each world's episode, this one included.

        Returns:
            Rewards ``(E, A)`` float32, and ``(E, A)`` bool whose episode ended.
        """
        config, flying = self._config, self.alive
        power = propulsion_power(bodies.velocity) * flying
        gap, _ = self._mates(bodies, _ALL)
        hit = flying & (closest(self._before, bodies.position, flying) < 2 * config.drone_radius)
        rewards = -config.energy_penalty * power / HOVER_POWER - config.collision_penalty * hit
        rewards -= config.overlap_penalty * np.clip(1 - gap / config.overlap_range, 0, 1)
        self._charge = np.maximum(self._charge - power * (self._dt / 1000), 0)
        self._spent += power * (self._dt / 1000)
        done = flying & (hit | (self._charge <= 0))
        self.alive = flying & ~done
        self._crashed |= hit
        self._before = bodies.position.copy()
        rewards += config.qos_reward * self._quality(bodies.position, steps)[:, None]
        return (rewards * flying).astype(np.float32), done

    def _quality(self, here: Array, steps: Array) -> Array:
        """Serves the users of all worlds, and takes note; returns their mean utility ``(E,)``."""
        config = self._config
        rate = self._serve(_ALL, here, steps * self._dt)
        worth = utility(rate, self._users[..., 4], config.steepness)
        self._worth += worth
        self._share += self._served.sum(1) / config.users
        self._steps = steps.astype(np.float64)
        return total(worth) / np.float32(config.users)

    def _mates(self, bodies: Bodies, rows: Array | slice) -> tuple[Array, Array]:
        heard = None if bodies.heard is None else bodies.heard[rows]
        reach, sensing = 2 * self._config.drone_radius, self._config.sensing_range
        return mates(bodies.position[rows], self.alive[rows], heard, reach, sensing)

    def view(self, bodies: Bodies, rows: Array | slice = _ALL) -> View:
        """What the drones of some worlds see of where they perceive the bodies to be."""
        alive, here = self.alive[rows].copy(), bodies.position[rows]
        seen = np.zeros((*alive.shape, _SEEN), np.float32)
        seen[..., :3] = np.clip((here - self._centre) / self._half, -1, 1)
        seen[..., 3:6] = np.clip(bodies.velocity[rows] / self._limits, -1, 1)
        seen[..., 6] = self._charge[rows] / self._config.battery
        seen[..., 7:10] = self._mates(bodies, rows)[1]
        self._see_users(here, rows, seen[..., 10:])
        state = np.concatenate([seen[..., :7], alive[..., None]], -1).reshape(len(alive), -1)
        ground = np.concatenate(
            [
                self._places[rows] / np.float32(self._config.half_width),
                self._users[rows, :, 4:] / np.float32(self._config.most_demand),
                self._served[rows, :, None],
            ],
            -1,
        ).reshape(len(alive), -1)
        state = np.concatenate([state, ground], 1).astype(np.float32, copy=False)
        seen *= alive[..., None]
        return View(seen, state, alive, self._mask[rows])

    def _see_users(self, here: Array, rows: Array | slice, seen: Array) -> None:
        """Writes what drones at ``here`` know of users into ``(k, A, 6)``."""
        config, served = self._config, self._served[rows]
        offset = self._places[rows, None] - here[:, :, None, :2]
        own = self._station[rows, None] == np.arange(config.drones)[:, None]
        count = own.sum(-1)
        for axis in (0, 1):
            middle = total(offset[..., axis] * own) / np.maximum(count, 1)
            seen[..., axis] = np.clip(middle / config.half_width, -1, 1)
        seen[..., 2] = count / config.users
        x, y = offset[..., 0], offset[..., 1]
        away = x * x + y * y + served[:, None] * np.float32(1e12)
        nearest = np.take_along_axis(offset, away.argmin(-1)[..., None, None], 2)[..., 0, :]
        missing = config.users - served.sum(1)
        nearest *= (missing > 0)[:, None, None]
        seen[..., 3:5] = np.clip(nearest / np.float32(config.half_width), -1, 1)
        seen[..., 5] = (missing / config.users)[:, None]

    def outcomes(self) -> dict[str, Array]:
        """Outcomes ``(E,)`` by name, float32, as they stand now."""
        config, collided = self._config, self._crashed.any(1)
        share = self._share / self._steps
        squares = np.maximum(total(self._worth * self._worth), 1e-12)
        fairness = total(self._worth) ** 2 / (config.users * squares)
        success = ~collided & (share >= config.served_threshold)
        energy = total(self._spent) / config.drones
        found = np.stack([success, collided, share, energy, fairness])
        return dict(zip(self.spec.outcomes, found.astype(np.float32), strict=True))

    def solids(self) -> Solids:
        """Nothing stands in these worlds but the drones themselves."""
        radii = np.where(self._crashed, 0, np.float32(self._config.drone_radius))
        return Solids.of(len(self.alive), radii=radii.astype(np.float32))

    def scene(self, bodies: Bodies, steps: Array) -> Scene:
        """A copy of what a spectator sees: users as marks; who had to land counts as arrived."""
        ground = np.zeros((*self._places.shape[:2], 1), np.float32)
        status = np.where(self.alive, FLYING, np.where(self._crashed, CRASHED, ARRIVED))
        return Scene(
            time=steps * self._dt,
            positions=bodies.position.copy(),
            status=status.astype(np.int8),
            solids=self.solids(),
            goals=np.full(bodies.position.shape, np.nan, np.float32),
            radii=np.full(self._config.drones, self._config.drone_radius),
            marks=np.concatenate([self._places, ground], -1),
        )


def make(config: DroneCoverageConfig, num_envs: int) -> World:
    """Makes the world."""
    return join(DroneCoverage(config, num_envs, config.dt), config, num_envs)


def _spec(config: DroneCoverageConfig) -> WorldSpec:
    agents = config.drones
    counts, sizes = choices(config.actions == "continuous", agents)
    ground = config.arena
    ground[0, 2] = 0  # drawn down to the users
    return WorldSpec(
        name=config.id,
        agents=tuple(f"drone_{i}" for i in range(agents)),
        observation_sizes=(_SEEN,) * agents,
        action_counts=counts,
        state_size=8 * agents + 4 * config.users,
        max_steps=config.max_steps,
        outcomes=("success", "collision", "served", "energy", "fairness"),
        arena=ground,
        action_sizes=sizes,
        kinds=("drone",) * agents,
    )
