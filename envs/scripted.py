"""Flights without learning, to compare with: straight to the goal, and at random."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from envs.world import View, World, WorldSpec
    from qmarl.types import Array

Policy = Callable[["View"], "Array"]
"""Chooses ``(E, A)`` int64 actions, or ``(E, A, C)`` numbers, from what the agents see."""

_HOVER = 6


def straight(view: View) -> Array:
    """Flies along the axis on which most is missing, blind to everything but the goal.

    Made for ``drone_navigation``: the first three numbers of an observation point to the goal, and
    actions ``2 k`` and ``2 k + 1`` fly up and down along axis ``k``.
    """
    goal = view.observations[..., :3]
    axis = np.abs(goal).argmax(-1)
    component = np.take_along_axis(goal, axis[..., None], -1)[..., 0]
    actions: Array = np.where(component == 0, _HOVER, 2 * axis + (component < 0))
    return actions


def at_random(seed: int, spec: WorldSpec | None = None) -> Policy:
    """Returns a policy that draws every allowed action equally often, in any world.

    Args:
        seed: Seed of the draws.
        spec: What is fixed about the world; needed where actions are continuous.
    """
    generator = np.random.default_rng(seed)
    if spec is not None and spec.continuous:
        return partial(_numbers, generator, max(spec.action_sizes))

    def policy(view: View) -> Array:
        draws = generator.random(view.action_mask.shape)
        chosen: Array = np.where(view.action_mask, draws, -1).argmax(-1)
        return chosen

    return policy


def _numbers(generator: np.random.Generator, numbers: int, view: View) -> Array:
    return generator.uniform(-1, 1, (*view.alive.shape, numbers)).astype(np.float32)


def play(world: World, policy: Policy, seed: int) -> dict[str, Array]:
    """Plays episode 0 of every copy to its end.

    Args:
        world: Reset here.
        policy: Chooses actions.
        seed: Seed of the batch.

    Returns:
        ``(E,)`` arrays by name: ``return`` (mean over agents), ``length`` (steps) and the world's
        outcomes.
    """
    view, count = world.reset(seed), world.num_envs
    running = np.ones(count, bool)
    found = {name: np.zeros(count) for name in ("return", "length", *world.spec.outcomes)}
    while running.any():
        step = world.step(policy(view))
        found["return"] += running * step.rewards.mean(1)
        found["length"] += running
        for name, values in step.outcomes.items():
            found[name] = np.where(running & step.ended, values, found[name])
        running &= ~step.ended
        view = step.view
    return found
