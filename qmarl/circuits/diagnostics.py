"""Diagnostics: whether a circuit can be trained, how much it can say, and how entangled it gets.

The front door of the ``diagnostics_*`` files:

- :func:`gradient_variance`: barren plateaus against width and depth,
- :func:`expressibility` and :func:`entangling_capability`: the states that it reaches,
- :func:`effective_dimension`: the parameters that its predictions feel.
"""

from __future__ import annotations

from qmarl.circuits.decay import Decay
from qmarl.circuits.diagnostics_capacity import (
    EffectiveDimension,
    Model,
    effective_dimension,
    fisher,
)
from qmarl.circuits.diagnostics_gradients import (
    GradientRow,
    GradientScan,
    Observable,
    gradient_variance,
)
from qmarl.circuits.diagnostics_states import (
    EntanglingCapability,
    Expressibility,
    entangling_capability,
    expressibility,
)

__all__ = [
    "Decay",
    "EffectiveDimension",
    "EntanglingCapability",
    "Expressibility",
    "GradientRow",
    "GradientScan",
    "Model",
    "Observable",
    "effective_dimension",
    "entangling_capability",
    "expressibility",
    "fisher",
    "gradient_variance",
]
