"""The work of a round as pure units: agents in one world, or fleets that each have their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import NamedTuple, Protocol

import numpy as np

from envs.registry import EnvConfig
from qmarl.circuits.ledger import Counts
from qmarl.errors import RunError
from qmarl.seeding import seed_for, stream
from qmarl.types import Params, Trajectory
from trainers.algorithms.batch import experience
from trainers.algorithms.learner import Learner
from trainers.algorithms.ppo import Learned, update
from trainers.costs import metered, total
from trainers.distributed import Executor
from trainers.groups import Group, actor_params
from trainers.rollout import Shard, collect, join

Stacks = Mapping[str, Params]
"""Parameters or moments of every group, with a leading stack axis."""


@dataclass(frozen=True)
class Lesson:
    """Everything that the learners of one group need for one update, as a unit of work.

    Attributes:
        learner: How to learn.
        params: Parameters ``(S, ...)``.
        moments: The optimiser's moments.
        members: Indices of the group's agents.
        shape: Numbers that they see, and choices or numbers in an action that they have.
        seeds: One seed of minibatch order for each learner.
        progress: Share of the training that is done.
    """

    learner: Learner
    params: Params
    moments: Params
    members: tuple[int, ...]
    shape: tuple[int, int]
    seeds: tuple[int, ...]
    progress: float


@dataclass(frozen=True)
class Outcome:
    """What a round's work brought, before anything is shared.

    Attributes:
        learned: Every group's new parameters and moments.
        episodes: Scores of the episodes that ended, arrays ``(n,)`` by name.
        env_steps: Steps that the worlds took.
        seconds: Clock readings by name.
        device: What acting and learning ran on PennyLane devices.
    """

    learned: dict[str, Learned]
    episodes: dict[str, np.ndarray]
    env_steps: int
    seconds: dict[str, float]
    device: Counts = field(default_factory=Counts)


def learn(lesson: Lesson, trajectory: Trajectory) -> Learned:
    """Updates one group's learners; a pure function, on one thread so that bits do not vary."""
    import torch

    torch.set_num_threads(1)
    stacks, sees_state = len(lesson.seeds), lesson.learner.critic.central
    share = experience(trajectory, lesson.members, stacks, sees_state, lesson.shape)
    rngs = [stream(seed) for seed in lesson.seeds]
    progress = lesson.progress
    learned = update(lesson.learner, lesson.params, lesson.moments, share, rngs, progress)
    if not all(np.isfinite(array).all() for array in learned.params.values()):
        raise RunError("learning diverged: a parameter is not finite; lower the learning rates")
    return learned


def counted_collect(shard: Shard, params: Stacks) -> tuple[Trajectory, Counts]:
    """Collects a rollout, and tells what it ran on devices."""
    policies = [seat.policy for seat in shard.seats.values()]
    return metered(policies, lambda: collect(shard, params))


def counted_learn(lesson: Lesson, trajectory: Trajectory) -> tuple[Learned, Counts]:
    """Updates one group's learners, and tells what it ran on devices."""
    return metered([lesson.learner.actor.policy], lambda: learn(lesson, trajectory))


class Site(NamedTuple):
    """One fleet's part of a round: its worlds, and a lesson for every group of agents."""

    shard: Shard
    lessons: dict[str, Lesson]


def client_round(site: Site) -> tuple[dict[str, Learned], Trajectory, float, Counts]:
    """Collects and learns at one site; a pure function of the site's weights, state and seed."""
    started = perf_counter()
    actors = {name: actor_params(lesson.params) for name, lesson in site.lessons.items()}
    trajectory, acting = counted_collect(site.shard, actors)
    seconds = perf_counter() - started
    studied = {name: counted_learn(each, trajectory) for name, each in site.lessons.items()}
    learned = {name: each for name, (each, _) in studied.items()}
    counts = total([acting, *(count for _, count in studied.values())])
    return learned, trajectory, seconds, counts


class Rounds(Protocol):
    """Plays one round: experience and learning, without any sharing."""

    def play(self, params: Stacks, moments: Stacks, number: int, progress: float) -> Outcome:
        """Collects a rollout and updates every group.

        Args:
            params: Parameters of every group.
            moments: Optimiser moments of every group.
            number: The round.
            progress: Share of the training that is done.
        """
        ...


