"""Vehicle intersection: vehicles from four roads cross where nobody has the right of way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import numpy as np

from envs.bodies import Bodies, Solids, Start
from envs.mobility import join
from envs.tasks.vehicle_common import STEERING, gaps, pedals, speeds, towards
from envs.tasks.vehicle_intersection_layout import VehicleIntersectionConfig, lay_out
from envs.world import ARRIVED, CRASHED, FLYING, Scene, View, World, WorldSpec

if TYPE_CHECKING:
    from qmarl.types import Array

__all__ = ["ACTIONS", "VehicleIntersection", "VehicleIntersectionConfig", "make"]

ACTIONS: Final = ("brake", "coast", "accelerate")
"""The discrete actions, in order; the vehicle steers itself along its lane then."""

_PEDALS = (-1.0, 0.0, 1.0)
_CONFLICTS = 3  # that are seen of the others
_SEEN = 5 + 3 * _CONFLICTS  # numbers in an observation
_AHEAD = 5.0  # m from the vehicle to the point of its lane that it steers towards
_ALL = slice(None)


@final
class VehicleIntersection:
    """The task's state in ``E`` worlds and its rules, as array code.

    Two roads cross; traffic keeps to the right. Every vehicle has a way: where it comes from, and
    whether it goes straight on, left or right. It has crossed as soon as it is ``leave`` metres
    behind the square, and is gone then. Vehicles are rectangles; those that touch each other, or
    whose middle leaves their lane, are removed.

    Discrete actions are three pedals (:data:`ACTIONS`), and the vehicle steers itself towards the
    middle of its lane. Continuous ones are the pedal (the brake below 0) and the steering angle
    over :data:`envs.tasks.vehicle_common.STEERING` rad (positive to the left). Nobody is faster
    than ``speed``.

    An observation has 14 numbers within [-1, 1]: the speed over ``speed``; the way to the square
    over its length at the start, negative, and behind its edge the share of the way that is done;
    the distance to the left of the lane's middle over half a lane; the steering that the lane asks
    for, as an action; and the turn (1 left, -1 right). Then for the three others whose conflict
    with it is nearest: ``clip(1 - d / sensing_range, 0, 1)`` with the own distance ``d`` to where
    their ways meet, the same with the other's distance, and how much farther than itself the other
    has come, in metres over ``sensing_range``. Behind another vehicle in the same lane ``d`` is the
    gap, and the other's distance is none. Zeros stand for nobody. Others are known where they are
    heard.

    A step's reward is ``progress_reward`` per metre along the way, minus ``step_penalty``, plus
    ``goal_reward`` for having crossed, minus ``collision_penalty`` on contact or off the lane.

    The joint state holds for every vehicle its position over the arena, cosine and sine of its
    heading, its speed, its turn, where it is on its way as above, and whether it drives: ``8 A``.

    Outcomes: ``success`` (all have crossed), ``collision``, ``off_road``, ``crossed`` (share), and
    ``time_to_goal`` (mean seconds of those that have crossed, nan when none has).

    Args:
        config: Sizes, weights and team.
        num_envs: Number ``E`` of worlds.
        dt: Seconds per step, of the backend.

    Attributes:
        spec: What is fixed about the world.
        draws: How many random numbers an episode needs.
        alive: ``(E, A)`` bool, vehicles that drive.
    """

    def __init__(self, config: VehicleIntersectionConfig, num_envs: int, dt: float) -> None:
        self._config, self._dt, self._roads = config, dt, config.roads
        self.spec = _spec(config)
        self.draws = 4 + 3 * config.vehicles
        shape = (num_envs, config.vehicles)
        self.alive, self._hit, self._strayed = np.zeros((3, *shape), bool)
        self._arm, self._turn = np.zeros((2, *shape), np.int64)
        self._along, self._first, self._speed, self._advice = np.zeros((4, *shape), np.float32)
        self._arrival: Array = np.zeros(shape, np.float32)  # steps; 0 before
        self._zones: Array = np.zeros((*shape, config.vehicles, 2), np.float32)
        self._same, self._merge = np.zeros((2, *shape, config.vehicles), bool)
        self._table = self._roads.conflicts(config.clearance, config.length)
        self._mask: Array = np.ones((*shape, self.spec.action_counts[0]), bool)
        self._mask.flags.writeable = False

    def lay_out(self, uniform: Array) -> Array:
        """Lays out episodes; see :func:`envs.tasks.vehicle_intersection_layout.lay_out`."""
        return lay_out(uniform, self._config)

    def begin(self, rows: Array, layout: Array) -> Start:
        """Starts an episode in some worlds.

        Args:
            rows: ``(k,)`` positions in the batch.
            layout: ``(k, A, 4)`` from :meth:`lay_out`.

        Returns:
            Where the vehicles start, and how fast.
        """
        arm, turn = layout[..., 0].astype(np.int64), layout[..., 1].astype(np.int64)
        along, speed = layout[..., 2], layout[..., 3]
        self._arm[rows], self._turn[rows] = arm, turn
        self._along[rows], self._first[rows], self._speed[rows] = along, along, speed
        self.alive[rows], self._arrival[rows], self._advice[rows] = True, 0, 0
        self._hit[rows], self._strayed[rows] = False, False
        other = (arm[:, None] - arm[:, :, None]) % 4
        zones = self._table[other, turn[:, :, None] + 1, turn[:, None] + 1]
        self._zones[rows] = zones
        self._same[rows] = (other == 0) & ~np.eye(len(self.spec.agents), dtype=bool)
        leaving = (arm + turn) % 4
        self._merge[rows] = (leaving[:, None] == leaving[:, :, None]) & (other != 0)
        place = np.zeros((*along.shape, 3), np.float32)
        place[..., :2] = self._roads.point(arm, turn, along)
        return Start(place, self._roads.direction(arm, turn, along), speed)

    def commands(self, actions: Array) -> Array:
        """Turns actions into ``(E, A, 3)`` accelerations in m/s^2 and steering angles in rad."""
        config, command = self._config, np.zeros((*self.alive.shape, 3), np.float32)
        if self.spec.continuous:
            pedal, command[..., 1] = actions[..., 0], actions[..., 1] * np.float32(STEERING)
        else:
            pedal, command[..., 1] = np.take(np.array(_PEDALS, np.float32), actions), self._advice
        limits = config.gas, config.brake, config.speed
        command[..., 0] = pedals(pedal, self._speed, limits, self._dt)
        return command

    def judge(self, bodies: Bodies, steps: Array) -> tuple[Array, Array]:
        """Rewards a step and finds who has crossed, touched somebody, or left the lane.

        Args:
            bodies: Where the step brought the vehicles.
            steps: ``(E,)`` steps of each world's episode, this one included.

        Returns:
            Rewards ``(E, A)`` float32, and ``(E, A)`` bool whose episode ended.
        """
        config, before = self._config, self._along
        self._along, aside = self._locate(bodies, _ALL)
        self._speed = speeds(bodies.velocity, bodies.heading)
        self._advice = self._steering(bodies, _ALL, self._along)
        sides = config.length, config.width
        apart = gaps(bodies.position, bodies.heading, sides, self.alive)
        hit = self.alive & (apart.min(-1) < 0)
        strayed = self.alive & ~hit & (np.abs(aside) > np.float32(config.lane / 2))
        crossed = self.alive & ~hit & ~strayed & (self._along >= self._roads.end(self._turn))
        rewards = config.progress_reward * (self._along - before) - config.step_penalty
        rewards += config.goal_reward * crossed - config.collision_penalty * (hit | strayed)
        rewards *= self.alive
        done = hit | strayed | crossed
        self.alive ^= done
        self._hit |= hit
        self._strayed |= strayed
        np.copyto(self._arrival, steps[:, None], where=crossed, casting="same_kind")
        return rewards.astype(np.float32, copy=False), done

    def _locate(self, bodies: Bodies, rows: Array | slice) -> tuple[Array, Array]:
        here = bodies.position[rows, :, :2]
        return self._roads.locate(self._arm[rows], self._turn[rows], here)

    def _steering(self, bodies: Bodies, rows: Array | slice, along: Array) -> Array:
        """Steering angles towards the middles of lanes, rad."""
        arm, turn = self._arm[rows], self._turn[rows]
        target = self._roads.point(arm, turn, along + np.float32(_AHEAD))
        here, heading = bodies.position[rows], bodies.heading[rows]
        angles = towards(here, heading, target, self._config.bicycle.wheelbase)
        return np.clip(angles, -STEERING, STEERING).astype(np.float32)

    def view(self, bodies: Bodies, rows: Array | slice = _ALL) -> View:
        """What vehicles of some worlds see of where they perceive the bodies to be."""
        config, alive, turn = self._config, self.alive[rows].copy(), self._turn[rows]
        along, aside = self._locate(bodies, rows)
        speed = speeds(bodies.velocity[rows], bodies.heading[rows]) / np.float32(config.speed)
        done = np.where(along < 0, along / -self._first[rows], along / self._roads.end(turn))
        seen = np.zeros((*alive.shape, _SEEN), np.float32)
        seen[..., 0], seen[..., 1] = speed, done
        seen[..., 2] = aside / np.float32(config.lane / 2)
        seen[..., 3] = self._steering(bodies, rows, along) / np.float32(STEERING)
        seen[..., 4] = turn
        seen[..., 5:] = self._conflicts(bodies, rows, along)
        np.clip(seen, -1, 1, out=seen)
        seen *= alive[..., None]
        heading = bodies.heading[rows]
        parts = [np.cos(heading), np.sin(heading), speed, turn, np.clip(done, -1, 1), alive]
        places = bodies.position[rows, :, :2] / config.arena[1, :2]
        state = np.concatenate([places, np.stack(parts, -1)], -1).reshape(len(alive), -1)
        return View(seen, state.astype(np.float32, copy=False), alive, self._mask[rows])

    def _conflicts(self, bodies: Bodies, rows: Array | slice, along: Array) -> Array:
        """The nearest conflicts of each ``(k, A, 3 * 3)``, as they stand in an observation."""
        config, zones, same = self._config, self._zones[rows], self._same[rows]
        alive = self.alive[rows]
        ahead = along[:, None] - along[:, :, None]  # by how much the other has come farther
        own = zones[..., 0] - along[..., None]
        left = along[..., None] >= zones[..., 1]
        its = own.swapaxes(1, 2)
        near = alive[:, None] & alive[:, :, None] & (zones[..., 0] < zones[..., 1])
        near &= ~left & ~left.swapaxes(1, 2) & ~np.eye(alive.shape[1], dtype=bool)
        if bodies.heard is not None:
            near &= bodies.heard[rows]
        rest = self._roads.end(self._turn[rows]) - along
        follows = rest[..., None] - rest[:, None]
        merged = self._merge[rows] & (its <= 0)
        near &= ~(same & (ahead <= 0)) & ~(merged & (own <= 0) & (follows <= 0))
        length = np.float32(config.length)
        own = np.where(same, ahead - length, own)
        own = np.where(merged, np.maximum(own, follows - length), own)
        order = np.where(near, own, np.inf).argsort(-1, kind="stable")[..., :_CONFLICTS]
        reach = np.float32(config.sensing_range)
        found = np.zeros((*alive.shape, _CONFLICTS, 3), np.float32)
        for column, values in enumerate((1 - own / reach, 1 - its / reach, ahead / reach)):
            kept = np.where(near, np.clip(values, -(column == 2), 1), 0)
            found[..., : order.shape[-1], column] = np.take_along_axis(kept, order, -1)
        found *= found[..., :1] > 0  # what is out of sight is not there
        return found.reshape(*alive.shape, -1)

    def outcomes(self) -> dict[str, Array]:
        """Outcomes ``(E,)`` by name, float32, as they stand now."""
        crossed = self._arrival > 0
        count = crossed.sum(1)
        with np.errstate(invalid="ignore"):  # nan where nobody has crossed
            time = self._arrival.sum(1) * self._dt / count
        share = count / crossed.shape[1]
        found = [share == 1, self._hit.any(1), self._strayed.any(1), share, time]
        return dict(zip(self.spec.outcomes, np.stack(found).astype(np.float32), strict=True))

    def solids(self) -> Solids:
        """Nothing stands here but the vehicles, which range sensors meet as discs."""
        radii = np.where(self.alive, np.float32(self._config.width / 2), 0)
        return Solids.of(len(self.alive), radii=radii.astype(np.float32))

    def scene(self, bodies: Bodies, steps: Array) -> Scene:
        """A copy of what a spectator sees: the lanes as lines, the ways' ends as goals."""
        goals = np.zeros((*self.alive.shape, 3), np.float32)
        ends = self._roads.end(self._turn)
        goals[..., :2] = self._roads.point(self._arm, self._turn, ends)
        status = np.where(self.alive, FLYING, np.where(self._arrival > 0, ARRIVED, CRASHED))
        return Scene(
            time=steps * self._dt,
            positions=bodies.position.copy(),
            status=status.astype(np.int8),
            solids=Solids.of(len(self.alive)),
            goals=goals,
            radii=np.full(self._config.vehicles, self._config.length / 2),
            goal_radius=self._config.lane / 2,
            headings=bodies.heading.copy(),
            lines=lanes(self._config),
        )


