"""Playing frozen parameters on held-out seeds, and saying how well they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.mobility import capacity
from envs.registry import EnvConfig, make
from envs.sites import site_config
from qmarl.errors import RunError
from qmarl.seeding import seed_for, stream
from qmarl.types import Array, Params
from trainers.distributed import Executor, InlineExecutor
from trainers.rollout import Seat, Team, join_episodes
from trainers.statistics import Interval, bootstrap

if TYPE_CHECKING:
    from envs.world import Step, World


Site = Mapping[str, Params]
"""Every group's actors' parameters at one site, with a leading stack axis."""


@dataclass(frozen=True)
class Match:
    """Some episodes of one site, as a unit of work.

    Attributes:
        env: The site's env section.
        seats: The groups by name.
        site: Who flies.
        episodes: Number of worlds.
        first_env: Index of the first of them among all.
        seed: Seed of the held-out worlds.
        greedy: Whether the likeliest action is taken.
    """

    env: EnvConfig
    seats: Mapping[str, Seat]
    site: Site
    episodes: int
    first_env: int
    seed: int
    greedy: bool


def play(
    env: EnvConfig,
    seats: Mapping[str, Seat],
    sites: Sequence[Site],
    episodes: int,
    seed: int,
    greedy: bool,
    *,
    executor: Executor | None = None,
    shards: int = 1,
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
        executor: Where it is played; here, if left out.
        shards: Units of work for each site; like those of training they belong to what is
            computed, not to the number of workers.

    Returns:
        Per episode, in the worlds' order: ``return``, ``length`` and the world's outcomes.

    Raises:
        RunError: A world did not end its episode in its own time.
    """
    jobs = [(each,) for each in matches(env, seats, sites, episodes, seed, greedy, shards)]
    return join_episodes((executor or InlineExecutor()).map(_play, jobs))


def matches(
    env: EnvConfig,
    seats: Mapping[str, Seat],
    sites: Sequence[Site],
    episodes: int,
    seed: int,
    greedy: bool,
    shards: int = 1,
) -> list[Match]:
    """The units of work of an evaluation, with the arguments of :func:`play`."""
    shares = np.array_split(np.arange(episodes), len(sites))
    return [
        Match(site_config(env, place), seats, site, len(part), int(part[0]), seed, greedy)
        for place, (site, share) in enumerate(zip(sites, shares, strict=True))
        for part in np.array_split(share, shards)
        if len(part)
    ]


def _play(match: Match) -> dict[str, Array]:
    """Scores of one match's episodes; a pure function."""
    return play_match(match)


See = Callable[["World", "Step | None"], None]
"""Looks on: at a world's beginning without a step, then at each of its steps."""


def play_match(match: Match, see: See | None = None) -> dict[str, Array]:
    """Plays one match: in one batch, or batch after batch where a world has room for few at once.

    Args:
        match: What to play.
        see: Who looks on.

    Returns:
        Per episode, in the worlds' order: ``return``, ``length`` and the world's outcomes.

    Raises:
        RunError: A world did not end its episode in its own time.
    """
    team = Team(match.seats, match.site)
    size = min(match.episodes, capacity(match.env) or match.episodes)
    world = make(match.env, size)
    last = match.first_env + match.episodes
    try:
        parts = [
            _play_batch(world, team, match, first, min(size, last - first), see)
            for first in range(match.first_env, last, size)
        ]
    finally:
        world.close()
    return join_episodes(parts)


def _play_batch(
    world: World, team: Team, match: Match, first_env: int, count: int, see: See | None
) -> dict[str, Array]:
    """Scores of the first ``count`` copies' first episodes."""
    tally = _Tally(world.num_envs, len(world.spec.agents))
    rng = stream(match.seed, "evaluate", "act", first_env)
    view = world.reset(held_out(match.seed), first_env)
    if see is not None:
        see(world, None)
    for _ in range(world.spec.max_steps):
        step = world.step(team.act(view, None if match.greedy else rng))
        view = step.view
        if see is not None:
            see(world, step)
        tally.add(step)
        if not tally.open[:count].any():
            return {name: values[:count] for name, values in tally.scores().items()}
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
