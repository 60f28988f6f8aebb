"""What a client knows of each parameter: the diagonal of its empirical Fisher information."""

from __future__ import annotations

import numpy as np

from qmarl.types import Layout, Params
from trainers.algorithms.adam import BETA_2, Packing
from trainers.algorithms.learner import prefixed, without_prefix


def information(layout: Layout, moments: Params) -> Params:
    """Returns Adam's second moments, a running mean of squared gradients, by parameter.

    No further gradients are needed. The gradients are those of minibatches after clipping, entropy
    bonus included, so this estimates the empirical Fisher information up to scale.

    Args:
        layout: All parameters of one learner, ``actor.*`` and ``critic.*``.
        moments: ``actor.second`` ``(S, P)``, ``actor.count`` ``(S,)`` and the critic's.

    Returns:
        Arrays ``(S, ...)`` float64 by name, 0 or more; 0 for who has made no step.
    """
    known: Params = {}
    for side in ("actor", "critic"):
        own, packing = without_prefix(side, moments), Packing.of(without_prefix_of(side, layout))
        grown = 1 - BETA_2 ** np.maximum(own["count"], 1.0)
        known |= prefixed(side, packing.unpack(own["second"].astype(np.float64) / grown[:, None]))
    return known


def without_prefix_of(prefix: str, layout: Layout) -> Layout:
    """Takes the declarations whose names start with ``prefix.``, without it."""
    start = f"{prefix}."
    return {name[len(start) :]: spec for name, spec in layout.items() if name.startswith(start)}
