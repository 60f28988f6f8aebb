"""Drone navigation's configuration, and where an episode puts drones, goals and obstacles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from envs.bodies import Solids
from envs.mobility import MobilitySection
from qmarl.config import Misfits

if TYPE_CHECKING:
    from qmarl.types import Array

Metres = Annotated[float, Field(gt=0, le=100)]
Weight = Annotated[float, Field(ge=0, le=1e6)]


class DroneNavigationConfig(MobilitySection):
    """Drones start on a ring and fly to goals opposite to them, between obstacles and each other.

    ``easy`` has one obstacle and wide goals; ``hard`` has five, narrow goals and a gusty wind,
    which moves point masses by the drag that it gives them.
    """

    LADDER: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "easy": {"obstacles": 1, "goal_radius": 0.4},
        "medium": {},
        "hard": {
            "obstacles": 5,
            "goal_radius": 0.2,
            "wind": {"speed": 0.4},
            "point": {"drag": 0.5},
        },
    }

    id: Literal["drone_navigation"] = "drone_navigation"
    """Name of the world, or a PettingZoo world as ``module:factory`` or by its registry id."""
    drones: Annotated[int, Field(ge=1)] = 3
    """Drones in the team."""
    obstacles: Annotated[int, Field(ge=0, le=64)] = 2
    """Obstacles around the middle."""
    obstacle_shape: Literal["sphere", "box", "cylinder", "mixed"] = "sphere"
    """What they are: spheres, or pillars from floor to ceiling, square or round; ``mixed`` has the
    three in turn."""
    obstacle_slots: Annotated[int, Field(ge=0, le=64)] | None = None
    """Obstacles that the joint state has room for; as many as there are when left out. It lets
    sites with different numbers of them learn together."""
    max_steps: Annotated[int, Field(ge=1)] = 100
    """Steps after which an episode is cut."""
    speed: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Commanded speed, m/s."""
    drone_radius: Metres = 0.1
    """Radius of a drone, m."""
    obstacle_radius: Metres = 0.3
    """Radius of an obstacle, and half the side of a square pillar, m."""
    goal_radius: Metres = 0.3
    """A drone has arrived when its centre is closer than this to its goal, m."""
    half_width: Metres = 2.5
    """The arena reaches from minus to plus this in x and y, m."""
    floor: Annotated[float, Field(ge=-100, le=100)] = 0.5
    """Lowest height of a drone's centre, m."""
    ceiling: Annotated[float, Field(ge=-100, le=100)] = 2.5
    """Greatest height of a drone's centre, m."""
    lowest_start: Annotated[float, Field(ge=-100, le=100)] = 1.2
    """Lower end of the heights of starts, goals and obstacles, m."""
    highest_start: Annotated[float, Field(ge=-100, le=100)] = 1.8
    """Upper end of those heights, m."""
    ring_radius: Metres = 2.0
    """Radius of the ring of starts and goals, m."""
    ring_jitter: Annotated[float, Field(ge=0, le=math.pi)] = 0.3
    """Greatest deviation of a start from its even place on the ring, and of a goal from the point
    opposite to its start, radians; less where many drones share the ring."""
    obstacle_spread: Annotated[float, Field(ge=0, le=100)] = 1.1
    """Obstacles stand within this distance of the arena's vertical axis, m."""
    sensing_range: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Gap beyond which drones and obstacles are not seen, m."""
    progress_reward: Weight = 2.0
    """Reward per metre that the goal comes nearer."""
    goal_reward: Weight = 5.0
    """Reward for arriving."""
    step_penalty: Weight = 0.02
    """Taken every step."""
    proximity_penalty: Weight = 0.5
    """Taken in a step at gap 0, fading linearly to none at ``proximity_range``."""
    proximity_range: Metres = 0.5
    """Gap below which the proximity penalty begins, m."""
    collision_penalty: Weight = 10.0
    """Taken for touching anything."""

    @property
    def arena(self) -> Array:
        """``(2, 3)`` float32 lower and upper corner, m."""
        side = self.half_width
        return np.array([[-side, -side, self.floor], [side, side, self.ceiling]], np.float32)

    @property
    def jitter(self) -> float:
        """``ring_jitter``, less where neighbours' starts or goals could touch; negative if none."""
        if self.drones == 1:
            return self.ring_jitter
        return min(self.ring_jitter, (2 * math.pi / self.drones - self._width) / 4)

    @property
    def slots(self) -> int:
        """Obstacles that the joint state has room for."""
        return self.obstacles if self.obstacle_slots is None else self.obstacle_slots

    @property
    def shapes(self) -> tuple[str, ...]:
        """Shape of each obstacle: ``sphere``, ``box`` or ``cylinder``."""
        shape = self.obstacle_shape
        turn = ("sphere", "box", "cylinder") if shape == "mixed" else (shape,)
        return tuple(turn[i % len(turn)] for i in range(self.obstacles))

    @property
    def _width(self) -> float:
        """Angle that a drone needs on the ring: its width and half as much for clearance."""
        return 2 * math.asin(min(1.0, 1.5 * self.drone_radius / self.ring_radius))

    @property
    def _room(self) -> int:
        return max(1, int(2 * math.pi / self._width))

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        self.check_rollout(self.max_steps)
        problems = [(key, text) for key, text, wrong in self._problems() if wrong]
        if problems:
            raise Misfits(problems)
        return self

    def _problems(self) -> Iterator[tuple[str, str, bool]]:
        extent = self.obstacle_radius * (math.sqrt(2) if "box" in self.shapes else 1)
        middle = self.obstacle_spread + extent + self.drone_radius
        heights = self.floor <= self.lowest_start <= self.highest_start <= self.ceiling
        ring = f"ring_radius {self.ring_radius:g} m"
        yield (
            "drones",
            f"{self.drones} drones of radius {self.drone_radius:g} m do not fit on the ring of "
            f"{ring}; at most {self._room} do",
            self.jitter < 0,
        )
        yield (
            "lowest_start",
            "heights must keep floor <= lowest_start <= highest_start <= ceiling",
            not heights or self.floor == self.ceiling,
        )
        yield "ring_radius", "must lie within half_width", self.ring_radius > self.half_width
        yield "goal_radius", f"must be below {ring}", self.goal_radius >= self.ring_radius
        yield (
            "obstacle_spread",
            f"obstacles reach {middle:g} m from the middle, where drones start ({ring})",
            self.obstacles > 0 and middle >= self.ring_radius,
        )
        yield (
            "obstacle_slots",
            f"{self.slots} slots do not hold {self.obstacles} obstacles",
            self.slots < self.obstacles,
        )


