"""The actor that is cut between drone and server: a head here, a body there, and a last layer.

At work, the drone turns its observation into a few activations, the server makes features of them,
and the last layer, the server's or the drone's own (U-shaped), makes what the actor's head reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from agents.branches import Branch
from agents.heads import CATEGORICAL, Head
from qmarl.federated.split import OPEN, Guard
from qmarl.types import Array, Layout, ParameterSpec, Params

if TYPE_CHECKING:
    import torch

    from agents.actor import Act, Policy

Value = TypeVar("Value")
AGENT, SERVER = "agent", "server"
"""Owners of parameters, the prefixes of their names."""


@dataclass(frozen=True)
class SplitPolicy:
    """Acts with all parts in one process, NumPy alone: what is clipped in training is clipped here.

    Attributes:
        branch: The drone's part.
        body: The server's.
        last: Owner of the last layer.
        guard: Clips activations; noise is for training alone.
        precision: ``float32`` or ``float64``.
    """

    branch: Branch
    body: Branch
    last: str
    guard: Guard
    precision: str

    def bind(self, params: Params) -> Act:
        """Casts the parameters once, and prepares the circuits."""
        cast = {name: array.astype(self.precision) for name, array in params.items()}
        encode = self.branch.bind(part(AGENT, cast), self.precision)
        judge = self.body.bind(part(SERVER, cast), self.precision)
        weight, bias = (cast[f"{self.last}.last_{name}"] for name in ("weight", "bias"))

        def act(observations: Array) -> Array:
            inputs = observations.astype(self.precision, copy=False)
            features = judge(self.guard.clipped(encode(inputs)))
            outputs: Array = features @ weight + bias[..., None, :]
            return outputs

        return act


@dataclass(frozen=True)
class SplitActor:
    """An actor in three parts.

    Attributes:
        branch: What a drone makes of its observation: a perceptron or a circuit.
        body: What the server makes of the activations: a perceptron or a circuit.
        n_actions: Numbers that the head reads.
        precision: ``float32`` or ``float64``.
        u_shaped: Whether the last layer is the drone's.
        guard: What drones do to activations before they send them.
        head: What the outputs mean.
    """

    branch: Branch
    body: Branch
    n_actions: int
    precision: str
    u_shaped: bool = False
    guard: Guard = OPEN
    head: Head = CATEGORICAL

    @property
    def last(self) -> str:
        """Owner of the last layer."""
        return AGENT if self.u_shaped else SERVER

    @property
    def width(self) -> int:
        """Numbers that the server sends back for each sample."""
        return self.body.features if self.u_shaped else self.n_actions

    @property
    def layout(self) -> Layout:
        """Parameters ``agent.*`` and ``server.*``, and what the head adds, which is the drone's."""
        names = ("last_weight", "last_bias")
        shapes = ((self.body.features, self.n_actions), (self.n_actions,))
        last = {
            name: ParameterSpec(shape, None, "weights")
            for name, shape in zip(names, shapes, strict=True)
        }
        own = {**self.branch.layout, **(last if self.u_shaped else {})}
        theirs = {**self.body.layout, **({} if self.u_shaped else last)}
        return {
            **{f"{AGENT}.{name}": spec for name, spec in own.items()},
            **{f"{SERVER}.{name}": spec for name, spec in theirs.items()},
            **self.head.layout,
        }

    @property
    def policy(self) -> Policy:
        """The NumPy half."""
        return SplitPolicy(self.branch, self.body, self.last, self.guard, self.precision)

    def initial(self, rng: np.random.Generator) -> Params:
        """Each part's own, and a small last layer: near uniform choices, or means near 0."""
        params = {f"{AGENT}.{name}": array for name, array in self.branch.initial(rng).items()}
        params |= {f"{SERVER}.{name}": array for name, array in self.body.initial(rng).items()}
        bound = 0.1 * np.sqrt(6.0 / (self.body.features + self.n_actions))
        weight = rng.uniform(-bound, bound, (self.body.features, self.n_actions))
        params |= {f"{self.last}.last_weight": weight}
        params |= {f"{self.last}.last_bias": np.zeros(self.n_actions)}
        params |= self.head.initial()
        return {name: params[name] for name in self.layout}

    def encode(
        self, params: Mapping[str, torch.Tensor], observations: torch.Tensor
    ) -> torch.Tensor:
        """The drones' part: activations ``(S, B, k)`` of observations ``(S, B, D)``."""
        return self.branch.encode(part(AGENT, params), observations)

    def serve(self, params: Mapping[str, torch.Tensor], activations: torch.Tensor) -> torch.Tensor:
        """The server's part: ``(S, B, width)`` of activations ``(S, B, k)``."""
        features = self.body.encode(part(SERVER, params), activations)
        return features if self.u_shaped else _last(SERVER, params, features)

    def finish(self, params: Mapping[str, torch.Tensor], served: torch.Tensor) -> torch.Tensor:
        """The drones' last part: outputs ``(S, B, N)`` of what came back."""
        return _last(AGENT, params, served) if self.u_shaped else served

    def outputs(
        self, params: Mapping[str, torch.Tensor], observations: torch.Tensor
    ) -> torch.Tensor:
        """Outputs ``(S, B, N)`` for observations ``(S, B, D)``, as one network without a cut."""
        activations = self.encode(params, observations)
        if self.guard.clipping_norm is not None:
            norms = activations.norm(dim=-1, keepdim=True).clamp(min=self.guard.clipping_norm)
            activations = activations * (self.guard.clipping_norm / norms)
        return self.finish(params, self.serve(params, activations))


def part(owner: str, params: Mapping[str, Value]) -> dict[str, Value]:
    """What is one owner's, without the prefix and without the last layer."""
    start = f"{owner}."
    own = {name[len(start) :]: v for name, v in params.items() if name.startswith(start)}
    return {name: value for name, value in own.items() if not name.startswith("last_")}


def _last(owner: str, params: Mapping[str, torch.Tensor], features: torch.Tensor) -> torch.Tensor:
    import torch

    weight, bias = (params[f"{owner}.last_{name}"] for name in ("weight", "bias"))
    return torch.baddbmm(bias.unsqueeze(-2), features, weight)
