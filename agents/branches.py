"""Parts of split networks: a perceptron or a quantum circuit, at an agent or at the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from agents.networks import mlp_forward, mlp_forward_torch, mlp_initial, mlp_layout
from qmarl.circuits.builtin import CircuitConfig, circuit_layout, initial_weights
from qmarl.config import Section
from qmarl.errors import ConfigurationError
from qmarl.types import Array, Layout, Params

if TYPE_CHECKING:
    import torch

    from agents.actor import Act
    from qmarl.circuits.program import Program


class SplitConfig(Section):
    """Where a split critic is cut, and what crosses the cut."""

    branch: Literal["mlp", "vqc"] = "mlp"
    """What each agent makes of its observation with: a perceptron, or a quantum circuit."""
    hidden: tuple[int, ...] = Field((32,), strict=False)
    """Hidden widths of an ``mlp`` branch."""
    features: int = Field(8, ge=1)
    """Activations of an ``mlp`` branch, each between -1 and 1."""
    circuit: CircuitConfig = CircuitConfig()
    """Circuit of a ``vqc`` branch; its expectation values are the activations."""
    last_layer: Literal["server", "agent"] = "server"
    """Where the last layer is: with ``server`` values come down, with ``agent`` (U-shaped) the last
    hidden layer does, and the server never sees a value."""
    clipping_norm: float | None = Field(None, gt=0)
    """L2 norm that each sample's activations are clipped to before they are sent."""
    noise_multiplier: float = Field(0.0, ge=0)
    """Deviation of Gaussian noise on each activation, divided by ``clipping_norm``."""

    @model_validator(mode="after")
    def _noise_has_a_measure(self) -> Self:
        if self.noise_multiplier and self.clipping_norm is None:
            raise ValueError(
                "noise_multiplier: it is measured in 'clipping_norm', which is not set"
            )
        return self


class PolicySplitConfig(SplitConfig):
    """Where a split policy is cut, and what crosses the cut."""

    last_layer: Literal["server", "agent"] = "server"
    """Where the last layer is: with ``server`` logits or means come down, with ``agent`` (U-shaped)
    the server's features do, and it never sees what a drone is about to do."""
    body: Literal["mlp", "vqc"] = "mlp"
    """What the server makes of the activations with: a perceptron, or a quantum circuit."""
    body_hidden: tuple[int, ...] = Field((32,), strict=False, min_length=1)
    """Widths of an ``mlp`` body."""
    body_circuit: CircuitConfig = CircuitConfig()
    """Circuit of a ``vqc`` body, whose inputs are the activations."""


@dataclass(frozen=True)
class MLPBranch:
    """A perceptron whose outputs pass through tanh.

    Attributes:
        sizes: Widths from observation to activations.
    """

    sizes: tuple[int, ...]

    @property
    def features(self) -> int:
        """Number ``k`` of activations."""
        return self.sizes[-1]

    @property
    def layout(self) -> Layout:
        """Weights ``w0, b0, w1, ...`` of one agent."""
        return mlp_layout(self.sizes)

    def initial(self, rng: np.random.Generator) -> Params:
        """Glorot weights."""
        return mlp_initial(self.sizes, rng, last_gain=1.0)

    def bind(self, params: Params, precision: str) -> Act:  # noqa: ARG002 - they are cast already
        """Fixes the parameters ``(A, ...)``, for acting with NumPy alone."""

        def act(observed: Array) -> Array:
            return np.asarray(np.tanh(mlp_forward(params, observed)))

        return act

    def encode(self, params: Mapping[str, torch.Tensor], observed: torch.Tensor) -> torch.Tensor:
        """Activations ``(A, B, k)`` of observations ``(A, B, D)``, one model for each agent."""
        return mlp_forward_torch(params, observed).tanh()


@dataclass(frozen=True)
class CircuitBranch:
    """A quantum circuit whose expectation values (or probabilities) are the activations.

    Attributes:
        config: The circuit.
        n_inputs: Numbers that the widest agent sees.
        program: The circuit, compiled.
    """

    config: CircuitConfig
    n_inputs: int
    program: Program

    @property
    def features(self) -> int:
        """Number ``k`` of activations."""
        return self.program.n_outputs

    @property
    def layout(self) -> Layout:
        """The circuit's angles and scales, of one agent."""
        return circuit_layout(self.config, self.n_inputs)

    def initial(self, rng: np.random.Generator) -> Params:
        """The circuit's own initial angles and scales."""
        return initial_weights(self.config, self.n_inputs, rng)

    def bind(self, params: Params, precision: str) -> Act:
        """Fixes the parameters ``(A, ...)``, for acting with NumPy alone."""
        return self.program.bind(params, np.dtype(precision))

    def encode(self, params: Mapping[str, torch.Tensor], observed: torch.Tensor) -> torch.Tensor:
        """Activations ``(A, B, k)`` of observations ``(A, B, D)``, one circuit for each agent."""
        from qmarl.circuits.torch_function import run_program

        return run_program(self.program, observed, params)


Branch = MLPBranch | CircuitBranch


def make_branch(config: SplitConfig, n_observations: int, place: str = "critic.split") -> Branch:
    """Builds the branch that ``config`` describes.

    Args:
        config: The cut.
        n_observations: Numbers that the widest agent sees.
        place: Where the cut stands in a configuration, for errors.

    Raises:
        ConfigurationError: The observation does not fit on the circuit's qubits.
    """
    if config.branch == "mlp":
        return MLPBranch((n_observations, *config.hidden, config.features))
    return _circuit_branch(config.circuit, n_observations, f"{place}.circuit")


def make_body(config: PolicySplitConfig, activations: int) -> Branch:
    """Builds the server's part of a split policy, from ``activations`` numbers.

    Raises:
        ConfigurationError: The activations do not fit on the circuit's qubits.
    """
    if config.body == "mlp":
        return MLPBranch((activations, *config.body_hidden))
    return _circuit_branch(config.body_circuit, activations, "actor.split.body_circuit")


def _circuit_branch(circuit: CircuitConfig, n_inputs: int, place: str) -> CircuitBranch:
    try:
        program = _program(circuit.model_dump_json(), n_inputs)
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {str(error).removeprefix('circuit: ')}") from error
    return CircuitBranch(circuit, n_inputs, program)


@lru_cache(maxsize=16)  # compiling takes a second or more; a process needs each circuit once
def _program(circuit: str, n_inputs: int) -> Program:
    from qmarl.circuits.circuit import build_circuit

    config = CircuitConfig.model_validate_json(circuit)
    built = build_circuit(config, n_inputs)
    if built.program is None:
        raise ConfigurationError(f"circuit: only fused circuits can be a branch: {built.reason}")
    return built.program