def lay_out(uniform: Array, config: DroneNavigationConfig) -> Array:
    """Lays out an episode: who starts where, where to, and what stands in between.

    Args:
        uniform: ``(k, 1 + 4 drones + 3 obstacles)`` numbers in [0, 1).
        config: Sizes of the arena.

    Returns:
        ``(k, 2 A + M, 3)`` float32 m: the starts, the goals, and the obstacles' centres.
    """
    count, spheres = config.drones, config.obstacles
    turn, start, goal, low, high, angle, radius, height = np.split(
        uniform, np.cumsum([1, count, count, count, count, spheres, spheres]), axis=1
    )
    slots = 2 * np.pi * (turn + np.arange(count) / count)
    begin = slots + config.jitter * (2 * start - 1)
    opposite = begin + np.pi + config.jitter * (2 * goal - 1)
    span = config.highest_start - config.lowest_start
    out = config.obstacle_spread * np.sqrt(radius)  # the root makes the disc evenly covered
    around = np.concatenate([begin, opposite, 2 * np.pi * angle], 1)
    away = np.concatenate([np.full((len(uniform), 2 * count), config.ring_radius), out], 1)
    up = config.lowest_start + span * np.concatenate([low, high, height], 1)
    pillars = [2 * count + i for i, shape in enumerate(config.shapes) if shape != "sphere"]
    up[:, pillars] = (config.floor + config.ceiling) / 2
    points = np.stack([away * np.cos(around), away * np.sin(around), up], -1)
    return points.astype(np.float32)


def obstacles(centres: Array, config: DroneNavigationConfig) -> Solids:
    """The obstacles ``(k, M, 3)`` of a layout as solids, shape by shape in their order."""
    size, high = config.obstacle_radius, (config.ceiling - config.floor) / 2
    sizes = {"sphere": (size,), "box": (size, size, high), "cylinder": (size, high)}
    found = []
    for shape, numbers in sizes.items():
        own = centres[:, [i for i, name in enumerate(config.shapes) if name == shape]]
        extents = np.broadcast_to(np.array(numbers, np.float32), (*own.shape[:2], len(numbers)))
        found.append(np.concatenate([own, extents], -1))
    return Solids(*found)
