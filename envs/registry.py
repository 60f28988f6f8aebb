"""Makes worlds by name, and names them to PettingZoo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Tag, field_validator

from envs.pettingzoo_source import PettingZooConfig
from envs.section import WorldSection
from envs.tasks import drone_navigation
from envs.tasks.drone_navigation import DroneNavigationConfig
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
}
"""The built-in worlds by name; PettingZoo knows them as ``qmarl/<name>_v0``."""


class UnknownConfig(WorldSection):
    """Takes what is no world's name, to refuse it in one sentence."""

    model_config = ConfigDict(extra="ignore")

    id: Literal["unknown"]
    """Never valid."""

    @field_validator("id", mode="before")
    @classmethod
    def _refuse(cls, value: object) -> object:
        raise ValueError(
            f"got {value!r}; the nearest world is {nearest(str(value), ENVS)!r}, "
            "and PettingZoo worlds are written 'module:factory'"
        )


def _kind(value: Any) -> str:
    """Tells which section a value belongs to."""
    given = value.get("id") if isinstance(value, Mapping) else value
    name = given.id if isinstance(given, WorldSection) else given
    if name is None or name in ENVS:
        return str(name or "drone_navigation")
    foreign = isinstance(name, str) and (":" in name or "/" in name)
    return "pettingzoo" if foreign else "unknown"


EnvConfig = Annotated[
    Annotated[DroneNavigationConfig, Tag("drone_navigation")]
    | Annotated[PettingZooConfig, Tag("pettingzoo")]
    | Annotated[UnknownConfig, Tag("unknown")],
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
