"""Adaptive optimisers on the server (Reddi et al. 2021, arXiv:2003.00295, algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from qmarl.federated.aggregators import Strategy, Update, average
from qmarl.types import Array, Params


class _Adaptive(Strategy):
    """What the three have in common; without bias correction, as published."""

    weighted: bool = True
    """Whether clients weigh by their examples; otherwise all weigh the same."""
    eta: float = Field(default=0.1, gt=0)
    """Learning rate of the server."""
    beta_1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the first moment."""
    tau: float = Field(default=1e-3, gt=0)
    """Degree of adaptivity: added to the root; the second moment starts at its square."""

    def _step(
        self, updates: Sequence[Update], state: Params, grown: Callable[[Array, Array], Array]
    ) -> tuple[Params, Params]:
        """Returns ``eta * first / (sqrt(second) + tau)``; ``grown(second, square)`` is the rule."""
        step: Params = {}
        after: Params = {}
        for name, delta in average(updates, self.weighted).items():
            first = state.get(f"first/{name}", np.zeros_like(delta))
            second = state.get(f"second/{name}", np.full_like(delta, self.tau**2))
            first = self.beta_1 * first + (1 - self.beta_1) * delta
            second = grown(second, delta**2)
            after |= {f"first/{name}": first, f"second/{name}": second}
            step[name] = self.eta * first / (np.sqrt(second) + self.tau)
        return step, after


class FedAdam(_Adaptive):
    """Adam on the server."""

    kind: Literal["fedadam"] = "fedadam"
    """The aggregator's name in the configuration."""
    beta_2: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the second moment."""

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """The second moment is a running mean of squares."""
        keep = self.beta_2
        return self._step(
            updates, state, lambda second, square: keep * second + (1 - keep) * square
        )


class FedYogi(_Adaptive):
    """Yogi on the server: the second moment moves towards the squares by their size alone."""

    kind: Literal["fedyogi"] = "fedyogi"
    """The aggregator's name in the configuration."""
    beta_2: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the second moment."""

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """``second - (1 - beta_2) * square * sign(second - square)``."""
        move = 1 - self.beta_2
        return self._step(
            updates, state, lambda second, square: second - move * square * np.sign(second - square)
        )


class FedAdagrad(_Adaptive):
    """Adagrad on the server: the second moment is the sum of all squares."""

    kind: Literal["fedadagrad"] = "fedadagrad"
    """The aggregator's name in the configuration."""
    beta_1: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the first moment."""

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """``second + square``."""
        return self._step(updates, state, lambda second, square: second + square)
