"""What gives values while a critic learns: the whole network here, or one cut in parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from agents.split_critic import SplitCritic
from qmarl.federated.transport import Traffic
from trainers.split.judge import Exchange, SplitJudge

if TYPE_CHECKING:
    import torch

    from agents.critic import AnyCritic

    Views = Callable[[], Mapping[str, torch.Tensor]]


NONE = Traffic(0, 0)
"""Nothing travelled."""


class Judge(Protocol):
    """A critic with its parameters."""

    def values(self, inputs: torch.Tensor) -> torch.Tensor:
        """Values ``(C, B)`` of inputs ``(C, B, D)``."""
        ...

    def finish(self) -> None:
        """Completes the parameters' gradients after the loss's own backward pass."""
        ...

    def take_traffic(self) -> Traffic:
        """Bytes that travelled for it since this was last called."""
        ...


@dataclass(frozen=True)
class WholeJudge:
    """A critic in one piece."""

    critic: AnyCritic
    views: Views

    def values(self, inputs: torch.Tensor) -> torch.Tensor:
        """Values ``(C, B)`` of inputs ``(C, B, D)``."""
        return self.critic.values(self.views(), inputs)

    def finish(self) -> None:
        """Nothing: the loss's backward pass reached every parameter."""

    def take_traffic(self) -> Traffic:
        """Nothing travels."""
        return NONE


def make_judge(critic: AnyCritic, views: Views, exchange: Exchange | None, dtype: str) -> Judge:
    """Gives a split critic its cuts; without an exchange it stays in one piece, as any other does.

    Args:
        critic: The critic.
        views: Gives views of its parameters, each time of a new graph.
        exchange: Who takes part.
        dtype: ``float32`` or ``float64``.
    """
    if isinstance(critic, SplitCritic) and exchange is not None:
        return SplitJudge(critic, views, exchange, dtype)
    return WholeJudge(critic, views)
