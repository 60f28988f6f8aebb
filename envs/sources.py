"""One foreign environment as the adapter needs it, whichever of PettingZoo's two shapes it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, final

from qmarl.errors import ConfigurationError, RunError

if TYPE_CHECKING:
    from qmarl.types import Array

Environment = Any
"""A foreign environment, whose package is imported only where one is made."""


class Told(NamedTuple):
    """What a step brought, by agent, as ``ParallelEnv.step`` returns it."""

    observations: Mapping[str, Any]
    rewards: Mapping[str, Any]
    terminations: Mapping[str, Any]
    truncations: Mapping[str, Any]
    infos: Mapping[str, Any]


class Source(Protocol):
    """A foreign environment.

    Attributes:
        agents: All agents that there can ever be, in the order of the agent axis.
        limit: Steps after which it cuts an episode itself, ``None`` when it does not say.
        turns: Whether agents move one at a time.
        state_space: The space of :meth:`state`, where it says so.
    """

    agents: tuple[str, ...]
    limit: int | None
    turns: bool
    state_space: Any

    def observation_space(self, agent: str) -> Any:
        """The space of what an agent sees."""
        ...

    def action_space(self, agent: str) -> Any:
        """The space of what an agent does."""
        ...

    def reset(self, seed: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Starts an episode; returns observations and infos."""
        ...

    def step(self, moves: Mapping[str, Any]) -> Told:
        """Moves the world with the moves of all who are present."""
        ...

    def present(self) -> set[str]:
        """Agents that are in the episode now."""
        ...

    def waiting(self) -> set[str]:
        """Those of them whose next move is of no account, because it is another's turn."""
        ...

    def state(self) -> Any:
        """The joint state, ``None`` when there is none."""
        ...

    def picture(self) -> Any:
        """What it looks like, as its own ``render`` returns it."""
        ...

    def close(self) -> None:
        """Lets go of it."""
        ...


@final
class ParallelSource:
    """A PettingZoo ``ParallelEnv``; implements :class:`Source`."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self.agents = names(env)
        self.limit = cycles(env)
        self.turns = False
        self.state_space = getattr(env, "state_space", None)

    def observation_space(self, agent: str) -> Any:
        """The space of what an agent sees."""
        return self._env.observation_space(agent)

    def action_space(self, agent: str) -> Any:
        """The space of what an agent does."""
        return self._env.action_space(agent)

    def reset(self, seed: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Starts an episode; returns observations and infos."""
        observations, infos = _of_length("reset", self._env.reset(seed=seed), 2)
        return observations, infos

    def step(self, moves: Mapping[str, Any]) -> Told:
        """Moves the world with the moves of all who are present."""
        return Told(*_of_length("step", self._env.step(moves), 5))

    def present(self) -> set[str]:
        """Agents that are in the episode now."""
        return set(self._env.agents)

    def waiting(self) -> set[str]:
        """Nobody: all move at once."""
        return set()

    def state(self) -> Any:
        """The joint state, ``None`` when there is none."""
        return state_of(self._env)

    def picture(self) -> Any:
        """What it looks like."""
        return self._env.render()

    def close(self) -> None:
        """Lets go of it."""
        self._env.close()


