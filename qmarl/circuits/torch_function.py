"""The one place where a program meets torch: a single autograd node for all agents.

Imported only when a circuit is called (it needs torch).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from qmarl.circuits.numpy_executor import backward, bind, forward
from qmarl.circuits.plan import Plan
from qmarl.circuits.program import Program
from qmarl.types import Array


@final
class ProgramFunction(torch.autograd.Function):
    """Evaluates a plan; its backward pass is the executor's adjoint."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, inputs: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        """Outputs ``(A, B, outputs)`` for inputs ``(A, B, F)`` and weights ``(A, *shape)``."""
        features = inputs.detach().numpy()
        bound = bind(plan, _join(weights), features.shape[1], features.dtype)
        outputs, ctx.trace = forward(bound, features)
        ctx.bound, ctx.like = bound, weights
        return torch.from_numpy(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of the inputs and of each weight."""
        need_inputs = ctx.needs_input_grad[1]
        inputs, flat = backward(ctx.bound, ctx.trace, gradient.numpy(), need_inputs=need_inputs)
        weights = _divide(flat, ctx.like)
        return None, None if inputs is None else torch.from_numpy(inputs), *weights


def run_program(
    program: Program, inputs: torch.Tensor, weights: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """Evaluates a program differentiably, without PennyLane.

    Args:
        program: The program.
        inputs: ``(A, B, n_inputs)``, float32 or float64.
        weights: ``(A, *shape)`` by name, in the dtype of ``inputs``.

    Returns:
        ``(A, B, n_outputs)``.
    """
    ordered = [weights[name] for name in program.weight_names]
    outputs: torch.Tensor = ProgramFunction.apply(program.plan, inputs, *ordered)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return outputs


def _join(weights: Sequence[torch.Tensor]) -> Array:
    arrays = [weight.detach().numpy() for weight in weights]
    return np.concatenate([array.reshape(len(array), -1) for array in arrays], -1)


def _divide(flat: Array, like: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    parts = torch.split(torch.from_numpy(flat), [weight[0].numel() for weight in like], -1)
    return [
        part.reshape(weight.shape).to(weight.dtype)
        for part, weight in zip(parts, like, strict=True)
    ]
