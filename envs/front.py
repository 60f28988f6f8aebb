"""The front door: worlds by id, by settings or by section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from envs.registry import EnvConfig
from envs.registry import make as make_section
from envs.section import WorldSection
from qmarl.errors import ConfigurationError

if TYPE_CHECKING:
    from envs.world import World

Choice = str | Mapping[str, Any] | WorldSection
"""A world's id, the settings of its section, or the section itself."""


def make(env: Choice, num_envs: int | None = None) -> World:
    """Makes a world.

    Args:
        env: An id such as ``drone_navigation``, ``sisl/pursuit-v5``, ``gymnasium/CartPole-v1`` or
            ``module:factory``; the settings of a section ``env``; or the section.
        num_envs: Number of copies in place of the section's own.

    Raises:
        ConfigurationError: The settings do not fit, or the environment cannot be made.

    >>> world = make({"id": "drone_navigation", "drones": 2}, num_envs=3)
    >>> world.reset(seed=0).observations.shape[:2]
    (3, 2)
    """
    return make_section(section(env), num_envs)


def section(env: Choice, settings: Mapping[str, Any] | None = None) -> WorldSection:
    """Returns the section that an id or settings stand for.

    Args:
        env: What :func:`make` takes.
        settings: More settings, which win over those of ``env``.

    Raises:
        ConfigurationError: The settings do not fit; the sentence names the first one.
    """
    try:
        return _validated(_merged(env, settings)) if settings else _validated(env)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["env", *(str(part) for part in first["loc"][1:])])
        said = first.get("ctx", {}).get("error", first["msg"])
        raise ConfigurationError(f"{where}: {said}".replace(" :", ":")) from error


def _merged(env: Choice, settings: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(env, WorldSection):
        env = env.model_dump(exclude_unset=True) | {"id": env.id}
    return {**({"id": env} if isinstance(env, str) else env), **settings}


def _validated(value: Any) -> WorldSection:
    found: WorldSection = TypeAdapter(EnvConfig).validate_python(value)
    return found
