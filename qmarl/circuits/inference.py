"""Frozen circuits for rollouts: unitaries built once per parameter version, NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import numpy as np
import numpy.typing as npt

from qmarl.circuits.bound import Bound
from qmarl.circuits.numpy_executor import bind as bind_plan
from qmarl.circuits.numpy_executor import evaluate
from qmarl.circuits.program import Program
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


def bind(program: Program, weights: Mapping[str, Array], dtype: npt.DTypeLike) -> BoundProgram:
    """Builds the unitaries of frozen weights; see :meth:`Program.bind`."""
    flat = program.flatten(weights)
    agents = flat.shape[:-1]
    bound = bind_plan(program.plan, flat.reshape(-1, program.n_weights), dtype)
    return BoundProgram(bound, agents)
