"""Convoy escort: drones scout a road for vehicles that cannot see what lies on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import numpy as np

from envs.bodies import Bodies, Solids, Start
from envs.mobility import join
from envs.tasks.convoy_escort_layout import ConvoyEscortConfig, lay_out
from envs.tasks.convoy_road import RoadKnowledge
from envs.tasks.convoy_sight import DRONE_SEES, VEHICLE_SEES, drones_see, vehicles_see
from envs.tasks.drone_common import mates, total
from envs.tasks.vehicle_common import STEERING, gaps, pedals, speeds, towards
from envs.world import ARRIVED, CRASHED, FLYING, Scene, View, World, WorldSpec

if TYPE_CHECKING:
    from qmarl.types import Array

__all__ = [
    "DRONE_ACTIONS",
    "VEHICLE_ACTIONS",
    "ConvoyEscort",
    "ConvoyEscortConfig",
    "make",
]

DRONE_ACTIONS: Final = ("+x", "-x", "+y", "-y", "hover")
"""A drone's discrete actions, in order."""
VEHICLE_ACTIONS: Final = ("brake", "roll", "accelerate", "left lane", "right lane")
"""A vehicle's discrete actions, in order; it steers itself to the middle of its lane then."""

_FLY = ((1, 0), (-1, 0), (0, 1), (0, -1), (0, 0))
_PEDALS = (-1.0, 0.0, 1.0, 0.0, 0.0)
_CLIMB = 2.0  # m/s: greatest speed by which a drone comes back to its height
_AHEAD = 8.0  # m from the vehicle to the point of its lane that it steers towards
_ALL = slice(None)


