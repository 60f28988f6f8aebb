"""Who learns: an actor and its critic with their parameters, and the settings of learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from qmarl.config import Section
from qmarl.types import Layout, Params
from trainers.algorithms.adam import initial_moments
from trainers.algorithms.proximal import FREE, Proximal

if TYPE_CHECKING:
    from agents.actor import Actor
    from agents.critic import AnyCritic


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
    log_std: float = Field(0.005, gt=0, le=1e30)
    """Logarithms of the standard deviations of continuous actions."""
    critic: float = Field(0.001, gt=0, le=1e30)
    """Weights of the critic; a split critic's circuits have the rates of circuits."""


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
    log_std: float = Field(1.0, gt=0)
    """Logarithms of the standard deviations of continuous actions."""
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
class Learner:
    """An actor and a critic that learn together; holds no state of its own.

    Attributes:
        actor: The actor of the group.
        critic: Its critic.
        config: How to learn.
        precision: ``float32`` or ``float64``.
        proximal: What holds shared parameters near the broadcast.
        device: Where it is done: ``cpu``, ``cuda`` or ``cuda:<number>``.
    """

    actor: Actor
    critic: AnyCritic
    config: PPOConfig
    precision: str
    proximal: Proximal = FREE
    device: str = "cpu"

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


def prefixed(prefix: str, params: Params) -> Params:
    """Puts ``prefix.`` before every name."""
    return {f"{prefix}.{name}": array for name, array in params.items()}


def without_prefix(prefix: str, params: Params) -> Params:
    """Takes the arrays whose names start with ``prefix.``, without it."""
    start = f"{prefix}."
    return {name[len(start) :]: a for name, a in params.items() if name.startswith(start)}
