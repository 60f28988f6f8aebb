"""Drone pursuit's configuration, how evaders flee, and what an episode begins with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from envs.mobility import MobilitySection
from envs.tasks.drone_common import Height, Metres, Weight, length, unit
from qmarl.config import Misfits

if TYPE_CHECKING:
    from qmarl.types import Array

_WALL = 0.7  # m: how near to a wall an evader begins to shun it


class DronePursuitConfig(MobilitySection):
    """A team of pursuers catches evaders, which are a part of the world and never learn."""

    LADDER: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "easy": {"evaders": 1, "evader_speed": 0.5},
        "medium": {},
        "hard": {
            "drones": 4,
            "evader_speed": 1.2,
            "captors": 3,
            "half_width": 4.0,
            "start_radius": 3.0,
            "max_steps": 200,
        },
    }

    id: Literal["drone_pursuit"] = "drone_pursuit"
    """Name of the world."""
    drones: Annotated[int, Field(ge=1, le=32)] = 3
    """Pursuers in the team."""
    evaders: Annotated[int, Field(ge=1, le=32)] = 2
    """Those that flee."""
    captors: Annotated[int, Field(ge=1, le=32)] = 1
    """How many pursuers must be near an evader at once to catch it."""
    max_steps: Annotated[int, Field(ge=1)] = 150
    """Steps after which an episode is cut."""
    speed: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Pursuers' commanded speed, m/s."""
    evader_speed: Annotated[float, Field(ge=0, le=10)] = 0.8
    """Evaders' speed as a share of that."""
    alarm_range: Metres = 2.0
    """An evader flees from pursuers within this distance, and else keeps to the middle, m."""
    dodge: Annotated[float, Field(ge=0, le=math.pi / 2)] = 0.8
    """Greatest angle between an evader's way and the straight way from its nearest pursuer,
    radians; each has an angle of its own in every episode."""
    capture_radius: Metres = 0.4
    """An evader is caught by pursuers within this distance, m."""
    drone_radius: Metres = 0.1
    """Radius of a pursuer, m."""
    half_width: Metres = 2.5
    """The arena reaches from minus to plus this in x and y, m."""
    floor: Height = 0.5
    """Lowest height, m."""
    ceiling: Height = 2.5
    """Greatest height, m."""
    start_radius: Metres = 2.0
    """Radius of the ring on which pursuers start, m; evaders start within half of it."""
    sensing_range: Metres = 1.0
    """Gap beyond which other pursuers are not seen, m."""
    progress_reward: Weight = 1.0
    """Reward per metre that the nearest evader comes nearer."""
    capture_reward: Weight = 5.0
    """Paid to every pursuer for each evader that the team catches."""
    step_penalty: Weight = 0.02
    """Taken every step."""
    proximity_penalty: Weight = 0.1
    """Taken in a step at gap 0, fading linearly to none at ``proximity_range``."""
    proximity_range: Metres = 0.3
    """Gap between pursuers below which the proximity penalty begins, m."""
    collision_penalty: Weight = 5.0
    """Taken from pursuers that touch each other, and are lost."""

    @property
    def arena(self) -> Array:
        """``(2, 3)`` float32 lower and upper corner, m."""
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
        chord = 2 * self.start_radius * math.sin(math.pi / max(self.drones, 2))
        yield (
            "drones",
            f"{self.drones} drones of radius {self.drone_radius:g} m do not fit on the ring of "
            f"start_radius {self.start_radius:g} m",
            chord <= 3 * self.drone_radius,
        )
        yield "captors", f"must be at most drones {self.drones}", self.captors > self.drones
        yield (
            "capture_radius",
            "must leave two captors apart: more than drone_radius",
            self.captors > 1 and self.capture_radius <= self.drone_radius,
        )
        yield (
            "capture_radius",
            f"must be below half of start_radius {self.start_radius:g}, or evaders start caught",
            self.capture_radius >= self.start_radius / 2,
        )
        yield "start_radius", "must lie within half_width", self.start_radius > self.half_width
        yield "ceiling", f"must be above floor {self.floor:g}", self.ceiling <= self.floor


def lay_out(uniform: Array, config: DronePursuitConfig) -> Array:
    """Lays out an episode: where pursuers and evaders start, and how evaders dodge.

    Args:
        uniform: ``(k, 1 + drones + 4 evaders)`` numbers in [0, 1).
        config: Sizes of the arena.

    Returns:
        ``(k, A + 2 V, 3)`` float32: the starts of pursuers and evaders in m; then for every evader
        its dodging angle in radians, and twice 0.
    """
    agents, evaders = config.drones, config.evaders
    cuts = np.cumsum([1, agents, evaders, evaders, evaders])
    turn, high, angle, radius, height, dodge = np.split(uniform, cuts, axis=1)
    ring = 2 * np.pi * (turn + np.arange(agents) / agents)
    around = np.concatenate([ring, 2 * np.pi * angle], 1)
    inner = config.start_radius / 2 * np.sqrt(radius)  # the root: evenly over the disc
    away = np.concatenate([np.full(ring.shape, config.start_radius), inner], 1)
    # The middle half of the heights.
    up = (np.concatenate([high, height], 1) + 0.5) / 2
    up = config.floor + (config.ceiling - config.floor) * up
    points = np.stack([away * np.cos(around), away * np.sin(around), up], -1)
    ways = np.stack([config.dodge * (2 * dodge - 1), 0 * dodge, 0 * dodge], -1)
    return np.concatenate([points, ways], 1).astype(np.float32)


def flee(evaders: Array, pursuers: Array, chasing: Array, dodge: Array, arena: Array) -> Array:
    """Where evaders want to go.

    Away from the nearest pursuer, turned aside by the dodging angle, and away from walls that are
    near; without an alarm towards the middle of the arena.

    Args:
        evaders: ``(E, V, 3)`` m.
        pursuers: ``(E, A, 3)`` m.
        chasing: ``(E, A)`` distance in m within which each pursuer alarms; 0 for those that are
            lost.
        dodge: ``(E, V)`` radians.
        arena: ``(2, 3)`` lower and upper corner, m.

    Returns:
        ``(E, V, 3)`` float32 directions of length 1, or shorter near the middle.
    """
    offset = evaders[:, :, None] - pursuers[:, None]
    distance = length(offset)
    felt = np.where(distance < chasing[:, None], distance, np.float32(np.inf))
    which = felt.argmin(-1)
    away = np.take_along_axis(offset, which[..., None, None], 2)[..., 0, :]
    alarmed = np.isfinite(np.take_along_axis(felt, which[..., None], -1))
    cosine, sine = np.cos(dodge), np.sin(dodge)
    x, y = away[..., 0], away[..., 1]
    aside = np.stack([cosine * x - sine * y, sine * x + cosine * y, away[..., 2]], -1)
    low, high = arena
    wall = np.clip(1 - (evaders - low) / _WALL, 0, 1) - np.clip(1 - (high - evaders) / _WALL, 0, 1)
    home = (low + high) / 2 - evaders
    calm = home / np.maximum(length(home), 1)[..., None]
    wanted: Array = np.where(alarmed, unit(unit(aside) + 1.5 * wall), calm)
    return wanted.astype(np.float32, copy=False)
