"""Critics: classical networks that judge, from what one agent sees or from the joint state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from agents.networks import mlp_forward_torch, mlp_initial, mlp_layout
from qmarl.config import Section
from qmarl.types import Layout, Params

if TYPE_CHECKING:
    import torch


class CriticConfig(Section):
    """Which critic judges the agents."""

    kind: Literal["local", "central"] = "local"
    """``local``: each learner its own, from what the agent sees. ``central``: one for the group,
    which also sees the world's joint state; it exists in training only."""
    hidden: tuple[int, ...] = Field((64, 64), strict=False)
    """Hidden widths, tanh between them."""


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
    def layout(self) -> Layout:
        """Weights ``w0, b0, w1, ...``."""
        return mlp_layout(self.sizes)

    def initial(self, rng: np.random.Generator) -> Params:
        """Glorot weights."""
        return mlp_initial(self.sizes, rng, last_gain=1.0)

    def values(self, params: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        """Values ``(S, B)`` for inputs ``(S, B, D)`` or, when central, ``(S, B, D + state)``."""
        return mlp_forward_torch(params, inputs).squeeze(-1)


def make_critic(config: CriticConfig, n_observations: int, state_size: int) -> Critic:
    """Builds the critic that ``config`` describes.

    Args:
        config: The critic's section.
        n_observations: Numbers that the widest agent sees.
        state_size: Length of the joint state.
    """
    central = config.kind == "central"
    inputs = n_observations + (state_size if central else 0)
    return Critic((inputs, *config.hidden, 1), central)
