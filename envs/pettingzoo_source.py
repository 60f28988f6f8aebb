"""Foreign worlds by configuration: which environment, where it is found, and how it is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from envs.section import WorldSection
from envs.sources import Environment, Source, source_of
from envs.spaces import Pictures
from qmarl.config import nearest
from qmarl.errors import ConfigurationError

Side = Annotated[int, Field(ge=1, le=4096)]


class PettingZooConfig(WorldSection):
    """Any PettingZoo environment, or any Gymnasium environment as a world of one agent."""

    id: str
    """``module:factory``, an id of PettingZoo's registry such as ``sisl/pursuit-v5``, or one of
    Gymnasium's such as ``gymnasium/CartPole-v1``."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the factory."""
    max_steps: Annotated[int, Field(ge=1)] | None = None
    """Steps after which an episode is cut; the environment's own limit when left out. Where agents
    take turns, a step is one agent's turn."""
    outcomes: tuple[str, ...] = ()
    """Numbers in the last step's infos that are an episode's outcomes (mean over agents)."""
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    """Processes that step the copies; with 0, and for a single copy, they are stepped here. The
    numbers are the same."""
    resize: tuple[Side, Side] | None = None
    """Height and width to which pictures are averaged, such as ``[8, 8]``."""
    grayscale: bool = False
    """Average the colours of pictures."""

    @model_validator(mode="after")
    def _rollout_holds_episode(self) -> Self:
        self.check_rollout(self.max_steps or 0)
        return self

    @property
    def pictures(self) -> Pictures:
        """What is done to pictures."""
        return Pictures(self.resize, self.grayscale)


def factory(config: PettingZooConfig) -> Callable[[], Source]:
    """Returns what makes one copy.

    Raises:
        ConfigurationError: There is no such module, factory or registry id; or, when called, the
            factory raised or made something else.
    """
    make = environments(config)
    return lambda: source_of(make(), config.id)


def environments(config: PettingZooConfig) -> Callable[[], Environment]:
    """Returns what makes one environment, as its package has it.

    Raises:
        ConfigurationError: As :func:`factory`.
    """
    make = _finder(config.id)(config.id)

    def one() -> Environment:
        try:
            return make(**config.kwargs)
        except Exception as error:
            raise ConfigurationError(
                f"env.id {config.id!r} with kwargs {config.kwargs} raised {said(error)}"
            ) from error

    return one


def longest_episode(config: PettingZooConfig, source: Source) -> int:
    """Returns the steps after which an episode is cut.

    Raises:
        ConfigurationError: Neither the section nor the environment says so, or rollouts are
            shorter than that.
    """
    steps = config.max_steps or source.limit or config.kwargs.get("max_cycles")
    if not isinstance(steps, int):
        raise ConfigurationError(
            f"env.max_steps must be set: {config.id!r} does not say how long an episode lasts"
        )
    try:
        config.check_rollout(steps)
    except ValueError as error:
        raise ConfigurationError(f"env.{error}") from None
    return steps


def said(error: Exception) -> str:
    """Returns an error's kind and words in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _finder(name: str) -> Callable[[str], Callable[..., Environment]]:
    from envs.gymnasium_source import PREFIX, from_gymnasium

    if name.startswith(PREFIX):
        return from_gymnasium
    return _from_module if ":" in name else _from_registry


def _from_module(name: str) -> Callable[..., Environment]:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise ConfigurationError(f"env.id {name!r} cannot be loaded: {said(error)}") from error
    if not callable(found):
        raise ConfigurationError(f"env.id {name!r} is a {type(found).__name__}, not a factory")
    return found  # type: ignore[no-any-return]


def _from_registry(name: str) -> Callable[..., Environment]:
    import pettingzoo  # type: ignore[import-untyped]

    registries = {
        kind: getattr(pettingzoo, f"{kind}_registry", None) for kind in ("parallel", "aec")
    }
    if registries["parallel"] is None:
        raise ConfigurationError(
            f"env.id {name!r}: this PettingZoo has no registry; write 'module:factory'"
        )
    kinds = [kind for kind in registries if _knows(pettingzoo, kind, name)]
    if not kinds:
        near = nearest(name, {**(registries["parallel"] or {}), **(registries["aec"] or {})})
        hint = f", nearest is {near!r}" if near else ""
        raise ConfigurationError(
            f"env.id {name!r} is not in PettingZoo's registry{hint}; or write 'module:factory'"
        )
    return lambda **kwargs: pettingzoo.make(kinds[0], name, **kwargs)


def _knows(pettingzoo: Any, kind: str, name: str) -> bool:
    try:
        pettingzoo.spec(kind, name)
    except Exception:
        return False
    return True
