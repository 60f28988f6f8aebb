"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) for a stack of learners.

With local critics this is IPPO, with a central one MAPPO (Yu et al. 2022, arXiv 2103.01955).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qmarl.federated.transport import Traffic
from qmarl.types import Array, Params
from trainers.algorithms.learner import Learner
from trainers.algorithms.minibatches import minibatches
from trainers.algorithms.update import METRICS, Update

if TYPE_CHECKING:
    from trainers.algorithms.batch import Experience
    from trainers.split.judge import Exchange


@dataclass(frozen=True)
class Learned:
    """What an update brought.

    Attributes:
        params: ``actor.*`` of ``(S, ...)`` and ``critic.*`` of ``(C, ...)``, float64.
        moments: The optimiser's moments.
        examples: ``(S,)`` number of steps each learner learned from.
        metrics: Means over the update's steps and the stack.
        traffic: Bytes that crossed the cuts of split networks.
        steps: ``(S,)`` number of optimiser steps in which each learner had something to learn from.
    """

    params: Params
    moments: Params
    examples: Array
    metrics: dict[str, float]
    traffic: Traffic
    steps: Array


def update(
    learner: Learner,
    params: Params,
    moments: Params,
    experience: Experience,
    rngs: Sequence[np.random.Generator],
    progress: float,
    exchange: Exchange | None = None,
) -> Learned:
    """Learns from one rollout.

    Args:
        learner: Who learns, and how.
        params: ``actor.*`` of ``(S, ...)`` and ``critic.*`` of ``(C, ...)``; C divides S.
        moments: As :meth:`Learner.initial_moments` or the last update left them.
        experience: The stack's share of the rollout.
        rngs: One source of minibatch order for each learner.
        progress: Share of the training that is done, in [0, 1]; drives the schedules.
        exchange: Who takes part in the learning of split networks, in this round.
    """
    under_way = Update(learner, params, moments, experience, progress, exchange)
    plan = minibatches(experience.alive, learner.config.epochs, learner.config.minibatches, rngs)
    means = np.mean([under_way.step(index, weight) for index, weight in plan], 0)
    metrics = dict(zip(METRICS, means.tolist(), strict=True))
    crossed = (under_way.judge.take_traffic(), under_way.pilot.take_traffic())
    traffic = Traffic(sum(one.up for one in crossed), sum(one.down for one in crossed))
    steps = np.sum([weight.any(1) for _, weight in plan], 0)
    return Learned(*under_way.result(), experience.alive.sum((1, 2)), metrics, traffic, steps)