@final
class ConvoyEscort:
    """The task's state in ``E`` worlds and its rules, as array code.

    A convoy drives along a road of two lanes. Here and there a hazard lies in one of them, flat on
    the ground: no vehicle and no range sensor sees it. Drones fly ahead at one height, and whatever
    cell of the road is within ``scan_radius`` below them is known to them, free or not. All tell
    what they know to those within ``radio_range``, one hop per step, over links that carried in the
    step before where there is a radio among the sensors. So drones must be ahead, and stay in
    touch; vehicles must not outrun what they have been told, and change lanes in time.

    Drones come first among the agents. Their discrete actions are :data:`DRONE_ACTIONS`, the
    vehicles' are :data:`VEHICLE_ACTIONS`. Continuous ones are two numbers: for drones velocities
    along x and y over ``drone_speed``, for vehicles the pedal (the brake below 0) and the steering
    angle over :data:`envs.tasks.vehicle_common.STEERING` rad (positive to the left). Observations,
    see :mod:`envs.tasks.convoy_sight`, have 12 numbers within [-1, 1] for either kind.

    Vehicles that touch a hazard or each other, or whose middle leaves the road, are removed, and so
    are drones that touch each other. A vehicle at the end of the road has arrived and is gone. With
    the last vehicle the episode ends for all.

    A vehicle's reward for a step is ``progress_reward`` per metre along the road, minus
    ``step_penalty``, plus ``goal_reward`` on arrival, minus ``collision_penalty`` on contact or off
    the road. A drone's is the mean of the vehicles', plus ``scout_reward`` for every cell that it
    told a convoy in which nobody knew it, ahead of all vehicles, minus ``collision_penalty``.

    The joint state holds for every agent its position over the arena, its level velocity over its
    greatest speed, the lane that a vehicle aims at (0 for drones) and whether it is there; then,
    for each cell and lane, 0 where no vehicle knows it, 1 for free, -1 for a hazard: ``7 A + 2
    cells``.

    Outcomes: ``success`` (all vehicles arrived, and nobody touched anything), ``collision``,
    ``off_road``, ``arrived`` (share of the vehicles), ``told`` (share of the road's cells that a
    vehicle knew in the end), and ``time_to_goal`` (mean seconds of those that arrived, or nan).

    Args:
        config: Sizes, weights and team.
        num_envs: Number ``E`` of worlds.
        dt: Seconds per step, of the backends.

    Attributes:
        spec: What is fixed about the world.
        draws: How many random numbers an episode needs.
        alive: ``(E, A)`` bool, who flies or drives.
    """

    def __init__(self, config: ConvoyEscortConfig, num_envs: int, dt: float) -> None:
        self._config, self._dt = config, dt
        self.spec = _spec(config)
        self.draws = 1 + 2 * config.hazards + 2 * config.drones
        agents, shape = len(self.spec.agents), (num_envs, len(self.spec.agents))
        self._air, self._ground = slice(0, config.drones), slice(config.drones, agents)
        self.alive, self._hit, self._strayed = np.zeros((3, *shape), bool)
        self._arrival: Array = np.zeros((num_envs, config.vehicles), np.float32)  # steps; 0 before
        self._road = RoadKnowledge(shape, config.hazards, config.cells, config.cell, config.lane)
        self._heard: Array | None = None
        self._lane, self._x, self._speed, self._climb = (
            np.zeros((num_envs, count), np.float32)
            for count in (config.vehicles, config.vehicles, config.vehicles, config.drones)
        )
        self._advice: Array = np.zeros((num_envs, config.vehicles, 2), np.float32)
        self._mask: Array = np.ones((*shape, self.spec.action_counts[0]), bool)
        self._mask.flags.writeable = False

    def lay_out(self, uniform: Array) -> Array:
        """Lays out episodes; see :func:`envs.tasks.convoy_escort_layout.lay_out`."""
        return lay_out(uniform, self._config)

    def begin(self, rows: Array, layout: Array) -> Start:
        """Starts an episode in some worlds.

        Args:
            rows: ``(k,)`` positions in the batch.
            layout: ``(k, 1 + hazards + drones, 2)`` from :meth:`lay_out`.

        Returns:
            Where drones and vehicles start, at rest.
        """
        config = self._config
        hazards, drones = np.split(layout[:, 1:], [config.hazards], 1)
        lanes = (hazards[..., 1] > 0).astype(np.int64)
        self._road.begin(rows, hazards[..., 0].astype(np.int64), lanes)
        self.alive[rows], self._arrival[rows] = True, 0
        self._hit[rows], self._strayed[rows] = False, False
        self._lane[rows] = layout[:, :1, 0]
        place = np.zeros((len(rows), len(self.spec.agents), 3), np.float32)
        place[:, self._air, :2], place[:, self._air, 2] = drones, config.height
        place[:, self._ground, 0] = -config.spacing * np.arange(config.vehicles)
        place[:, self._ground, 1] = layout[:, :1, 0] * np.float32(config.lane / 2)
        start = Start.resting(place)
        self._remember(rows, Bodies(place, np.zeros_like(place), start.heading))
        return start

    def _remember(self, rows: Array | slice, bodies: Bodies) -> None:
        """Notes what the controllers of some worlds' own vehicles and drones go by."""
        config, ground, place = self._config, self._ground, bodies.position
        heading = bodies.heading[:, ground]
        self._x[rows] = place[:, ground, 0]
        self._speed[rows] = speeds(bodies.velocity[:, ground], heading)
        back = config.height - place[:, self._air, 2]
        self._climb[rows] = np.clip(back, -_CLIMB, _CLIMB)
        self._advice[rows] = self._steering(place[:, ground], heading)

    def _steering(self, place: Array, heading: Array) -> Array:
        """Steering angles ``(k, V, 2)`` towards the right and the left lane, rad."""
        config = self._config
        target = np.zeros((*heading.shape, 2, 2), np.float32)
        target[..., 0] = place[..., :1] + np.float32(_AHEAD)
        target[..., 1] = np.float32(config.lane) * (np.arange(2) - np.float32(0.5))
        base = config.bicycle.wheelbase
        found = towards(place[..., None, :], heading[..., None], target, base)
        return np.clip(found, -STEERING, STEERING).astype(np.float32)

    def commands(self, actions: Array) -> Array:
        """Turns actions into ``(E, A, 3)``: velocities of drones, accelerations and steering."""
        config, command = self._config, np.zeros((*self.alive.shape, 3), np.float32)
        fly, drive = actions[:, self._air], actions[:, self._ground]
        if self.spec.continuous:
            command[:, self._air, :2] = fly * np.float32(config.drone_speed)
            pedal = drive[..., 0]
            command[:, self._ground, 1] = drive[..., 1] * np.float32(STEERING)
        else:
            table = np.array(_FLY, np.float32) * np.float32(config.drone_speed)
            command[:, self._air, :2] = np.take(table, fly, axis=0)
            pedal = np.take(np.array(_PEDALS, np.float32), drive)
            self._lane = np.where(drive == 3, 1, np.where(drive == 4, -1, self._lane))
            left = self._lane > 0
            command[:, self._ground, 1] = np.where(left, self._advice[..., 1], self._advice[..., 0])
        command[:, self._air, 2] = self._climb
        limits = config.gas, config.brake, config.speed
        command[:, self._ground, 0] = pedals(pedal, self._speed, limits, self._dt)
        return command

    def judge(self, bodies: Bodies, steps: Array) -> tuple[Array, Array]:
        """Scouts and tells, rewards a step, and finds who arrived and who touched something.

        Args:
            bodies: Where the step brought drones and vehicles.
            steps: ``(E,)`` steps of each world's episode, this one included.

        Returns:
            Rewards ``(E, A)`` float32, and ``(E, A)`` bool whose episode ended.
        """
        config, before, ground = self._config, self._x.copy(), self._ground
        self._remember(_ALL, bodies)
        if self.spec.continuous:
            self._lane = np.where(bodies.position[:, ground, 1] > 0, 1, -1).astype(np.float32)
        news = self._scout(bodies)
        hit = self.alive & self._touched(bodies)
        off = np.zeros_like(hit)
        off[:, ground] = np.abs(bodies.position[:, ground, 1]) > np.float32(config.lane)
        off &= self.alive & ~hit
        driving = self.alive[:, ground] & ~hit[:, ground] & ~off[:, ground]
        home = driving & (self._x >= np.float32(config.road))
        rewards = np.zeros(self.alive.shape, np.float32)
        rewards[:, ground] = config.progress_reward * (self._x - before) - config.step_penalty
        rewards[:, ground] += config.goal_reward * home
        rewards -= config.collision_penalty * (hit | off)
        rewards *= self.alive
        shared = total(rewards[:, ground]) / np.float32(config.vehicles)
        rewards[:, self._air] += shared[:, None] + config.scout_reward * news
        rewards *= self.alive
        return rewards, self._end(hit, off, home, steps)

    def _end(self, hit: Array, off: Array, home: Array, steps: Array) -> Array:
        """Takes away whose episode ended, and returns who that is."""
        self._hit |= hit
        self._strayed |= off
        np.copyto(self._arrival, steps[:, None], where=home, casting="same_kind")
        done = hit | off
        done[:, self._ground] |= home
        left = self.alive & ~done
        driving: Array = np.any(left[:, self._ground], 1)
        done |= self.alive & ~driving[:, None]
        self.alive &= ~done
        return done

    def _scout(self, bodies: Bodies) -> Array:
        """Spreads knowledge; returns how much news ``(E, D)`` each drone told the convoy."""
        config, road, air, ground = self._config, self._road, self._air, self._ground
        before = road.told(ground)
        place = bodies.position
        road.scan(place[:, air], self.alive[:, air], config.scan_radius)
        told = road.known[:, air]
        road.tell(place, self.alive, config.radio_range, self._heard)
        front = np.where(self.alive[:, ground], self._x, -np.inf).max(1)
        news = road.told(ground) & ~before
        news &= road.middles[..., 0] > front[:, None, None]
        linked: Array = np.any(road.links[:, air, ground], -1)
        own = told & linked[..., None, None] & news[:, None]
        found: Array = own.sum((2, 3)).astype(np.float32)
        return found

    def _touched(self, bodies: Bodies) -> Array:
        """Who touches a hazard, another vehicle or another drone: ``(E, A)`` bool."""
        config, air, ground = self._config, self._air, self._ground
        found = np.zeros(self.alive.shape, bool)
        place, heading = bodies.position[:, ground], bodies.heading[:, ground]
        sides = config.length, config.width
        apart = gaps(place, heading, sides, self.alive[:, ground]).min(-1)
        offset = self._road.places[:, None] - place[:, :, None, :2]
        cosine, sine = np.cos(heading)[..., None], np.sin(heading)[..., None]
        along = np.abs(offset[..., 0] * cosine + offset[..., 1] * sine) - config.length / 2
        across = np.abs(offset[..., 1] * cosine - offset[..., 0] * sine) - config.width / 2
        x, y = np.maximum(along, 0), np.maximum(across, 0)
        struck = (x * x + y * y < np.float32(config.hazard_radius) ** 2).any(-1)
        found[:, ground] = (apart < 0) | struck
        flying = bodies.position[:, air]
        between, _ = mates(flying, self.alive[:, air], None, 2 * config.drone_radius, 1.0)
        found[:, air] = between < 0
        return found

    def view(self, bodies: Bodies, rows: Array | slice = _ALL) -> View:
        """What the agents of some worlds see of where they perceive the bodies to be."""
        config, alive, place = self._config, self.alive[rows].copy(), bodies.position[rows]
        self._heard = bodies.heard
        heard = None if bodies.heard is None else bodies.heard[rows]
        links = np.ones((*alive.shape, alive.shape[1]), bool) if heard is None else heard
        here = Bodies(place, bodies.velocity[rows], bodies.heading[rows], links)
        ahead = self._road.ahead(place[..., 0], rows)
        heading = bodies.heading[rows, self._ground]
        advice = self._steering(place[:, self._ground], heading) / np.float32(STEERING)
        seen = np.zeros((*alive.shape, max(DRONE_SEES, VEHICLE_SEES)), np.float32)
        seen[:, self._ground, :VEHICLE_SEES] = vehicles_see(
            here, alive, self._lane[rows], advice, ahead, config
        )
        known, told = self._road.known[rows, self._air], self._road.told(self._ground)[rows]
        news = np.any(known & ~told[:, None], (2, 3))
        seen[:, self._air, :DRONE_SEES] = drones_see(here, alive, news, ahead, config)
        np.clip(seen, -1, 1, out=seen)
        seen *= alive[..., None]
        return View(seen, self._state(here, alive, rows), alive, self._mask[rows])

    def _state(self, here: Bodies, alive: Array, rows: Array | slice) -> Array:
        config = self._config
        low, high = config.arena
        each = np.zeros((*alive.shape, 7), np.float32)
        each[..., :3] = 2 * (here.position - low) / (high - low) - 1
        limit = np.full((alive.shape[1], 1), config.speed, np.float32)
        limit[self._air] = config.drone_speed
        each[..., 3:5] = np.clip(here.velocity[..., :2] / limit, -1, 1)
        each[:, self._ground, 5] = self._lane[rows]
        each[..., 6] = alive
        known = self._road.told(self._ground)[rows]
        cells = known * np.where(self._road.hazard[rows], np.float32(-1), np.float32(1))
        parts = [each.reshape(len(alive), -1), cells.reshape(len(alive), -1)]
        return np.concatenate(parts, 1).astype(np.float32, copy=False)

    def outcomes(self) -> dict[str, Array]:
        """Outcomes ``(E,)`` by name, float32, as they stand now."""
        home = self._arrival > 0
        count, hit = home.sum(1), self._hit.any(1)
        with np.errstate(invalid="ignore"):  # nan where no vehicle arrived
            time = self._arrival.sum(1) * self._dt / count
        share = count / home.shape[1]
        told = self._road.told(self._ground).mean((1, 2))
        found = [(share == 1) & ~hit, hit, self._strayed.any(1), share, told, time]
        return dict(zip(self.spec.outcomes, np.stack(found).astype(np.float32), strict=True))

    def solids(self) -> Solids:
        """Hazards lie flat: range sensors meet nothing but the team's own bodies, as discs."""
        radii = np.where(self.alive, _radii(self._config), np.float32(0))
        return Solids.of(len(self.alive), radii=radii.astype(np.float32))

    def scene(self, bodies: Bodies, steps: Array) -> Scene:
        """A copy of what a spectator sees: hazards as flat cylinders, marks where a vehicle knows.

        Goals are the ends of the lanes that vehicles drive in, links who tells whom.
        """
        config, count = self._config, len(self.alive)
        flat = np.zeros((count, config.hazards, 5), np.float32)
        flat[..., :2] = self._road.places
        flat[..., 3:] = config.hazard_radius, 0.05
        exposed = self._road.exposed(self._ground)[..., None]
        marks = np.where(exposed, flat * [1, 1, 0, 0, 0], np.nan)[..., :3].astype(np.float32)
        goals = np.full((*self.alive.shape, 3), np.nan, np.float32)
        goals[:, self._ground, 0], goals[:, self._ground, 2] = config.road, 0
        goals[:, self._ground, 1] = self._lane * config.lane / 2
        status = np.where(self.alive, FLYING, ARRIVED)
        edges = [[[0, y, 0], [config.road, y, 0]] for y in (-config.lane, 0, config.lane)]
        return Scene(
            time=steps * self._dt,
            positions=bodies.position.copy(),
            status=np.where(self._hit | self._strayed, CRASHED, status).astype(np.int8),
            solids=Solids.of(count, cylinders=flat),
            goals=goals,
            radii=_radii(config),
            goal_radius=config.lane / 2,
            headings=bodies.heading.copy(),
            marks=marks,
            links=self._road.links.copy(),
            lines=np.array(edges, np.float32),
        )


