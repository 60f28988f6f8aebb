"""Recordings: one episode of one copy, to be drawn; flights of bodies and matches of games."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, final

import numpy as np

from envs.game import GameWorld
from qmarl.errors import RunError

if TYPE_CHECKING:
    from envs.bodies import Solids
    from envs.world import Scene, Step, View, World
    from qmarl.types import Array


@dataclass(frozen=True)
class Flight:
    """One episode in metres and seconds: ``T`` moments of ``A`` agents.

    Attributes:
        world: Name of the world.
        agents: Names of the agents.
        kinds: ``drone`` or ``vehicle`` for each agent.
        arena: ``(2, 3)`` lower and upper corner.
        time: ``(T,)`` since the start.
        positions: ``(T, A, 3)``.
        status: ``(T, A)`` int8: ``FLYING``, ``ARRIVED`` or ``CRASHED`` of :mod:`envs.world`.
        goals: ``(T, A, 3)``; nan where an agent has none.
        solids: What stands still, of one world.
        radii: ``(A,)`` radius of each agent.
        goal_radius: Distance from its goal within which an agent has arrived; 0 without goals.
        headings: ``(T, A)`` radians; None where bodies have no front.
        marks: ``(T, K, 3)`` points of interest; nan where there is none.
        links: ``(T, A, A)`` bool, who hears whom; None where that plays no part.
        lines: ``(L, 2, 3)`` segments on the ground; None without.
        outcome_names: Outcomes that the world tells of, in its order.
        outcomes: What they were when the episode ended; empty while it goes on.
    """

    world: str
    agents: tuple[str, ...]
    kinds: tuple[str, ...]
    arena: Array
    time: Array
    positions: Array
    status: Array
    goals: Array
    solids: Solids
    radii: Array
    goal_radius: float = 0.0
    headings: Array | None = None
    marks: Array | None = None
    links: Array | None = None
    lines: Array | None = None
    outcome_names: tuple[str, ...] = ()
    outcomes: Mapping[str, float] = field(default_factory=dict)

    @property
    def moments(self) -> int:
        """Number ``T`` of moments."""
        return len(self.time)


@dataclass(frozen=True)
class Match:
    """One episode of a game with a board: ``T`` moments.

    Attributes:
        world: Name of the game.
        agents: Names of the agents.
        boards: ``(T, ...)`` what :meth:`envs.game.GameWorld.board` showed.
        outcome_names: Outcomes that the game tells of, in its order.
        outcomes: What the game's outcomes were when the episode ended; empty while it goes on.
    """

    world: str
    agents: tuple[str, ...]
    boards: Array
    outcome_names: tuple[str, ...] = ()
    outcomes: Mapping[str, float] = field(default_factory=dict)

    @property
    def moments(self) -> int:
        """Number ``T`` of moments."""
        return len(self.boards)


Recording = Flight | Match
"""One episode, to be drawn."""


def flight_of(scenes: Sequence[Scene], world: World, env: int = 0) -> Flight:
    """Strings together the scenes of one episode.

    Args:
        scenes: One per moment, from the start on.
        world: Where they were seen.
        env: Which copy.

    Raises:
        RunError: The world has no arena to draw, or there are no scenes.
    """
    spec = world.spec
    if not scenes or spec.arena is None:
        raise RunError(f"{spec.name}: there is no flight to draw")
    last = scenes[-1]
    return Flight(
        world=spec.name,
        agents=spec.agents,
        kinds=spec.kinds or ("drone",) * len(spec.agents),
        arena=spec.arena,
        time=np.array([scene.time[env] for scene in scenes]),
        positions=np.stack([scene.positions[env] for scene in scenes]),
        status=np.stack([scene.status[env] for scene in scenes]),
        goals=np.stack([scene.goals[env] for scene in scenes]),
        solids=last.solids.take(slice(env, env + 1)),
        radii=last.radii,
        goal_radius=last.goal_radius,
        headings=_over_time([scene.headings for scene in scenes], env),
        marks=_over_time([scene.marks for scene in scenes], env),
        links=_over_time([scene.links for scene in scenes], env),
        lines=last.lines,
        outcome_names=spec.outcomes,
    )


def _over_time(parts: Sequence[Array | None], env: int) -> Array | None:
    found = [part[env] for part in parts if part is not None]
    return np.stack(found) if found else None


@final
class Recorder:
    """Watches one copy of a world, one episode after another.

    Args:
        world: Where to look.
        env: Which copy.
    """

    def __init__(self, world: World, env: int = 0) -> None:
        self._world, self._env = world, env
        self._scenes: list[Scene] = []
        self._boards: list[Array] = []
        self._outcomes: dict[str, float] = {}

    def begin(self) -> None:
        """Forgets what was, and sees the start of an episode; the world has been reset.

        Raises:
            RunError: The world has nothing to draw.
        """
        self._scenes, self._boards, self._outcomes = [], [], {}
        self._see(final=False)

    def watch(self, step: Step) -> None:
        """Sees what a step of the world brought."""
        self._see(final=True)
        if step.ended[self._env]:
            values = {name: float(array[self._env]) for name, array in step.outcomes.items()}
            self._outcomes = {name: value for name, value in values.items() if np.isfinite(value)}

    def recording(self) -> Recording:
        """The episode up to now.

        Raises:
            RunError: There is none yet.
        """
        spec = self._world.spec
        if self._boards:
            boards = np.stack(self._boards)
            return Match(spec.name, spec.agents, boards, spec.outcomes, dict(self._outcomes))
        flight = flight_of(self._scenes, self._world, self._env)
        return replace(flight, outcomes=dict(self._outcomes))

    def _see(self, final: bool) -> None:
        world = self._world
        if isinstance(world, GameWorld):
            self._boards.append(world.board(final)[self._env])
        else:
            self._scenes.append(world.scene(final))


def record(
    world: World, policy: Callable[[View], Array], seed: int, first_env: int = 0, env: int = 0
) -> Recording:
    """Plays and records episode 0 of one copy: a flight, or a match where a game has a board.

    A world's copy ``i`` under ``first_env`` 0 is the same as the only copy of a small world under
    ``first_env`` ``i``: to show one episode of a large evaluation, record it alone.

    Args:
        world: Reset here.
        policy: Chooses actions from what is seen.
        seed: Seed of the batch.
        first_env: Global index of copy 0.
        env: Which copy to watch.

    Raises:
        RunError: The world has nothing to draw.
    """
    view, recorder, ended = world.reset(seed, first_env), Recorder(world, env), False
    recorder.begin()
    while not ended:
        step = world.step(policy(view))
        recorder.watch(step)
        view, ended = step.view, bool(step.ended[env])
    return recorder.recording()
