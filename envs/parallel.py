"""The PettingZoo view: a world of one copy as a ``ParallelEnv``.

This is the one module of the package that needs PettingZoo to be imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, final

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Space
from pettingzoo import ParallelEnv  # type: ignore[import-untyped]

from envs.drawing.board import MatchArtist
from envs.flight import Flight, Match, Recorder, Recording
from envs.front import Choice, make, section
from envs.pettingzoo_source import PettingZooConfig
from envs.registry import ENVS
from envs.render import Artist, FlightArtist, artist, drawable
from envs.window import Window
from qmarl.errors import ConfigurationError, RunError
from qmarl.seeding import seed_for

if TYPE_CHECKING:
    from envs.world import Step, View, World, WorldSpec
    from qmarl.types import Array

_MODES = ("human", "rgb_array")
_FINITE = np.finfo(np.float32).max  # what a world shows is finite, and need not be smaller


@final
class ParallelView(ParallelEnv):  # type: ignore[misc]
    """One copy of a built-in world, step by step the same as the batch.

    ``reset(seed)`` starts episode 0 of that seed, ``reset()`` the next episode. The infos of an
    episode's last step hold its outcomes, such as ``success``, ``collision`` and ``time_to_goal``
    (which is missing when no drone arrived). Observations are vectors; in a world that forbids
    actions they are ``{"observation": vector, "action_mask": mask}``. Continuous actions are
    numbers within [-1, 1].

    Args:
        world: A world with one copy.
        render_mode: ``human``, ``rgb_array`` or ``None``.

    Raises:
        ConfigurationError: There is no such render mode, or nothing to see in this world.
    """

    def __init__(self, world: World, render_mode: str | None = None) -> None:
        spec = world.spec
        modes = list(_MODES) if drawable(spec) else []
        if render_mode is not None and render_mode not in modes:
            raise ConfigurationError(
                f"render_mode {render_mode!r} of {spec.name}: "
                f"must be one of {', '.join(modes)} or None"
                if modes
                else f"render_mode {render_mode!r} of {spec.name}: there is nothing to draw"
            )
        self.metadata = {"name": f"{spec.name}_v0", "render_modes": modes}
        self.render_mode = render_mode
        self.possible_agents = list(spec.agents)
        self.agents: list[str] = []
        self._masked = spec.masked
        self.observation_spaces = _seen(spec, self._masked)
        self.action_spaces = _done(spec)
        self.state_space = _box(spec.state_size)
        self._world = world
        self._seed: int | None = None
        self._restarts = 0
        self._next: View | None = None  # the start of the next episode, once this one has ended
        self._state: Array = np.zeros(spec.state_size, np.float32)
        self._recorder = Recorder(world) if render_mode else None
        self._artist: Artist | None = None
        self._window = Window(spec.name) if render_mode == "human" else None

    def observation_space(self, agent: str) -> Space[Any]:
        """The space of what ``agent`` sees."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Space[Any]:
        """The space of what ``agent`` can do."""
        return self.action_spaces[agent]

    def reset(
        self,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,  # noqa: ARG002 - PettingZoo's signature
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Starts an episode: the first one of ``seed``, or the next one when there is none."""
        view = self._start(seed)
        self._next = None
        self.agents = self._present(view)
        self._state = view.state[0]
        if self._recorder is not None:
            self._artist = None
            self._recorder.begin()
            self._show()
        return self._observed(view, self.agents), {name: {} for name in self.agents}

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Moves the world by one decision.

        Args:
            actions: The choice of every agent in ``agents``, and of nobody else.

        Returns:
            Observations, rewards, terminations, truncations and infos of the agents that acted,
            and of those who have come.

        Raises:
            RunError: An agent did not choose, is not there, or its choice is not allowed.
        """
        acting = list(self.agents)
        step = self._world.step(self._batched(actions))
        ended = bool(step.ended[0])
        self._next, self._state = (step.view if ended else None), step.final.state[0]
        if self._recorder is not None:
            self._recorder.watch(step)
            self._show()
        there = set(acting) | set(self._present(step.final))
        columns = {name: at for at, name in enumerate(self.possible_agents) if name in there}
        cut = {name: bool(step.truncated[0, at]) for name, at in columns.items()}
        over = {name: bool(step.terminated[0, at]) for name, at in columns.items()}
        rewards = {name: float(step.rewards[0, at]) for name, at in columns.items()}
        self.agents = [name for name in columns if not (cut[name] or over[name])]
        return self._observed(step.final, list(columns)), rewards, over, cut, _infos(step, columns)

    def state(self) -> Array:
        """The joint state, ``(S,)`` float32."""
        return self._state.copy()

    def render(self) -> Array | None:
        """The picture of the moment, ``(height, width, 3)`` uint8, in ``rgb_array`` mode.

        In ``human`` mode the window shows every moment by itself.
        """
        return self._picture() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Lets go of the world and the window."""
        self._world.close()
        if self._window is not None:
            self._window.close()

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

    def _present(self, view: View) -> list[str]:
        alive = view.alive[0].tolist()
        return [name for name, there in zip(self.possible_agents, alive, strict=True) if there]

    def _batched(self, actions: Mapping[str, Any]) -> Array:
        spec = self._world.spec
        if not self.agents:
            raise RunError(f"{spec.name}: the episode is over; reset() comes before step()")
        missing = [name for name in self.agents if name not in actions]
        if missing:
            raise RunError(f"{spec.name}: no action for {', '.join(missing)}")
        strange = [str(name) for name in actions if name not in self.agents]
        if strange:
            raise RunError(
                f"{spec.name}: an action for {', '.join(strange)}; "
                f"in the episode now are {', '.join(self.agents)}"
            )
        return _batch(actions, spec)

    def _observed(self, view: View, agents: list[str]) -> dict[str, Any]:
        spec, found = self._world.spec, {}
        for at, name in enumerate(self.possible_agents):
            if name not in agents:
                continue
            seen = view.observations[0, at, : spec.observation_sizes[at]].copy()
            mask = view.action_mask[0, at, : spec.action_counts[at]].astype(np.int8)
            found[name] = {"observation": seen, "action_mask": mask} if self._masked else seen
        return found

    def _show(self) -> None:
        if self._window is not None:
            self._window.show(self._picture())

    def _picture(self) -> Array:
        """What it looks like now; what stands still is drawn once an episode."""
        assert self._recorder is not None
        recording = self._recorder.recording()
        self._artist = _following(self._artist, recording)
        return self._artist.draw(recording.moments - 1)


def parallel_env(
    config: Choice | None = None,
    settings: Mapping[str, Any] | None = None,
    render_mode: str | None = None,
    max_cycles: int | None = None,
) -> ParallelView:
    """Makes a built-in world as a PettingZoo ``ParallelEnv``.

    This is the entry point of every ``qmarl/<name>_v0`` in PettingZoo's registry, as
    ``pettingzoo.make("parallel", "qmarl/drone_navigation_v0", settings={"drones": 2})``.

    Args:
        config: A world's name, its settings, or its section; drone navigation when left out.
        settings: More settings, such as ``{"drones": 4}``.
        render_mode: ``human``, ``rgb_array`` or ``None``.
        max_cycles: PettingZoo's word for the setting ``max_steps``.

    Raises:
        ConfigurationError: The settings do not fit, or name a world that is PettingZoo's already.

    >>> env = parallel_env({"drones": 2})
    >>> observations, infos = env.reset(seed=0)
    >>> sorted(observations)
    ['drone_0', 'drone_1']
    """
    length = {} if max_cycles is None else {"max_steps": max_cycles}
    found = section({} if config is None else config, {**(settings or {}), **length})
    if isinstance(found, PettingZooConfig):
        raise ConfigurationError(f"{found.id!r} is a PettingZoo environment already")
    return ParallelView(make(found, num_envs=1), render_mode)


def _following(hand: Artist | None, recording: Recording) -> Artist:
    """Who drew the episode so far goes on with it."""
    if isinstance(hand, FlightArtist) and isinstance(recording, Flight):
        hand.follow(recording)
        return hand
    if isinstance(hand, MatchArtist) and isinstance(recording, Match):
        hand.follow(recording)
        return hand
    return artist(recording)


def __getattr__(name: str) -> Any:
    """``envs.parallel:<name>`` makes the world of that name: PettingZoo's registry asks so."""
    if name in ENVS:
        return partial(parallel_env, name)
    raise AttributeError(f"module 'envs.parallel' has no attribute {name!r}")


def _seen(spec: WorldSpec, masked: bool) -> dict[str, Space[Any]]:
    spaces: dict[str, Space[Any]] = {}
    for at, name in enumerate(spec.agents):
        space: Space[Any] = _box(spec.observation_sizes[at])
        if masked:
            mask = MultiBinary(spec.action_counts[at])
            space = Dict({"observation": space, "action_mask": mask})
        spaces[name] = space
    return spaces


def _done(spec: WorldSpec) -> dict[str, Space[Any]]:
    if spec.continuous:
        sizes = zip(spec.agents, spec.action_sizes, strict=True)
        return {name: Box(-1, 1, (size,), np.float32) for name, size in sizes}
    counts = zip(spec.agents, spec.action_counts, strict=True)
    return {name: Discrete(count) for name, count in counts}


def _box(size: int) -> Box:
    return Box(-_FINITE, _FINITE, (size,), np.float32)


def _batch(actions: Mapping[str, Any], spec: WorldSpec) -> Array:
    """Checks the form of every action and sets them side by side; the world checks the values."""
    count, width = len(spec.agents), max(spec.action_sizes, default=0)
    batch: Array = np.zeros((1, count, width), np.float32)
    if not spec.continuous:
        batch = np.zeros((1, count), np.int64)
    for name, value in actions.items():
        at, array = spec.agents.index(name), np.asarray(value)
        if not spec.continuous:
            if array.shape or array.dtype.kind not in "iu":
                raise RunError(f"{spec.name}: {name} chose {value!r}, which is not a whole number")
            batch[0, at] = array
            continue
        size = spec.action_sizes[at]
        if array.shape != (size,) or array.dtype.kind not in "fiu":
            raise RunError(f"{spec.name}: {name} chose {value!r}, which is not {size} numbers")
        batch[0, at, :size] = array
    return batch


def _infos(step: Step, agents: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    values = {name: float(array[0]) for name, array in step.outcomes.items() if step.ended[0]}
    found = {name: value for name, value in values.items() if np.isfinite(value)}
    return {name: dict(found) for name in agents}
