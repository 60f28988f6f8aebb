"""Actors: what turns observations into outputs, as a quantum circuit or as its classical twin.

A head says what the outputs mean: the logits of choices, or the means of continuous actions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, Protocol, Self

import numpy as np
from pydantic import Field, JsonValue, model_validator

from agents.branches import PolicySplitConfig
from qmarl.circuits.builtin import CircuitConfig
from qmarl.circuits.plugins import DeviceSettings, options_problem
from qmarl.circuits.shots import Gradient, Sampling, SPSAConfig
from qmarl.config import Misfits, Section
from qmarl.types import Array, Layout, Params

if TYPE_CHECKING:
    import torch

    from agents.heads import Head

Precision = Literal["float32", "float64"]
Act = Callable[[Array], Array]
"""A policy with its parameters bound: observations ``(S, B, D)`` to outputs ``(S, B, N)``."""


class ActorConfig(Section):
    """Which actor the agents of a group have."""

    kind: Literal["vqc", "mlp", "split"] = "vqc"
    """``vqc``: a variational quantum circuit; ``mlp``: its classical twin; ``split``: a network cut
    between drone and server."""
    backend: str = Field("program", pattern=r"^(program|pennylane:\S+)$")
    """What runs the circuit: our fused ``program`` or ``pennylane:<device>``."""
    device_options: dict[str, JsonValue] = Field(default={})
    """What a PennyLane device is made with, such as ``shots``, ``seed`` or ``c_dtype``."""
    device_retries: int = Field(3, ge=0)
    """How often a call is repeated, after growing pauses, when a device does not answer."""
    circuit: CircuitConfig = CircuitConfig()
    """The circuit; for ``mlp`` it fixes the parameter count to match."""
    readout_spread: float | None = Field(None, ge=0)
    """Standard deviation of the initial readout weights, times the root of their number; by default
    1.5, and 0.15 where actions are continuous, so that the first means are near 0."""
    hidden: tuple[int, ...] | None = Field(None, strict=False)
    """Hidden widths of an ``mlp``; by default those of the twin of equal parameter count."""
    split: PolicySplitConfig = PolicySplitConfig()
    """Where a ``split`` actor is cut, and what its parts are."""
    log_std: float = Field(-0.5, ge=-5, le=2)
    """First logarithm of the standard deviation of continuous actions; it is learned from there."""
    precision: Precision = "float32"
    """Floating-point type of acting and learning."""
    shots: int | None = Field(None, ge=1)
    """Measurements behind every output of the circuit, on any backend; by default outputs are
    exact."""
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
        if self.kind != "vqc":
            raise ValueError(f"shots and gradient are for 'kind: vqc', not for '{self.kind}'")
        if self.backend != "program" and self.gradient == "spsa":
            raise ValueError(
                f"gradient: 'spsa' is for 'backend: program', not for '{self.backend}'; use "
                "'parameter_shift'"
            )
        if self.shots is not None and self.device_options.get("shots", self.shots) != self.shots:
            raise ValueError(
                f"shots: {self.shots}, but device_options has {self.device_options['shots']}; "
                "leave one of them out"
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
    """The learning half: parameters, and differentiable outputs."""

    @property
    def layout(self) -> Layout:
        """Declaration of every parameter, those of the head too."""
        ...

    @property
    def head(self) -> Head:
        """What the outputs mean."""
        ...

    @property
    def policy(self) -> Policy:
        """The acting half."""
        ...

    def initial(self, rng: np.random.Generator) -> Params:
        """Draws the parameters of one model."""
        ...

    def outputs(
        self, params: Mapping[str, torch.Tensor], observations: torch.Tensor
    ) -> torch.Tensor:
        """Outputs ``(S, B, N)`` for observations ``(S, B, D)``, differentiable in ``params``."""
        ...
