"""The front door: a quantum function as one batched, differentiable object.

``Circuit`` takes any PennyLane function of ``inputs`` and ``weights``; ``build_circuit`` composes
one from a configuration. Where the function can be fused it runs as a :class:`Program`; where it
cannot, it runs on a PennyLane device, and says so.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from qmarl.circuits.builtin import (
    CircuitConfig,
    check_inputs,
    circuit_layout,
    initial_weights,
    quantum_function,
)
from qmarl.circuits.layout import default_weights, infer_layout
from qmarl.circuits.ledger import Ledger, estimate
from qmarl.circuits.plugins import DeviceSettings
from qmarl.circuits.program import Program
from qmarl.circuits.signature import Signature
from qmarl.errors import ConfigurationError, RunError
from qmarl.types import Array, Layout, Params

if TYPE_CHECKING:
    import torch

    from qmarl.circuits.device import DeviceRunner
    from qmarl.circuits.direct import Pulled

log = logging.getLogger(__name__)

FALLBACK = "pennylane:default.qubit"

Initializer = Callable[[np.random.Generator], Params]
Shape = tuple[int, ...]


@final
@dataclass(frozen=True)
class CircuitDescription:
    """What a circuit is and how it runs.

    Attributes:
        name: Its name.
        qubits: Number of qubits.
        inputs: Inputs of one sample.
        outputs: Outputs of one sample.
        parameters: Trainable numbers.
        depth: Depth of the circuit as written.
        gates: Number of gates of each kind, as written.
        path: ``program`` or ``pennylane:<device>``.
        reason: Why this path.
        circuits: Circuits that one sample takes on a quantum computer: ``forward``, and
            ``parameter_shift`` for its gradient where there is such a rule.
        shots: Measurements of each circuit, None where results are exact.
    """

    name: str
    qubits: int
    inputs: int
    outputs: int
    parameters: int
    depth: int
    gates: Mapping[str, int]
    path: str
    reason: str
    circuits: Mapping[str, int]
    shots: int | None


@final
class Circuit:
    """A variational quantum circuit, batched over samples and over agents with different weights.

    Args:
        quantum_function: PennyLane function of ``inputs`` and ``weights`` that returns expectation
            values or probabilities. It is called with ``inputs`` ``(n_inputs,)``, and on devices
            that broadcast also ``(batch, n_inputs)``: index its last axis.
        n_inputs: Inputs of one sample.
        weight_shape: Shape of the weights, or a mapping of names to shapes; then ``weights`` is a
            mapping too.
        name: Name for messages.
        backend: ``program`` (fused, NumPy) or ``pennylane:<device>``.
        layout: Declares the parameters; inferred from the circuit where it is not given.
        initial: Draws the parameters of a new circuit; small angles where it is not given.
        device: How a PennyLane device is made and asked; for ``pennylane:<device>`` alone.

    Raises:
        ConfigurationError: The function, its arguments and the backend do not fit together.
    """

    def __init__(
        self,
        quantum_function: Callable[..., Any],
        n_inputs: int,
        weight_shape: Shape | Mapping[str, Shape],
        *,
        name: str = "circuit",
        backend: str = "program",
        layout: Layout | None = None,
        initial: Initializer | None = None,
        device: DeviceSettings | None = None,
    ) -> None:
        self._signature = _signature(name, n_inputs, weight_shape)
        self._function = quantum_function
        self._tape = _tape(quantum_function, self._signature)
        self._program, self._runner, self.path, self.reason = _choose(
            quantum_function, self._signature, backend, device
        )
        self._ledger = self._runner.ledger if self._runner is not None else Ledger()
        self.layout: Layout = layout or infer_layout(self._signature.shapes, self._program)
        self._initial = initial

    @property
    def name(self) -> str:
        """Name for messages."""
        return self._signature.name

    @property
    def quantum_function(self) -> Callable[..., Any]:
        """The PennyLane function of ``inputs`` and ``weights``, as it was given."""
        return self._function

    @property
    def tape(self) -> Any:
        """PennyLane's tape of one sample, to look at: its numbers are arbitrary."""
        return self._tape

    @property
    def n_inputs(self) -> int:
        """Inputs of one sample."""
        return self._signature.n_inputs

    @property
    def n_outputs(self) -> int:
        """Outputs of one sample."""
        if self._program is not None:
            return self._program.n_outputs
        assert self._runner is not None
        return self._runner.n_outputs

    @property
    def named(self) -> bool:
        """Whether the weights are a mapping of names."""
        return self._signature.named

    @property
    def program(self) -> Program | None:
        """The fused program, None on a PennyLane device."""
        return self._program

    @property
    def ledger(self) -> Ledger:
        """Counts what runs on the circuit's device in this process; a program costs nothing."""
        return self._ledger

    @property
    def shots(self) -> int | None:
        """Measurements of each circuit on its device, None where outputs are exact."""
        return self._runner.shots if self._runner is not None else None

    @property
    def gradient(self) -> str:
        """How gradients are had: ``adjoint``, ``backprop`` or ``parameter_shift``."""
        return self._runner.gradient if self._runner is not None else "adjoint"

    def on(self, backend: str, device: DeviceSettings | None = None) -> Circuit:
        """The same circuit on another backend, with that device's settings."""
        shapes = self._signature.shapes
        return Circuit(
            self._function,
            self.n_inputs,
            shapes if self._signature.named else next(iter(shapes.values())),
            name=self.name,
            backend=backend,
            layout=self.layout,
            initial=self._initial,
            device=device,
        )

    def initial(self, rng: np.random.Generator) -> Params:
        """Draws the parameters of a new circuit, float64, named and shaped as in ``layout``."""
        return self._initial(rng) if self._initial else default_weights(self.layout, rng)

    def __call__(
        self, inputs: torch.Tensor, weights: torch.Tensor | Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        """Evaluates the circuit, differentiably (first order).

        Args:
            inputs: ``(*agents, batch, n_inputs)``, float32 or float64.
            weights: ``(*agents, *weight_shape)``, or a mapping of names to such tensors.

        Returns:
            ``(*agents, batch, n_outputs)`` in the dtype of ``inputs``.

        Raises:
            ConfigurationError: Shapes do not fit.
            RunError: Inputs or weights are not finite.
        """
        named = self._signature.check(inputs, weights)
        if self._program is not None:
            from qmarl.circuits.torch_function import run_program

            outputs = run_program(self._program, inputs, named)
        else:
            outputs = self._run_device(inputs, list(named.values()))
        self._check_finite(outputs, inputs)
        return outputs

    def value_and_gradients(
        self,
        inputs: Array,
        weights: Array | Mapping[str, Array],
        cotangent: Array,
        *,
        need_inputs: bool = True,
    ) -> Pulled:
        """Evaluates a fused circuit and pulls ``cotangent`` back, on NumPy arrays, without torch.

        Args:
            inputs: ``(*agents, batch, n_inputs)``, float32 or float64.
            weights: ``(*agents, *weight_shape)``, or a mapping of names to such arrays.
            cotangent: ``(*agents, batch, n_outputs)``, gradient of a loss by the outputs.
            need_inputs: Whether the inputs' gradient is wanted.

        Returns:
            The outputs, and the gradients of inputs and of named weights.

        Raises:
            ConfigurationError: Shapes do not fit, or the circuit runs on a device.
            RunError: Inputs or weights are not finite.
        """
        from qmarl.circuits.direct import value_and_gradients

        named = self._signature.check(inputs, weights)
        if cotangent.shape != (*inputs.shape[:-1], self.n_outputs):
            raise ConfigurationError(
                f"circuit '{self.name}': cotangent must be "
                f"{(*inputs.shape[:-1], self.n_outputs)}, got {cotangent.shape}"
            )
        if self._program is None:
            raise ConfigurationError(
                f"circuit '{self.name}': it runs on {self.path}, only fused circuits have "
                "gradients without torch"
            )
        pulled = value_and_gradients(
            self._program, inputs, named, cotangent, need_inputs=need_inputs
        )
        self._check_finite(pulled.outputs, inputs)
        return pulled

    def _run_device(self, inputs: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
        import torch

        assert self._runner is not None
        agents = inputs.shape[:-2]
        flat = inputs.reshape(-1, *inputs.shape[-2:])
        joined = torch.cat([part.reshape(len(flat), -1) for part in weights], -1)
        return self._runner(flat, joined).reshape(*agents, inputs.shape[-2], -1)

    def _check_finite(self, outputs: torch.Tensor | Array, inputs: torch.Tensor | Array) -> None:
        if not math.isfinite(_plain(outputs).sum()):
            place = "weights" if np.isfinite(_plain(inputs)).all() else "inputs"
            raise RunError(f"circuit '{self.name}': its {place} are not all finite numbers")

    def draw(self) -> str:
        """Draws the circuit as text."""
        import pennylane as qp

        return str(qp.drawer.tape_text(self._tape, decimals=None))

    def describe(self) -> CircuitDescription:
        """Counts what the circuit is made of, and says which path runs and why."""
        specs = self._tape.specs["resources"]
        return CircuitDescription(
            name=self.name,
            qubits=len(self._tape.wires),
            inputs=self.n_inputs,
            outputs=self.n_outputs,
            parameters=self._signature.n_weights,
            depth=specs.depth,
            gates=dict(specs.gate_types),
            path=self.path,
            reason=self.reason,
            circuits=self._circuits(),
            shots=self.shots,
        )

    def _circuits(self) -> dict[str, int]:
        """Circuits that one sample takes on a quantum computer."""
        found = {"forward": estimate(self, 1, gradient="none").executions}
        with suppress(ConfigurationError):  # not every gate has a parameter-shift rule
            found["parameter_shift"] = estimate(self, 1).shifted
        return found


def _plain(numbers: torch.Tensor | Array) -> Array:
    return numbers if isinstance(numbers, np.ndarray) else numbers.detach().numpy()


def build_circuit(
    config: CircuitConfig,
    n_inputs: int,
    backend: str = "program",
    device: DeviceSettings | None = None,
) -> Circuit:
    """Builds the circuit that a configuration names.

    Args:
        config: Its parts.
        n_inputs: Inputs of one sample.
        backend: ``program`` or ``pennylane:<device>``.
        device: How a PennyLane device is made and asked.

    Raises:
        ConfigurationError: The inputs do not fit on the qubits, or there is no such device.
    """
    check_inputs(config, n_inputs)
    layout = circuit_layout(config, n_inputs)
    return Circuit(
        quantum_function(config),
        n_inputs,
        {name: spec.shape for name, spec in layout.items()},
        name=f"{config.encoding.kind}-{config.ansatz.kind}-{config.readout.kind}",
        backend=backend,
        layout=layout,
        initial=lambda rng: initial_weights(config, n_inputs, rng),
        device=device,
    )


def _signature(name: str, n_inputs: int, weight_shape: Shape | Mapping[str, Shape]) -> Signature:
    if n_inputs < 1:
        raise ConfigurationError(
            f"circuit '{name}': it must take at least one input, got {n_inputs}"
        )
    named = isinstance(weight_shape, Mapping)
    shapes = dict(weight_shape) if isinstance(weight_shape, Mapping) else {"weights": weight_shape}
    return Signature(name, n_inputs, {key: tuple(shape) for key, shape in shapes.items()}, named)


def _choose(
    function: Callable[..., Any],
    signature: Signature,
    backend: str,
    settings: DeviceSettings | None,
) -> tuple[Program | None, DeviceRunner | None, str, str]:
    """The path that runs: program, device runner, its name and the reason."""
    from qmarl.circuits.compiler import compile_function
    from qmarl.circuits.device import DeviceRunner
    from qmarl.circuits.recorder import CompileError

    kind, _, device = backend.partition(":")
    if kind == "pennylane" and device:
        runner = DeviceRunner(function, signature, device, settings)
        gradient = runner.gradient.replace("_", " ")
        return None, runner, backend, f"chosen by the backend; gradients by {gradient}"
    if backend != "program":
        raise ConfigurationError(
            f"actor.backend: got '{backend}', allowed are 'program' and 'pennylane:<device>'"
        )
    try:
        program = compile_function(function, signature)
    except CompileError as error:
        log.warning("circuit '%s' runs on %s: %s", signature.name, FALLBACK, error)
        fallback = DeviceRunner(function, signature, FALLBACK.partition(":")[2])
        return None, fallback, FALLBACK, str(error)
    return program, None, "program", "fused, and verified against default.qubit"


def _tape(function: Callable[..., Any], signature: Signature) -> Any:
    from qmarl.circuits.compiler import build_tape

    return build_tape(function, signature, *signature.sample(np.random.default_rng(0)))
