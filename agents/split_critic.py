"""The critic that is cut between agents and server: nobody shows what it sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from agents.branches import Branch
from agents.networks import mlp_forward_torch, mlp_initial, mlp_layout
from qmarl.federated.split import OPEN, Guard
from qmarl.types import Layout, ParameterSpec, Params

if TYPE_CHECKING:
    import torch

Sight = Literal["own", "state", "team"]
"""A critic's inputs: the agent's observation, that and the joint state, or what all agents of the
group see, each for itself, and the place of the agent that asks."""

SERVER = "server"
"""Owner of the server's parameters, which are called ``server.*``."""


def owner(place: int) -> str:
    """Owner of the parameters of the group's agent at ``place``, the prefix of their names."""
    return f"agent_{place}"


@dataclass(frozen=True)
class SplitCritic:
    """A critic in three parts: a branch at each agent, a body at the server, and a last layer.

    Each agent's branch turns its own observation into ``k`` activations; the body joins those of
    all ``A`` agents. The last layer gives each agent its value and is the server's (values come
    down), or each agent has its own part of it (U-shaped). Both are the same function.

    Attributes:
        branch: What each agent makes of its observation; every agent has parameters of its own.
        hidden: Hidden widths of the body.
        agents: Number ``A`` of agents of the group.
        u_shaped: Whether the last layer is the agents'.
        guard: What agents do to activations before they send them.
    """

    branch: Branch
    hidden: tuple[int, ...]
    agents: int
    u_shaped: bool = False
    guard: Guard = OPEN

    @property
    def kind(self) -> str:
        """``split``."""
        return "split"

    @property
    def sees(self) -> Sight:
        """``team``."""
        return "team"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths at the server, from all agents' activations to what it gives."""
        joined = self.agents * self.branch.features
        return (joined, *self.hidden) if self.u_shaped else (joined, *self.hidden, self.agents)

    @property
    def width(self) -> int:
        """Numbers that the server gives an agent for each sample."""
        return self.hidden[-1] if self.u_shaped else 1

    @property
    def layout(self) -> Layout:
        """Parameters ``agent_<place>.*`` of each agent, and ``server.*``."""
        layout: dict[str, ParameterSpec] = {}
        for place in range(self.agents):
            own = {**self.branch.layout, **self._last_layout}
            layout |= {f"{owner(place)}.{name}": spec for name, spec in own.items()}
        return layout | {f"{SERVER}.{n}": spec for n, spec in mlp_layout(self.sizes).items()}

    @property
    def _last_layout(self) -> Layout:
        if not self.u_shaped:
            return {}
        weight = ParameterSpec((self.hidden[-1],), None, "weights")
        return {"last_weight": weight, "last_bias": ParameterSpec((1,), None, "weights")}

    def initial(self, rng: np.random.Generator) -> Params:
        """Every branch its own parameters, and Glorot weights at the server."""
        params: Params = {}
        for place in range(self.agents):
            own = {**self.branch.initial(rng), **self._last_initial(rng)}
            params |= {f"{owner(place)}.{name}": array for name, array in own.items()}
        body = mlp_initial(self.sizes, rng, last_gain=1.0)
        return params | {f"{SERVER}.{name}": array for name, array in body.items()}

    def _last_initial(self, rng: np.random.Generator) -> Params:
        if not self.u_shaped:
            return {}
        bound = np.sqrt(6.0 / (self.hidden[-1] + self.agents))  # as if it were one layer
        weight = rng.uniform(-bound, bound, self.hidden[-1])
        return {"last_weight": weight, "last_bias": np.zeros(1)}

    def observed(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Takes a critic's inputs apart.

        Args:
            inputs: ``(B, A * D + 1)``: what the group's agents see, and the place of the agent
                whose value is asked for.

        Returns:
            Observations ``(A, B, D)`` and places ``(B,)``.
        """
        observations = inputs[:, :-1].reshape(len(inputs), self.agents, -1)
        return observations.transpose(0, 1).contiguous(), inputs[:, -1].long()

    def encode(self, params: Mapping[str, torch.Tensor], observed: torch.Tensor) -> torch.Tensor:
        """The agents' part: activations ``(A, B, k)`` of observations ``(A, B, D)``."""
        import torch

        own = {
            name: torch.cat([params[f"{owner(place)}.{name}"] for place in range(self.agents)])
            for name in self.branch.layout
        }
        return self.branch.encode(own, observed)

    def join(
        self, params: Mapping[str, torch.Tensor], activations: torch.Tensor, places: torch.Tensor
    ) -> torch.Tensor:
        """The server's part: outputs ``(B, width)`` for the agents at ``places`` ``(B,)``."""
        prefix = f"{SERVER}."
        own = {n.removeprefix(prefix): a for n, a in params.items() if n.startswith(prefix)}
        joined = activations.transpose(0, 1).flatten(1)[None]
        outputs = mlp_forward_torch(own, joined)[0]
        return outputs.tanh() if self.u_shaped else outputs.gather(1, places[:, None])

    def finish(
        self, params: Mapping[str, torch.Tensor], outputs: torch.Tensor, places: torch.Tensor
    ) -> torch.Tensor:
        """The agents' last part: values ``(B,)`` of the server's outputs ``(B, width)``."""
        import torch

        if not self.u_shaped:
            return outputs[:, 0]
        own = [owner(place) for place in range(self.agents)]
        weights = torch.cat([params[f"{name}.last_weight"] for name in own])
        biases = torch.cat([params[f"{name}.last_bias"] for name in own])
        return (outputs * weights[places]).sum(1) + biases[places, 0]

    def values(self, params: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        """Values ``(1, B)`` of inputs ``(1, B, A * D + 1)``, as one network without a cut."""
        observed, places = self.observed(inputs[0])
        outputs = self.join(params, self.encode(params, observed), places)
        return self.finish(params, outputs, places)[None]
