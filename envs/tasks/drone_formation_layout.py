"""Drone formation's configuration, the formations' shapes, and what an episode begins with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from envs.mobility import MobilitySection
from envs.tasks.drone_common import Height, Metres, Weight
from qmarl.config import Misfits

if TYPE_CHECKING:
    from qmarl.types import Array

SHAPES: Final = ("line", "wedge", "ring")
"""The formations, in order."""


class DroneFormationConfig(MobilitySection):
    """Drones take their slots around a leader point that moves along waypoints, and hold them."""

    LADDER: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "easy": {"formation": "line", "start": "near", "leader_speed": 0.2},
        "medium": {},
        "hard": {"drones": 5, "leader_speed": 0.4, "turn_rate": 0.4, "changes": True},
    }

    id: Literal["drone_formation"] = "drone_formation"
    """Name of the world."""
    drones: Annotated[int, Field(ge=2, le=32)] = 3
    """Drones in the team."""
    formation: Literal["line", "wedge", "ring", "mixed"] = "mixed"
    """Where the slots lie around the leader; mixed: an episode draws its own."""
    changes: bool = False
    """Whether another formation is drawn for the second half of an episode."""
    spacing: Metres = 0.8
    """Distance between neighbouring slots, m."""
    start: Literal["near", "ring"] = "ring"
    """Drones start near their slots, or anywhere on a ring around the leader, so that they may
    have to pass each other."""
    start_jitter: Annotated[float, Field(ge=0, le=100)] = 0.2
    """Greatest deviation of a start along each axis, m; on a ring in height only."""
    waypoints: Annotated[int, Field(ge=2, le=32)] = 4
    """Corners of the leader's closed path."""
    leader_speed: Annotated[float, Field(ge=0, le=100)] = 0.3
    """Speed of the leader, m/s."""
    turn_rate: Annotated[float, Field(ge=0, le=10)] = 0.0
    """How fast the formation turns into the leader's direction, rad/s; 0: it keeps facing +x."""
    max_steps: Annotated[int, Field(ge=1)] = 150
    """Steps after which an episode is over."""
    hold_steps: Annotated[int, Field(ge=1)] = 30
    """Last steps of an episode, over which the error is judged."""
    tolerance: Metres = 0.25
    """Mean distance from the slots below which the formation is held, m."""
    speed: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Commanded speed, m/s."""
    drone_radius: Metres = 0.1
    """Radius of a drone, m."""
    half_width: Metres = 4.0
    """The arena reaches from minus to plus this in x and y, m."""
    floor: Height = 0.5
    """Lowest height of a drone's centre, m."""
    ceiling: Height = 2.5
    """Greatest height of a drone's centre, m."""
    height: Height = 1.5
    """Height of the leader and of all slots, m."""
    sensing_range: Metres = 1.0
    """Gap beyond which other drones are not seen, m."""
    closeness_reward: Weight = 0.1
    """Paid in every step times ``1 / (1 + error / error_scale)``."""
    error_scale: Metres = 0.5
    """Distance from its slot at which a drone earns half of that, m."""
    formation_reward: Weight = 0.1
    """Paid to all in every step in which the team's mean error is below ``tolerance``."""
    proximity_penalty: Weight = 0.1
    """Taken in a step at gap 0, fading linearly to none at ``proximity_range``."""
    proximity_range: Metres = 0.3
    """Gap below which the proximity penalty begins, m."""
    collision_penalty: Weight = 5.0
    """Taken from those that touch each other."""

    @property
    def arena(self) -> Array:
        """``(2, 3)`` float32 lower and upper corner, m."""
        side = self.half_width
        return np.array([[-side, -side, self.floor], [side, side, self.ceiling]], np.float32)

    @property
    def reach(self) -> float:
        """Distance of the outermost slot of any formation from the leader, m."""
        found = [formation_offsets(name, self.drones, self.spacing) for name in SHAPES]
        return max(float(np.hypot(slots[:, 0], slots[:, 1]).max()) for slots in found)

    @property
    def roam(self) -> float:
        """Waypoints lie within minus and plus this in x and y, m."""
        return self.half_width - self.reach - self.start_jitter - self.drone_radius

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        self.check_rollout(self.max_steps)
        problems = [(key, text) for key, text, wrong in self._problems() if wrong]
        if problems:
            raise Misfits(problems)
        return self

    def _problems(self) -> Iterator[tuple[str, str, bool]]:
        room = (self.spacing - 2 * self.drone_radius) / np.sqrt(8)  # the half of it, diagonally
        yield (
            "half_width",
            f"a formation that reaches {self.reach:.2g} m around its leader finds no room",
            self.roam <= 0,
        )
        yield (
            "spacing",
            f"drones of radius {self.drone_radius:g} m would touch in their slots",
            room <= 0,
        )
        yield (
            "start_jitter",
            f"must be below {room:.2g}, or drones may touch as they start",
            0 < room <= self.start_jitter,
        )
        yield (
            "height",
            "heights must keep floor <= height - start_jitter and height + start_jitter <= ceiling",
            not self.floor + self.start_jitter <= self.height <= self.ceiling - self.start_jitter,
        )
        yield "leader_speed", f"must be below speed {self.speed:g}", self.leader_speed >= self.speed
        yield (
            "hold_steps",
            f"must be within max_steps {self.max_steps}",
            (self.hold_steps > self.max_steps),
        )


