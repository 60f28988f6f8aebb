"""Noise with amplitude damping beyond six qubits: quantum jumps of many state vectors, averaged.

Each trajectory (Dalibard, Castin and Molmer 1992; Plenio and Knight 1998, arXiv quant-ph/9702007)
draws one Kraus operator ``K_k`` of every channel with the probability ``|K_k psi|^2`` that it has
in the state ``psi`` there, and goes on with ``K_k psi`` at length 1. What is measured, on average
over trajectories, is what the channels give. A trajectory has the probability ``|K ... psi|^2``
itself, so its gradient with all draws and lengths held fixed is unbiased, too; the mean of the
other trajectories is taken off it, which keeps the mean and lessens the spread. The draws of a call
are a pure function of its inputs and weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, final

import numpy as np
import numpy.typing as npt

from qmarl.circuits.measurement import cast_readout, lower_readout, measure, measured_gradient
from qmarl.circuits.noise import NoiseConfig
from qmarl.circuits.noise_columns import Columns
from qmarl.circuits.noise_columns import Trace as ColumnTrace
from qmarl.circuits.noise_steps import Steps, Turn, lower_steps
from qmarl.circuits.noise_trajectories import misread
from qmarl.circuits.plan import Block, Monomial, Readout
from qmarl.circuits.program import Program
from qmarl.circuits.runs import apply_block, apply_monomial, pull_monomial
from qmarl.circuits.shots import stream_of
from qmarl.circuits.wire_maps import (
    WireMap,
    apply_map,
    excitation,
    rotation,
    rotation_gradient,
)
from qmarl.types import Array

if TYPE_CHECKING:
    import torch

CHUNK = 1 << 16
"""Amplitudes of all trajectories that are worked on together; the backward pass keeps one state
for each rotation of them."""


class Turned(NamedTuple):
    """Angles of one chunk, the agents repeated for every trajectory.

    Attributes:
        data: ``(D, C, b)``.
        free: ``(K, C, 1)``.
    """

    data: Array
    free: Array


class Taken(NamedTuple):
    """What the backward pass of a chunk wants.

    Attributes:
        maps: The map of every turn and channel, in order.
        states: The state behind every turn.
        last: The state at the end.
    """

    maps: list[WireMap]
    states: list[Array]
    last: Array


class Entered(NamedTuple):
    """What a backward pass wants."""

    inputs: Array
    flat: Array
    outputs: Array


@final
@dataclass(frozen=True, eq=False)
class JumpTrajectories:
    """A program under any noise, averaged over random trajectories; NumPy alone.

    Attributes:
        program: The ideal program.
        noise: Its channels, and the number of trajectories.
        quiet: Number of gates at the program's end without noise.
    """

    program: Program
    noise: NoiseConfig
    quiet: int = 0

    @cached_property
    def steps(self) -> Steps:
        """The program step by step."""
        return lower_steps(self.program, self.noise, self.quiet)

    @cached_property
    def readout(self) -> Readout:
        """What is measured, errors of the readout included."""
        outputs = tuple(misread(out, self.noise.readout_error) for out in self.program.outputs)
        return lower_readout(outputs, self.program.qubits)

    def bind(
        self, weights: Mapping[str, Array], dtype: npt.DTypeLike = np.float32
    ) -> Callable[[Array], Array]:
        """Takes frozen weights; see :class:`qmarl.circuits.noise_program.Runner`."""
        flat = self.program.flatten(weights)
        agents, flat = flat.shape[:-1], flat.reshape(-1, flat.shape[-1])

        def call(inputs: Array) -> Array:
            samples = np.asarray(inputs, dtype).reshape(-1, *inputs.shape[-2:])
            outputs, _ = self.forward(samples, flat)
            return outputs.reshape(*agents, *outputs.shape[1:])

        return call

    def run(self, inputs: torch.Tensor, weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Evaluates the noisy circuit; its gradient is an unbiased estimate."""
        from qmarl.circuits.noise_function import evaluate

        return evaluate(self, inputs, weights)

    def forward(self, inputs: Array, flat: Array) -> tuple[Array, Entered]:
        """Outputs ``(A, B, outputs)`` for inputs ``(A, B, F)`` and flat weights ``(A, P)``."""
        found = []
        for _, turned, rng in self._chunks(Columns(self.program, flat, inputs.dtype), inputs, flat):
            taken = self._play(turned, rng, keep=False)
            found.append(measure(self._readout(inputs.dtype), taken.last))
        outputs = np.concatenate(found, 1)
        mean = outputs.reshape(len(inputs), -1, *outputs.shape[1:]).mean(1)
        return mean.astype(inputs.dtype, copy=False), Entered(inputs, flat, outputs)

    def backward(
        self, trace: Entered, gradient: Array, need_inputs: bool
    ) -> tuple[Array | None, Array]:
        """Gradients of the inputs ``(A, B, F)`` and of the flat weights ``(A, P)``.

        Every chunk is played again, with the same draws: its states are not kept in between.
        """
        del need_inputs  # they cost next to nothing
        columns = Columns(self.program, trace.flat, trace.inputs.dtype)
        weights, inputs, start = np.zeros(columns.weights.shape), [], 0
        for entered, turned, rng in self._chunks(columns, trace.inputs, trace.flat):
            stop = start + turned.data.shape[-1]
            part = gradient[:, start:stop].repeat(self.noise.trajectories, 0)
            mu_at_end = self._measured(trace.outputs[:, start:stop], part)
            by_data, by_free = self._pull(self._play(turned, rng, keep=True), turned, mu_at_end)
            inputs.append(columns.pull(self.steps.data, entered, self._mean(by_data), weights))
            for angle, slope in zip(self.steps.free, self._mean(by_free), strict=True):
                weights[:, angle.weight] += angle.factor * slope.sum(-1)
            start = stop
        return np.concatenate(inputs, 1), columns.finish(weights)

    def _mean(self, slopes: Array) -> Array:
        """Mean ``(rows, A, b)`` over the trajectories of slopes ``(rows, C, b)``."""
        rows, _, batch = slopes.shape
        return np.asarray(slopes.reshape(rows, -1, self.noise.trajectories, batch).mean(2))

    def _readout(self, dtype: np.dtype) -> Readout:
        return cast_readout(self.readout, dtype, np.result_type(dtype, np.complex64))

    def _chunks(
        self, columns: Columns, inputs: Array, flat: Array
    ) -> Iterator[tuple[ColumnTrace, Turned, np.random.Generator]]:
        """Batches that are worked on together, each with random numbers of its own."""
        many, steps = self.noise.trajectories, self.steps
        each = max(1, CHUNK // (2**self.program.qubits * len(inputs) * many))
        starts = range(0, inputs.shape[1], each)
        free = np.zeros((0, len(flat)))
        if steps.free:
            free = columns.free_angles(steps.free)
        free = free.repeat(many, 1)[..., None].astype(inputs.dtype)
        streams = stream_of("jumps", [inputs, flat]).spawn(len(starts))
        for start, rng in zip(starts, streams, strict=True):
            entered = columns.extend(inputs[:, start : start + each])
            data = columns.angles(steps.data, entered).repeat(many, 1)
            yield entered, Turned(data, free), rng

    def _play(self, turned: Turned, rng: np.random.Generator, *, keep: bool) -> Taken:
        """Plays all trajectories of a chunk."""
        size, shape = 2**self.program.qubits, turned.data.shape[1:]
        real = turned.data.dtype
        psi = np.zeros((size, *shape), np.result_type(real, np.complex64))
        psi[0] = 1
        maps: list[WireMap] = []
        states: list[Array] = []
        for step in self.steps.order:
            if isinstance(step, Monomial):
                psi = apply_monomial(step, psi)
                continue
            if isinstance(step, Block):
                psi = apply_block(step.matrix, step.wires, psi)
                continue
            if isinstance(step, Turn):
                matrix = rotation(step.axis, _angle(step, turned), psi.dtype)
            else:
                matrix = _jump(self.noise, psi, step.wire, rng)
            psi = apply_map(matrix, step.wire, psi)
            if keep:
                maps.append(matrix)
                states += [psi] if isinstance(step, Turn) else []
        return Taken(maps, states, psi)

    def _measured(self, outputs: Array, gradient: Array) -> Callable[[Array], Array]:
        """What is pulled back from the end, the mean of the other trajectories taken off."""
        many = self.noise.trajectories
        apart = outputs.reshape(-1, many, *outputs.shape[1:])
        others = (apart.sum(1, keepdims=True) - apart) / max(1, many - 1)
        offset = (gradient * others.reshape(outputs.shape)).sum(-1)
        readout = self._readout(gradient.dtype)
        return lambda psi: measured_gradient(readout, psi, gradient) - offset * psi.conj()

    def _pull(
        self, taken: Taken, turned: Turned, mu_at_end: Callable[[Array], Array]
    ) -> tuple[Array, Array]:
        """Gradients ``(D, C, b)`` and ``(K, C, b)`` of the angles of data and weights."""
        mu = mu_at_end(taken.last)
        by_data = np.zeros_like(turned.data)
        by_free = np.zeros((len(turned.free), *turned.data.shape[1:]), mu.real.dtype)
        for step in reversed(self.steps.order):
            if isinstance(step, Monomial):
                mu = pull_monomial(step, mu)
                continue
            if isinstance(step, Block):
                mu = apply_block(step.matrix.T, step.wires, mu)
                continue
            if isinstance(step, Turn):
                psi = taken.states.pop()
                if step.data >= 0:
                    by_data[step.data] = rotation_gradient(step.axis, step.wire, psi, mu)
                elif step.free >= 0:
                    by_free[step.free] = rotation_gradient(step.axis, step.wire, psi, mu)
            mu = apply_map(taken.maps.pop().transpose, step.wire, mu)
        return by_data, by_free


def _angle(step: Turn, turned: Turned) -> Array:
    if step.data >= 0:
        return np.asarray(turned.data[step.data])
    if step.free >= 0:
        return np.asarray(turned.free[step.free])
    return np.full((1, 1), step.offset, turned.data.dtype)


def _jump(noise: NoiseConfig, psi: Array, wire: int, rng: np.random.Generator) -> WireMap:
    """Draws one Kraus operator of the channel on a wire, divided by the length that it leaves."""
    shape = psi.shape[1:]
    kind = np.floor(3 * rng.random(shape) / max(noise.depolarising, 1e-300))  # 0 X, 1 Y, 2 Z
    flips = rng.random(shape) < (1 - math.sqrt(1 - noise.phase_damping)) / 2
    crossed, signs = kind <= 1, 1.0 - 2.0 * (((kind == 1) | (kind == 2)) ^ flips)
    zero, one = excitation(psi, wire)
    excited = np.where(crossed, zero, one)
    decays = noise.amplitude_damping * excited / (zero + one)
    jumps = rng.random(shape) < decays
    length = np.sqrt(np.where(jumps, decays, 1 - decays) * (zero + one))
    drop = np.where(jumps, math.sqrt(noise.amplitude_damping), 0.0) / length
    stay = np.where(jumps, 0.0, 1.0) / length
    left = signs * stay * math.sqrt(1 - noise.amplitude_damping)
    # rows of the damping, then columns swapped where X or Y has struck
    entries = [
        np.where(crossed, drop, stay),
        np.where(crossed, stay, drop),
        np.where(crossed, left, 0.0),
        np.where(crossed, 0.0, left),
    ]
    return WireMap(*(entry.astype(psi.real.dtype) for entry in entries))
