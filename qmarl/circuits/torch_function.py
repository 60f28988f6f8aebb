"""The one place where a program meets torch: a single autograd node for all agents.

Imported only when a circuit is called (it needs torch).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch.autograd.function import once_differentiable

from qmarl.circuits.direct import Pass, divide, join
from qmarl.circuits.program import Program


@final
class ProgramFunction(torch.autograd.Function):
    """Evaluates a plan; its backward pass is the executor's adjoint."""

    @staticmethod
    def forward(
        ctx: Any, program: Program, inputs: torch.Tensor, *weights: torch.Tensor
    ) -> torch.Tensor:
        """Outputs ``(*agents, B, outputs)`` for ``(*agents, B, F)`` and ``(*agents, *shape)``."""
        arrays = [weight.detach().numpy() for weight in weights]
        features = inputs.detach().numpy()
        ctx.like = arrays
        ctx.passed = Pass(program.plan, features, join(arrays, features.shape[:-2]))
        return torch.from_numpy(ctx.passed.outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of the inputs and of each weight."""
        inputs, flat = ctx.passed.pull(gradient.numpy(), need_inputs=ctx.needs_input_grad[1])
        weights = [torch.from_numpy(part) for part in divide(flat, ctx.like)]
        return None, None if inputs is None else torch.from_numpy(inputs), *weights


def run_program(
    program: Program, inputs: torch.Tensor, weights: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """Evaluates a program differentiably, without PennyLane.

    Args:
        program: The program.
        inputs: ``(*agents, B, n_inputs)``, float32 or float64.
        weights: ``(*agents, *shape)`` by name, in the dtype of ``inputs``.

    Returns:
        ``(*agents, B, n_outputs)``.
    """
    ordered = [weights[name] for name in program.weight_names]
    outputs: torch.Tensor = ProgramFunction.apply(program, inputs, *ordered)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return outputs
