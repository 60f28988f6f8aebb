"""A split actor while it learns: heads at the drones, body at the server, bytes between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, final

import numpy as np

from qmarl.federated.privacy_noise import NoiseSource
from qmarl.federated.split import Cut
from qmarl.federated.transport import MeteredChannel, Traffic
from trainers.split.passes import SplitPass

if TYPE_CHECKING:
    import torch

    from agents.split_actor import SplitActor
    from trainers.split.judge import Exchange

    Views = Callable[[], Mapping[str, torch.Tensor]]


@final
class SplitPilot:
    """Outputs of a split actor, and its gradients, over an exchange's channel.

    Every learner of the stack is a client with a head of its own, and the server holds a body for
    each of them; where bodies are shared, the federation joins them after the round (SplitFed,
    Thapa et al. 2022, arXiv:2004.12088).

    Args:
        actor: The actor.
        views: Gives views of all its parameters, each time of a new graph.
        exchange: Who takes part.
        dtype: Type of what crosses, ``float32`` or ``float64``.
    """

    def __init__(self, actor: SplitActor, views: Views, exchange: Exchange, dtype: str) -> None:
        self._actor, self._views, self._round = actor, views, exchange.round
        self._channel = MeteredChannel(exchange.channel)
        group = f"{exchange.group}/actor"  # a critic's messages of the same batch are others
        self._cuts = [
            Cut(self._channel, group, learner, exchange.round, dtype)
            for learner in exchange.learners
        ]
        self._source = NoiseSource(exchange.seed)
        self._batch = 0
        self._pass: SplitPass | None = None

    def outputs(self, observations: torch.Tensor) -> torch.Tensor:
        """Outputs ``(S, B, N)`` of observations ``(S, B, D)``."""
        actor, views = self._actor, self._views
        stacks, count, _ = observations.shape
        self._pass = SplitPass(self._cuts, self._batch, actor.guard, self._source)
        self._batch += 1
        served = self._pass.forward(
            actor.encode(views(), observations),
            lambda joined: actor.serve(views(), joined).flatten(0, 1),
            np.repeat(np.arange(stacks), count),
        )
        return actor.finish(views(), served.reshape(stacks, count, -1))

    def finish(self) -> None:
        """Completes the gradients after the loss's own backward pass."""
        assert self._pass is not None
        self._pass.backward()
        self._pass = None

    def take_traffic(self) -> Traffic:
        """Bytes that crossed the cuts since this was last called."""
        return self._channel.take(self._round)
