"""The units of work of a round: pure functions of their arguments, so that any process may do them.

What they say of the time they took is the one thing that differs from one doing to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qmarl.circuits.ledger import Counts
from qmarl.errors import RunError
from qmarl.seeding import seed_for, stream
from qmarl.types import Array, Params, Trajectory
from trainers.algorithms.batch import experience
from trainers.algorithms.learner import Learner
from trainers.algorithms.ppo import Learned, update
from trainers.costs import metered, total
from trainers.groups import Group, actor_params
from trainers.poisoning import Poison
from trainers.rollout import Shard, collect
from trainers.split.judge import Exchange
from trainers.stopwatch import Stopwatch, summed

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


class Collected(NamedTuple):
    """A rollout, what it ran on devices, and its seconds: ``worlds``, ``circuits``, ``collect``."""

    trajectory: Trajectory
    counts: Counts
    seconds: Mapping[str, float]


class Studied(NamedTuple):
    """What a group learned, what it ran on devices, and its seconds: ``learning``."""

    learned: Learned
    counts: Counts
    seconds: Mapping[str, float]


class Site(NamedTuple):
    """One fleet's part of a round: its worlds, and a lesson for every group of agents."""

    shard: Shard
    lessons: dict[str, Lesson]


class Played(NamedTuple):
    """What a site brings; its experience stays where it was made.

    Attributes:
        learned: Every group's parameters and moments.
        episodes: Scores of the episodes that ended, arrays ``(n,)`` by name.
        env_steps: Steps that its worlds took.
        counts: What it ran on devices.
        seconds: Its seconds: ``worlds``, ``circuits``, ``collect``, ``learning``.
    """

    learned: dict[str, Learned]
    episodes: dict[str, Array]
    env_steps: int
    counts: Counts
    seconds: Mapping[str, float]


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


def collecting(shard: Shard, params: Stacks) -> Collected:
    """Collects a rollout, and tells what it ran on devices and where the time went."""
    watch = Stopwatch()
    policies = [seat.policy for seat in shard.seats.values()]
    trajectory, counts = metered(policies, lambda: collect(shard, params, watch))
    return Collected(trajectory, counts, _parts(watch) | {"collect": watch.total})


def learning(lesson: Lesson, trajectory: Trajectory) -> Studied:
    """Updates one group's learners, and tells what it ran on devices and how long it took."""
    watch = Stopwatch()
    learned, counts = metered([lesson.learner.actor.policy], lambda: learn(lesson, trajectory))
    return Studied(learned, counts, {"learning": watch.total})


def client_round(site: Site) -> Played:
    """Collects and learns at one site; a pure function of the site's weights, state and seed."""
    actors = {name: actor_params(lesson.params) for name, lesson in site.lessons.items()}
    trajectory, acting, seconds = collecting(site.shard, actors)
    studied = {name: learning(each, trajectory) for name, each in site.lessons.items()}
    return Played(
        {name: each.learned for name, each in studied.items()},
        trajectory.episodes,
        trajectory.env_steps,
        total([acting, *(each.counts for each in studied.values())]),
        summed([seconds, *(each.seconds for each in studied.values())]),
    )


def lesson_for(
    group: Group, params: Params, moments: Params, progress: float, seed: int, number: int
) -> Lesson:
    """A group's lesson in a round, its order of minibatches drawn from the learners' names."""
    seeds = tuple(seed_for(seed, "minibatch", number, group.name, name) for name in group.clients)
    return Lesson(
        group.learner,
        params,
        moments,
        group.members,
        group.shape,
        seeds,
        progress,
        exchange=Exchange(group.name, group.agents, number, seed, learners=group.clients),
    )


def _parts(watch: Stopwatch) -> dict[str, float]:
    return {name: watch.seconds.get(name, 0.0) for name in ("worlds", "circuits")}
