"""Drone coverage's configuration, and where an episode puts stations, users and their demand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from envs.backends.point import PointConfig
from envs.backends.quad6dof import Quad6DofConfig
from envs.mobility import MobilitySection
from envs.tasks.drone_common import Weight
from envs.tasks.drone_radio import RadioConfig
from qmarl.config import Misfits

if TYPE_CHECKING:
    from qmarl.types import Array

Distance = Annotated[float, Field(gt=0, le=10_000)]
Share = Annotated[float, Field(gt=0, le=1)]


class CruisePointConfig(PointConfig):
    """Settings of the point-mass backend for flights of minutes over hundreds of metres."""

    dt: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Seconds per step."""
    response: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of the gap to the commanded velocity that is closed in one step."""


class CruiseQuadConfig(Quad6DofConfig):
    """Settings of the quadrotor backend for the same flights."""

    dt: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Seconds per decision."""
    substeps: Annotated[int, Field(ge=1, le=1000)] = 100
    """Physics steps in a decision."""


class DroneCoverageConfig(MobilitySection):
    """Flying base stations serve users on the ground and save energy."""

    LADDER: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "easy": {"drones": 2, "users": 8, "clusters": 2, "user_speed": 0.0, "half_width": 450.0},
        "medium": {},
        "hard": {
            "drones": 4,
            "users": 20,
            "clusters": 5,
            "user_speed": 3.0,
            "half_width": 600.0,
            "least_charge": 0.6,
        },
    }

    id: Literal["drone_coverage"] = "drone_coverage"
    """Name of the world."""
    point: CruisePointConfig = CruisePointConfig()
    """Drones as point masses."""
    quad6dof: CruiseQuadConfig = CruiseQuadConfig()
    """Drones as quadrotors with attitude and rotors."""
    radio: RadioConfig = RadioConfig()
    """Transmitters and receivers."""
    drones: Annotated[int, Field(ge=1, le=32)] = 3
    """Base stations in the team."""
    users: Annotated[int, Field(ge=1, le=256)] = 12
    """Users on the ground."""
    clusters: Annotated[int, Field(ge=1, le=64)] = 3
    """Groups that the users stand and move in."""
    user_speed: Annotated[float, Field(ge=0, le=50)] = 1.5
    """Speed of a group, m/s; it turns round at the arena's edge."""
    cluster_radius: Distance = 60.0
    """Users stand within this distance of their group's middle, m."""
    least_demand: Distance = 6.0
    """Lower end of the users' demanded rates, Mbit/s."""
    most_demand: Distance = 12.0
    """Upper end of those rates, Mbit/s."""
    steepness: Annotated[float, Field(gt=0, le=100)] = 8.0
    """How sharply a rate's worth rises around the demanded one."""
    max_steps: Annotated[int, Field(ge=1)] = 100
    """Steps after which an episode is over."""
    served_threshold: Share = 0.8
    """Share of users, averaged over the episode, that must get what they demand for success."""
    speed: Annotated[float, Field(gt=0, le=100)] = 15.0
    """Commanded level speed, m/s."""
    climb_speed: Annotated[float, Field(gt=0, le=100)] = 3.0
    """Commanded vertical speed, m/s."""
    drone_radius: Distance = 3.0
    """Radius of the space that a drone needs for itself, m."""
    half_width: Distance = 500.0
    """The arena reaches from minus to plus this in x and y, m."""
    floor: Distance = 60.0
    """Lowest height of a drone, m."""
    ceiling: Distance = 140.0
    """Greatest height of a drone, m."""
    start_radius: Distance = 40.0
    """Radius of the ring around the middle on which drones start, m."""
    battery: Distance = 24.0
    """What a full battery holds, kJ; hovering takes 0.168 kJ a second. Less than a real one, since
    an episode is only a part of a flight."""
    least_charge: Share = 1.0
    """Lower end of the batteries' charge at the start, as a share of a full one."""
    sensing_range: Distance = 300.0
    """Gap beyond which other drones are not seen, m."""
    qos_reward: Weight = 0.3
    """Paid to all in every step times the mean utility of the users' rates."""
    energy_penalty: Weight = 0.05
    """Taken in every step times the power over the one in hover."""
    overlap_penalty: Weight = 0.05
    """Taken in a step at gap 0, fading linearly to none at ``overlap_range``."""
    overlap_range: Distance = 100.0
    """Gap between drones below which they cover the same ground, m."""
    collision_penalty: Weight = 10.0
    """Taken from those that come too near to each other, and are lost."""

    @property
    def arena(self) -> Array:
        """``(2, 3)`` float32 lower and upper corner of where drones may fly, m."""
        side = self.half_width
        return np.array([[-side, -side, self.floor], [side, side, self.ceiling]], np.float32)

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        self.check_rollout(self.max_steps)
        problems = [(key, text) for key, text, wrong in self._problems() if wrong]
        if problems:
            raise Misfits(problems)
        return self

    def _problems(self) -> Iterator[tuple[str, str, bool]]:
        apart = 2 * self.start_radius * math.sin(math.pi / max(self.drones, 2))
        yield (
            "start_radius",
            f"must leave {self.drones} drones of radius {self.drone_radius:g} m apart on their "
            "ring, and lie within half_width",
            apart <= 2 * self.drone_radius or self.start_radius > self.half_width,
        )
        yield "ceiling", f"must be above floor {self.floor:g}", self.ceiling <= self.floor
        yield (
            "cluster_radius",
            f"must be below half_width {self.half_width:g}",
            self.cluster_radius >= self.half_width,
        )
        yield (
            "most_demand",
            f"must be at least least_demand {self.least_demand:g}",
            self.most_demand < self.least_demand,
        )


