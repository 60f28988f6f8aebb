"""The one place where a program meets torch: a single autograd node for all agents.

Imported only when a circuit is called (it needs torch).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch.autograd.function import once_differentiable

from qmarl.circuits.direct import Pass, check_finite, divide, join
from qmarl.circuits.executors import Executor, fastest
from qmarl.circuits.program import Program
from qmarl.circuits.torch_executor import TorchExecutor
from qmarl.errors import ConfigurationError
from qmarl.types import Array


@final
class ProgramFunction(torch.autograd.Function):
    """Evaluates a plan; its backward pass is the executor's adjoint."""

    @staticmethod
    def forward(
        ctx: Any, program: Program, inputs: torch.Tensor, *weights: torch.Tensor
    ) -> torch.Tensor:
        """Outputs ``(*agents, B, outputs)`` for ``(*agents, B, F)`` and ``(*agents, *shape)``."""
        ctx.weights = arrays = [_plain(weight) for weight in weights]
        features = _plain(inputs)
        ctx.passed = passed = Pass(program.plan, features, join(arrays, features.shape[:-2]))
        check_finite(program.name, passed.outputs, features)
        return torch.from_numpy(passed.outputs)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of the inputs and of each weight."""
        if torch.is_grad_enabled():  # the check costs as much as all else here: only where needed
            pulled: tuple[torch.Tensor | None, ...] = once_differentiable(_pull)(ctx, gradient)
            return pulled
        return _pull(ctx, gradient)


def _pull(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    inputs, flat = ctx.passed.pull(gradient.numpy(), need_inputs=ctx.needs_input_grad[1])
    weights = [torch.from_numpy(part) for part in divide(flat, ctx.weights)]
    return None, None if inputs is None else torch.from_numpy(inputs), *weights


def _plain(tensor: torch.Tensor) -> Array:
    return (tensor.detach() if tensor.requires_grad else tensor).numpy()


def run_program(
    program: Program,
    inputs: torch.Tensor,
    weights: Mapping[str, torch.Tensor],
    executor: Executor = "auto",
) -> torch.Tensor:
    """Evaluates a program differentiably, without PennyLane.

    Args:
        program: The program.
        inputs: ``(*agents, B, n_inputs)``, float32 or float64, on any device.
        weights: ``(*agents, *shape)`` by name, in the dtype and on the device of ``inputs``.
        executor: ``numpy``, ``torch``, ``auto`` (NumPy on the processor, where it was faster in
            every case that was measured; torch on other devices) or ``autotune`` (whichever was
            faster in this process when it first saw such shapes: repeats may differ in rounding).

    Returns:
        ``(*agents, B, n_outputs)``.

    Raises:
        ConfigurationError: Dtypes or devices do not fit.
        RunError: Inputs or weights are not finite.
    """
    ordered, device = [weights[name] for name in program.weight_names], inputs.device
    for name, weight in weights.items():
        if weight.device != device:
            raise ConfigurationError(
                f"circuit '{program.name}': weights '{name}' lie on {weight.device}, its inputs "
                f"on {device}: they must lie on the same device"
            )
    if executor == "auto":
        executor = "numpy" if inputs.is_cpu else "torch"
    elif executor == "autotune":
        executor = fastest(program, inputs, ordered, {"numpy": _on_numpy, "torch": _on_torch})
    return (_on_torch if executor == "torch" else _on_numpy)(program, inputs, ordered)


def _on_numpy(
    program: Program, inputs: torch.Tensor, weights: Sequence[torch.Tensor]
) -> torch.Tensor:
    if inputs.is_cpu:
        outputs: torch.Tensor = ProgramFunction.apply(program, inputs, *weights)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return outputs
    moved = _on_numpy(program, inputs.cpu(), [weight.cpu() for weight in weights])
    return moved.to(inputs.device)


def _on_torch(
    program: Program, inputs: torch.Tensor, weights: Sequence[torch.Tensor]
) -> torch.Tensor:
    agents, batch = inputs.shape[:-2], inputs.shape[-2]
    count = math.prod(agents)
    key = (TorchExecutor, inputs.device, inputs.dtype)
    if key not in program.kept:
        program.kept[key] = TorchExecutor(program.layered, inputs.device, inputs.dtype)
    flat = torch.cat([weight.reshape(count, -1) for weight in weights], -1)
    outputs: torch.Tensor = program.kept[key](inputs.reshape(count, batch, -1), flat)
    if not math.isfinite(outputs.detach().sum()):
        values, given = (part.detach().cpu().numpy() for part in (outputs, inputs))
        if program.prepared is not None:
            Pass(program.layered, given, flat.detach().cpu().numpy())  # says which sample is empty
        check_finite(program.name, values, given)
    return outputs.reshape(*agents, batch, -1)
