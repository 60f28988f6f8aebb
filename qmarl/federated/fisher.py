"""Averaging by what each client knows of each parameter (Matena and Raffel 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from qmarl.federated.aggregators import Strategy, Update
from qmarl.types import Array, Params

PREFIX = "fisher/"
"""Before a parameter's name: the client's Fisher information about it."""


class FisherAvg(Strategy):
    """Average of each coordinate, weighted by Fisher information (arXiv:2111.09832, eq. 4).

    Clients send the diagonal of their information with their deltas. Only how it is spread over
    the parameters counts: every client's is scaled to mean 1, so that nobody gains by large claims.
    """

    kind: Literal["fisher"] = "fisher"
    """The aggregator's name in the configuration."""
    weighted: bool = True
    """Whether clients weigh by their examples too; otherwise all weigh the same."""
    damping: float = Field(default=0.1, gt=0)
    """Added to the information of mean 1: where nobody knows anything, all weigh the same."""

    def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
        """Returns the weighted average; there is no state."""
        ordered = sorted(updates, key=lambda update: update.client)
        if not ordered:
            raise ValueError("an aggregator needs at least one update")
        weights = [self._weights(update) for update in ordered]
        step = {}
        for name in ordered[0].arrays:
            deltas = np.stack([update.arrays[name] for update in ordered])
            voices = np.stack([weight[name] for weight in weights])
            step[name] = np.asarray((voices * deltas).sum(0) / voices.sum(0))
        return step, state

    def _weights(self, update: Update) -> Params:
        """One weight for every number of an update."""
        count = sum(array.size for array in update.arrays.values())
        total = sum(float(array.sum()) for array in update.information.values())
        scale = count / total if total > 0 else 0.0
        voice = float(update.examples) if self.weighted else 1.0
        return {
            name: voice * (self._known(update, name, delta) * scale + self.damping)
            for name, delta in update.arrays.items()
        }

    def _known(self, update: Update, name: str, delta: Array) -> Array:
        return update.information.get(name, np.zeros_like(delta))
