"""Layer-wise training: which layers of a circuit learn at which point of the training.

After Skolik et al. 2021 (arXiv:2006.14904): layers start to learn one step after another, so that
few angles learn while gradients are still large; then parts of the circuit take turns. Unlike
theirs, layers that have not started yet are not missing but keep their first angles: draw those
near 0 (``initialisation: small_angle``). Learners leave frozen layers as they are; the momentum of
a federated server dies away in them over its own rounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from qmarl.config import Section

if TYPE_CHECKING:
    from qmarl.types import Array, Layout


class TrainingConfig(Section):
    """Which layers learn when."""

    shorthand: ClassVar[str | None] = "kind"
    kind: Literal["whole", "layerwise"] = "whole"
    """``whole``: all layers all the time; ``layerwise``: first some layers, then step by step
    more, then parts of the circuit in turn."""
    first: int = Field(1, ge=1)
    """Layers that learn at the start."""
    step: int = Field(1, ge=1)
    """Layers that are added at a time."""
    window: int | None = Field(None, ge=1)
    """How many of the layers added last learn while layers are added; by default all of them."""
    growth: float = Field(0.5, gt=0, le=1)
    """Share of the rounds in which layers are added."""
    parts: int = Field(2, ge=1)
    """Parts of the circuit that take turns in the rest of the rounds; 1: all layers learn."""
    sweeps: int = Field(2, ge=1)
    """How often each part takes its turn."""


def learning_layers(training: TrainingConfig, layers: int, progress: float) -> Array:
    """Which layers learn, as a pure function of how much of the training is done.

    Args:
        training: The section.
        layers: Number of layers ``L``.
        progress: Share of the rounds that are done, in [0, 1).

    Returns:
        ``(L,)`` bool.

    Example:
        >>> layerwise = TrainingConfig(kind="layerwise")
        >>> for done in (0.0, 0.2, 0.4, 0.5, 0.7):
        ...     print(learning_layers(layerwise, 4, done).astype(int).tolist())
        [1, 0, 0, 0]
        [1, 1, 0, 0]
        [1, 1, 1, 1]
        [1, 1, 0, 0]
        [0, 0, 1, 1]
    """
    place = np.arange(layers)
    if training.kind == "whole":
        return place >= 0
    if progress < training.growth:
        stages = 1 + max(0, -(-(layers - training.first) // training.step))
        stage = int(progress / training.growth * stages)
        added = min(layers, training.first + stage * training.step)
        return (place < added) & (place >= added - (training.window or layers))
    rest = (progress - training.growth) / (1 - training.growth)
    turn = int(rest * training.parts * training.sweeps) % training.parts
    return np.asarray(place * training.parts // layers == turn)


def learning_parameters(
    training: TrainingConfig, layers: int, layout: Layout, progress: float
) -> dict[str, Array]:
    """Which parameters of a built-in circuit learn.

    The layers lie on the first axis of ``angles``, and of ``scales`` where every layer has its own
    upload. What belongs to no layer, such as a closing column or a single upload, always learns.

    Args:
        training: The section.
        layers: Number of layers.
        layout: The circuit's parameters.
        progress: Share of the rounds that are done, in [0, 1).

    Returns:
        Bool arrays by name, shaped as in ``layout``.
    """
    learns = learning_layers(training, layers, progress)
    masks = {name: np.ones(spec.shape, bool) for name, spec in layout.items()}
    for name, mask in masks.items():
        if name in ("angles", "scales") and len(mask) >= layers > 1:
            mask[:layers][~learns] = False
    return masks