@final
class TurnSource:
    """A PettingZoo ``AECEnv`` in which agents take turns; implements :class:`Source`.

    One step is one agent's move. The others are present and wait: they may choose action 0 alone,
    and it is not passed on. They are not left out of the step, so that a reward which another's
    move brings them reaches them in the step in which they get it.
    """

    def __init__(self, env: Environment) -> None:
        self._env = env
        self.agents = names(env)
        own = cycles(env)
        self.limit = own * len(self.agents) if own else None
        self.turns = True
        self.state_space = getattr(env, "state_space", None)

    def observation_space(self, agent: str) -> Any:
        """The space of what an agent sees."""
        return self._env.observation_space(agent)

    def action_space(self, agent: str) -> Any:
        """The space of what an agent does."""
        return self._env.action_space(agent)

    def reset(self, seed: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Starts an episode; returns observations and infos."""
        self._env.reset(seed=seed)
        return self._observed(), dict(self._env.infos)

    def step(self, moves: Mapping[str, Any]) -> Told:
        """Lets the agent whose turn it is make its move."""
        env = self._env
        env.step(moves[env.agent_selection])
        told = Told(
            self._observed(),
            dict(env.rewards),
            dict(env.terminations),
            dict(env.truncations),
            dict(env.infos),
        )
        self._bury()
        return told

    def present(self) -> set[str]:
        """Agents that are in the episode now."""
        return set(self._env.agents)

    def waiting(self) -> set[str]:
        """Everyone but the agent whose turn it is."""
        return self.present() - {self._env.agent_selection}

    def state(self) -> Any:
        """The joint state, ``None`` when there is none."""
        return state_of(self._env)

    def picture(self) -> Any:
        """What it looks like."""
        return self._env.render()

    def close(self) -> None:
        """Lets go of it."""
        self._env.close()

    def _observed(self) -> dict[str, Any]:
        return {agent: self._env.observe(agent) for agent in self._env.agents}

    def _bury(self) -> None:
        """Takes the turns of those who ended, which change nothing."""
        env = self._env
        while env.agents and (
            env.terminations[env.agent_selection] or env.truncations[env.agent_selection]
        ):
            env.step(None)


def source_of(env: Environment, name: str) -> Source:
    """Tells what kind of environment an object is.

    An ``AECEnv`` whose agents may as well move at once (``is_parallelizable`` in its metadata) is
    turned by PettingZoo's own conversion; in any other, agents take turns.

    Args:
        env: The object.
        name: The id that it was made by.

    Raises:
        ConfigurationError: It is neither of PettingZoo's nor of Gymnasium's shapes.
    """
    from gymnasium import Env
    from pettingzoo import AECEnv  # type: ignore[import-untyped]
    from pettingzoo.utils.conversions import aec_to_parallel  # type: ignore[import-untyped]

    if isinstance(env, AECEnv):
        together = env.metadata.get("is_parallelizable", False)
        return ParallelSource(aec_to_parallel(env)) if together else TurnSource(env)
    if isinstance(env, Env):
        from envs.gymnasium_source import OneAgentSource

        return OneAgentSource(env)
    if not getattr(env, "possible_agents", None) or not callable(
        getattr(env, "observation_space", None)
    ):
        raise ConfigurationError(
            f"env.id {name!r} made a {type(env).__name__}, which is no PettingZoo ParallelEnv or "
            "AECEnv with possible_agents, and no Gymnasium Env"
        )
    return ParallelSource(env)


def names(env: Environment) -> tuple[str, ...]:
    """Returns all possible agents, in an order that is the same in every process."""
    agents = env.possible_agents
    return tuple(sorted(agents) if isinstance(agents, set | frozenset) else agents)


def cycles(env: Environment) -> int | None:
    """Returns ``max_cycles`` as an environment has it, or the game inside it."""
    inner = env.unwrapped
    for holder in (inner, getattr(inner, "env", None)):
        found = getattr(holder, "max_cycles", None)
        if isinstance(found, int) and found > 0:
            return found
    return None


def state_of(env: Environment) -> Any:
    """Returns the joint state, ``None`` when there is none."""
    if not callable(getattr(env.unwrapped, "state", None)):
        return None  # some games keep a thing of their own under this name
    try:
        return env.state()
    except (NotImplementedError, AttributeError):
        return None


def _of_length(what: str, found: Any, length: int) -> tuple[Any, ...]:
    """Refuses what does not have PettingZoo's shape."""
    count = len(found) if isinstance(found, tuple | list) else 1
    if count != length:
        raise RunError(f"its {what} returned {count} values, a ParallelEnv returns {length}")
    for part in found:
        if not isinstance(part, Mapping):
            raise RunError(
                f"its {what} returned a {type(part).__name__} among its {length} values, "
                "a ParallelEnv returns dicts by agent"
            )
    return tuple(found)


def picture_of(source: Source, name: str) -> Array:
    """Returns a source's picture, ``(height, width, 3)`` uint8.

    Raises:
        RunError: It shows none.
    """
    import numpy as np

    seen = source.picture()
    if seen is None or np.ndim(seen) != 3:
        raise RunError(f"{name} shows no picture; kwargs.render_mode may have to be rgb_array")
    return np.asarray(seen, np.uint8)[..., :3]