def make(config: ConvoyEscortConfig, num_envs: int) -> World:
    """Makes the world."""
    return join(ConvoyEscort(config, num_envs, config.dt), config, num_envs)


def _radii(config: ConvoyEscortConfig) -> Array:
    counts = [config.drones, config.vehicles]
    return np.repeat(np.array([config.drone_radius, config.length / 2], np.float32), counts)


def _spec(config: ConvoyEscortConfig) -> WorldSpec:
    drones, vehicles, numbers = config.drones, config.vehicles, config.actions == "continuous"
    agents = drones + vehicles
    counts = (len(DRONE_ACTIONS),) * drones + (len(VEHICLE_ACTIONS),) * vehicles
    return WorldSpec(
        name=config.id,
        agents=(
            *(f"drone_{i}" for i in range(drones)),
            *(f"vehicle_{i}" for i in range(vehicles)),
        ),
        observation_sizes=(DRONE_SEES,) * drones + (VEHICLE_SEES,) * vehicles,
        action_counts=(0,) * agents if numbers else counts,
        state_size=7 * agents + 2 * config.cells,
        max_steps=config.max_steps,
        outcomes=("success", "collision", "off_road", "arrived", "told", "time_to_goal"),
        arena=config.arena,
        action_sizes=(2 if numbers else 0,) * agents,
        kinds=("drone",) * drones + ("vehicle",) * vehicles,
    )
