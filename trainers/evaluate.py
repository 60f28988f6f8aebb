"""Playing frozen parameters on held-out seeds, and saying how well they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.registry import EnvConfig, make
from envs.sites import site_config
from qmarl.errors import RunError
from qmarl.seeding import seed_for, stream
from qmarl.types import Array, Params
from trainers.rollout import Seat, Team, join_episodes
from trainers.statistics import Interval, bootstrap

if TYPE_CHECKING:
    from envs.world import Step


Site = Mapping[str, Params]
"""Every group's actors' parameters at one site, with a leading stack axis."""


def play(
    env: EnvConfig,
    seats: Mapping[str, Seat],
    sites: Sequence[Site],
    episodes: int,
    seed: int,
    greedy: bool,
) -> dict[str, Array]:
    """Plays the first episode of ``episodes`` held-out worlds to its end.

    Args:
        env: The env section.
        seats: The groups by name.
        sites: Who flies: one team, or one for each fleet, under its site's conditions; they share
            the worlds out evenly.
        episodes: Number of worlds.
        seed: Seed of the held-out worlds; training never uses the same streams.
        greedy: Whether the likeliest action is taken: of numbers, their means.

    Returns:
        Per episode, in the worlds' order: ``return``, ``length`` and the world's outcomes.

    Raises:
        RunError: A world did not end its episode in its own time.
    """
    shares = np.array_split(np.arange(episodes), len(sites))
    parts = [
        _play_site(
            site_config(env, place), Team(seats, site), len(share), int(share[0]), seed, greedy
        )
        for place, (site, share) in enumerate(zip(sites, shares, strict=True))
        if len(share)
    ]
    return join_episodes(parts)


def _play_site(
    env: EnvConfig, team: Team, episodes: int, first_env: int, seed: int, greedy: bool
) -> dict[str, Array]:
    world = make(env, episodes)
    tally = _Tally(episodes, len(world.spec.agents))
    rng = stream(seed, "evaluate", "act", first_env)
    try:
        view = world.reset(held_out(seed), first_env)
        for _ in range(world.spec.max_steps):
            step = world.step(team.act(view, None if greedy else rng))
            view = step.view
            tally.add(step)
            if not tally.open.any():
                return tally.scores()
    finally:
        world.close()
    raise RunError(f"env: {tally.open.sum()} episodes of '{world.spec.name}' did not end in time")


class _Tally:
    """Counts each world's first episode, and only that."""

    def __init__(self, episodes: int, agents: int) -> None:
        self.open = np.ones(episodes, bool)
        self._returns = np.zeros((episodes, agents))
        self._steps = 0
        self._parts: list[dict[str, Array]] = []

    def add(self, step: Step) -> None:
        self._steps += 1
        self._returns += step.rewards * self.open[:, None]
        done = np.flatnonzero(step.ended & self.open)
        if not done.size:
            return
        self.open[done] = False
        own = {"return": self._returns[done].mean(1), "length": np.full(len(done), self._steps)}
        outcomes = {name: values[done] for name, values in step.outcomes.items()}
        self._parts.append({"env": done, **own, **outcomes})

    def scores(self) -> dict[str, Array]:
        joined = join_episodes(self._parts)
        order = np.argsort(joined.pop("env"))
        return {name: values[order] for name, values in joined.items()}


def held_out(seed: int) -> int:
    """The worlds' seed of evaluation ``seed``; no training round has it."""
    return seed_for(seed, "evaluate")


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
