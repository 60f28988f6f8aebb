"""Programs without autograd: values and gradients from one call, on NumPy arrays.

At small batches most of the time of a call through torch is torch's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, final

import numpy as np

from qmarl.circuits.numpy_executor import backward, bind, forward
from qmarl.circuits.plan import Plan
from qmarl.circuits.program import Program
from qmarl.errors import RunError
from qmarl.types import Array, Params


class Pulled(NamedTuple):
    """Values of a circuit and the gradients of ``sum(cotangent * outputs)``.

    Attributes:
        outputs: ``(*agents, B, n_outputs)``.
        inputs: Gradient ``(*agents, B, n_inputs)``, None where it was not asked for.
        weights: Gradient ``(*agents, *shape)`` of every named weight.
    """

    outputs: Array
    inputs: Array | None
    weights: Params


@final
class Pass:
    """One forward pass, which can be pulled back.

    Args:
        plan: What is run.
        inputs: ``(*agents, B, F)``, float32 or float64.
        weights: ``(A, P)`` flat weights.

    Attributes:
        outputs: ``(*agents, B, outputs)`` in the dtype of ``inputs``.
    """

    def __init__(self, plan: Plan, inputs: Array, weights: Array) -> None:
        self._shape = inputs.shape
        flat = inputs.reshape(len(weights), *inputs.shape[-2:])
        self._bound = bind(plan, weights, inputs.dtype)
        outputs, self._traces = forward(self._bound, flat)
        self.outputs = outputs.reshape(*inputs.shape[:-1], -1)

    def pull(self, gradient: Array, *, need_inputs: bool) -> tuple[Array | None, Array]:
        """Gradients of the inputs ``(*agents, B, F)`` or None, and of the flat weights ``(A, P)``.

        Args:
            gradient: ``(*agents, B, outputs)``.
            need_inputs: Whether the inputs' gradient is wanted.
        """
        flat = gradient.reshape(self._bound.agents, *gradient.shape[-2:])
        inputs, weights = backward(self._bound, self._traces, flat, need_inputs=need_inputs)
        return None if inputs is None else inputs.reshape(self._shape), weights


def check_finite(name: str, outputs: Array, inputs: Array) -> None:
    """Looks for numbers that are not finite; one sum over the outputs where all is well.

    Raises:
        RunError: Inputs or weights of the circuit ``name`` are not finite.
    """
    if not math.isfinite(np.add.reduce(outputs, None)):
        place = "weights" if np.isfinite(inputs).all() else "inputs"
        raise RunError(f"circuit '{name}': its {place} are not all finite numbers")


def join(weights: Sequence[Array], agents: tuple[int, ...]) -> Array:
    """Joins weights ``(*agents, *shape)`` to flat ones ``(A, P)``."""
    count = math.prod(agents)
    flat = [array.reshape(count, -1) for array in weights]
    return flat[0] if len(flat) == 1 else np.concatenate(flat, -1)


def divide(flat: Array, like: Sequence[Array]) -> list[Array]:
    """Divides flat gradients ``(A, P)`` into arrays of the shapes and dtypes of ``like``."""
    parts, start = [], 0
    for array in like:
        stop = start + array.size // len(flat)
        parts.append(flat[:, start:stop].astype(array.dtype).reshape(array.shape))
        start = stop
    return parts


def value_and_gradients(
    program: Program,
    inputs: Array,
    weights: Mapping[str, Array],
    cotangent: Array,
    *,
    need_inputs: bool = True,
) -> Pulled:
    """Evaluates a program and pulls ``cotangent`` back.

    Args:
        program: The program.
        inputs: ``(*agents, B, n_inputs)``, float32 or float64.
        weights: ``(*agents, *shape)`` by name.
        cotangent: ``(*agents, B, n_outputs)``, gradient of a loss by the outputs.
        need_inputs: Whether the inputs' gradient is wanted.

    Raises:
        RunError: Inputs or weights are not finite.
    """
    ordered = [weights[name] for name in program.weight_names]
    passed = Pass(program.plan, inputs, join(ordered, inputs.shape[:-2]))
    check_finite(program.name, passed.outputs, inputs)
    pulled, flat = passed.pull(np.asarray(cotangent, inputs.dtype), need_inputs=need_inputs)
    named = dict(zip(program.weight_names, divide(flat, ordered), strict=True))
    return Pulled(passed.outputs, pulled, named)
