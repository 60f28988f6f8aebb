"""Circuits by name: an encoding, an ansatz and a readout composed to one quantum function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from qmarl.circuits.ansatz import ANSATZES, AnsatzConfig, initial_angles
from qmarl.circuits.encoding import ENCODINGS, EncodingConfig, capacity, initial_scales
from qmarl.circuits.initialisation import check_identity_block, identity_block_problem
from qmarl.circuits.readout import READOUTS, ReadoutConfig
from qmarl.circuits.training import TrainingConfig
from qmarl.config import Misfits, Section
from qmarl.errors import ConfigurationError
from qmarl.types import ParameterSpec, Params

MAX_QUBITS = 20


class CircuitConfig(Section):
    """A variational circuit made of named parts."""

    qubits: int = Field(4, ge=1, le=MAX_QUBITS)
    """Number of qubits."""

    layers: int = Field(2, ge=1)
    """Number of ansatz layers."""

    reupload: bool = False
    """Whether the data enter again with every layer (Perez-Salinas 2020, arXiv:1907.02085)."""

    encoding: EncodingConfig = EncodingConfig()
    """How observations enter."""

    ansatz: AnsatzConfig = AnsatzConfig()
    """The trainable layers."""

    readout: ReadoutConfig = ReadoutConfig()
    """What is measured."""

    training: TrainingConfig = TrainingConfig()
    """Which layers learn when."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = []
        if self.ansatz.initialisation == "identity_block":
            problem = identity_block_problem(
                self.ansatz.kind, self.qubits, self.layers, reupload=self.reupload
            )
            problems += [("ansatz.initialisation", f"'identity_block': {problem}")] * bool(problem)
        if self.training.kind == "layerwise":
            for name in ("first", "parts"):
                number = getattr(self.training, name)
                if number > self.layers:
                    text = f"{number} is more than the circuit's {self.layers} layers"
                    problems.append((f"training.{name}", text))
        if problems:
            raise Misfits(problems)
        return self


def check_inputs(config: CircuitConfig, n_inputs: int) -> None:
    """Checks that ``n_inputs`` features fit into the encoding.

    Raises:
        ConfigurationError: They do not.
    """
    room = capacity(config.encoding, config.qubits)
    if not 1 <= n_inputs <= room:
        raise ConfigurationError(
            f"circuit.encoding: {n_inputs} inputs do not fit on {config.qubits} qubits with "
            f"rotations '{config.encoding.rotations}'; 1 to {room} are allowed"
            + _advice(config, n_inputs)
        )


def _advice(config: CircuitConfig, n_inputs: int) -> str:
    for count in range(len(config.encoding.rotations) + 1, 4):
        if n_inputs <= config.qubits * count:
            return f", up to {config.qubits * count} with {count} rotations"
    return ""


def circuit_layout(config: CircuitConfig, n_inputs: int) -> dict[str, ParameterSpec]:
    """Declares the trainable parameters: ``angles``, and ``scales`` if asked for."""
    ansatz = ANSATZES[config.ansatz.kind]
    shape = ansatz.shape(config.layers, config.qubits)
    layout = {"angles": ParameterSpec(shape, ansatz.period, "angles")}
    if config.encoding.scales:
        uploads = config.layers if config.reupload else 1
        layout["scales"] = ParameterSpec((uploads, n_inputs), None, "scales")
    return layout


def initial_weights(config: CircuitConfig, n_inputs: int, rng: np.random.Generator) -> Params:
    """Draws the parameters of a new circuit, float64.

    Raises:
        ConfigurationError: The initialisation does not fit this circuit.
    """
    if config.ansatz.initialisation == "identity_block":
        check_identity_block(
            config.ansatz.kind, config.qubits, config.layers, reupload=config.reupload
        )
    layout = circuit_layout(config, n_inputs)
    weights = {"angles": initial_angles(config.ansatz, layout["angles"].shape, rng)}
    if "scales" in layout:
        weights["scales"] = initial_scales(config.encoding, layout["scales"].shape, rng)
    return weights


def quantum_function(config: CircuitConfig) -> Callable[[Any, Any], list[Any]]:
    """Composes the PennyLane function ``(inputs, weights) -> measurements``.

    Without re-uploading the data enter once, before all layers. With it, ansatzes that close with a
    column of rotations go before each upload (``[layer, encoding] * layers, column``), the others
    after it (``[encoding, layer] * layers``): either way trainable gates follow every upload.
    """
    ansatz = ANSATZES[config.ansatz.kind]

    def encode(inputs: Any, weights: Any, upload: int) -> None:
        features = weights["scales"][upload] * inputs if config.encoding.scales else inputs
        ENCODINGS[config.encoding.kind](features, config.encoding.rotations, config.qubits)

    def circuit(inputs: Any, weights: Any) -> list[Any]:
        layer_first = config.reupload and ansatz.column is not None
        for layer in range(config.layers):
            if layer_first:
                ansatz.layer(weights["angles"], layer, config.qubits)
            if config.reupload or layer == 0:
                encode(inputs, weights, layer)
            if not layer_first:
                ansatz.layer(weights["angles"], layer, config.qubits)
        if ansatz.column is not None:
            ansatz.column(weights["angles"], config.qubits)
        return READOUTS[config.readout.kind](config.qubits)

    return circuit
