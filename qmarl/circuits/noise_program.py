"""A program under noise, run exactly on Pauli coefficients: up to six qubits.

NumPy alone evaluates it, so that a rollout worker needs nothing else; torch is loaded only where
it is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, final

import numpy as np
import numpy.typing as npt

from qmarl.circuits.noise import NoiseConfig
from qmarl.circuits.noise_columns import Columns
from qmarl.circuits.noise_columns import Trace as ColumnTrace
from qmarl.circuits.noise_executor import Chains, NoiseBound, make_chains
from qmarl.circuits.noise_plan import NoisePlan, lower_noise
from qmarl.circuits.program import Program
from qmarl.types import Array

if TYPE_CHECKING:
    import torch

CHUNK = 1 << 18
"""Coefficients of one state that are worked on together."""


class Runner(Protocol):
    """A way to run a program: under noise, with finite shots, or both."""

    @property
    def program(self) -> Program:
        """The ideal program."""
        ...

    def bind(
        self, weights: Mapping[str, Array], dtype: npt.DTypeLike = np.float32
    ) -> Callable[[Array], Array]:
        """Prepares frozen ``weights`` ``(*agents, *shape)``.

        Returns:
            A function from inputs ``(*agents, B, n_inputs)`` to outputs ``(*agents, B, outputs)``.
        """
        ...

    def run(self, inputs: torch.Tensor, weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Evaluates inputs ``(A, B, n_inputs)`` differentiably; returns ``(A, B, outputs)``."""
        ...


class Batches(NamedTuple):
    """What a backward pass wants: the weights' side, and the chunks of the batch."""

    columns: Columns
    bound: NoiseBound
    chunks: list[tuple[ColumnTrace, list[Array]]]


@final
@dataclass(frozen=True, eq=False)
class NoisyProgram:
    """A program whose gates are followed by noise.

    Attributes:
        program: The ideal program, of at most six qubits.
        noise: Channels, and where they act.
        quiet: Number of gates at the program's end without noise.
    """

    program: Program
    noise: NoiseConfig
    quiet: int = 0

    @cached_property
    def plan(self) -> NoisePlan:
        """The program lowered to maps of Pauli coefficients."""
        return lower_noise(self.program, self.noise, self.quiet)

    @cached_property
    def _chains(self) -> Chains:
        return make_chains(self.plan.chains)

    def bind(
        self, weights: Mapping[str, Array], dtype: npt.DTypeLike = np.float32
    ) -> Callable[[Array], Array]:
        """Builds what depends on frozen weights once; see :class:`Runner`."""
        flat = self.program.flatten(weights)
        agents, kind = flat.shape[:-1], np.dtype(dtype)
        columns, bound = self._bind(flat.reshape(-1, flat.shape[-1]), kind)

        def call(inputs: Array) -> Array:
            samples = np.asarray(inputs, kind).reshape(-1, *inputs.shape[-2:])
            outputs, _ = self._forward(columns, bound, samples)
            return outputs.reshape(*agents, *outputs.shape[1:])

        return call

    def run(self, inputs: torch.Tensor, weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Evaluates the noisy circuit differentiably; see :class:`Runner`."""
        from qmarl.circuits.noise_function import evaluate

        return evaluate(self, inputs, weights)

    def forward(self, inputs: Array, flat: Array) -> tuple[Array, Batches]:
        """Outputs ``(A, B, outputs)`` for inputs ``(A, B, F)`` and flat weights ``(A, P)``."""
        columns, bound = self._bind(flat, inputs.dtype)
        outputs, chunks = self._forward(columns, bound, inputs)
        return outputs, Batches(columns, bound, chunks)

    def backward(
        self, trace: Batches, gradient: Array, need_inputs: bool
    ) -> tuple[Array | None, Array]:
        """Gradients of the inputs ``(A, B, F)``, where they are needed, and of the weights."""
        del need_inputs  # they cost next to nothing
        columns, bound, _ = trace
        sums, start = bound.sums(), 0
        weights = np.zeros(columns.weights.shape)
        inputs = []
        for entered, states in trace.chunks:
            stop = start + entered.features.shape[-1]
            angles = bound.backward(states, gradient[:, start:stop], sums)
            inputs.append(columns.pull(self.plan.data, entered, angles, weights))
            start = stop
        return np.concatenate(inputs, 1), columns.finish(weights + bound.finish(sums))

    def _bind(self, flat: Array, dtype: np.dtype) -> tuple[Columns, NoiseBound]:
        columns = Columns(self.program, flat, dtype)
        return columns, NoiseBound(self.plan, self._chains, columns.weights, dtype)

    def _forward(
        self, columns: Columns, bound: NoiseBound, inputs: Array
    ) -> tuple[Array, list[tuple[ColumnTrace, list[Array]]]]:
        outputs, chunks = [], []
        for part in _split(inputs, CHUNK // (4**self.program.qubits * len(inputs))):
            entered = columns.extend(part)
            values, states = bound.forward(columns.angles(self.plan.data, entered))
            outputs.append(values)
            chunks.append((entered, states))
        return np.concatenate(outputs, 1), chunks


def _split(inputs: Array, size: int) -> Sequence[Any]:
    step = max(1, size)
    return [inputs[:, k : k + step] for k in range(0, inputs.shape[1], step)]
