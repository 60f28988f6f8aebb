"""From a trajectory to the rectangular batches of a stack of learners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agents.split_critic import Sight
from qmarl.types import Array, Trajectory


@dataclass(frozen=True)
class Experience:
    """A group's share of a trajectory, time first, learners on the axis before the last data axis.

    ``S`` learners each own ``M`` streams (worlds, or worlds times agents) of ``T`` steps.

    Attributes:
        observations: ``(S, T, M, D)``.
        critic_inputs: ``(S, T, M, C)``, as wide as what the critic sees.
        actions: ``(S, T, M)``, or ``(S, T, M, N)`` where they are continuous.
        log_probs: ``(S, T, M)``.
        rewards: ``(S, T, M)``.
        terminated: ``(S, T, M)`` bool.
        truncated: ``(S, T, M)`` bool.
        alive: ``(S, T, M)`` bool.
        action_mask: ``(S, T, M, N)`` bool, choices that were allowed or numbers that an action has;
            ``None`` when all were and have.
        cut_steps: ``(K,)`` steps of the cuts.
        cut_streams: ``(S, K, m)`` streams that each cut concerns (``m`` agents of a world).
        cut_inputs: ``(S, K, m, C)`` critic inputs that follow the cuts.
    """

    observations: Array
    critic_inputs: Array
    actions: Array
    log_probs: Array
    rewards: Array
    terminated: Array
    truncated: Array
    alive: Array
    action_mask: Array | None
    cut_steps: Array
    cut_streams: Array
    cut_inputs: Array


def experience(
    trajectory: Trajectory,
    members: Sequence[int],
    stacks: int,
    sees: Sight,
    shape: tuple[int, int] | None = None,
) -> Experience:
    """Takes a group's agents out of a trajectory and deals them to the learners of its stack.

    Args:
        trajectory: What the whole team lived through.
        members: Indices of the group's agents.
        stacks: Number ``S`` of learners, which divides the number of members.
        sees: What the critic's inputs are: observations (``own``), each with the joint state
            behind it (``state``), or those of all members with the place of the one that asks
            (``team``).
        shape: Numbers that the group's widest agent sees, and its largest number of choices or of
            numbers in an action, where the team's are larger; the rest is padding.
    """
    agents = np.asarray(members)
    inputs, actions = shape or (None, None)
    mask = trajectory.action_mask[:, :, agents, :actions]
    seen, next_seen = (
        trajectory.observations[..., :inputs],
        trajectory.cut_observations[..., :inputs],
    )
    acted = trajectory.actions[..., :actions] if trajectory.continuous else trajectory.actions

    def deal(array: Array) -> Array:
        return _deal(array[:, :, agents], stacks)

    observations = deal(seen)
    judged, cut_inputs = observations, next_seen[:, agents]
    if sees != "own":
        judged = _deal(_judged(seen[:, :, agents], trajectory.state, sees), stacks)
        cut_inputs = _judged(cut_inputs, trajectory.cut_state, sees)
    return Experience(
        observations=observations,
        critic_inputs=judged,
        actions=deal(acted),
        log_probs=deal(trajectory.log_probs),
        rewards=deal(trajectory.rewards),
        terminated=deal(trajectory.terminated),
        truncated=deal(trajectory.truncated),
        alive=deal(trajectory.alive),
        action_mask=None if mask.all() else _deal(mask, stacks),
        cut_steps=trajectory.cut_steps,
        cut_streams=_cut_streams(trajectory.cut_envs, len(agents) // stacks, stacks),
        cut_inputs=_split(cut_inputs, stacks),
    )


def _deal(array: Array, stacks: int) -> Array:
    """``(T, E, A, ...)`` to ``(S, T, E * A / S, ...)``."""
    steps, envs, agents, *rest = array.shape
    grouped = array.reshape(steps, envs, stacks, agents // stacks, *rest)
    streams = envs * (agents // stacks)
    return np.moveaxis(grouped, 2, 0).reshape(stacks, steps, streams, *rest)


def _split(array: Array, stacks: int) -> Array:
    """``(K, A, ...)`` to ``(S, K, A / S, ...)``."""
    cuts, agents, *rest = array.shape
    return np.moveaxis(array.reshape(cuts, stacks, agents // stacks, *rest), 1, 0)


def _cut_streams(envs: Array, per_stack: int, stacks: int) -> Array:
    streams = envs[:, None] * per_stack + np.arange(per_stack)
    return np.broadcast_to(streams, (stacks, *streams.shape))


def _judged(observations: Array, state: Array, sees: Sight) -> Array:
    """Critic inputs ``(..., A, C)`` for observations ``(..., A, D)`` and states ``(..., S)``."""
    *others, agents, width = observations.shape
    if sees == "state":
        shape = (*others, agents, state.shape[-1])
        return np.concatenate([observations, np.broadcast_to(state[..., None, :], shape)], -1)
    together = observations.reshape(*others, 1, agents * width)
    places = np.arange(agents, dtype=observations.dtype)[:, None]
    shapes = ((*others, agents, agents * width), (*others, agents, 1))
    parts = (np.broadcast_to(*pair) for pair in zip((together, places), shapes, strict=True))
    return np.concatenate(list(parts), -1)
