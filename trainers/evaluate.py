"""Playing frozen parameters on held-out seeds, and saying how well they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.heads import gumbel, masked
from envs.registry import EnvConfig, make
from qmarl.errors import RunError
from qmarl.seeding import seed_for, stream
from qmarl.types import Array, Params
from trainers.rollout import Seat, Team, join_episodes
from trainers.statistics import Interval, bootstrap


def play(
    env: EnvConfig,
    seats: Mapping[str, Seat],
    params: Mapping[str, Params],
    episodes: int,
    seed: int,
    greedy: bool,
) -> dict[str, Array]:
    """Plays the first episode of ``episodes`` held-out worlds to its end.

    Args:
        env: The env section.
        seats: The groups by name.
        params: Their actors' parameters, with a leading stack axis.
        episodes: Number of worlds.
        seed: Seed of the held-out worlds; training never uses the same streams.
        greedy: Whether the likeliest action is taken.

    Returns:
        Per episode, in the worlds' order: ``return``, ``length`` and the world's outcomes.

    Raises:
        RunError: A world did not end its episode in its own time.
    """
    world = make(env, episodes)
    try:
        team = Team(seats, params, max(world.spec.action_counts))
        view = world.reset(held_out(seed))
        rng = stream(seed, "evaluate", "act")
        returns, open_ = np.zeros(view.alive.shape), np.ones(episodes, bool)
        scores: list[dict[str, Array]] = []
        for t in range(world.spec.max_steps):
            logits = masked(team.logits(view.observations), view.action_mask)
            noise = 0.0 if greedy else gumbel(rng, logits.shape)
            step = world.step((logits + noise).argmax(-1))
            returns += step.rewards * open_[:, None]
            if (done := np.flatnonzero(step.ended & open_)).size:
                scores.append(_scores(done, t + 1, returns, step.outcomes))
                open_[done] = False
            if not open_.any():
                break
            view = step.view
    finally:
        world.close()
    if open_.any():
        raise RunError(f"env: {open_.sum()} episodes of '{world.spec.name}' did not end in time")
    joined = join_episodes(scores)
    order = np.argsort(joined.pop("env"))
    return {name: values[order] for name, values in joined.items()}


def held_out(seed: int) -> int:
    """The worlds' seed of evaluation ``seed``; no training round has it."""
    return seed_for(seed, "evaluate")


def _scores(
    done: Array, length: int, returns: Array, outcomes: Mapping[str, Array]
) -> dict[str, Array]:
    scores = {"env": done, "return": returns[done].mean(1), "length": np.full(len(done), length)}
    return scores | {name: values[done] for name, values in outcomes.items()}


def summary(episodes: Mapping[str, Array]) -> dict[str, Interval]:
    """Mean and interval of each score.

    Args:
        episodes: As :func:`play` returns them.
    """
    return {name: bootstrap(values.astype(np.float64)) for name, values in episodes.items()}


def flat(scores: Mapping[str, Interval]) -> dict[str, Any]:
    """The summary as flat metrics: ``eval/success``, ``eval/success_low`` and so on."""
    metrics: dict[str, Any] = {}
    for name, interval in scores.items():
        metrics[f"eval/{name}"] = interval["mean"]
        metrics[f"eval/{name}_low"] = interval["low"]
        metrics[f"eval/{name}_high"] = interval["high"]
    return metrics
