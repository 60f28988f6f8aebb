"""Actors: what turns observations into logits, as a quantum circuit or as its classical twin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, Protocol, Self

import numpy as np
from pydantic import Field, JsonValue, model_validator

from agents.baseline import twin_widths
from agents.networks import mlp_layout, parameter_count
from qmarl.circuits.builtin import CircuitConfig
from qmarl.circuits.noise import SILENT, NoiseConfig
from qmarl.circuits.plugins import DeviceSettings, options_problem
from qmarl.circuits.shots import Gradient, Sampling, SPSAConfig
from qmarl.config import Misfits, Section
from qmarl.errors import ConfigurationError
from qmarl.types import Array, Layout, Params

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "float64"]
Act = Callable[[Array], Array]
"""A policy with its parameters bound: observations ``(S, B, D)`` to logits ``(S, B, N)``."""


class ActorConfig(Section):
    """Which actor the agents of a group have."""

    kind: Literal["vqc", "mlp"] = "vqc"
    """``vqc``: a variational quantum circuit; ``mlp``: its classical twin."""
    backend: str = Field("program", pattern=r"^(program|pennylane:\S+)$")
    """What runs the circuit: our fused ``program`` or ``pennylane:<device>``."""
    device_options: dict[str, JsonValue] = Field(default={})
    """What a PennyLane device is made with, such as ``shots``, ``seed`` or ``c_dtype``."""
    device_retries: int = Field(3, ge=0)
    """How often a call is repeated, after growing pauses, when a device does not answer."""
    circuit: CircuitConfig = CircuitConfig()
    """The circuit; for ``mlp`` it fixes the parameter count to match."""
    readout_spread: float = Field(1.5, ge=0)
    """Standard deviation of the initial readout weights, times the root of their number."""
    hidden: tuple[int, ...] | None = Field(None, strict=False)
    """Hidden widths of an ``mlp``; by default those of the twin of equal parameter count."""
    precision: Precision = "float32"
    """Floating-point type of acting and learning."""
    shots: int | None = Field(None, ge=1)
    """Measurements behind every output of the circuit; by default outputs are exact."""
    gradient: Gradient | None = None
    """``adjoint`` (exact, the usual one), ``parameter_shift`` (usual with shots), or ``spsa``."""
    spsa: SPSAConfig = SPSAConfig()
    """Settings of ``gradient: spsa``."""

    @property
    def device(self) -> DeviceSettings:
        """How a PennyLane device is made and asked."""
        return DeviceSettings(self.device_options, self.device_retries)

    @model_validator(mode="after")
    def _device_fits(self) -> Self:
        problem = options_problem(self.device_options)
        if self.device_options and self.backend == "program":
            problem = "they are for 'backend: pennylane:<device>', not for 'program'"
        if problem:
            raise Misfits([("device_options", problem)])
        return self

    @property
    def sampling(self) -> Sampling:
        """How outputs and gradients are estimated, the default gradient written out."""
        usual: Gradient = "adjoint" if self.shots is None else "parameter_shift"
        return Sampling(self.shots, self.gradient or usual, self.spsa)

    @model_validator(mode="after")
    def _estimates_fit(self) -> Self:
        if self.shots is None and self.gradient in (None, "adjoint"):
            return self
        if self.kind == "mlp":
            raise ValueError("shots and gradient are for 'kind: vqc', not for 'mlp'")
        if self.backend != "program":
            raise ValueError(
                f"shots and gradient are for 'backend: program', not for '{self.backend}'"
            )
        if self.shots is not None and self.gradient == "adjoint":
            raise ValueError(
                "gradient: 'adjoint' needs the exact state, which no shots give; use "
                "'parameter_shift' or 'spsa', or leave out shots"
            )
        return self


class Policy(Protocol):
    """The acting half of an actor: small, picklable, NumPy only."""

    def bind(self, params: Params) -> Act:
        """Fixes the parameters, arrays with a leading stack axis, and prepares what it can."""
        ...


class Actor(Protocol):
    """The learning half: parameters, and differentiable logits."""

    @property
    def layout(self) -> Layout:
        """Declaration of every parameter."""
        ...

    @property
    def policy(self) -> Policy:
        """The acting half."""
        ...

    def initial(self, rng: np.random.Generator) -> Params:
        """Draws the parameters of one model."""
        ...

    def logits(
        self, params: Mapping[str, torch.Tensor], observations: torch.Tensor
    ) -> torch.Tensor:
        """Logits ``(S, B, N)`` for observations ``(S, B, D)``, differentiable in ``params``."""
        ...


def make_actor(
    config: ActorConfig, n_observations: int, n_actions: int, noise: NoiseConfig = SILENT
) -> Actor:
    """Builds the actor that ``config`` describes.

    Args:
        config: The actor's section.
        n_observations: Numbers ``D`` that the widest agent sees.
        n_actions: Largest number ``N`` of actions.
        noise: Noise of the circuit.

    Raises:
        ConfigurationError: The circuit cannot hold that many inputs, cannot be built, or there is
            none for the noise to act on.
    """
    from agents.circuit_actor import circuit_actor
    from agents.mlp_actor import MLPActor

    if config.kind == "vqc":
        return circuit_actor(config, n_observations, n_actions, noise)
    if not noise.silent:
        raise ConfigurationError("noise: an actor of kind 'mlp' has no circuit for it to act on")
    hidden = config.hidden
    if hidden is None:
        twin = circuit_actor(config.model_copy(update={"kind": "vqc"}), n_observations, n_actions)
        hidden = twin_widths(n_observations, n_actions, parameter_count(twin.layout))
    return MLPActor((n_observations, *hidden, n_actions), config.precision)


def twin_parameter_count(config: ActorConfig, n_observations: int, n_actions: int) -> int:
    """Parameter count of the actor of the other kind, for the report."""
    other = "mlp" if config.kind == "vqc" else "vqc"
    update = {"kind": other, "hidden": None}
    twin = make_actor(config.model_copy(update=update), n_observations, n_actions)
    return parameter_count(twin.layout)


__all__ = ["Act", "Actor", "ActorConfig", "Policy", "make_actor", "mlp_layout"]
