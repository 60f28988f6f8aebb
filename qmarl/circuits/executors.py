"""The choice of executor: by a fixed rule, by name, or by timing the candidates once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

from qmarl.circuits.program import Program
from qmarl.errors import ConfigurationError

if TYPE_CHECKING:
    import torch

Executor = Literal["auto", "numpy", "torch", "autotune"]
Run = Callable[["Program", "torch.Tensor", "Sequence[torch.Tensor]"], "torch.Tensor"]

REPEATS = 5


def check_executor(circuit: str, executor: str) -> None:
    """Looks an executor's name up.

    Raises:
        ConfigurationError: There is none of this name.
    """
    allowed = get_args(Executor)
    if executor not in allowed:
        raise ConfigurationError(
            f"circuit '{circuit}': executor must be one of {', '.join(allowed)}, got '{executor}'"
        )


def fastest(
    program: Program,
    inputs: torch.Tensor,
    weights: Sequence[torch.Tensor],
    candidates: Mapping[Executor, Run],
) -> Executor:
    """Name of the fastest candidate for these shapes, timed when they are first seen.

    Each runs forward and, where a gradient is wanted, backward; the best of a few calls counts. The
    choice holds for the program's life in this process.

    Args:
        program: The program.
        inputs: ``(*agents, B, n_inputs)``.
        weights: ``(*agents, *shape)`` each.
        candidates: Ways to run the program.
    """
    wanted = tuple(tensor.requires_grad for tensor in (inputs, *weights))
    key = ("fastest", inputs.shape, inputs.dtype, inputs.device, wanted)
    if key not in program.kept:
        seconds = {
            name: min(_seconds(run, program, inputs, weights) for _ in range(REPEATS))
            for name, run in candidates.items()
        }
        program.kept[key] = min(seconds, key=seconds.__getitem__)
    name: Executor = program.kept[key]
    return name


def _seconds(
    run: Run, program: Program, inputs: torch.Tensor, weights: Sequence[torch.Tensor]
) -> float:
    """Wall time of one call on copies, until its results are there."""
    x, *w = (t.detach().clone().requires_grad_(t.requires_grad) for t in (inputs, *weights))
    started = time.perf_counter()
    total = run(program, x, w).sum()
    if total.requires_grad:
        total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    total.item()  # waits for the device
    return time.perf_counter() - started
