"""The work of a round: agents in one world, or fleets that each have their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Protocol

import numpy as np

from envs.registry import EnvConfig
from envs.sites import refuse_sites, site_configs
from qmarl.circuits.ledger import Counts
from qmarl.seeding import seed_for
from qmarl.types import Params, Trajectory
from trainers.algorithms.ppo import Learned
from trainers.arrivals import Arrivals, Task
from trainers.costs import total
from trainers.distributed import Executor
from trainers.groups import Group, actor_params
from trainers.poisoning import PoisoningConfig, poison_of
from trainers.rollout import Shard, join, join_episodes
from trainers.stacking import settled, stacked
from trainers.stopwatch import summed
from trainers.work import Lesson, Played, Site, Stacks, Studied, collecting, learning, lesson_for

Present = Collection[str] | None
"""Names of the clients that take part in a round; ``None`` means all of them."""


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
        came: Fleets that came through, and the round in which the work began that they brought.
        at_work: Fleets that are still at work, and the round in which they began.
    """

    learned: dict[str, Learned]
    episodes: dict[str, np.ndarray]
    env_steps: int
    seconds: dict[str, float]
    device: Counts = field(default_factory=Counts)
    missed: frozenset[str] = frozenset()
    came: Mapping[str, int] = field(default_factory=dict)
    at_work: Mapping[str, int] = field(default_factory=dict)


