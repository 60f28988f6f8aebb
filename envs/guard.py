"""Guards at a world's border: what goes in is a legal action, what comes out is a finite number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qmarl.errors import RunError

if TYPE_CHECKING:
    from envs.world import View, WorldSpec
    from qmarl.types import Array


def check_actions(actions: Array, alive: Array, mask: Array, spec: WorldSpec) -> Array:
    """Checks a batch of actions and replaces those of agents that are not alive by 0.

    Args:
        actions: ``(E, A)`` integers, or ``(E, A, C)`` numbers where actions are continuous.
        alive: ``(E, A)`` bool, agents whose action counts.
        mask: ``(E, A, N)`` bool, actions that are allowed.
        spec: Names the world and its agents in the error.

    Returns:
        ``(E, A)`` int64, all of them valid indices, or ``(E, A, C)`` float32 within [-1, 1].

    Raises:
        RunError: The array is misshapen or of the wrong kind, or an agent chose what is not
            allowed.
    """
    actions = np.asarray(actions)
    if spec.continuous:
        return _check_numbers(actions, alive, spec)
    if actions.shape != alive.shape or actions.dtype.kind not in "iu":
        raise RunError(
            f"{spec.name}: actions must be integers of shape {alive.shape}, "
            f"got {actions.dtype} of shape {actions.shape}"
        )
    chosen = np.where(alive, actions, 0)
    outside = (chosen < 0) | (chosen >= mask.shape[-1])
    if outside.any():
        _refuse(actions, outside, mask, spec)
    flat = mask.reshape(-1, mask.shape[-1])
    allowed = flat[np.arange(len(flat)), chosen.ravel()].reshape(alive.shape)
    if not allowed.all() and (alive & ~allowed).any():
        _refuse(actions, alive & ~allowed, mask, spec)
    return chosen.astype(np.int64, copy=False)


def _check_numbers(actions: Array, alive: Array, spec: WorldSpec) -> Array:
    shape = (*alive.shape, max(spec.action_sizes))
    if actions.shape != shape or actions.dtype.kind != "f":
        raise RunError(
            f"{spec.name}: actions must be floating-point numbers of shape {shape}, "
            f"got {actions.dtype} of shape {actions.shape}"
        )
    chosen = np.where(alive[..., None], actions, 0).astype(np.float32, copy=False)
    bad = ~(np.abs(chosen) <= 1)  # also where it is not a number
    if bad.any():
        env, agent, entry = np.argwhere(bad)[0]
        raise RunError(
            f"{spec.name}: {spec.agents[agent]} in world {env} chose {actions[env, agent, entry]} "
            f"as number {entry} of its action, allowed are numbers within [-1, 1]"
        )
    return chosen


def _refuse(actions: Array, bad: Array, mask: Array, spec: WorldSpec) -> None:
    env, agent = np.argwhere(bad)[0]
    allowed = np.flatnonzero(mask[env, agent]).tolist()
    raise RunError(
        f"{spec.name}: {spec.agents[agent]} in world {env} chose action {actions[env, agent]}, "
        f"allowed are {allowed}"
    )


def check_finite(view: View, rewards: Array, spec: WorldSpec) -> None:
    """Refuses numbers that are not finite before anything learns from them.

    Args:
        view: What agents see.
        rewards: ``(E, A)``.
        spec: Names the world and its agents in the error.

    Raises:
        RunError: A number is not finite; the sentence names the world, agent and value.
    """
    with np.errstate(all="ignore"):  # a sum may overflow where every term is finite
        total = view.observations.sum() + view.state.sum() + rewards.sum()
    if not np.isfinite(total):
        names = [f" of {name}" for name in spec.agents]
        _find("an observation", view.observations, names, spec)
        _find("a reward", rewards[..., None], names, spec)
        _find("the joint state", view.state[:, None], [""], spec)


def _find(what: str, values: Array, names: Sequence[str], spec: WorldSpec) -> None:
    """Looks through ``(E, len(names), ...)`` values."""
    for env, agent, entry in np.argwhere(~np.isfinite(values))[:1]:
        raise RunError(
            f"{spec.name}: {what}{names[agent]} in world {env} "
            f"is {values[env, agent, entry]}, which is not a finite number"
        )
