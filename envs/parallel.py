"""The PettingZoo view: a world of one copy as a ``ParallelEnv``.

This is the one module of the package that needs PettingZoo to be imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np
from gymnasium.spaces import Box, Discrete
from pettingzoo import ParallelEnv  # type: ignore[import-untyped]
from pydantic import TypeAdapter, ValidationError

from envs.flight import flight_of
from envs.registry import EnvConfig, make
from envs.render import FlightArtist
from envs.tasks.drone_layout import DroneNavigationConfig
from qmarl.errors import ConfigurationError, RunError
from qmarl.seeding import seed_for

if TYPE_CHECKING:
    from envs.world import Scene, Step, View, World
    from qmarl.types import Array

_BOUND = 1.001  # built-in worlds scale what is seen to [-1, 1]; the rest is room for rounding


@final
class ParallelView(ParallelEnv):  # type: ignore[misc]
    """One copy of a built-in world, step by step the same as the batch.

    ``reset(seed)`` starts episode 0 of that seed, ``reset()`` the next episode. The infos of an
    episode's last step hold its outcomes, such as ``success``, ``collision`` and ``time_to_goal``
    (which is missing when no drone arrived).

    Args:
        world: A world with one copy, whose observations and state lie within [-1, 1].
        render_mode: ``rgb_array`` or ``None``.
    """

    def __init__(self, world: World, render_mode: str | None = None) -> None:
        spec = world.spec
        self.metadata = {"name": f"{spec.name}_v0", "render_modes": ["rgb_array"]}
        if render_mode not in (None, "rgb_array"):
            raise ConfigurationError(f"render_mode {render_mode!r} is not 'rgb_array' or None")
        self.render_mode = render_mode
        self.possible_agents = list(spec.agents)
        self.agents: list[str] = []
        sizes = zip(spec.agents, spec.observation_sizes, strict=True)
        self.observation_spaces = {name: _box(size) for name, size in sizes}
        counts = zip(spec.agents, spec.action_counts, strict=True)
        self.action_spaces = {name: Discrete(count) for name, count in counts}
        self.state_space = _box(spec.state_size)
        self._world = world
        self._seed: int | None = None
        self._restarts = 0
        self._next: View | None = None  # the start of the next episode, once this one has ended
        self._state: Array = np.zeros(spec.state_size, np.float32)
        self._scenes: list[Scene] = []

    def observation_space(self, agent: str) -> Box:
        """The space of what ``agent`` sees."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Discrete:
        """The space of what ``agent`` can do."""
        return self.action_spaces[agent]

    def reset(
        self,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,  # noqa: ARG002 - PettingZoo's signature
    ) -> tuple[dict[str, Array], dict[str, dict[str, Any]]]:
        """Starts an episode: the first one of ``seed``, or the next one when there is none."""
        view = self._start(seed)
        self._next = None
        self.agents = list(self.possible_agents)
        self._state = view.state[0]
        self._scenes = [self._world.scene()] if self.render_mode else []
        return self._observed(view, self.agents), {name: {} for name in self.agents}

    def step(
        self, actions: Mapping[str, int]
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Moves the world by one decision.

        Args:
            actions: The choice of every agent in ``agents``.

        Returns:
            Observations, rewards, terminations, truncations and infos of the agents that acted.

        Raises:
            RunError: An agent did not choose, or its choice is out of range.
        """
        acting = list(self.agents)
        step = self._world.step(self._batched(actions))
        if self.render_mode:
            self._scenes.append(self._world.scene(final=True))
        ended = bool(step.ended[0])
        self._next, self._state = (step.view if ended else None), step.final.state[0]
        columns = {name: at for at, name in enumerate(self.possible_agents) if name in acting}
        cut = {name: bool(step.truncated[0, at]) for name, at in columns.items()}
        over = {name: bool(step.terminated[0, at]) for name, at in columns.items()}
        rewards = {name: float(step.rewards[0, at]) for name, at in columns.items()}
        self.agents = [name for name in acting if not (cut[name] or over[name])]
        return self._observed(step.final, acting), rewards, over, cut, _infos(step, acting)

    def state(self) -> Array:
        """The joint state, ``(S,)`` float32."""
        return self._state.copy()

    def render(self) -> Array | None:
        """The picture of the moment, ``(height, width, 3)`` uint8, in ``rgb_array`` mode."""
        if not self._scenes:
            return None
        return FlightArtist(flight_of(self._scenes, self._world)).draw(len(self._scenes) - 1)

    def close(self) -> None:
        """Lets go of the world."""
        self._world.close()

    def _start(self, seed: int | None) -> View:
        if seed is None and self._next is not None:
            return self._next
        if seed is not None:
            self._seed, self._restarts = seed, 0
        elif self._seed is None:
            self._seed = int(np.random.SeedSequence().generate_state(1)[0])
        else:  # broken off in the middle: go on in a stream of its own
            self._restarts += 1
            return self._world.reset(seed_for(self._seed, "restart", self._restarts))
        return self._world.reset(self._seed)

    def _batched(self, actions: Mapping[str, int]) -> Array:
        missing = [name for name in self.agents if name not in actions]
        if missing or not self.agents:
            raise RunError(
                f"{self._world.spec.name}: no action for {', '.join(missing)}"
                if missing
                else f"{self._world.spec.name}: the episode is over; reset() comes before step()"
            )
        chosen = [actions[name] if name in self.agents else 0 for name in self.possible_agents]
        return np.array([chosen])

    def _observed(self, view: View, agents: list[str]) -> dict[str, Array]:
        return {
            name: view.observations[0, at, : self._world.spec.observation_sizes[at]].copy()
            for at, name in enumerate(self.possible_agents)
            if name in agents
        }


def parallel_env(
    config: DroneNavigationConfig | str | Mapping[str, Any] | None = None,
    render_mode: str | None = None,
) -> ParallelView:
    """Makes a built-in world as a PettingZoo ``ParallelEnv``.

    Args:
        config: A section, its settings, or a world's name; drone navigation when left out.
        render_mode: ``rgb_array`` or ``None``.

    Raises:
        ConfigurationError: The settings do not fit, or name a world that is PettingZoo's already.

    >>> env = parallel_env({"drones": 2})
    >>> observations, infos = env.reset(seed=0)
    >>> sorted(observations)
    ['drone_0', 'drone_1']
    """
    section = _section({} if config is None else config)
    if not isinstance(section, DroneNavigationConfig):
        raise ConfigurationError(f"{section.id!r} is a PettingZoo environment already")
    return ParallelView(make(section, num_envs=1), render_mode)


def drone_navigation(
    settings: Mapping[str, Any] | None = None,
    render_mode: str | None = None,
) -> ParallelView:
    """The entry point of ``qmarl/drone_navigation_v0`` in PettingZoo's registry.

    Args:
        settings: Settings of the section ``env``, such as ``{"drones": 4}``.
        render_mode: ``rgb_array`` or ``None``.
    """
    return parallel_env({"id": "drone_navigation", **(settings or {})}, render_mode)


def _section(config: Any) -> Any:
    try:
        return TypeAdapter(EnvConfig).validate_python(config)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        said = first.get("ctx", {}).get("error", first["msg"])
        raise ConfigurationError(f"env {where}: {said}".replace(" :", ":")) from error


def _box(size: int) -> Box:
    return Box(-_BOUND, _BOUND, (size,), np.float32)


def _infos(step: Step, agents: list[str]) -> dict[str, dict[str, Any]]:
    values = {name: float(array[0]) for name, array in step.outcomes.items() if step.ended[0]}
    found = {name: value for name, value in values.items() if np.isfinite(value)}
    return {name: dict(found) for name in agents}
