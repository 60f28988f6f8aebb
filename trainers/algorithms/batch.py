"""From a trajectory to the rectangular batches of a stack of learners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qmarl.types import Array, Trajectory


@dataclass(frozen=True)
class Experience:
    """A group's share of a trajectory, time first, learners on the axis before the last data axis.

    ``S`` learners each own ``M`` streams (worlds, or worlds times agents) of ``T`` steps.

    Attributes:
        observations: ``(S, T, M, D)``.
        critic_inputs: ``(S, T, M, D or D + state)``.
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
        cut_inputs: ``(S, K, m, D or D + state)`` critic inputs that follow the cuts.
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
    sees_state: bool,
    shape: tuple[int, int] | None = None,
) -> Experience:
    """Takes a group's agents out of a trajectory and deals them to the learners of its stack.

    Args:
        trajectory: What the whole team lived through.
        members: Indices of the group's agents.
        stacks: Number ``S`` of learners, which divides the number of members.
        sees_state: Whether the critic's inputs include the joint state.
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
    judged = deal(_with_state(seen, trajectory.state, True)) if sees_state else observations
    cut_inputs = _with_state(next_seen, trajectory.cut_state, sees_state)
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
        cut_inputs=_split(cut_inputs[:, agents], stacks),
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


def _with_state(observations: Array, state: Array, sees_state: bool) -> Array:
    if not sees_state:
        return observations
    shape = (*observations.shape[:-1], state.shape[-1])
    return np.concatenate([observations, np.broadcast_to(state[..., None, :], shape)], -1)
