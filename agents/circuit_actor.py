"""The quantum actor: a circuit whose observables, linearly weighted, are what its head reads.

The readout follows Jerbi et al. 2021 (arXiv 2103.05577): ``outputs = <O> W + b`` with trainable
weights ``W`` on the observables' expectation values. The outputs are the logits of choices, or the
means of continuous actions, which the weights can scale beyond what an observable can reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.actor import ActorConfig
from agents.heads import CATEGORICAL, LOG_STD, Head
from qmarl.circuits import Circuit, Program, build_circuit
from qmarl.circuits.builtin import circuit_layout, initial_weights
from qmarl.circuits.noise import SILENT, NoiseConfig
from qmarl.circuits.noise_program import Runner
from qmarl.types import Array, Layout, ParameterSpec, Params

if TYPE_CHECKING:
    import torch

    from agents.actor import Act, Policy

READOUT = ("readout.weight", "readout.bias")
BESIDE = (*READOUT, LOG_STD)
"""Names of the parameters that are not the circuit's."""


@dataclass(frozen=True)
class ProgramPolicy:
    """Acts with a compiled program, noisy or not: no torch, no PennyLane."""

    program: Program | Runner
    precision: str

    def bind(self, params: Params) -> Act:
        """Builds the circuits' unitaries once for these parameters."""
        weight, bias = (params[name].astype(self.precision) for name in READOUT)
        angles = {name: array for name, array in params.items() if name not in BESIDE}
        circuit = self.program.bind(angles, np.dtype(self.precision))

        def act(observations: Array) -> Array:
            inputs = observations.astype(self.precision, copy=False)
            outputs: Array = circuit(inputs) @ weight + bias[..., None, :]
            return outputs

        return act


@dataclass(frozen=True)
class DevicePolicy:
    """Acts on a PennyLane device, which the worker builds for itself."""

    config: ActorConfig
    n_inputs: int

    @property
    def circuit(self) -> Circuit:
        """The circuit, built once in each process that asks for it."""
        return _circuit_of(self.config, self.n_inputs, SILENT)

    def bind(self, params: Params) -> Act:
        """Hands the parameters to torch; the device runs the circuit at each call."""
        import torch

        circuit = self.circuit
        dtype = getattr(torch, self.config.precision)
        tensors = {name: torch.as_tensor(array).to(dtype) for name, array in params.items()}

        def act(observations: Array) -> Array:
            with torch.no_grad():
                inputs = torch.as_tensor(observations).to(dtype)
                return np.asarray(_outputs(circuit, tensors, inputs).numpy())

        return act


@dataclass(frozen=True)
class CircuitActor:
    """A variational quantum circuit with a linear readout; make one with :func:`circuit_actor`.

    It travels between processes as its description and its program, so that a worker can act and
    learn with NumPy and torch alone; a circuit on a device is built anew in each process.

    Attributes:
        config: The actor's section.
        n_observations: Numbers that the widest agent sees.
        n_actions: Largest number of choices, or of numbers in a continuous action.
        program: The compiled circuit, ``None`` where a PennyLane device runs it.
        runner: What runs it under noise or with shots, ``None`` where all is exact.
        noise: Its noise.
        head: What the outputs mean.
    """

    config: ActorConfig
    n_observations: int
    n_actions: int
    program: Program | None
    runner: Runner | None = None
    noise: NoiseConfig = SILENT
    head: Head = CATEGORICAL

    @property
    def circuit(self) -> Circuit:
        """The circuit, compiled once in each process that asks for it."""
        return _circuit_of(self.config, self.n_observations, self.noise)

    @property
    def layout(self) -> Layout:
        """The circuit's angles and scales, the readout's weights and bias, what the head adds."""
        observables, actions = self._observables, self.n_actions
        readout = {
            "readout.weight": ParameterSpec((observables, actions), None, "readout"),
            "readout.bias": ParameterSpec((actions,), None, "readout"),
        }
        circuit = circuit_layout(self.config.circuit, self.n_observations)
        return {**circuit, **readout, **self.head.layout}

    @property
    def _observables(self) -> int:
        return (self.program or self.circuit).n_outputs

    @property
    def policy(self) -> Policy:
        """The program if the circuit has one, else the device."""
        if self.program is not None:
            return ProgramPolicy(self.runner or self.program, self.config.precision)
        return DevicePolicy(self.config, self.n_observations)

    def initial(self, rng: np.random.Generator) -> Params:
        """The circuit's own initial angles and scales, and normal readout weights."""
        params = initial_weights(self.config.circuit, self.n_observations, rng)
        observables = self._observables
        given = self.config.readout_spread
        spread = (self.head.usual_spread if given is None else given) / np.sqrt(observables)
        params["readout.weight"] = rng.normal(0.0, spread, (observables, self.n_actions))
        params["readout.bias"] = np.zeros(self.n_actions)
        return {**params, **self.head.initial()}

    def outputs(
        self, params: Mapping[str, torch.Tensor], observations: torch.Tensor
    ) -> torch.Tensor:
        """Outputs ``(S, B, N)`` for observations ``(S, B, D)``."""
        return _outputs(self.runner or self.program or self.circuit, params, observations)

    @property
    def measurement(self) -> dict[str, Any]:
        """How the outputs come about, as plain data: noise, shots and gradient."""
        return {
            "noise": None if self.noise.silent else self.noise.model_dump(),
            "shots": self.circuit.shots,
            "gradient": self.circuit.gradient,
        }


def circuit_actor(
    config: ActorConfig,
    n_observations: int,
    n_actions: int,
    noise: NoiseConfig = SILENT,
    head: Head = CATEGORICAL,
) -> CircuitActor:
    """Compiles the circuit that ``config`` describes and makes its actor.

    Args:
        config: The actor's section.
        n_observations: Numbers that the widest agent sees.
        n_actions: Largest number of choices, or of numbers in a continuous action.
        noise: Noise of the circuit.
        head: What the outputs mean.

    Raises:
        ConfigurationError: The inputs do not fit on the qubits, there is no such device, or noise
            and shots do not fit the circuit.
    """
    circuit = _circuit_of(config, n_observations, noise)
    program, runner = circuit.program, circuit.runner
    return CircuitActor(config, n_observations, n_actions, program, runner, noise, head)


def _outputs(
    circuit: Circuit | Program | Runner,
    params: Mapping[str, torch.Tensor],
    observations: torch.Tensor,
) -> torch.Tensor:
    import torch

    weights = {name: tensor for name, tensor in params.items() if name not in BESIDE}
    weight, bias = (params[name] for name in READOUT)
    if isinstance(circuit, Program):
        from qmarl.circuits.torch_function import run_program

        outputs = run_program(circuit, observations, weights)
    elif isinstance(circuit, Circuit):
        outputs = circuit(observations, weights)
    else:
        outputs = circuit.run(observations, weights)
    return torch.baddbmm(bias.unsqueeze(-2), outputs, weight)


def _circuit_of(config: ActorConfig, n_inputs: int, noise: NoiseConfig) -> Circuit:
    fields = {"circuit", "backend", "device_options", "device_retries", "shots", "gradient", "spsa"}
    return _circuit(config.model_dump_json(include=fields), n_inputs, noise.model_dump_json())


@lru_cache(maxsize=16)  # compiling takes a second or more; a process needs each circuit once
def _circuit(actor: str, n_inputs: int, noise: str) -> Circuit:
    config = ActorConfig.model_validate_json(actor)
    return build_circuit(
        config.circuit,
        n_inputs,
        config.backend,
        config.device,
        noise=NoiseConfig.model_validate_json(noise),
        shots=config.sampling,
    )
