"""A program whose outputs are estimated from shots, with the gradients that hardware can give.

The parameter-shift rule (Schuld et al. 2019, arXiv 1811.11184) holds for every rotation of a
program by itself: ``dE/dt = (E(t + pi/2) - E(t - pi/2)) / 2``; what the angle is made of follows by
the chain rule. All shifted circuits stand on the agent axis of one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, final

import numpy as np
import numpy.typing as npt

from qmarl.circuits.expressions import NOTHING, Expressions
from qmarl.circuits.gates import Angle, Gate, Rotation
from qmarl.circuits.noise import EXACT_QUBITS, NoiseConfig
from qmarl.circuits.noise_columns import Columns
from qmarl.circuits.noise_columns import Trace as ColumnTrace
from qmarl.circuits.noise_jumps import JumpTrajectories
from qmarl.circuits.noise_program import NoisyProgram, Runner
from qmarl.circuits.noise_trajectories import NoisyTrajectories
from qmarl.circuits.program import Program
from qmarl.circuits.shots import Outcomes, Sampling, estimate, measured_groups, stream_of
from qmarl.types import Array

if TYPE_CHECKING:
    import torch

MEMORY = 1 << 24
"""Numbers that the shifted circuits of one call may hold; beyond, there are several calls."""


class FreeAngles(NamedTuple):
    """A program whose every angle is given from outside.

    Attributes:
        gates: The gates; angles with an input are inputs now, and other trainable ones weights.
        data: The former angles of the inputs.
        free: The former angles of the weights.
    """

    gates: tuple[Gate, ...]
    data: tuple[Angle, ...]
    free: tuple[Angle, ...]


class Measured(NamedTuple):
    """One measured group: what runs its circuit, and what its outcomes say."""

    runner: Program | Runner
    table: Array


class Entered(NamedTuple):
    """What a backward pass wants."""

    inputs: Array
    flat: Array
    columns: Columns
    trace: ColumnTrace


@final
@dataclass(frozen=True, eq=False)
class SampledProgram:
    """A program with estimated outputs or gradients, under noise or not.

    Attributes:
        program: The ideal program.
        noise: The noise, if any.
        sampling: Shots and gradients.
    """

    program: Program
    noise: NoiseConfig
    sampling: Sampling

    @cached_property
    def angles(self) -> FreeAngles:
        """The program with its angles laid open."""
        return _free_angles(self.program)

    @cached_property
    def groups(self) -> tuple[Measured, ...]:
        """What is measured together, with the circuit that does it."""
        return tuple(self._measured(group) for group in measured_groups(self.program))

    def _measured(self, group: Outcomes) -> Measured:
        opened = Program(
            name=self.program.name,
            qubits=self.program.qubits,
            n_inputs=len(self.angles.data),
            weights=(("angles", (max(1, len(self.angles.free)),)),),
            gates=(*self.angles.gates, *group.basis),
            outputs=group.projections,
            derived=NOTHING,
        )
        return Measured(under_noise(opened, self.noise, len(group.basis)), group.table)

    def bind(
        self, weights: Mapping[str, Array], dtype: npt.DTypeLike = np.float32
    ) -> Callable[[Array], Array]:
        """Builds what depends on frozen weights once; see the noise room's ``Runner``."""
        flat = self.program.flatten(weights)
        agents, flat = flat.shape[:-1], flat.reshape(-1, flat.shape[-1])
        columns = Columns(self.program, flat, np.dtype(dtype))
        free = {"angles": self._free(columns).T}
        bound = [group.runner.bind(free, dtype) for group in self.groups]

        def call(inputs: Array) -> Array:
            samples = np.asarray(inputs, dtype).reshape(-1, *inputs.shape[-2:])
            entered = columns.angles(self.angles.data, columns.extend(samples))
            found = [circuit(np.moveaxis(entered, 0, -1)) for circuit in bound]
            outputs = self._estimate(found, stream_of("shots", [samples, flat]))
            return outputs.reshape(*agents, *outputs.shape[1:]).astype(dtype)

        return call

    def run(self, inputs: torch.Tensor, weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Evaluates inputs ``(A, B, n_inputs)``; gradients are estimates as well."""
        from qmarl.circuits.noise_function import evaluate

        return evaluate(self, inputs, weights)

    def forward(self, inputs: Array, flat: Array) -> tuple[Array, Entered]:
        """Outputs ``(A, B, outputs)`` for inputs ``(A, B, F)`` and flat weights ``(A, P)``."""
        rng = stream_of("shots", [inputs, flat])
        outputs, columns, trace = self._outputs(inputs, flat, rng)
        return outputs, Entered(inputs, flat, columns, trace)

    def backward(
        self, trace: Entered, gradient: Array, need_inputs: bool
    ) -> tuple[Array | None, Array]:
        """Estimated gradients of the inputs, where needed, and of the flat weights ``(A, P)``."""
        rng = stream_of("gradient", [trace.inputs, trace.flat, gradient])
        if self.sampling.gradient == "spsa":
            return self._spsa(trace, gradient, need_inputs, rng)
        return self._shift(trace, gradient, need_inputs, rng)

    def _outputs(
        self, inputs: Array, flat: Array, rng: np.random.Generator
    ) -> tuple[Array, Columns, ColumnTrace]:
        columns = Columns(self.program, flat, inputs.dtype)
        trace = columns.extend(inputs)
        data = columns.angles(self.angles.data, trace)
        return self._measure(data, self._free(columns), rng), columns, trace

    def _free(self, columns: Columns) -> Array:
        """Angles ``(K, A)`` of the weights; one idle angle where there are none."""
        if not self.angles.free:
            return np.zeros((1, len(columns.weights)))
        return columns.free_angles(self.angles.free)

    def _measure(self, data: Array, free: Array, rng: np.random.Generator) -> Array:
        """Outputs ``(A, B, outputs)`` for angles ``(D, A, B)`` and ``(K, A)``."""
        inputs, weights = np.moveaxis(data, 0, -1), {"angles": free.T}
        found = [group.runner.bind(weights, data.dtype)(inputs) for group in self.groups]
        return self._estimate(found, rng)

    def _estimate(self, probabilities: Sequence[Array], rng: np.random.Generator) -> Array:
        parts = zip(probabilities, self.groups, strict=True)
        shots = self.sampling.shots
        estimates = [estimate(found, group.table, shots, rng) for found, group in parts]
        return np.asarray(sum(estimates))

    def _shift(
        self, entered: Entered, gradient: Array, need_inputs: bool, rng: np.random.Generator
    ) -> tuple[Array | None, Array]:
        data = entered.columns.angles(self.angles.data, entered.trace)
        slopes = np.zeros((len(self.angles.data) + len(self.angles.free), *data.shape[1:]))
        for rows in self._blocks(data.shape, need_inputs):
            change = self._changes(data, self._free(entered.columns), rows, rng)
            slopes[rows] = (change * gradient).sum(-1)
        by_data, by_free = np.split(slopes, [len(data)])
        weights = np.zeros(entered.columns.weights.shape)
        for angle, slope in zip(self.angles.free, by_free, strict=True):
            weights[:, angle.weight] += angle.factor * slope.sum(-1)
        inputs = entered.columns.pull(self.angles.data, entered.trace, by_data, weights)
        return inputs, entered.columns.finish(weights)

    def _blocks(self, shape: tuple[int, ...], need_inputs: bool) -> Iterator[list[int]]:
        """The angles to shift, as many at a time as memory allows."""
        count, agents, batch = shape
        wanted = [k for k in range(count) if need_inputs or self._learns[k]]
        wanted += range(count, count + len(self.angles.free))
        states = 2**self.program.qubits
        each = 2 * agents * max(batch, 1 if self.noise.silent else states) * states
        step = max(1, MEMORY // each)
        yield from (wanted[k : k + step] for k in range(0, len(wanted), step))

    @cached_property
    def _learns(self) -> list[bool]:
        """Whether a weight takes part in each angle of the data."""
        graph, given = self.program.derived.features, self.program.n_inputs
        with_weights = _nodes_with_weights(graph)
        return [
            angle.weight >= 0
            or (angle.feature >= given and graph.wanted[angle.feature - given] in with_weights)
            for angle in self.angles.data
        ]

    def _changes(
        self, data: Array, free: Array, rows: Sequence[int], rng: np.random.Generator
    ) -> Array:
        """Half the change ``(rows, A, B, outputs)`` between both shifts of some angles."""
        count, agents, batch = data.shape
        steps = np.zeros((count + len(free), len(rows), 2))
        steps[rows, range(len(rows))] = np.pi / 2, -np.pi / 2
        moved = data[:, None, None] + steps[:count, ..., None, None].astype(data.dtype)
        turned = free[:, None, None] + steps[count:, ..., None]
        outputs = self._measure(moved.reshape(count, -1, batch), turned.reshape(len(free), -1), rng)
        up, down = np.moveaxis(outputs.reshape(len(rows), 2, agents, batch, -1), 1, 0)
        return np.asarray((up - down) / 2)

    def _spsa(
        self, entered: Entered, gradient: Array, need_inputs: bool, rng: np.random.Generator
    ) -> tuple[Array | None, Array]:
        step, draws = self.sampling.spsa.step, self.sampling.spsa.draws
        inputs, flat = entered.inputs, entered.flat
        by_flat = rng.choice([-1.0, 1.0], (draws, *flat.shape))
        by_inputs = rng.choice([-1.0, 1.0], (draws, *inputs.shape)) * need_inputs
        both = step * np.array([1.0, -1.0])
        moved = (flat + np.multiply.outer(both, by_flat)).reshape(-1, flat.shape[-1])
        samples = inputs + np.multiply.outer(both, by_inputs)
        samples = samples.reshape(-1, *inputs.shape[1:]).astype(inputs.dtype)
        outputs, _, _ = self._outputs(samples, moved, rng)
        up, down = outputs.reshape(2, draws, *gradient.shape)
        slope = ((up - down) / (2 * step) * gradient).sum(-1)
        weights = (slope.sum(-1)[..., None] * by_flat).mean(0)
        return (slope[..., None] * by_inputs).mean(0), weights


def under_noise(program: Program, noise: NoiseConfig, quiet: int = 0) -> Program | Runner:
    """What runs a program under ``noise``: itself without any, exactly up to six qubits.

    Beyond them it runs as random trajectories: of Pauli errors in the fused program, or, where
    there is amplitude damping, of quantum jumps gate by gate.

    Args:
        program: The program.
        noise: The noise.
        quiet: Number of gates at its end without noise.
    """
    if noise.silent:
        return program
    if program.qubits <= EXACT_QUBITS:
        return NoisyProgram(program, noise, quiet)
    if noise.amplitude_damping:
        return JumpTrajectories(program, noise, quiet)
    return NoisyTrajectories(program, noise, quiet)


def make_runner(program: Program, noise: NoiseConfig, sampling: Sampling) -> Program | Runner:
    """What runs a program as asked for; the program itself where all is exact.

    Raises:
        ConfigurationError: Shots do not fit the program's size.
    """
    runner = under_noise(program, noise)
    if sampling.gradient == "adjoint":
        return runner
    sampled = SampledProgram(program, noise, sampling)
    assert sampled.groups  # built now, so that what does not fit shows before round 0
    return sampled


def _free_angles(program: Program) -> FreeAngles:
    gates: list[Gate] = []
    data: list[Angle] = []
    free: list[Angle] = []
    for gate in program.gates:
        if isinstance(gate, Rotation) and gate.angle.feature >= 0:
            gates.append(gate._replace(angle=Angle(1.0, 0.0, -1, len(data))))
            data.append(gate.angle)
        elif isinstance(gate, Rotation) and gate.angle.weight >= 0:
            gates.append(gate._replace(angle=Angle(1.0, 0.0, len(free))))
            free.append(gate.angle)
        else:
            gates.append(gate)
    return FreeAngles(tuple(gates), tuple(data), tuple(free))


def _nodes_with_weights(graph: Expressions) -> set[int]:
    """Nodes of a graph whose value depends on a weight."""
    found: set[int] = set()
    for place, node in enumerate(graph.nodes):
        members = {member for _, nodes in node.terms for member in nodes}
        if node.kind == "function":
            members.add(node.source)
        if node.kind == "weight" or members & found:
            found.add(place)
    return found
