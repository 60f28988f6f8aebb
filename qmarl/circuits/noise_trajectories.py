"""Noise beyond six qubits: random Pauli errors in many runs of the state vector, averaged.

Depolarising and phase damping are mixtures of Pauli errors (phase damping ``p`` is a phase flip
with probability ``(1 - sqrt(1 - p)) / 2``), so that every trajectory is the circuit with some X and
Z gates in it: further weights of ``pi`` or 0. Trajectories stand on the agent axis. Amplitude
damping is no such mixture: :mod:`qmarl.circuits.noise_jumps` is for it. The errors of a call are a
pure function of its inputs and weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, final

import numpy as np
import numpy.typing as npt

from qmarl.circuits.gates import Angle, Gate, Observable, Rotation
from qmarl.circuits.noise import NoiseConfig, noisy_wires
from qmarl.circuits.noise_plan import as_words
from qmarl.circuits.program import Program
from qmarl.circuits.shots import stream_of
from qmarl.types import Array

if TYPE_CHECKING:
    import torch

ERRORS = "noise.errors"
"""Name of the weights that are error angles."""


@final
@dataclass(frozen=True, eq=False)
class NoisyTrajectories:
    """A program under Pauli noise, averaged over random trajectories.

    Attributes:
        program: The ideal program.
        noise: Its channels, without amplitude damping.
        quiet: Number of gates at the program's end without noise.
    """

    program: Program
    noise: NoiseConfig
    quiet: int = 0

    @cached_property
    def noisy(self) -> Program:
        """The program with a turn by X and one by Z wherever an error may strike."""
        program = self.program
        wires = noisy_wires(program.gates, program.qubits, self.noise, self.quiet)
        count, known = 2 * sum(map(len, wires)), program.n_weights
        gates: list[Gate] = []
        place = known
        for gate, noisy in zip(program.gates, wires, strict=True):
            gates.append(_shifted(gate, known, count))
            for wire in noisy:
                gates.append(Rotation(wire, (1.0, 0.0, 0.0), Angle(1.0, 0.0, place)))
                gates.append(Rotation(wire, (0.0, 0.0, 1.0), Angle(1.0, 0.0, place + 1)))
                place += 2
        return replace(
            program,
            gates=tuple(gates),
            weights=(*program.weights, (ERRORS, (count,))),
            outputs=tuple(misread(out, self.noise.readout_error) for out in program.outputs),
        )

    @property
    def trajectories(self) -> int:
        """Number of trajectories of each call; one is all there is where no channel acts."""
        return self.noise.trajectories if self.noise.acts else 1

    def bind(
        self, weights: Mapping[str, Array], dtype: npt.DTypeLike = np.float32
    ) -> Callable[[Array], Array]:
        """Takes frozen weights; see :class:`qmarl.circuits.noise_program.Runner`."""
        flat = self.program.flatten(weights)
        agents, flat = flat.shape[:-1], flat.reshape(-1, flat.shape[-1])
        named = self.program.unflatten(flat.repeat(self.trajectories, 0))

        def call(inputs: Array) -> Array:
            samples = np.asarray(inputs, dtype).reshape(-1, *inputs.shape[-2:])
            errors = {ERRORS: self._errors(samples, flat)}
            bound = self.noisy.bind({**named, **errors}, dtype)
            outputs = bound(samples.repeat(self.trajectories, 0))
            shape = (len(flat), self.trajectories, *outputs.shape[1:])
            mean = np.asarray(outputs.reshape(shape).mean(1))
            return mean.reshape(*agents, *outputs.shape[1:])

        return call

    def run(self, inputs: torch.Tensor, weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Evaluates the noisy circuit differentiably, by the adjoint of every trajectory."""
        import torch

        from qmarl.circuits.torch_function import run_program

        count = self.trajectories
        plain = {name: weights[name].detach().numpy() for name in self.program.weight_names}
        errors = self._errors(inputs.detach().numpy(), self.program.flatten(plain))
        named = {name: part.repeat_interleave(count, 0) for name, part in weights.items()}
        named[ERRORS] = torch.as_tensor(errors).to(inputs.dtype)
        outputs = run_program(self.noisy, inputs.repeat_interleave(count, 0), named)
        return outputs.reshape(len(inputs), count, *outputs.shape[1:]).mean(1)

    def _errors(self, inputs: Array, flat: Array) -> Array:
        """Draws error angles ``(A * trajectories, 2 * places)`` [rad]."""
        [(_, (count,))] = self.noisy.weights[-1:]
        rng = stream_of("errors", [inputs, flat])
        struck = rng.random((len(inputs) * self.trajectories, count // 2))
        kind = np.floor(3 * struck / max(self.noise.depolarising, 1e-300))  # 0 X, 1 Y, 2 Z
        flipped = rng.random(struck.shape) < (1 - math.sqrt(1 - self.noise.phase_damping)) / 2
        x, z = kind <= 1, (kind == 1) | (kind == 2)
        bits = np.stack([x, z ^ flipped], -1)
        return np.asarray(math.pi * bits.reshape(len(struck), count))


def _shifted(gate: Gate, known: int, count: int) -> Gate:
    """The same gate with room for ``count`` weights before the derived ones."""
    if not isinstance(gate, Rotation) or gate.angle.weight < known:
        return gate
    return gate._replace(angle=gate.angle._replace(weight=gate.angle.weight + count))


def misread(observable: Observable, error: float) -> Observable:
    """What an observable looks like through bits that flip with probability ``error``."""
    if not error:
        return observable
    return tuple(
        word._replace(
            coefficient=word.coefficient * (1 - 2 * error) ** (word.flips | word.signs).bit_count()
        )
        for term in observable
        for word in as_words(term)
    )
