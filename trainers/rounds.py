"""The work of a round as pure units: agents in one world, or fleets that each have their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import NamedTuple, Protocol

import numpy as np

from envs.registry import EnvConfig
from envs.sites import refuse_sites, site_configs
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
from trainers.poisoning import Poison, PoisoningConfig, poison_of
from trainers.rollout import Shard, collect, join
from trainers.split.judge import Exchange
from trainers.stacking import settled, stacked

Stacks = Mapping[str, Params]
"""Parameters or moments of every group, with a leading stack axis."""

Present = Collection[str] | None
"""Names of the clients that take part in a round; ``None`` means all of them."""


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
        poison: What malicious clients do to their experience first.
        exchange: Who takes part in the learning of a split critic.
    """

    learner: Learner
    params: Params
    moments: Params
    members: tuple[int, ...]
    shape: tuple[int, int]
    seeds: tuple[int, ...]
    progress: float
    poison: Poison | None = None
    exchange: Exchange | None = None


@dataclass(frozen=True)
class Outcome:
    """What a round's work brought, before anything is shared.

    Attributes:
        learned: Every group's new parameters and moments.
        episodes: Scores of the episodes that ended, arrays ``(n,)`` by name.
        env_steps: Steps that the worlds took.
        seconds: Clock readings by name.
        device: What acting and learning ran on PennyLane devices.
        missed: Clients that were to take part but did not come through in time.
    """

    learned: dict[str, Learned]
    episodes: dict[str, np.ndarray]
    env_steps: int
    seconds: dict[str, float]
    device: Counts = field(default_factory=Counts)
    missed: frozenset[str] = frozenset()


def learn(lesson: Lesson, trajectory: Trajectory) -> Learned:
    """Updates one group's learners; a pure function, on one thread so that bits do not vary."""
    import torch

    torch.set_num_threads(1)
    if lesson.poison is not None:
        trajectory = lesson.poison(trajectory)
    stacks, sees = len(lesson.seeds), lesson.learner.critic.sees
    share = experience(trajectory, lesson.members, stacks, sees, lesson.shape)
    rngs = [stream(seed) for seed in lesson.seeds]
    schedule = (lesson.progress, lesson.exchange)
    learned = update(lesson.learner, lesson.params, lesson.moments, share, rngs, *schedule)
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


_Played = tuple[dict[str, Learned], Trajectory, float, Counts]


def client_round(site: Site) -> _Played:
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

    def play(
        self,
        params: Stacks,
        moments: Stacks,
        number: int,
        progress: float,
        present: Present = None,
    ) -> Outcome:
        """Collects a rollout and updates every group.

        Args:
            params: Parameters of every group.
            moments: Optimiser moments of every group.
            number: The round.
            progress: Share of the training that is done.
            present: Clients that take part; of the others, nothing changes.
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
        poisoning: What malicious clients do to their experience.
    """

    def __init__(
        self,
        env: EnvConfig,
        groups: Mapping[str, Group],
        executor: Executor,
        seed: int,
        steps: int,
        poisoning: PoisoningConfig | None = None,
    ) -> None:
        self._groups = groups
        self._executor = executor
        self._seed = seed
        self._poisoning = poisoning
        refuse_sites(env)
        self._shards = _shards(env, groups, seed, steps)

    def play(
        self,
        params: Stacks,
        moments: Stacks,
        number: int,
        progress: float,
        present: Present = None,
    ) -> Outcome:
        """Collects every shard, then updates every group, on the executor.

        All agents fly, whoever takes part; a central critic learns from all of them.
        """
        started = perf_counter()
        actors = {name: actor_params(arrays) for name, arrays in params.items()}
        jobs = [(replace(shard, clock_round=number), actors) for shard in self._shards]
        collections = self._executor.map(counted_collect, jobs)
        trajectory = join([trajectory for trajectory, _ in collections])
        collected = perf_counter()
        lessons = [
            self._lesson(group, params[name], moments[name], progress, number)
            for name, group in self._groups.items()
        ]
        studied = self._executor.map(counted_learn, [(each, trajectory) for each in lessons])
        seconds = {"collect": collected - started, "learn": perf_counter() - collected}
        learned = {
            name: settled(each, params[name], moments[name], _absent(group, present))
            for (name, group), (each, _) in zip(self._groups.items(), studied, strict=True)
        }
        return Outcome(
            learned,
            trajectory.episodes,
            trajectory.env_steps,
            seconds,
            total(counts for _, counts in [*collections, *studied]),
        )

    def _lesson(
        self, group: Group, params: Params, moments: Params, progress: float, number: int
    ) -> Lesson:
        lesson = _lesson(group, params, moments, progress, self._seed, number)
        pairs = zip(group.clients, group.members, strict=False)  # a shared model has one client
        owned = {client: (agent,) for client, agent in pairs}
        seed = seed_for(self._seed, "poison", number, group.name)
        return replace(lesson, poison=poison_of(self._poisoning, owned, seed))


