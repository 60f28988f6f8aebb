"""The classical actor: a perceptron that the quantum one is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agents.heads import CATEGORICAL, Head
from agents.networks import mlp_forward, mlp_forward_torch, mlp_initial, mlp_layout
from qmarl.types import Array, Layout, Params

if TYPE_CHECKING:
    import torch

    from agents.actor import Act, Policy


@dataclass(frozen=True)
class MLPPolicy:
    """Acts with a stack of perceptrons."""

    precision: str

    def bind(self, params: Params) -> Act:
        """Casts the parameters once."""
        cast = {name: array.astype(self.precision) for name, array in params.items()}

        def act(observations: Array) -> Array:
            return mlp_forward(cast, observations.astype(self.precision, copy=False))

        return act


@dataclass(frozen=True)
class MLPActor:
    """A perceptron with tanh between its layers, from observations to what its head reads.

    Attributes:
        sizes: Widths from observations to outputs.
        precision: ``float32`` or ``float64``.
        head: What the outputs mean.
    """

    sizes: tuple[int, ...]
    precision: str
    head: Head = CATEGORICAL

    @property
    def layout(self) -> Layout:
        """Weights ``w0, b0, w1, ...``, and what the head adds."""
        return {**mlp_layout(self.sizes), **self.head.layout}

    @property
    def policy(self) -> Policy:
        """The NumPy half."""
        return MLPPolicy(self.precision)

    def initial(self, rng: np.random.Generator) -> Params:
        """Glorot weights with a small last layer: near uniform choices, or means near 0."""
        return {**mlp_initial(self.sizes, rng, last_gain=0.1), **self.head.initial()}

    def outputs(
        self, params: Mapping[str, torch.Tensor], observations: torch.Tensor
    ) -> torch.Tensor:
        """Outputs ``(S, B, N)`` for observations ``(S, B, D)``."""
        return mlp_forward_torch(params, observations)