def formation_offsets(shape: str, drones: int, spacing: float) -> Array:
    """Where the slots of a formation that faces +x lie around its middle.

    Args:
        shape: ``line`` (abreast), ``wedge`` (the first drone leads) or ``ring``.
        drones: Number ``A`` of slots.
        spacing: Distance between neighbours, m.

    Returns:
        ``(A, 3)`` float64 m, level and with mean 0.
    """
    order = np.arange(drones)
    if shape == "line":
        slots = np.stack([0 * order, order, 0 * order], 1) * spacing
    elif shape == "wedge":
        rank, side = (order + 1) // 2, np.where(order % 2, 1, -1)
        slots = np.stack([-rank, side * rank, 0 * order], 1) * spacing / np.sqrt(2)
    else:
        angle = 2 * np.pi * order / drones
        radius = spacing / (2 * np.sin(np.pi / drones))
        slots = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1) * radius
    centred: Array = slots - slots.mean(0)
    return centred


def lay_out(uniform: Array, config: DroneFormationConfig) -> Array:
    """Lays out an episode: who starts where, the leader's path, and the formations.

    Args:
        uniform: ``(k, 3 + 3 drones + 2 waypoints)`` numbers in [0, 1).
        config: Sizes of the arena.

    Returns:
        ``(k, A + W + 1, 3)`` float32: the starts and the waypoints in m, and as a last row the
        indices into :data:`SHAPES` of both halves of the episode.
    """
    agents, corners = config.drones, config.waypoints
    draws, jitter, way = np.split(uniform, np.cumsum([3, 3 * agents]), axis=1)
    path = np.zeros((len(uniform), corners, 3))
    path[..., :2] = config.roam * (2 * way.reshape(-1, corners, 2) - 1)
    path[..., 2] = config.height
    shapes = _shapes(draws[:, 1:], config)
    moved = config.start_jitter * (2 * jitter.reshape(-1, agents, 3) - 1)
    if config.start == "ring":
        around = 2 * np.pi * (draws[:, :1] + np.arange(agents) / agents)
        moved[..., 0] = config.reach * np.cos(around)
        moved[..., 1] = config.reach * np.sin(around)
    else:
        table = np.stack([formation_offsets(name, agents, config.spacing) for name in SHAPES])
        heading = np.zeros(len(uniform)) if not config.turn_rate else _first_heading(path)
        moved += turned(table[shapes[:, 0].astype(int)], heading)
    starts = path[:, :1] + moved
    return np.concatenate([starts, path, shapes[:, None]], 1).astype(np.float32)


def turned(offsets: Array, heading: Array) -> Array:
    """Turns level offsets ``(k, A, 3)`` by headings ``(k,)`` in radians, counter-clockwise."""
    cosine, sine = np.cos(heading)[:, None], np.sin(heading)[:, None]
    x, y = offsets[..., 0], offsets[..., 1]
    return np.stack([cosine * x - sine * y, sine * x + cosine * y, offsets[..., 2]], -1)


def _first_heading(path: Array) -> Array:
    way = path[:, 1] - path[:, 0]
    heading: Array = np.arctan2(way[:, 1], way[:, 0])
    return heading


def _shapes(draws: Array, config: DroneFormationConfig) -> Array:
    """Indices ``(k, 3)`` of the first and the second half's formation; the third is 0."""
    count = len(SHAPES)
    if config.formation == "mixed":
        first = np.floor(draws[:, 0] * count)
    else:
        first = np.full(len(draws), float(SHAPES.index(config.formation)))
    other = np.mod(first + 1 + np.floor(draws[:, 1] * (count - 1)), count)
    return np.stack([first, other if config.changes else first, 0 * first], 1)