def draws(config: DroneCoverageConfig) -> int:
    """How many random numbers an episode needs."""
    return 1 + config.drones + 3 * config.clusters + 3 * config.users


def lay_out(uniform: Array, config: DroneCoverageConfig) -> Array:
    """Lays out an episode: where the stations start, and the users.

    Args:
        uniform: ``(k, draws(config))`` numbers in [0, 1).
        config: Sizes of the arena.

    Returns:
        ``(k, 4 A + 5 N)`` float32: for every drone its place in m and its charge in kJ, then for
        every user its place in m, its velocity in m/s (x and y each) and its demand in Mbit/s.
    """
    agents, groups, users = config.drones, config.clusters, config.users
    cuts = np.cumsum([1, agents, 2 * groups, groups, 2 * users])
    turn, charge, middle, course, around, demand = np.split(uniform, cuts, axis=1)
    angle = 2 * np.pi * (turn + np.arange(agents) / agents)
    height = np.full(angle.shape, (config.floor + config.ceiling) / 2)
    full = config.battery * (config.least_charge + (1 - config.least_charge) * charge)
    ring = config.start_radius
    stations = np.stack([ring * np.cos(angle), ring * np.sin(angle), height, full], -1)
    member = np.arange(users) % groups
    room = config.half_width - config.cluster_radius
    centre = room * (2 * middle.reshape(-1, groups, 2) - 1)
    heading = 2 * np.pi * course[:, member]
    away = config.cluster_radius * np.sqrt(around[:, :users])  # the root: evenly over the disc
    bearing = 2 * np.pi * around[:, users:]
    span = config.most_demand - config.least_demand
    columns = (
        centre[:, member, 0] + away * np.cos(bearing),
        centre[:, member, 1] + away * np.sin(bearing),
        config.user_speed * np.cos(heading),
        config.user_speed * np.sin(heading),
        config.least_demand + span * demand,
    )
    ground = np.stack(columns, -1)
    count = len(uniform)
    parts = [stations.reshape(count, -1), ground.reshape(count, -1)]
    return np.concatenate(parts, 1).astype(np.float32)


def users_at(users: Array, time: Array, half_width: float) -> Array:
    """Where users are, who walk on straight lines and turn round at the edge.

    Args:
        users: ``(k, N, 5)``: first place and velocity in x and y, and demand.
        time: ``(k,)`` seconds since the start.
        half_width: Where the edge is, m.

    Returns:
        ``(k, N, 2)`` float32 m.
    """
    side = np.float32(half_width)
    path = users[..., :2] + users[..., 2:4] * time[:, None, None].astype(np.float32)
    folded: Array = np.abs(np.mod(path + 3 * side, 4 * side) - 2 * side) - side
    return folded
