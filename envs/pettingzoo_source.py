"""Where a PettingZoo environment comes from and how its spaces become numbers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from envs.section import WorldSection
from qmarl.config import nearest
from qmarl.errors import ConfigurationError

if TYPE_CHECKING:
    from qmarl.types import Array

Environment = Any
"""A PettingZoo ``ParallelEnv``, whose package is imported only where one is made."""

_FLAT = ("Box", "Discrete", "MultiBinary", "MultiDiscrete")


class PettingZooConfig(WorldSection):
    """Any PettingZoo parallel environment with discrete actions."""

    id: str
    """``module:factory``, or an id of PettingZoo's registry such as ``sisl/pursuit-v5``."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the factory."""
    max_steps: Annotated[int, Field(ge=1)] | None = None
    """Steps after which an episode is cut; the environment's own ``max_cycles`` when left out."""
    outcomes: tuple[str, ...] = ()
    """Numbers in the last step's infos that are an episode's outcomes (mean over agents)."""

    @model_validator(mode="after")
    def _rollout_holds_episode(self) -> Self:
        self.check_rollout(self.max_steps or 0)
        return self


def factory(config: PettingZooConfig) -> Callable[[], Environment]:
    """Returns what makes one copy.

    Raises:
        ConfigurationError: There is no such module, factory or registry id; or, when called, the
            factory raised.
    """
    make = _from_module(config.id) if ":" in config.id else _from_registry(config.id)

    def one() -> Environment:
        try:
            return make(**config.kwargs)
        except Exception as error:
            raise ConfigurationError(
                f"env.id {config.id!r} with kwargs {config.kwargs} raised {_said(error)}"
            ) from error

    return one


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _from_module(name: str) -> Callable[..., Environment]:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise ConfigurationError(f"env.id {name!r} cannot be loaded: {_said(error)}") from error
    if not callable(found):
        raise ConfigurationError(f"env.id {name!r} is a {type(found).__name__}, not a factory")
    return found  # type: ignore[no-any-return]


def _from_registry(name: str) -> Callable[..., Environment]:
    import pettingzoo  # type: ignore[import-untyped]

    registry = getattr(pettingzoo, "parallel_registry", None)
    if registry is None:
        raise ConfigurationError(
            f"env.id {name!r}: this PettingZoo has no registry; write 'module:factory'"
        )
    try:
        pettingzoo.spec("parallel", name)
    except Exception as error:
        near = nearest(name, registry)
        hint = f", nearest is {near!r}" if near else ""
        raise ConfigurationError(
            f"env.id {name!r} is not in PettingZoo's registry{hint}; or write 'module:factory'"
        ) from error
    return lambda **kwargs: pettingzoo.make("parallel", name, **kwargs)


class Sight(NamedTuple):
    """How one agent's spaces are read as numbers.

    Attributes:
        space: The part of the observation space that holds what is seen.
        size: Its length when flattened.
        actions: Number of discrete actions.
        start: The environment's number of action 0.
        masked: Whether observations are pairs of ``observation`` and ``action_mask``.
    """

    space: Any
    size: int
    actions: int
    start: int
    masked: bool

    def numbers(self, observation: Any) -> Array:
        """Returns an observation as ``(size,)`` float32."""
        from gymnasium.spaces import flatten

        seen = observation["observation"] if self.masked else observation
        return np.asarray(flatten(self.space, seen), np.float32).ravel()

    def mask(self, observation: Any, info: Mapping[str, Any]) -> Array:
        """Returns ``(actions,)`` bool, what is allowed; in the observation or in the infos."""
        given = observation["action_mask"] if self.masked else info.get("action_mask")
        if given is None:
            return np.ones(self.actions, bool)
        return np.asarray(given).ravel().astype(bool)


def sight(config: PettingZooConfig, env: Environment, agent: str) -> Sight:
    """Reads an agent's spaces.

    Raises:
        ConfigurationError: Actions are not discrete, or observations have no fixed length.
    """
    seen, acts = env.observation_space(agent), env.action_space(agent)
    if type(acts).__name__ != "Discrete":
        raise ConfigurationError(
            f"env.id {config.id!r}: {agent} acts in {acts}; only Discrete actions are supported"
        )
    masked = type(seen).__name__ == "Dict" and {"observation", "action_mask"} <= set(seen.keys())
    inner = seen["observation"] if masked else seen
    if type(inner).__name__ not in _FLAT:
        raise ConfigurationError(
            f"env.id {config.id!r}: {agent} observes {inner}; supported are {', '.join(_FLAT)}, "
            "also beside an action_mask"
        )
    from gymnasium.spaces import flatdim

    return Sight(inner, flatdim(inner), int(acts.n), int(acts.start), masked)


def longest_episode(config: PettingZooConfig, env: Environment) -> int:
    """Returns the steps after which an episode is cut.

    Raises:
        ConfigurationError: Neither the section nor the environment says so, or rollouts are
            shorter than that.
    """
    own = getattr(env.unwrapped, "max_cycles", None)
    steps = config.max_steps or own or config.kwargs.get("max_cycles")
    if not isinstance(steps, int):
        raise ConfigurationError(
            f"env.max_steps must be set: {config.id!r} does not say how long an episode lasts"
        )
    try:
        config.check_rollout(steps)
    except ValueError as error:
        raise ConfigurationError(f"env.{error}") from None
    return steps


def state_size(env: Environment) -> int:
    """Returns the length of the joint state of a reset environment, 0 when there is none."""
    try:
        return int(np.asarray(env.state()).size)
    except (NotImplementedError, AttributeError):
        return 0
