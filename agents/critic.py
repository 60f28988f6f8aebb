"""Critics: networks that judge, each for one agent, with the joint state, or cut in parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from agents.branches import SplitConfig, make_branch
from agents.networks import mlp_forward_torch, mlp_initial, mlp_layout
from agents.split_critic import Sight, SplitCritic
from qmarl.config import Section
from qmarl.federated.split import Guard
from qmarl.types import Layout, Params

if TYPE_CHECKING:
    import torch


class CriticConfig(Section):
    """Which critic judges the agents."""

    kind: Literal["local", "central", "split"] = "local"
    """``local``: each learner its own, from what the agent sees. ``central``: one for the group,
    which also sees the world's joint state; it exists in training only. ``split``: one for the
    group, cut between its agents and the server, who never sees an observation."""
    hidden: tuple[int, ...] = Field((64, 64), strict=False)
    """Hidden widths, tanh between them; of a ``split`` critic those at the server."""
    split: SplitConfig = SplitConfig()
    """Where a ``split`` critic is cut, and what crosses the cut."""

    @model_validator(mode="after")
    def _something_lies_between(self) -> Self:
        if self.kind == "split" and self.split.last_layer == "agent" and not self.hidden:
            raise ValueError(
                "hidden: with 'split.last_layer: agent' and no hidden layer at the server, agents "
                "would get each other's activations; give it at least one width"
            )
        return self


@dataclass(frozen=True)
class Critic:
    """A perceptron from an agent's view to the value of its future.

    Attributes:
        sizes: Widths from inputs to the single value.
        central: Whether the joint state is appended to the observation.
    """

    sizes: tuple[int, ...]
    central: bool

    @property
    def kind(self) -> str:
        """``local`` or ``central``."""
        return "central" if self.central else "local"

    @property
    def sees(self) -> Sight:
        """``own`` or ``state``."""
        return "state" if self.central else "own"

    @property
    def layout(self) -> Layout:
        """Weights ``w0, b0, w1, ...``."""
        return mlp_layout(self.sizes)

    def initial(self, rng: np.random.Generator) -> Params:
        """Glorot weights."""
        return mlp_initial(self.sizes, rng, last_gain=1.0)

    def values(self, params: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        """Values ``(S, B)`` for inputs ``(S, B, D)`` or, when central, ``(S, B, D + state)``."""
        return mlp_forward_torch(params, inputs).squeeze(-1)


AnyCritic = Critic | SplitCritic


def make_critic(
    config: CriticConfig, n_observations: int, state_size: int, agents: int = 1
) -> AnyCritic:
    """Builds the critic that ``config`` describes.

    Args:
        config: The critic's section.
        n_observations: Numbers that the widest agent sees.
        state_size: Length of the joint state.
        agents: Number of agents of the group.

    Raises:
        ConfigurationError: What an agent sees does not fit on a branch's qubits.
    """
    if config.kind == "split":
        split = config.split
        branch = make_branch(split, n_observations)
        guard = Guard(split.clipping_norm, split.noise_multiplier)
        return SplitCritic(branch, config.hidden, agents, split.last_layer == "agent", guard)
    central = config.kind == "central"
    inputs = n_observations + (state_size if central else 0)
    return Critic((inputs, *config.hidden, 1), central)
