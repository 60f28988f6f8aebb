"""Frozen circuits for rollouts: unitaries built once per parameter version, NumPy alone."""

from __future__ import annotations

from typing import final

import numpy as np

from qmarl.circuits.bound import Bound
from qmarl.circuits.numpy_executor import evaluate
from qmarl.types import Array


@final
class BoundProgram:
    """A program with frozen weights; call it with inputs.

    Made by :meth:`qmarl.circuits.program.Program.bind`.
    """

    def __init__(self, bound: Bound, agents: tuple[int, ...]) -> None:
        self._bound = bound
        self._agents = agents

    def __call__(self, inputs: Array) -> Array:
        """Evaluates ``inputs`` ``(*agents, B, n_inputs)``; returns ``(*agents, B, n_outputs)``."""
        flat = np.asarray(inputs, self._bound.dtype).reshape(self._bound.agents, *inputs.shape[-2:])
        outputs = evaluate(self._bound, flat)
        return outputs.reshape(*self._agents, *outputs.shape[1:])
