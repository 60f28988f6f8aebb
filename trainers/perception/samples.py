"""Labelled samples: where they come from, and how they are divided among clients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from qmarl.errors import ConfigurationError, RunError
from qmarl.types import Array

if TYPE_CHECKING:
    from trainers.perception.config import DataConfig, SplitConfig

CLASSES = 2
"""Classes that are told apart."""
_TRIES = 1000


@dataclass(frozen=True)
class Samples:
    """Features and classes.

    Attributes:
        features: ``(n, F)`` float64, about 0 with standard deviation 1.
        labels: ``(n,)`` int64, from 0.
    """

    features: Array
    labels: Array

    def at(self, index: Array) -> Samples:
        """Some of them."""
        return Samples(self.features[index], self.labels[index])


@lru_cache(maxsize=4)
def load_samples(config: DataConfig, features: int) -> tuple[Samples, Samples]:
    """Samples to learn from and samples to test with, on the leading principal components.

    Scales and components are those of the samples to learn from.

    Args:
        config: Which.
        features: Number of principal components.

    Raises:
        RunError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_breast_cancer  # type: ignore[import-untyped] # no types
        from sklearn.decomposition import PCA  # type: ignore[import-untyped]
        from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]
        from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]
    except ImportError:
        raise RunError(
            "data.kind: 'wdbc' comes with scikit-learn; install the extra: pip install "
            "'qmarl[perception]'"
        ) from None
    raw, labels = load_breast_cancer(return_X_y=True)
    parts = train_test_split(
        raw, labels, test_size=config.test_share, random_state=0, stratify=labels
    )
    scaler = StandardScaler().fit(parts[0])
    components = PCA(features, whiten=True, random_state=0).fit(scaler.transform(parts[0]))
    train, test = (components.transform(scaler.transform(part)) for part in parts[:2])
    return Samples(train, parts[2].astype(np.int64)), Samples(test, parts[3].astype(np.int64))


def divided(
    labels: Array, clients: int, split: SplitConfig, least: int, rng: np.random.Generator
) -> list[Array]:
    """Deals samples out, each to exactly one client.

    Args:
        labels: ``(n,)`` classes of the samples.
        clients: Number of clients.
        split: How.
        least: Fewest samples that a client may have.
        rng: Source of randomness.

    Returns:
        Every client's indices, sorted.

    Raises:
        ConfigurationError: There are too few samples, or the split is too uneven.
    """
    for _ in range(_TRIES):
        if split.kind == "iid":
            parts = np.array_split(rng.permutation(len(labels)), clients)
        else:
            parts = _uneven(labels, clients, split.alpha, rng)
        if min(map(len, parts)) >= least:
            return [np.sort(part) for part in parts]
        if split.kind == "iid":
            break
    raise ConfigurationError(
        f"data.split: {len(labels)} samples do not give each of {clients} clients at least {least};"
        " take fewer clients, fewer minibatches or a more even split"
    )


def _uneven(labels: Array, clients: int, alpha: float, rng: np.random.Generator) -> list[Array]:
    """Divides every class by proportions of its own."""
    shares: list[list[Array]] = [[] for _ in range(clients)]
    for label in np.unique(labels):
        index = rng.permutation(np.flatnonzero(labels == label))
        ends = np.cumsum(rng.dirichlet(np.full(clients, alpha)))[:-1] * len(index)
        for share, part in zip(shares, np.split(index, ends.astype(np.int64)), strict=True):
            share.append(part)
    return [np.concatenate(share) for share in shares]