def make(config: VehicleIntersectionConfig, num_envs: int) -> World:
    """Makes the world."""
    return join(VehicleIntersection(config, num_envs, config.dt), config, num_envs)


def lanes(config: VehicleIntersectionConfig) -> Array:
    """The edges and the middles of the four roads: ``(12, 2, 3)`` float32 segments in m."""
    found = np.zeros((4, 3, 2, 3), np.float32)
    for arm in range(4):
        away = np.array([np.cos(np.pi / 2 * arm), np.sin(np.pi / 2 * arm)]).round()
        left = np.array([-away[1], away[0]])
        for row, side in enumerate((-config.lane, 0, config.lane)):
            found[arm, row, 0, :2] = config.crossing * away + side * left
            found[arm, row, 1, :2] = config.reach * away + side * left
    return found.reshape(12, 2, 3)


def _spec(config: VehicleIntersectionConfig) -> WorldSpec:
    agents, numbers = config.vehicles, config.actions == "continuous"
    return WorldSpec(
        name=config.id,
        agents=tuple(f"vehicle_{i}" for i in range(agents)),
        observation_sizes=(_SEEN,) * agents,
        action_counts=(0 if numbers else len(ACTIONS),) * agents,
        state_size=8 * agents,
        max_steps=config.max_steps,
        outcomes=("success", "collision", "off_road", "crossed", "time_to_goal"),
        arena=config.arena,
        action_sizes=(2 if numbers else 0,) * agents,
        kinds=("vehicle",) * agents,
    )
