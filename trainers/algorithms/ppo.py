"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) for a stack of learners.

With local critics this is IPPO, with a central one MAPPO (Yu et al. 2022, arXiv 2103.01955).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from qmarl.config import Section
from qmarl.types import Array, Layout, Params
from trainers.algorithms.adam import initial_moments
from trainers.algorithms.minibatches import minibatches
from trainers.algorithms.update import METRICS, Update, prefixed

if TYPE_CHECKING:
    from agents.actor import Actor
    from agents.critic import Critic
    from trainers.algorithms.batch import Experience


class LearningRates(Section):
    """Adam's step size for each role of parameters."""

    angles: float = Field(0.02, gt=0, le=1e30)
    """Circuit angles."""
    scales: float = Field(0.01, gt=0, le=1e30)
    """Trainable input scalings."""
    readout: float = Field(0.02, gt=0, le=1e30)
    """Weights on a circuit's observables."""
    weights: float = Field(0.005, gt=0, le=1e30)
    """Weights of a classical actor."""
    critic: float = Field(0.001, gt=0, le=1e30)
    """Weights of the critic."""


class GradientNorms(Section):
    """The largest gradient norm of each role, per learner."""

    angles: float = Field(1.0, gt=0)
    """Circuit angles."""
    scales: float = Field(1.0, gt=0)
    """Trainable input scalings."""
    readout: float = Field(1.0, gt=0)
    """Weights on a circuit's observables."""
    weights: float = Field(1.0, gt=0)
    """Weights of a classical actor."""
    critic: float = Field(5.0, gt=0)
    """Weights of the critic."""


class PPOConfig(Section):
    """How the agents learn from a rollout."""

    kind: Literal["ppo"] = "ppo"
    """Proximal policy optimisation."""
    gamma: float = Field(0.98, ge=0, le=1)
    """Discount of a step."""
    gae_lambda: float = Field(0.95, ge=0, le=1)
    """Trade of bias against variance in the advantages."""
    clip: float = Field(0.2, gt=0, lt=1)
    """Largest change of a probability ratio that is rewarded."""
    epochs: int = Field(4, ge=1)
    """Passes over a rollout."""
    minibatches: int = Field(6, ge=1)
    """Parts that each pass is split into, per learner."""
    entropy: float = Field(0.01, ge=0)
    """Weight of the entropy bonus at the start."""
    final_entropy: float = Field(0.0, ge=0)
    """Weight of the entropy bonus at the end; linear in between."""
    learning_rate: LearningRates = LearningRates()
    """Adam's step size by role."""
    final_rate: float = Field(0.1, gt=0, le=1)
    """Fraction of the learning rates that is left at the end; linear in between."""
    max_grad_norm: GradientNorms = GradientNorms()
    """Gradient norm to clip at, by role."""


@dataclass(frozen=True)
class Learned:
    """What an update brought.

    Attributes:
        params: ``actor.*`` of ``(S, ...)`` and ``critic.*`` of ``(C, ...)``, float64.
        moments: The optimiser's moments.
        examples: ``(S,)`` number of steps each learner learned from.
        metrics: Means over the update's steps and the stack.
    """

    params: Params
    moments: Params
    examples: Array
    metrics: dict[str, float]


@dataclass(frozen=True)
class Learner:
    """Turns experience into new parameters; holds no state of its own.

    Attributes:
        actor: The actor of the group.
        critic: Its critic.
        config: How to learn.
        precision: ``float32`` or ``float64``.
    """

    actor: Actor
    critic: Critic
    config: PPOConfig
    precision: str

    @property
    def layout(self) -> Layout:
        """All parameters, as ``actor.*`` and ``critic.*``."""
        return {
            **{f"actor.{name}": spec for name, spec in self.actor.layout.items()},
            **{f"critic.{name}": spec for name, spec in self.critic.layout.items()},
        }

    def initial(self, actor_rng: np.random.Generator, critic_rng: np.random.Generator) -> Params:
        """Draws the parameters of one learner."""
        return {
            **{f"actor.{name}": array for name, array in self.actor.initial(actor_rng).items()},
            **{f"critic.{name}": array for name, array in self.critic.initial(critic_rng).items()},
        }

    def initial_moments(self, stacks: int, critics: int) -> Params:
        """Zero moments for ``stacks`` actors and ``critics`` critics."""
        actor = initial_moments(stacks, self.actor.layout)
        critic = initial_moments(critics, self.critic.layout)
        return {**prefixed("actor", actor), **prefixed("critic", critic)}

    def update(
        self,
        params: Params,
        moments: Params,
        experience: Experience,
        rngs: Sequence[np.random.Generator],
        progress: float,
    ) -> Learned:
        """Learns from one rollout.

        Args:
            params: ``actor.*`` of ``(S, ...)`` and ``critic.*`` of ``(C, ...)``; C divides S.
            moments: As :meth:`initial_moments` or the last update left them.
            experience: The stack's share of the rollout.
            rngs: One source of minibatch order for each learner.
            progress: Share of the training that is done, in [0, 1]; drives the schedules.
        """
        update = Update(self, params, moments, experience, progress)
        plan = minibatches(experience.alive, self.config.epochs, self.config.minibatches, rngs)
        means = np.mean([update.step(index, weight) for index, weight in plan], 0)
        metrics = dict(zip(METRICS, means.tolist(), strict=True))
        return Learned(*update.result(), experience.alive.sum((1, 2)), metrics)
