"""What a strategy is worth under an attack: by training a classifier, or by geometry alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qmarl.federated.config import FederationConfig
from qmarl.federated.transport import InMemoryChannel
from qmarl.seeding import stream
from qmarl.types import Array, Layout
from trainers.federation import Federation
from trainers.perception.attack_section import AnyAttack
from trainers.perception.config import ClassificationConfig
from trainers.perception.poisoning import LabelBackdoor, LabelFlip
from trainers.perception.training import classify

SPREAD = 0.1
"""Standard deviation of drawn honest updates, whose mean is 1 in every coordinate."""


class Judge(Protocol):
    """Gives what a strategy is worth under an attack."""

    def __call__(self, federation: FederationConfig, attack: AnyAttack | None) -> Array:
        """Returns one score ``(n,)`` for each seed or draw.

        Args:
            federation: The strategy, and the attack where it acts on updates.
            attack: The attack, whatever it acts on; None without one.
        """
        ...


@dataclass(frozen=True)
class TrainedClassifier:
    """Judges by training: the accuracy at the end, under a backdoor that of triggered samples.

    Attributes:
        config: The classifier's configuration.
    """

    config: ClassificationConfig

    def __call__(self, federation: FederationConfig, attack: AnyAttack | None) -> Array:
        """Accuracies ``(seeds,)``."""
        poisoning = attack if isinstance(attack, LabelFlip | LabelBackdoor) else None
        update = {"federation": federation, "poisoning": poisoning}
        found = classify(self.config.model_copy(update=update))
        return found.final if found.triggered is None else found.triggered


@dataclass(frozen=True)
class DrawnUpdates:
    """Judges by geometry: how far one round's step is from the mean of random honest updates.

    Attributes:
        clients: Names of the clients.
        layout: The shared parameters.
        draws: Number of rounds, each with updates of its own.
    """

    clients: tuple[str, ...]
    layout: Layout
    draws: int

    def __call__(self, federation: FederationConfig, attack: AnyAttack | None) -> Array:
        """Distances ``(draws,)`` from the honest mean, in lengths of it."""
        malicious = () if attack is None else attack.clients
        return np.array([self._miss(federation, malicious, draw) for draw in range(self.draws)])

    def _miss(self, federation: FederationConfig, malicious: Sequence[str], draw: int) -> float:
        count = len(self.clients)
        rng = stream(draw, "updates")
        start = {name: np.zeros((count, *spec.shape)) for name, spec in self.layout.items()}
        layer = Federation(
            "table", self.clients, self.layout, start, federation, InMemoryChannel(), draw
        )
        received = layer.broadcast(start, 0)
        deltas = {name: 1 + SPREAD * rng.normal(size=array.shape) for name, array in start.items()}
        trained = {name: received[name] + delta for name, delta in deltas.items()}
        layer.gather(trained, np.full(count, 100), 0)
        honest = ~np.isin(self.clients, malicious)
        mean = np.concatenate([deltas[name][honest].mean(0).ravel() for name in deltas])
        step = np.concatenate([layer.server.params[name].ravel() for name in deltas])
        return float(np.linalg.norm(step - mean) / np.linalg.norm(mean))
