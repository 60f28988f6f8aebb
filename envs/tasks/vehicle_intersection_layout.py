"""Vehicle intersection's configuration, and what an episode begins with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from envs.mobility import MobilitySection
from envs.tasks.vehicle_common import Metres, Positive, Speed, TownBicycleConfig, Weight
from envs.tasks.vehicle_crossing import Crossing
from qmarl.config import Misfits

if TYPE_CHECKING:
    from qmarl.types import Array


class VehicleIntersectionConfig(MobilitySection):
    """Vehicles cross where nobody has the right of way, and do not touch."""

    LADDER: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "easy": {"vehicles": 2, "turns": False},
        "medium": {},
        "hard": {"vehicles": 8, "max_steps": 150},
    }

    id: Literal["vehicle_intersection"] = "vehicle_intersection"
    """Name of the world."""
    backend: Literal["bicycle", "airsim"] = "bicycle"
    """What moves the vehicles."""
    bicycle: TownBicycleConfig = TownBicycleConfig()
    """The vehicles."""
    vehicles: Annotated[int, Field(ge=1, le=16)] = 4
    """Vehicles: the first four come on roads of their own, others behind them."""
    turns: bool = True
    """Whether each turns left, right or not at all, as drawn; all drive straight on otherwise."""
    max_steps: Annotated[int, Field(ge=1)] = 100
    """Steps after which an episode is over."""
    crossing: Metres = 10.0
    """Half a side of the square in which the roads cross, m."""
    lane: Metres = 3.5
    """Width of a lane, m."""
    approach: Metres = 16.0
    """Least distance of a start from the square, m."""
    spread: Annotated[float, Field(ge=0, le=1000)] = 10.0
    """A start lies up to so much farther away, m."""
    spacing: Metres = 15.0
    """Least distance between starts on one road, less ``spread`` taken evenly, m."""
    leave: Metres = 12.0
    """Distance behind the square at which a vehicle has crossed, m."""
    speed: Speed = 8.0
    """Speed limit, m/s; vehicles start with half of it up to all of it."""
    gas: Positive = 2.5
    """Greatest acceleration that is asked for, m/s^2."""
    brake: Positive = 5.0
    """Greatest deceleration that is asked for, m/s^2."""
    length: Metres = 4.508
    """Length of a vehicle, m."""
    width: Metres = 1.61
    """Width of a vehicle, m."""
    clearance: Metres = 2.4
    """Distance between the middles of two ways below which they are in conflict, m."""
    sensing_range: Metres = 25.0
    """Distance from a conflict beyond which it is not seen, m."""
    progress_reward: Weight = 0.05
    """Paid per metre along the own way."""
    step_penalty: Weight = 0.02
    """Taken in every step."""
    goal_reward: Weight = 5.0
    """Paid to those that have crossed."""
    collision_penalty: Weight = 5.0
    """Taken from those that touch each other or leave their lane."""

    @property
    def roads(self) -> Crossing:
        """The ways over the crossing."""
        return Crossing(self.crossing, self.lane, self.leave)

    @property
    def reach(self) -> float:
        """Length of the roads from the middle on, m."""
        rows = (self.vehicles - 1) // 4
        farthest = self.approach + rows * (self.spacing + self.spread) + self.spread
        return self.crossing + max(farthest, self.leave) + self.length

    @property
    def arena(self) -> Array:
        """``(2, 3)`` float32 lower and upper corner, m."""
        side = self.reach
        return np.array([[-side, -side, 0], [side, side, 4]], np.float32)

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        self.check_rollout(self.max_steps)
        problems = [(key, text) for key, text, wrong in self._problems() if wrong]
        if problems:
            raise Misfits(problems)
        return self

    def _problems(self) -> Iterator[tuple[str, str, bool]]:
        turning = self.bicycle.wheelbase / np.tan(min(self.bicycle.max_steer, 0.5))
        yield (
            "crossing",
            f"must be at least {turning + self.lane / 2:.3g} m, or nobody can turn right",
            self.turns and self.crossing - self.lane / 2 < turning,
        )
        yield (
            "spacing",
            f"must be above the length {self.length:g} m, or vehicles touch as they start",
            self.spacing <= self.length,
        )
        yield "width", f"must be below the lane's {self.lane:g} m", self.width >= self.lane
        least = (self.speed * self.max_steps - 1) * self.bicycle.dt
        yield (
            "max_steps",
            f"nobody can cross {self.reach + self.crossing:.3g} m in {self.max_steps} steps",
            least < self.reach + self.crossing,
        )


def lay_out(uniform: Array, config: VehicleIntersectionConfig) -> Array:
    """Lays out an episode: who comes from where, goes where, and how fast.

    Args:
        uniform: ``(k, 4 + 3 vehicles)`` numbers in [0, 1).
        config: Sizes and team.

    Returns:
        ``(k, A, 4)`` float32: arm, turn (1 left, 0, -1 right), metres along the way (negative:
        before the crossing), and speed in m/s.
    """
    agents = config.vehicles
    arms = uniform[:, :4].argsort(1)
    turn, jitter, speed = uniform[:, 4:].reshape(-1, 3, agents).swapaxes(0, 1)
    order = np.arange(agents)
    start = config.approach + (order // 4) * (config.spacing + config.spread)
    layout = np.zeros((len(uniform), agents, 4), np.float32)
    layout[..., 0] = arms[:, order % 4]
    layout[..., 1] = np.floor(3 * turn) - 1 if config.turns else 0
    layout[..., 2] = -start - config.spread * jitter
    layout[..., 3] = config.speed * (1 + speed) / 2
    return layout