class AgentRounds:
    """All agents live in one set of worlds, collected in shards; each group learns in one job.

    Args:
        env: The env section.
        groups: The groups by name.
        executor: Where the units of work run.
        seed: The run's seed.
        steps: Length of a rollout.
    """

    def __init__(
        self,
        env: EnvConfig,
        groups: Mapping[str, Group],
        executor: Executor,
        seed: int,
        steps: int,
    ) -> None:
        self._groups = groups
        self._executor = executor
        self._seed = seed
        self._shards = _shards(env, groups, seed, steps)

    def play(self, params: Stacks, moments: Stacks, number: int, progress: float) -> Outcome:
        """Collects every shard, then updates every group, on the executor."""
        started = perf_counter()
        actors = {name: actor_params(arrays) for name, arrays in params.items()}
        jobs = [(replace(shard, clock_round=number), actors) for shard in self._shards]
        collections = self._executor.map(counted_collect, jobs)
        trajectory = join([trajectory for trajectory, _ in collections])
        collected = perf_counter()
        lessons = [
            _lesson(group, params[name], moments[name], progress, self._seed, number)
            for name, group in self._groups.items()
        ]
        studied = self._executor.map(counted_learn, [(each, trajectory) for each in lessons])
        seconds = {"collect": collected - started, "learn": perf_counter() - collected}
        return Outcome(
            {name: each for name, (each, _) in zip(self._groups, studied, strict=True)},
            trajectory.episodes,
            trajectory.env_steps,
            seconds,
            total(counts for _, counts in [*collections, *studied]),
        )


class FleetRounds:
    """Every client is a fleet: a site with its own worlds, whose agents share the site's models.

    Args:
        env: The env section, of every site.
        groups: The groups by name; their stacks are the fleets.
        executor: Where the units of work run.
        seed: The run's seed.
        steps: Length of a rollout.
        fleets: Number of sites.
    """

    def __init__(
        self,
        env: EnvConfig,
        groups: Mapping[str, Group],
        executor: Executor,
        seed: int,
        steps: int,
        fleets: int,
    ) -> None:
        self._groups = groups
        self._executor = executor
        self._seeds = [seed_for(seed, "fleet", fleet) for fleet in range(fleets)]
        whole = env.model_copy(update={"shards": 1})
        self._shards = [_shards(whole, groups, own, steps)[0] for own in self._seeds]

    def play(self, params: Stacks, moments: Stacks, number: int, progress: float) -> Outcome:
        """Runs one ``client_round`` for each fleet on the executor."""
        started = perf_counter()
        sites = [
            (self._site(fleet, params, moments, number, progress),)
            for fleet in range(len(self._seeds))
        ]
        results = self._executor.map(client_round, sites)
        trajectory = join([result[1] for result in results])
        collecting = sum(result[2] for result in results)
        working = perf_counter() - started
        return Outcome(
            {name: _stacked([result[0][name] for result in results]) for name in self._groups},
            trajectory.episodes,
            trajectory.env_steps,
            {"collect": min(collecting, working), "learn": max(working - collecting, 0.0)},
            total(result[3] for result in results),
        )

    def _site(
        self, fleet: int, params: Stacks, moments: Stacks, number: int, progress: float
    ) -> Site:
        seed = self._seeds[fleet]
        lessons = {
            name: _lesson(
                group.per_fleet(1),
                _slice(params[name], fleet),
                _slice(moments[name], fleet),
                progress,
                seed,
                number,
            )
            for name, group in self._groups.items()
        }
        return Site(replace(self._shards[fleet], clock_round=number), lessons)


def _shards(env: EnvConfig, groups: Mapping[str, Group], seed: int, steps: int) -> list[Shard]:
    seats = {name: group.seat for name, group in groups.items()}
    size = env.num_envs // env.shards
    firsts: Sequence[int] = range(0, env.num_envs, size)
    return [Shard(env, size, first, steps, seats, 0, seed) for first in firsts]


def _lesson(
    group: Group, params: Params, moments: Params, progress: float, seed: int, number: int
) -> Lesson:
    seeds = tuple(seed_for(seed, "minibatch", number, group.name, name) for name in group.clients)
    return Lesson(group.learner, params, moments, group.members, group.shape, seeds, progress)


def _slice(params: Params, place: int) -> Params:
    return {name: array[place : place + 1] for name, array in params.items()}


def _stacked(parts: Sequence[Learned]) -> Learned:
    def along(pick: Sequence[Params]) -> Params:
        return {name: np.concatenate([params[name] for params in pick]) for name in pick[0]}

    metrics = {
        name: float(np.mean([part.metrics[name] for part in parts])) for name in parts[0].metrics
    }
    return Learned(
        along([part.params for part in parts]),
        along([part.moments for part in parts]),
        np.concatenate([part.examples for part in parts]),
        metrics,
    )
