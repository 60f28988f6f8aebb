"""Flights: one episode of one copy, recorded to be drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qmarl.errors import RunError

if TYPE_CHECKING:
    from envs.bodies import Solids
    from envs.world import Scene, View, World
    from qmarl.types import Array


@dataclass(frozen=True)
class Flight:
    """One episode in metres and seconds: ``T`` moments of ``A`` agents.

    Attributes:
        agents: Names of the agents.
        arena: ``(2, 3)`` lower and upper corner.
        time: ``(T,)`` since the start.
        positions: ``(T, A, 3)``.
        status: ``(T, A)`` int8: ``FLYING``, ``ARRIVED`` or ``CRASHED`` of :mod:`envs.world`.
        goals: ``(A, 3)``.
        solids: What stands still, of one world.
        radii: ``(A,)`` radius of each agent.
        goal_radius: Distance from its goal within which an agent has arrived.
    """

    agents: tuple[str, ...]
    arena: Array
    time: Array
    positions: Array
    status: Array
    goals: Array
    solids: Solids
    radii: Array
    goal_radius: float


def flight_of(scenes: Sequence[Scene], world: World, env: int = 0) -> Flight:
    """Strings together the scenes of one episode.

    Args:
        scenes: One per moment, from the start on.
        world: Where they were seen.
        env: Which copy.

    Raises:
        RunError: The world has no arena to draw, or there are no scenes.
    """
    if not scenes or world.spec.arena is None:
        raise RunError(f"{world.spec.name}: there is no flight to draw")
    last = scenes[-1]
    return Flight(
        agents=world.spec.agents,
        arena=world.spec.arena,
        time=np.array([scene.time[env] for scene in scenes]),
        positions=np.stack([scene.positions[env] for scene in scenes]),
        status=np.stack([scene.status[env] for scene in scenes]),
        goals=last.goals[env],
        solids=last.solids.take(slice(env, env + 1)),
        radii=last.radii,
        goal_radius=last.goal_radius,
    )


def record(
    world: World, policy: Callable[[View], Array], seed: int, first_env: int = 0, env: int = 0
) -> Flight:
    """Plays and records episode 0 of one copy.

    A world's copy ``i`` under ``first_env`` 0 is the same as the only copy of a small world under
    ``first_env`` ``i``: to show one episode of a large evaluation, record it alone.

    Args:
        world: Reset here.
        policy: Chooses ``(E, A)`` actions from what is seen.
        seed: Seed of the batch.
        first_env: Global index of copy 0.
        env: Which copy to watch.

    Raises:
        RunError: The world has nothing to draw.
    """
    view = world.reset(seed, first_env)
    scenes, ended = [world.scene()], False
    while not ended:
        step = world.step(policy(view))
        view, ended = step.view, bool(step.ended[env])
        scenes.append(world.scene(final=True))
    return flight_of(scenes, world, env)
