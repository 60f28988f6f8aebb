"""Convoy escort's configuration, and what an episode begins with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from envs.backends.point import PointConfig
from envs.backends.quad6dof import Quad6DofConfig
from envs.mobility import MobilitySection
from envs.tasks.vehicle_common import Metres, Positive, Speed, TownBicycleConfig, Weight
from qmarl.config import Misfits

if TYPE_CHECKING:
    from qmarl.types import Array

CLEAR: Final = 4
"""First cells of the road, in which there is no hazard."""
APART: Final = 6
"""Least number of cells from one hazard to the next."""


class ScoutPointConfig(PointConfig):
    """Settings of the point-mass backend for drones beside cars."""

    dt: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Seconds per step."""


class ScoutQuad6DofConfig(Quad6DofConfig):
    """Settings of the quadrotor backend for drones beside cars."""

    dt: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Seconds per decision."""
    substeps: Annotated[int, Field(ge=1, le=1000)] = 20
    """Steps of physics and control in a decision."""


class ConvoyEscortConfig(MobilitySection):
    """Drones scout a road for vehicles that cannot see what lies on it."""

    LADDER: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "easy": {"drones": 1, "vehicles": 2, "hazards": 2, "cells": 20, "max_steps": 120},
        "medium": {},
        "hard": {"drones": 2, "vehicles": 4, "hazards": 5, "cells": 40, "radio_range": 18.0},
    }

    id: Literal["convoy_escort"] = "convoy_escort"
    """Name of the world."""
    backend: Literal["point", "quad6dof", "airsim"] = "point"
    """What moves the drones; vehicles are bicycles."""
    point: ScoutPointConfig = ScoutPointConfig()
    """Drones as point masses."""
    quad6dof: ScoutQuad6DofConfig = ScoutQuad6DofConfig()
    """Drones as quadrotors with attitude and rotors."""
    bicycle: TownBicycleConfig = TownBicycleConfig()
    """Vehicles."""
    drones: Annotated[int, Field(ge=1, le=16)] = 2
    """Drones that scout."""
    vehicles: Annotated[int, Field(ge=1, le=16)] = 3
    """Vehicles of the convoy."""
    hazards: Annotated[int, Field(ge=0, le=32)] = 3
    """Hazards on the road, each in one of two lanes."""
    cells: Annotated[int, Field(ge=6, le=200)] = 30
    """Length of the road in cells of a lane; each is known as free or not, or unknown."""
    cell: Metres = 4.0
    """Length of a cell, m."""
    lane: Metres = 3.5
    """Width of each of the two lanes, m."""
    max_steps: Annotated[int, Field(ge=1)] = 180
    """Steps after which an episode is over."""
    spacing: Metres = 12.0
    """Distance between vehicles at the start, m."""
    speed: Speed = 7.0
    """Speed limit of the vehicles, m/s."""
    gas: Positive = 2.5
    """Greatest acceleration that is asked for, m/s^2."""
    brake: Positive = 5.0
    """Greatest deceleration that is asked for, m/s^2."""
    length: Metres = 4.508
    """Length of a vehicle, m."""
    width: Metres = 1.61
    """Width of a vehicle, m."""
    hazard_radius: Metres = 0.8
    """Radius of a hazard, m."""
    drone_speed: Speed = 10.0
    """Commanded speed of a drone along each axis, m/s."""
    drone_radius: Metres = 0.3
    """Radius of a drone, m."""
    height: Metres = 6.0
    """Height at which drones keep themselves, m."""
    scan_radius: Metres = 6.0
    """Cells whose middle is within this of a drone, as the map shows it, are known to it, m."""
    radio_range: Metres = 22.0
    """Distance over which drones and vehicles tell each other what they know, m."""
    look: Metres = 30.0
    """How far ahead an observation shows the road, m."""
    progress_reward: Weight = 0.05
    """Paid to vehicles per metre along the road; drones earn what vehicles earn on average."""
    step_penalty: Weight = 0.02
    """Taken from vehicles in every step."""
    goal_reward: Weight = 5.0
    """Paid to vehicles at the end of the road."""
    collision_penalty: Weight = 5.0
    """Taken from those that touch anything, or leave the road."""
    scout_reward: Weight = 0.05
    """Paid to drones per cell that they tell a convoy in which nobody knew it."""

    @property
    def road(self) -> float:
        """Length of the road, m."""
        return self.cells * self.cell

    @property
    def arena(self) -> Array:
        """``(2, 3)`` float32 lower and upper corner, m."""
        side, behind = 4 * self.lane, self.vehicles * self.spacing + self.length
        top = [self.road + 2 * self.length, side, 2 * self.height]
        return np.array([[-behind, -side, 0], top], np.float32)

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        self.check_rollout(self.max_steps)
        problems = [(key, text) for key, text, wrong in self._problems() if wrong]
        if problems:
            raise Misfits(problems)
        return self

    def _problems(self) -> Iterator[tuple[str, str, bool]]:
        least = CLEAR + APART * self.hazards
        yield (
            "hazards",
            f"{self.hazards} of them need {least} cells of road, got {self.cells}",
            least > self.cells,
        )
        yield (
            "spacing",
            f"must be above the length {self.length:g} m, or vehicles touch as they start",
            self.spacing <= self.length,
        )
        taken = self.width / 2 + self.hazard_radius
        yield (
            "lane",
            f"must be above {taken:.3g} m, or there is no way past a hazard",
            self.lane <= taken,
        )
        yield (
            "bicycle.dt",
            f"must be the drones' {self.dt:g} s per step, got {self.bicycle.dt:g}",
            self.bicycle.dt != self.dt,
        )
        way = self.road + self.vehicles * self.spacing
        yield (
            "max_steps",
            f"nobody can drive {way:.3g} m in {self.max_steps} steps",
            self.max_steps * self.dt * self.speed < way,
        )


def lay_out(uniform: Array, config: ConvoyEscortConfig) -> Array:
    """Lays out an episode: where hazards are, the convoy's lane, and where drones start.

    Hazards are spread over the road evenly with at least :data:`APART` cells from one to the next.

    Args:
        uniform: ``(k, 1 + 2 hazards + 2 drones)`` numbers in [0, 1).
        config: Sizes and team.

    Returns:
        ``(k, 1 + hazards + drones, 2)`` float32: the lane (-1 right, 1 left) of the convoy, and 0;
        each hazard's cell and lane; each drone's x and y in m.
    """
    hazards, drones = config.hazards, config.drones
    lane, where, side, spread = np.split(uniform, np.cumsum([1, hazards, hazards]), 1)
    layout = np.zeros((len(uniform), 1 + hazards + drones, 2), np.float32)
    layout[:, 0, 0] = _lane(lane[:, 0])
    free = config.cells - CLEAR - APART * hazards
    order = np.arange(hazards)
    # Sorted draws of the free cells keep the order and the distance.
    layout[:, 1 : 1 + hazards, 0] = CLEAR + APART * order + np.floor(np.sort(where) * (free + 1))
    layout[:, 1 : 1 + hazards, 1] = _lane(side)
    ahead, aside = spread[:, :drones], spread[:, drones:]
    middle = np.arange(drones) - (drones - 1) / 2
    layout[:, 1 + hazards :, 0] = -config.spacing * ahead
    layout[:, 1 + hazards :, 1] = (middle + 0.5 * (aside - 0.5)) * 4 * config.drone_radius
    return layout


def _lane(uniform: Array) -> Array:
    return np.where(uniform < 0.5, -1.0, 1.0)
