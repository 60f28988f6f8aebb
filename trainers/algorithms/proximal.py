"""FedProx at the client: a pull of shared parameters back to the broadcast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qmarl.federated.share import matches
from qmarl.types import Array
from trainers.algorithms.adam import Packing


@dataclass(frozen=True)
class Proximal:
    """The extra loss ``mu / 2 * |shared - broadcast|^2`` (Li et al. 2020, arXiv:1812.06127).

    Attributes:
        mu: Its strength.
        share: Names that are shared, or patterns of them; personal parameters are free.
    """

    mu: float = 0.0
    share: tuple[str, ...] = ()

    def pull(self, side: str, packing: Packing) -> Array:
        """``(P,)`` strength for each parameter of one side, ``actor`` or ``critic``."""
        parts = {
            name: np.full((1, *spec.shape), self.mu * matches(f"{side}.{name}", self.share))
            for name, spec in packing.layout.items()
        }
        return np.asarray(packing.pack(parts)[0])


FREE = Proximal()
"""Nothing is held."""
