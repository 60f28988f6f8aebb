"""Makes worlds by name, and names them to PettingZoo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from envs.pettingzoo_source import PettingZooConfig
from envs.section import WorldSection
from envs.tasks.drone_layout import DroneNavigationConfig
from envs.world import World

ENVS = {"drone_navigation": "N drones cross an arena to their goals without touching anything"}
"""What each built-in world is about, by name; PettingZoo knows them as ``qmarl/<name>_v0``."""


def _kind(value: Any) -> str:
    """Tells which section a value belongs to; an unknown word is one of ours, misspelt."""
    given = value.get("id") if isinstance(value, Mapping) else value
    name = given.id if isinstance(given, WorldSection) else given
    foreign = isinstance(name, str) and (":" in name or "/" in name)
    return "pettingzoo" if foreign else "drone_navigation"


EnvConfig = Annotated[
    Annotated[DroneNavigationConfig, Tag("drone_navigation")]
    | Annotated[PettingZooConfig, Tag("pettingzoo")],
    Discriminator(_kind),
]
"""The section ``env``: a built-in world, or any PettingZoo parallel environment."""


def make(config: DroneNavigationConfig | PettingZooConfig, num_envs: int | None = None) -> World:
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
    from envs.backends.point import PointBackend
    from envs.batch import BatchWorld
    from envs.tasks.drone_navigation import DroneNavigation

    shape = count, config.drones
    backend = PointBackend(config.point, shape, config.arena)
    return BatchWorld(DroneNavigation(config, count, backend.dt), backend, count)


def register_all() -> None:
    """Adds the built-in worlds to PettingZoo's registry, where it has one; again does nothing."""
    import pettingzoo  # type: ignore[import-untyped]

    known: Mapping[str, Any] = getattr(pettingzoo, "parallel_registry", {})
    for name in ENVS if "register" in vars(pettingzoo) else ():
        if f"qmarl/{name}-v0" not in known:
            pettingzoo.register("parallel", f"qmarl/{name}_v0", f"envs.parallel:{name}")