class Rounds(Protocol):
    """Plays one round: experience and learning, without any sharing."""

    def play(
        self,
        params: Stacks,
        moments: Stacks,
        number: int,
        progress: float,
        present: Present = None,
        at_work: Mapping[str, int] | None = None,
    ) -> Outcome:
        """Collects a rollout and updates every group.

        Args:
            params: Parameters of every group.
            moments: Optimiser moments of every group.
            number: The round.
            progress: Share of the training that is done.
            present: Clients that take part; of the others, nothing changes.
            at_work: Fleets that began in an earlier round and have not come through yet, with that
                round; their parameters are those that they began with.
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
        at_work: Mapping[str, int] | None = None,  # noqa: ARG002 - agents fly together, or not at all
    ) -> Outcome:
        """Collects every shard, then updates every group, on the executor.

        All agents fly, whoever takes part; a central critic learns from all of them.
        """
        started = perf_counter()
        actors = {name: actor_params(arrays) for name, arrays in params.items()}
        jobs = [(replace(shard, clock_round=number), actors) for shard in self._shards]
        collections = self._executor.map(collecting, jobs)
        trajectory = join([each.trajectory for each in collections])
        overheads = self._executor.overheads()
        collected = perf_counter()
        lessons = [
            self._lesson(group, params[name], moments[name], progress, number)
            for name, group in self._groups.items()
        ]
        studied = self._study(lessons, trajectory)
        seconds = {"collect": collected - started, "learn": perf_counter() - collected}
        own = [each.seconds for each in collections] + [each.seconds for each in studied]
        counts = [each.counts for each in collections] + [each.counts for each in studied]
        learned = {
            name: settled(each.learned, params[name], moments[name], _absent(group, present))
            for (name, group), each in zip(self._groups.items(), studied, strict=True)
        }
        return Outcome(
            learned,
            trajectory.episodes,
            trajectory.env_steps,
            summed([overheads, self._executor.overheads(), *own]) | seconds,
            total(counts),
        )

    def _study(self, lessons: Sequence[Lesson], trajectory: Trajectory) -> list[Studied]:
        """A single group learns here: its rollout need not travel to be worked on alone."""
        if len(lessons) == 1:
            return [learning(lessons[0], trajectory)]
        return self._executor.map(learning, [(each, trajectory) for each in lessons])

    def _lesson(
        self, group: Group, params: Params, moments: Params, progress: float, number: int
    ) -> Lesson:
        lesson = lesson_for(group, params, moments, progress, self._seed, number)
        pairs = zip(group.clients, group.members, strict=False)  # a shared model has one client
        owned = {client: (agent,) for client, agent in pairs}
        seed = seed_for(self._seed, "poison", number, group.name)
        return replace(lesson, poison=poison_of(self._poisoning, owned, seed))


class FleetRounds:
    """Every client is a fleet: a site with its own worlds, whose agents share the site's models.

    Args:
        env: The env section; its ``sites`` say what differs from fleet to fleet.
        groups: The groups by name; their stacks are the fleets.
        arrivals: Has the work done, and says what came in a round.
        seed: The run's seed.
        steps: Length of a rollout.
        fleets: Number of sites.
        rounds: Rounds of the whole training.
        poisoning: What malicious fleets do to their experience.
    """

    def __init__(
        self,
        env: EnvConfig,
        groups: Mapping[str, Group],
        arrivals: Arrivals,
        seed: int,
        steps: int,
        fleets: int,
        rounds: int = 1,
        poisoning: PoisoningConfig | None = None,
    ) -> None:
        self._groups, self._arrivals, self._rounds = groups, arrivals, rounds
        self._poisoning = poisoning
        self._names = next(iter(groups.values())).clients
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
        at_work: Mapping[str, int] | None = None,
    ) -> Outcome:
        """Runs one ``client_round`` for each fleet that takes part, and takes what comes."""
        started = perf_counter()
        began = dict.fromkeys(self._names if present is None else present, number)
        began |= at_work or {}
        tasks = {
            name: self._task(place, params, moments, began[name], (number, progress))
            for place, name in enumerate(self._names)
            if name in began
        }
        arrived = self._arrivals.play(tasks, number, number + 1 >= self._rounds)
        came = {self._names.index(name): each for name, each in arrived.results.items()}
        working = perf_counter() - started
        left = tasks.keys() - arrived.results.keys() - arrived.missed
        return Outcome(
            {name: self._stacked(name, came, params, moments) for name in self._groups},
            join_episodes([each.episodes for each in came.values() if each.episodes]),
            sum(each.env_steps for each in came.values()),
            _phases(summed([arrived.seconds, *(each.seconds for each in came.values())]), working),
            total(each.counts for each in came.values()),
            arrived.missed,
            {name: began[name] for name in arrived.results},
            {name: began[name] for name in self._names if name in left},
        )

    def _stacked(
        self, name: str, came: Mapping[int, Played], params: Stacks, moments: Stacks
    ) -> Learned:
        learned = {place: each.learned[name] for place, each in came.items()}
        return stacked(learned, params[name], moments[name])

    def _task(
        self, fleet: int, params: Stacks, moments: Stacks, began: int, now: tuple[int, float]
    ) -> Task:
        """What a fleet does that began in round ``began``, be that now or earlier."""
        number, progress = now
        if began != number:  # as it was then
            progress = began / self._rounds
        lessons = {
            name: self._lesson(
                fleet,
                group,
                _slice(params[name], fleet),
                _slice(moments[name], fleet),
                progress,
                began,
            )
            for name, group in self._groups.items()
        }
        return Task(began, Site(replace(self._shards[fleet], clock_round=began), lessons))

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
        lesson = lesson_for(group.per_fleet(1), params, moments, progress, seed, number)
        name = group.clients[fleet]
        own = seed_for(seed, "poison", number, group.name)
        poison = poison_of(self._poisoning, {name: group.members}, own)
        assert lesson.exchange is not None
        exchange = replace(lesson.exchange, learners=(name,))
        return replace(lesson, poison=poison, exchange=exchange)


def _shards(env: EnvConfig, groups: Mapping[str, Group], seed: int, steps: int) -> list[Shard]:
    seats = {name: group.seat for name, group in groups.items()}
    size = env.num_envs // env.shards
    firsts: Sequence[int] = range(0, env.num_envs, size)
    return [Shard(env, size, first, steps, seats, 0, seed) for first in firsts]


def _phases(spent: Mapping[str, float], working: float) -> dict[str, float]:
    """The seconds of the fleets' work, and the two phases of a round that they make."""
    collecting = spent.get("collect", 0.0)
    phases = {"collect": min(collecting, working), "learn": max(working - collecting, 0.0)}
    return {**spent, **phases}


def _absent(group: Group, present: Present) -> list[int]:
    """Places of the clients that do not take part."""
    if present is None:
        return []
    return [place for place, name in enumerate(group.clients) if name not in present]


def _slice(params: Params, place: int) -> Params:
    return {name: array[place : place + 1] for name, array in params.items()}