class FleetRounds:
    """Every client is a fleet: a site with its own worlds, whose agents share the site's models.

    Args:
        env: The env section; its ``sites`` say what differs from fleet to fleet.
        groups: The groups by name; their stacks are the fleets.
        executor: Where the units of work run.
        seed: The run's seed.
        steps: Length of a rollout.
        fleets: Number of sites.
        poisoning: What malicious fleets do to their experience.
        timeout_s: Seconds that the fleets have for a round.
    """

    def __init__(
        self,
        env: EnvConfig,
        groups: Mapping[str, Group],
        executor: Executor,
        seed: int,
        steps: int,
        fleets: int,
        poisoning: PoisoningConfig | None = None,
        timeout_s: float | None = None,
    ) -> None:
        self._groups = groups
        self._timeout_s = timeout_s
        self._executor = executor
        self._poisoning = poisoning
        self._seeds = [seed_for(seed, "fleet", fleet) for fleet in range(fleets)]
        whole = env.model_copy(update={"shards": 1})
        self._shards = [
            _shards(site, groups, own, steps)[0]
            for site, own in zip(site_configs(whole, fleets), self._seeds, strict=True)
        ]

    def play(
        self,
        params: Stacks,
        moments: Stacks,
        number: int,
        progress: float,
        present: Present = None,
    ) -> Outcome:
        """Runs one ``client_round`` for each fleet that takes part, on the executor."""
        started = perf_counter()
        group = next(iter(self._groups.values()))
        names, absent = group.clients, _absent(group, present)
        chosen = [place for place in range(len(names)) if place not in absent]
        came = self._played(
            {place: self._site(place, params, moments, number, progress) for place in chosen}
        )
        trajectories = [result[1] for result in came.values()]
        collecting = sum(result[2] for result in came.values())
        working = perf_counter() - started
        return Outcome(
            {
                name: stacked(
                    {place: result[0][name] for place, result in came.items()},
                    params[name],
                    moments[name],
                )
                for name in self._groups
            },
            join(trajectories).episodes if trajectories else {},
            sum(trajectory.env_steps for trajectory in trajectories),
            {"collect": min(collecting, working), "learn": max(working - collecting, 0.0)},
            total(result[3] for result in came.values()),
            frozenset(names[place] for place in chosen if place not in came),
        )

    def _played(self, sites: Mapping[int, Site]) -> dict[int, _Played]:
        """Results of the sites that come through in time, by their places."""
        jobs = [(site,) for site in sites.values()]
        results: Sequence[_Played | None]
        if self._timeout_s is None:
            results = self._executor.map(client_round, jobs)
        else:
            results = self._executor.map_within(client_round, jobs, self._timeout_s)
        pairs = zip(sites, results, strict=True)
        return {place: result for place, result in pairs if result is not None}

    def _site(
        self, fleet: int, params: Stacks, moments: Stacks, number: int, progress: float
    ) -> Site:
        lessons = {
            name: self._lesson(
                fleet,
                group,
                _slice(params[name], fleet),
                _slice(moments[name], fleet),
                progress,
                number,
            )
            for name, group in self._groups.items()
        }
        return Site(replace(self._shards[fleet], clock_round=number), lessons)

    def _lesson(
        self,
        fleet: int,
        group: Group,
        params: Params,
        moments: Params,
        progress: float,
        number: int,
    ) -> Lesson:
        seed = self._seeds[fleet]
        lesson = _lesson(group.per_fleet(1), params, moments, progress, seed, number)
        owned = {f"fleet_{fleet}": group.members}
        own = seed_for(seed, "poison", number, group.name)
        return replace(lesson, poison=poison_of(self._poisoning, owned, own))


def _shards(env: EnvConfig, groups: Mapping[str, Group], seed: int, steps: int) -> list[Shard]:
    seats = {name: group.seat for name, group in groups.items()}
    size = env.num_envs // env.shards
    firsts: Sequence[int] = range(0, env.num_envs, size)
    return [Shard(env, size, first, steps, seats, 0, seed) for first in firsts]


def _lesson(
    group: Group, params: Params, moments: Params, progress: float, seed: int, number: int
) -> Lesson:
    seeds = tuple(seed_for(seed, "minibatch", number, group.name, name) for name in group.clients)
    return Lesson(
        group.learner,
        params,
        moments,
        group.members,
        group.shape,
        seeds,
        progress,
        exchange=Exchange(group.name, group.agents, number, seed),
    )


def _absent(group: Group, present: Present) -> list[int]:
    """Places of the clients that do not take part."""
    if present is None:
        return []
    return [place for place, name in enumerate(group.clients) if name not in present]


def _slice(params: Params, place: int) -> Params:
    return {name: array[place : place + 1] for name, array in params.items()}
