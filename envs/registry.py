"""Makes worlds by name, and names them to PettingZoo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from envs.pettingzoo_source import PettingZooConfig
from envs.section import WorldSection
from envs.tasks import (
    cartpole_pair,
    chsh,
    coin_game,
    convoy_escort,
    drone_coverage,
    drone_formation,
    drone_navigation,
    drone_pursuit,
    single_hop_offloading,
    two_step_game,
    vehicle_intersection,
    vehicle_platoon,
)
from envs.tasks.cartpole_pair import CartpolePairConfig
from envs.tasks.chsh import ChshConfig
from envs.tasks.coin_game import CoinGameConfig
from envs.tasks.convoy_escort_layout import ConvoyEscortConfig
from envs.tasks.drone_coverage import DroneCoverageConfig
from envs.tasks.drone_formation import DroneFormationConfig
from envs.tasks.drone_navigation import DroneNavigationConfig
from envs.tasks.drone_pursuit import DronePursuitConfig
from envs.tasks.single_hop_offloading import SingleHopOffloadingConfig
from envs.tasks.two_step_game import TwoStepGameConfig
from envs.tasks.vehicle_intersection_layout import VehicleIntersectionConfig
from envs.tasks.vehicle_platoon_layout import VehiclePlatoonConfig
from envs.world import World
from qmarl.config import nearest


@dataclass(frozen=True)
class Entry:
    """A built-in world.

    Attributes:
        about: What it is about, in one line.
        config: Its section.
        make: Makes so many copies of it from its section.
    """

    about: str
    config: type[WorldSection]
    make: Callable[[Any, int], World]


ENVS: Mapping[str, Entry] = {
    "drone_navigation": Entry(
        "N drones cross an arena to their goals without touching anything",
        DroneNavigationConfig,
        drone_navigation.make,
    ),
    "drone_formation": Entry(
        "N drones take a formation around a moving leader and hold it",
        DroneFormationConfig,
        drone_formation.make,
    ),
    "drone_coverage": Entry(
        "flying base stations serve users on the ground and save energy",
        DroneCoverageConfig,
        drone_coverage.make,
    ),
    "drone_pursuit": Entry(
        "a team of drones catches evaders that flee", DronePursuitConfig, drone_pursuit.make
    ),
    "vehicle_intersection": Entry(
        "vehicles cross where nobody has the right of way",
        VehicleIntersectionConfig,
        vehicle_intersection.make,
    ),
    "vehicle_platoon": Entry(
        "vehicles keep their gaps behind a leader whose speed changes",
        VehiclePlatoonConfig,
        vehicle_platoon.make,
    ),
    "convoy_escort": Entry(
        "drones scout a road for vehicles that cannot see what lies on it",
        ConvoyEscortConfig,
        convoy_escort.make,
    ),
    "single_hop_offloading": Entry(
        "four edge agents keep two clouds busy and never flooded",
        SingleHopOffloadingConfig,
        single_hop_offloading.make,
    ),
    "coin_game": Entry(
        "agents on a grid collect coins of their own colour", CoinGameConfig, coin_game.make
    ),
    "chsh": Entry(
        "two agents who cannot talk answer, with or without entangled pairs",
        ChshConfig,
        chsh.make,
    ),
    "two_step_game": Entry(
        "a first choice between a safe payoff and a shared risk",
        TwoStepGameConfig,
        two_step_game.make,
    ),
    "cartpole_pair": Entry("two cart-poles as two agents", CartpolePairConfig, cartpole_pair.make),
}
"""The built-in worlds by name; PettingZoo knows them as ``qmarl/<name>_v0``."""

_USUAL = "drone_navigation"


def _kind(value: Any) -> str:
    """Tells which section a value belongs to; an unknown word is the nearest world, misspelt."""
    given = value.get("id") if isinstance(value, Mapping) else value
    name = str(given.id if isinstance(given, WorldSection) else given)
    if ":" in name or "/" in name:
        return "pettingzoo"
    return name if name in ENVS else nearest(name, ENVS) or _USUAL


EnvConfig = Annotated[
    Annotated[DroneNavigationConfig, Tag("drone_navigation")]
    | Annotated[DroneFormationConfig, Tag("drone_formation")]
    | Annotated[DroneCoverageConfig, Tag("drone_coverage")]
    | Annotated[DronePursuitConfig, Tag("drone_pursuit")]
    | Annotated[VehicleIntersectionConfig, Tag("vehicle_intersection")]
    | Annotated[VehiclePlatoonConfig, Tag("vehicle_platoon")]
    | Annotated[ConvoyEscortConfig, Tag("convoy_escort")]
    | Annotated[SingleHopOffloadingConfig, Tag("single_hop_offloading")]
    | Annotated[CoinGameConfig, Tag("coin_game")]
    | Annotated[ChshConfig, Tag("chsh")]
    | Annotated[TwoStepGameConfig, Tag("two_step_game")]
    | Annotated[CartpolePairConfig, Tag("cartpole_pair")]
    | Annotated[PettingZooConfig, Tag("pettingzoo")],
    Discriminator(_kind),
]
"""The section ``env``: a built-in world, or any PettingZoo parallel environment."""


def make(config: WorldSection, num_envs: int | None = None) -> World:
    """Makes a world.

    Args:
        config: Which one, and its settings.
        num_envs: Number of copies in place of the section's own.

    Raises:
        ConfigurationError: The environment cannot be made, or cannot be used as it is.
    """
    count = config.num_envs if num_envs is None else num_envs
    if isinstance(config, PettingZooConfig):
        from envs.adapters import PettingZooWorld

        register_all()
        return PettingZooWorld(config, count)
    return ENVS[config.id].make(config, count)


def register_all() -> None:
    """Adds the built-in worlds to PettingZoo's registry, where it has one; again does nothing."""
    import pettingzoo  # type: ignore[import-untyped]

    known: Mapping[str, Any] = getattr(pettingzoo, "parallel_registry", {})
    for name in ENVS if "register" in vars(pettingzoo) else ():
        if f"qmarl/{name}-v0" not in known:
            pettingzoo.register("parallel", f"qmarl/{name}_v0", f"envs.parallel:{name}")
