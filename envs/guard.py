"""Guards at a world's border: what goes in is a legal action, what comes out is a finite number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qmarl.errors import RunError

if TYPE_CHECKING:
    from envs.world import View, WorldSpec
    from qmarl.types import Array


def check_actions(
    actions: Array, alive: Array, mask: Array, spec: WorldSpec, first_env: int = 0
) -> Array:
    """Checks a batch of actions and replaces those of agents that are not alive by 0.

    Args:
        actions: ``(E, A)`` integers; ``(E, A, C)`` numbers within [-1, 1] where the world's actions
            are continuous, of which an agent's own ``action_sizes`` count.
        alive: ``(E, A)`` bool, agents whose action counts.
        mask: ``(E, A, N)`` bool, actions that are allowed.
        spec: Names the world and its agents in the error.
        first_env: Global index of the first world, for the error.

    Returns:
        ``(E, A)`` int64, all of them valid indices; or ``(E, A, C)`` float32.

    Raises:
        RunError: The array is misshapen or of the wrong kind, or an agent chose what is not
            allowed; the sentence names the world, agent and value.
    """
    actions = np.asarray(actions)
    if spec.continuous:
        return _check_numbers(actions, alive, spec, first_env)
    if actions.shape != alive.shape or actions.dtype.kind not in "iu":
        raise RunError(
            f"{spec.name}: actions must be integers of shape {alive.shape}, "
            f"got {actions.dtype} of shape {actions.shape}"
        )
    chosen = np.where(alive, actions, 0)
    outside = (chosen < 0) | (chosen >= mask.shape[-1])
    if outside.any():
        _refuse(actions, outside, mask, spec, first_env)
    flat = mask.reshape(-1, mask.shape[-1])
    allowed = flat[np.arange(len(flat)), chosen.ravel()].reshape(alive.shape)
    if not allowed.all() and (alive & ~allowed).any():
        _refuse(actions, alive & ~allowed, mask, spec, first_env)
    return chosen.astype(np.int64, copy=False)


def _check_numbers(actions: Array, alive: Array, spec: WorldSpec, first_env: int) -> Array:
    shape = (*alive.shape, max(spec.action_sizes))
    if actions.shape != shape or actions.dtype.kind != "f":
        raise RunError(
            f"{spec.name}: actions must be floating-point numbers of shape {shape}, "
            f"got {actions.dtype} of shape {actions.shape}"
        )
    own = np.arange(shape[-1]) < np.array(spec.action_sizes)[:, None]  # the rest is padding
    chosen = np.where(alive[..., None] & own, actions, 0).astype(np.float32, copy=False)
    bad = ~(np.abs(chosen) <= 1)  # also where it is not a number
    for env, agent, entry in np.argwhere(bad)[:1]:
        raise RunError(
            f"{spec.name}: {spec.agents[agent]} in world {first_env + env} "
            f"chose {actions[env, agent, entry]} as number {entry} of its action, "
            "allowed are numbers within [-1, 1]"
        )
    return chosen


def _refuse(actions: Array, bad: Array, mask: Array, spec: WorldSpec, first_env: int) -> None:
    env, agent = np.argwhere(bad)[0]
    allowed = np.flatnonzero(mask[env, agent]).tolist()
    raise RunError(
        f"{spec.name}: {spec.agents[agent]} in world {first_env + env} chose action "
        f"{actions[env, agent]}, allowed are {allowed}"
    )


def check_mask(mask: Array, num_envs: int, spec: WorldSpec) -> Array:
    """Checks a choice of copies, and returns their rows ``(k,)``.

    Raises:
        RunError: The mask is not ``(num_envs,)`` of truth values.
    """
    mask = np.asarray(mask)
    if mask.shape != (num_envs,) or mask.dtype != bool:
        raise RunError(
            f"{spec.name}: the mask must be truth values of shape {(num_envs,)}, "
            f"got {mask.dtype} of shape {mask.shape}"
        )
    return np.flatnonzero(mask)


def check_finite(view: View, rewards: Array, spec: WorldSpec, first_env: int = 0) -> None:
    """Refuses numbers that are not finite before anything learns from them.

    Args:
        view: What agents see.
        rewards: ``(E, A)``.
        spec: Names the world and its agents in the error.
        first_env: Global index of the first world, for the error.

    Raises:
        RunError: A number is not finite; the sentence names the world, agent and value.
    """
    with np.errstate(all="ignore"):  # a sum may overflow where every term is finite
        total = view.observations.sum() + view.state.sum() + rewards.sum()
    if not np.isfinite(total):
        names = [f" of {name}" for name in spec.agents]
        _find("an observation", view.observations, names, spec, first_env)
        _find("a reward", rewards[..., None], names, spec, first_env)
        _find("the joint state", view.state[:, None], [""], spec, first_env)


def _find(what: str, values: Array, names: Sequence[str], spec: WorldSpec, first_env: int) -> None:
    """Looks through ``(E, len(names), ...)`` values."""
    for env, agent, entry in np.argwhere(~np.isfinite(values))[:1]:
        raise RunError(
            f"{spec.name}: {what}{names[agent]} in world {first_env + env} "
            f"is {values[env, agent, entry]}, which is not a finite number"
        )
