"""Where noise and shots meet torch: one autograd node around a NumPy forward and backward pass.

Imported only when a runner is differentiated (it needs torch).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, final

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from qmarl.circuits.program import Program
from qmarl.types import Array


class Passes(Protocol):
    """A runner with a backward pass of its own."""

    @property
    def program(self) -> Program:
        """The ideal program."""
        ...

    def forward(self, inputs: Array, flat: Array) -> tuple[Array, Any]:
        """Outputs ``(A, B, outputs)`` for inputs ``(A, B, F)`` and weights ``(A, P)``; a trace."""
        ...

    def backward(
        self, trace: Any, gradient: Array, need_inputs: bool
    ) -> tuple[Array | None, Array]:
        """Gradients of the inputs, None where they are not needed, and of the flat weights."""
        ...


@final
class RunnerFunction(torch.autograd.Function):
    """Evaluates a runner; its backward pass is the runner's own."""

    @staticmethod
    def forward(ctx: Any, runner: Passes, inputs: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
        """Outputs ``(A, B, outputs)`` for inputs ``(A, B, F)`` and flat weights ``(A, P)``."""
        outputs, ctx.trace = runner.forward(inputs.detach().numpy(), flat.detach().numpy())
        ctx.runner, ctx.dtype = runner, flat.dtype
        return torch.from_numpy(outputs.astype(inputs.detach().numpy().dtype, copy=False))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of the inputs and of the weights."""
        need_inputs = ctx.needs_input_grad[1]
        inputs, flat = ctx.runner.backward(ctx.trace, gradient.numpy(), need_inputs)
        samples = None
        if need_inputs and inputs is not None:
            samples = torch.from_numpy(np.ascontiguousarray(inputs)).to(gradient.dtype)
        return None, samples, torch.from_numpy(flat).to(ctx.dtype)


def evaluate(
    runner: Passes, inputs: torch.Tensor, weights: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """Evaluates a runner differentiably.

    Args:
        runner: Its NumPy passes.
        inputs: ``(A, B, n_inputs)``, float32 or float64.
        weights: ``(A, *shape)`` by name.

    Returns:
        ``(A, B, n_outputs)`` in the dtype of ``inputs``.
    """
    parts = [weights[name].reshape(len(inputs), -1) for name in runner.program.weight_names]
    outputs: torch.Tensor = RunnerFunction.apply(runner, inputs, torch.cat(parts, 1))  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return outputs
