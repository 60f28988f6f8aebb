"""What gives an actor's outputs while it learns: the whole network here, or one cut in parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from agents.split_actor import SplitActor
from qmarl.federated.transport import Traffic
from trainers.algorithms.judge import NONE
from trainers.split.pilot import SplitPilot

if TYPE_CHECKING:
    import torch

    from agents.actor import Actor
    from trainers.split.judge import Exchange

    Views = Callable[[], Mapping[str, torch.Tensor]]


class Pilot(Protocol):
    """An actor with its parameters."""

    def outputs(self, observations: torch.Tensor) -> torch.Tensor:
        """Outputs ``(S, B, N)`` of observations ``(S, B, D)``."""
        ...

    def finish(self) -> None:
        """Completes the parameters' gradients after the loss's own backward pass."""
        ...

    def take_traffic(self) -> Traffic:
        """Bytes that travelled for it since this was last called."""
        ...


@dataclass(frozen=True)
class WholePilot:
    """An actor in one piece."""

    actor: Actor
    views: Views

    def outputs(self, observations: torch.Tensor) -> torch.Tensor:
        """Outputs ``(S, B, N)`` of observations ``(S, B, D)``."""
        return self.actor.outputs(self.views(), observations)

    def finish(self) -> None:
        """Nothing: the loss's backward pass reached every parameter."""

    def take_traffic(self) -> Traffic:
        """Nothing travels."""
        return NONE


def make_pilot(actor: Actor, views: Views, exchange: Exchange | None, dtype: str) -> Pilot:
    """Gives a split actor its cuts; without an exchange it stays in one piece, as any other does.

    Args:
        actor: The actor.
        views: Gives views of its parameters, each time of a new graph.
        exchange: Who takes part.
        dtype: ``float32`` or ``float64``.
    """
    if isinstance(actor, SplitActor) and exchange is not None:
        return SplitPilot(actor, views, exchange, dtype)
    return WholePilot(actor, views)
