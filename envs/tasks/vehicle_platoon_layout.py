"""Vehicle platoon's configuration, and what an episode begins with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from envs.mobility import MobilitySection
from envs.tasks.vehicle_common import Metres, Positive, Speed, TownBicycleConfig, Weight
from qmarl.config import Misfits

if TYPE_CHECKING:
    from qmarl.types import Array

_Seconds = Annotated[float, Field(gt=0, le=100)]


class VehiclePlatoonConfig(MobilitySection):
    """Vehicles follow a leader whose speed changes, each at a time gap to the one before it."""

    LADDER: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "easy": {"vehicles": 2, "swing": 2.0, "gap_spread": 1.0},
        "medium": {},
        "hard": {"vehicles": 8, "swing": 6.0, "time_gap": 0.6, "broadcast": False},
    }

    id: Literal["vehicle_platoon"] = "vehicle_platoon"
    """Name of the world."""
    backend: Literal["bicycle", "airsim"] = "bicycle"
    """What moves the vehicles."""
    bicycle: TownBicycleConfig = TownBicycleConfig()
    """The vehicles."""
    vehicles: Annotated[int, Field(ge=1, le=32)] = 4
    """Vehicles behind the leader, which nobody drives."""
    max_steps: Annotated[int, Field(ge=1)] = 150
    """Steps after which an episode is over."""
    settle_steps: Annotated[int, Field(ge=0)] = 25
    """First steps, over which the gaps are not judged."""
    standstill: Metres = 3.0
    """Gap that is kept at rest, m."""
    time_gap: _Seconds = 1.0
    """Seconds of the own speed by which the wanted gap is longer."""
    gap_spread: Annotated[float, Field(ge=0, le=100)] = 3.0
    """Gaps at the start differ from the wanted one by up to so much, m."""
    speed: Speed = 15.0
    """Middle of the leader's speeds, m/s; all start with one within a tenth of it."""
    swing: Annotated[float, Field(ge=0, le=50)] = 4.0
    """The leader's speed stays within so much of its first one, m/s."""
    hold_steps: Annotated[int, Field(ge=1)] = 25
    """Steps after which the leader chooses another speed."""
    leader_acceleration: Positive = 2.0
    """By which it takes that on, m/s^2."""
    broadcast: bool = True
    """Whether the leader tells all its speed, and the first behind it its acceleration."""
    limit: Speed = 30.0
    """Speed limit of the vehicles, m/s."""
    gas: Positive = 3.0
    """Greatest acceleration that is asked for, m/s^2."""
    brake: Positive = 6.0
    """Greatest deceleration that is asked for, m/s^2."""
    length: Metres = 4.508
    """Length of a vehicle, m."""
    tolerance: Metres = 1.0
    """Mean deviation from the wanted gap below which an episode is a success, m."""
    gap_reward: Weight = 0.1
    """Paid in every step times ``1 / (1 + deviation / gap_scale)``."""
    gap_scale: Metres = 1.0
    """Deviation from the wanted gap that earns half of that, m."""
    speed_penalty: Weight = 0.01
    """Taken in every step per m/s of difference to the vehicle ahead."""
    jerk_penalty: Weight = 0.005
    """Taken in every step per m/s^2 by which the acceleration changed."""
    energy_penalty: Weight = 0.0005
    """Taken in every step per W/kg of driving power: acceleration, where positive, by speed."""
    collision_penalty: Weight = 5.0
    """Taken from who runs into the vehicle ahead."""

    @property
    def changes(self) -> int:
        """How often the leader chooses a speed in an episode."""
        return -(-self.max_steps // self.hold_steps)

    @property
    def arena(self) -> Array:
        """``(2, 3)`` float32 lower and upper corner, m."""
        wanted = self.standstill + self.time_gap * 1.1 * self.speed + self.gap_spread + self.length
        farthest = (self.max_steps * self.dt + 1) * self.limit
        behind = self.vehicles * wanted + self.length
        return np.array([[-behind, -5, 0], [farthest, 5, 4]], np.float32)

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        self.check_rollout(self.max_steps)
        problems = [(key, text) for key, text, wrong in self._problems() if wrong]
        if problems:
            raise Misfits(problems)
        return self

    def _problems(self) -> Iterator[tuple[str, str, bool]]:
        yield (
            "settle_steps",
            f"must be below max_steps {self.max_steps}",
            self.settle_steps >= self.max_steps,
        )
        wanted = self.standstill + self.time_gap * 0.9 * self.speed
        yield (
            "gap_spread",
            f"must be below the shortest wanted gap {wanted:.3g} m, or vehicles touch at the start",
            self.gap_spread >= wanted,
        )
        slowest, fastest = 0.9 * self.speed - self.swing, 1.1 * self.speed + self.swing
        yield (
            "swing",
            f"the leader would drive {slowest:.3g} to {fastest:.3g} m/s, "
            f"allowed are 0 to below limit {self.limit:g}",
            slowest < 0 or fastest >= self.limit,
        )


def lay_out(uniform: Array, config: VehiclePlatoonConfig) -> Array:
    """Lays out an episode: the first speed, the leader's speeds, and the gaps.

    Args:
        uniform: ``(k, 1 + changes + vehicles)`` numbers in [0, 1).
        config: Says how far they spread.

    Returns:
        ``(k, 1 + changes + vehicles)`` float32: speeds in m/s, then gaps in m.
    """
    first = config.speed * (0.9 + 0.2 * uniform[:, :1])
    spread = 2 * uniform[:, 1:] - 1
    chosen = first + config.swing * spread[:, : config.changes]
    wanted = config.standstill + config.time_gap * first
    gaps = wanted + config.gap_spread * spread[:, config.changes :]
    return np.concatenate([first, chosen, gaps], 1).astype(np.float32)
