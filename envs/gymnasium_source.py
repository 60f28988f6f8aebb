"""Gymnasium's single-agent environments as worlds of one agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

from envs.sources import Environment, Told
from qmarl.config import nearest
from qmarl.errors import ConfigurationError

PREFIX = "gymnasium/"
"""What an id of Gymnasium's registry begins with in ``env.id``, as in ``gymnasium/CartPole-v1``."""
AGENT = "agent_0"
"""Name of the one agent."""


@final
class OneAgentSource:
    """A Gymnasium ``Env``; implements :class:`envs.sources.Source`."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._running = False
        self.agents: tuple[str, ...] = (AGENT,)
        self.limit = getattr(env.spec, "max_episode_steps", None)
        self.turns = False
        self.state_space = None

    def observation_space(self, agent: str) -> Any:  # noqa: ARG002 - there is only one
        """The space of what the agent sees."""
        return self._env.observation_space

    def action_space(self, agent: str) -> Any:  # noqa: ARG002 - there is only one
        """The space of what the agent does."""
        return self._env.action_space

    def reset(self, seed: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Starts an episode; returns observations and infos."""
        observation, info = self._env.reset(seed=seed)
        self._running = True
        return {AGENT: observation}, {AGENT: info}

    def step(self, moves: Mapping[str, Any]) -> Told:
        """Moves the world."""
        observation, reward, terminated, truncated, info = self._env.step(moves[AGENT])
        self._running = not (terminated or truncated)
        return Told(
            {AGENT: observation},
            {AGENT: reward},
            {AGENT: terminated},
            {AGENT: truncated},
            {AGENT: info},
        )

    def present(self) -> set[str]:
        """The agent, until its episode ends."""
        return {AGENT} if self._running else set()

    def waiting(self) -> set[str]:
        """Nobody."""
        return set()

    def state(self) -> Any:
        """``None``: what the one agent sees is all there is."""
        return None

    def picture(self) -> Any:
        """What it looks like."""
        return self._env.render()

    def close(self) -> None:
        """Lets go of it."""
        self._env.close()


def from_gymnasium(name: str) -> Callable[..., Environment]:
    """Returns what makes an environment of Gymnasium's registry.

    Args:
        name: Its id after :data:`PREFIX`; ``module:id`` imports a module first.

    Raises:
        ConfigurationError: There is no such id.
    """
    import gymnasium

    own = name.removeprefix(PREFIX)
    try:
        gymnasium.spec(own)
    except Exception as error:
        near = nearest(own, gymnasium.registry)
        hint = f", nearest is '{PREFIX}{near}'" if near else f": {error}"
        raise ConfigurationError(f"env.id {name!r} is not in Gymnasium's registry{hint}") from error
    return lambda **kwargs: gymnasium.make(own, **{"disable_env_checker": True, **kwargs})
