"""A split critic at work: branches at the agents, body at the server, bytes between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, final

from qmarl.federated.privacy_noise import NoiseSource
from qmarl.federated.split import Cut
from qmarl.federated.transport import InMemoryChannel, MeteredChannel, Traffic
from qmarl.types import Channel
from trainers.split.passes import SplitPass

if TYPE_CHECKING:
    import torch

    from agents.split_critic import SplitCritic

    Views = Callable[[], Mapping[str, torch.Tensor]]


@dataclass(frozen=True)
class Exchange:
    """Who learns together over cuts, in one round.

    Attributes:
        group: Name of the agent group.
        agents: Names of its agents, the clients of a split critic.
        round: Round number.
        seed: Seed of the run, or of the fleet, for the noise.
        channel: Carries the bytes.
        learners: Names of the clients behind the stack of actors, the clients of a split actor.
    """

    group: str
    agents: tuple[str, ...]
    round: int
    seed: int
    channel: Channel = field(default_factory=InMemoryChannel)
    learners: tuple[str, ...] = ()


@final
class SplitJudge:
    """Values of a split critic, and its gradients, over an exchange's channel.

    Args:
        critic: The critic.
        views: Gives views of all its parameters, each time of a new graph.
        exchange: Who takes part.
        dtype: Type of what crosses, ``float32`` or ``float64``.
    """

    def __init__(self, critic: SplitCritic, views: Views, exchange: Exchange, dtype: str) -> None:
        self._critic, self._views, self._round = critic, views, exchange.round
        self._channel = MeteredChannel(exchange.channel)
        self._cuts = [
            Cut(self._channel, exchange.group, agent, exchange.round, dtype)
            for agent in exchange.agents
        ]
        self._source = NoiseSource(exchange.seed)
        self._batch = 0
        self._pass: SplitPass | None = None

    def values(self, inputs: torch.Tensor) -> torch.Tensor:
        """Values ``(1, B)`` of inputs ``(1, B, A * D + 1)``."""
        if inputs.shape[1] == 0:  # nothing was cut short: nothing to send
            return inputs.new_zeros(1, 0)
        critic, views = self._critic, self._views
        observed, places = critic.observed(inputs[0])
        self._pass = SplitPass(self._cuts, self._batch, critic.guard, self._source)
        self._batch += 1
        body = partial(critic.join, views(), places=places)
        outputs = self._pass.forward(critic.encode(views(), observed), body, places.numpy())
        return critic.finish(views(), outputs, places)[None]

    def finish(self) -> None:
        """Completes the gradients after the loss's own backward pass."""
        assert self._pass is not None
        self._pass.backward()
        self._pass = None

    def take_traffic(self) -> Traffic:
        """Bytes that crossed the cuts since this was last called."""
        return self._channel.take(self._round)
