"""What every executor offers: a plan under given weights, run and pulled back chunk by chunk."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from qmarl.types import Array


class Bound(Protocol):
    """A plan under given weights."""

    plan: Any
    dtype: np.dtype
    agents: int

    def forward(self, features: Array) -> tuple[Array, Any]:
        """Outputs ``(A, B, outputs)`` for features ``(F, A, B)``, and a trace."""
        ...

    def evaluate(self, features: Array) -> Array:
        """Outputs of :meth:`forward` alone."""
        ...

    def sums(self) -> Any:
        """Zeros for :meth:`backward` to add to."""
        ...

    def backward(self, trace: Any, gradient: Array, sums: Any, inputs: Array | None) -> None:
        """Adds one chunk's gradient to ``sums`` and to that of its inputs ``(F, A, B)``."""
        ...

    def finish(self, sums: Any) -> Array:
        """Gradient ``(A, P)`` float64 of the flat weights."""
        ...
