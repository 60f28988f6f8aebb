"""The front door: a quantum function as one batched, differentiable object.

``Circuit`` takes any PennyLane function of ``inputs`` and ``weights``; ``build_circuit`` composes
one from a configuration. Where the function can be fused it runs as a :class:`Program`; where it
cannot, it runs on a PennyLane device, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np

from qmarl.circuits.builtin import (
    CircuitConfig,
    check_inputs,
    circuit_layout,
    initial_weights,
    quantum_function,
)
from qmarl.circuits.description import CircuitDescription, describe
from qmarl.circuits.executors import Executor, check_executor
from qmarl.circuits.layout import default_weights, infer_layout
from qmarl.circuits.ledger import Ledger
from qmarl.circuits.noise import SILENT, NoiseConfig
from qmarl.circuits.paths import Wanted, choose, sampling_of
from qmarl.circuits.plugins import DeviceSettings
from qmarl.circuits.program import Program
from qmarl.circuits.shots import Sampling
from qmarl.circuits.signature import Signature
from qmarl.errors import ConfigurationError, RunError
from qmarl.types import Array, Layout, Params

if TYPE_CHECKING:
    import torch

    from qmarl.circuits.direct import Pulled
    from qmarl.circuits.noise_program import Runner

Initializer = Callable[[np.random.Generator], Params]
Shape = tuple[int, ...]


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
        noise: Noise of the quantum computer; for fused circuits alone.
        shots: Measurements behind every output, whatever the backend; gradients are then parameter
            shifts. A :class:`Sampling` says how gradients are had, too.
        executor: What runs the fused program: ``numpy``, ``torch``, ``auto`` (NumPy on the
            processor, torch on other devices) or ``autotune`` (whichever is faster at each shape
            in this process: repeats may then differ in rounding).

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
        noise: NoiseConfig | None = None,
        shots: Sampling | int | None = None,
        executor: Executor = "auto",
    ) -> None:
        check_executor(name, executor)
        self._executor = executor
        self._signature = _signature(name, n_inputs, weight_shape)
        self._function = quantum_function
        self._tape = _tape(quantum_function, self._signature)
        wanted = Wanted(backend, device, noise or SILENT, sampling_of(name, shots))
        self._path = choose(quantum_function, self._signature, wanted)
        self._ledger = self._path.device.ledger if self._path.device else Ledger()
        self.layout: Layout = layout or infer_layout(self._signature.shapes, self.program)
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
        runs = self._path.program or self._path.device
        assert runs is not None
        return runs.n_outputs

    @property
    def named(self) -> bool:
        """Whether the weights are a mapping of names."""
        return self._signature.named

    @property
    def path(self) -> str:
        """What runs it: ``program`` or ``pennylane:<device>``."""
        return self._path.name

    @property
    def reason(self) -> str:
        """Why it runs there."""
        return self._path.reason

    @property
    def program(self) -> Program | None:
        """The fused program without noise and shots, None on a PennyLane device."""
        return self._path.program

    @property
    def runner(self) -> Runner | None:
        """What runs the program under noise or with shots, None where all is exact."""
        return self._path.runner

    @property
    def device(self) -> DeviceSettings | None:
        """How its PennyLane device was made, None where there is a program."""
        return self._path.settings

    @property
    def ledger(self) -> Ledger:
        """Counts what runs on the circuit's device in this process; a program costs nothing."""
        return self._ledger

    @property
    def noise(self) -> NoiseConfig:
        """Noise of the quantum computer."""
        return self._path.noise

    @property
    def shots(self) -> int | None:
        """Measurements of each circuit, None where outputs are exact."""
        return self._path.shots

    @property
    def gradient(self) -> str:
        """How gradients are had: ``adjoint``, ``backprop``, ``parameter_shift`` or ``spsa``."""
        return self._path.gradient

    def on(
        self,
        backend: str,
        device: DeviceSettings | None = None,
        *,
        noise: NoiseConfig | None = None,
        shots: Sampling | int | None = None,
    ) -> Circuit:
        """The same circuit on another backend: exact, unless noise or shots are given."""
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
            noise=noise,
            shots=shots,
            executor=self._executor,
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
        if self.program is not None and self.runner is None:
            from qmarl.circuits.torch_function import run_program

            return run_program(self.program, inputs, named, self._executor)
        self._require_finite(inputs, "inputs")
        for part in named.values():
            self._require_finite(part, "weights")
        return self._run_stacked(inputs, named)

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
        if self.program is None or self.runner is not None:
            raise ConfigurationError(
                f"circuit '{self.name}': only fused circuits have gradients without torch, and "
                f"without noise and shots; this one runs on {self.path} ({self.reason})"
            )
        return value_and_gradients(self.program, inputs, named, cotangent, need_inputs=need_inputs)

    def _run_stacked(
        self, inputs: torch.Tensor, weights: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        """Runs what wants exactly one axis of agents: noise, shots and devices."""
        agents = inputs.shape[:-2]
        samples = inputs.reshape(-1, *inputs.shape[-2:])
        named = {
            name: part.reshape(len(samples), *part.shape[len(agents) :])
            for name, part in weights.items()
        }
        if self.runner is not None:
            outputs = self.runner.run(samples, named)
        else:
            import torch

            assert self._path.device is not None
            flat = torch.cat([part.reshape(len(samples), -1) for part in named.values()], -1)
            outputs = self._path.device(samples, flat)
        return outputs.reshape(*agents, *outputs.shape[1:])

    def _require_finite(self, numbers: torch.Tensor | Array, place: str) -> None:
        if not np.isfinite(_plain(numbers)).all():
            raise RunError(f"circuit '{self.name}': its {place} are not all finite numbers")

    def draw(self) -> str:
        """Draws the circuit as text."""
        import pennylane as qp

        return str(qp.drawer.tape_text(self._tape, decimals=None))

    def describe(self) -> CircuitDescription:
        """Counts what the circuit is made of, and says which path runs and why."""
        return describe(self, self._path)


def _plain(numbers: torch.Tensor | Array) -> Array:
    return numbers if isinstance(numbers, np.ndarray) else numbers.detach().numpy()


def build_circuit(
    config: CircuitConfig,
    n_inputs: int,
    backend: str = "program",
    device: DeviceSettings | None = None,
    noise: NoiseConfig | None = None,
    shots: Sampling | int | None = None,
) -> Circuit:
    """Builds the circuit that a configuration names.

    Args:
        config: Its parts.
        n_inputs: Inputs of one sample.
        backend: ``program`` or ``pennylane:<device>``.
        device: How a PennyLane device is made and asked.
        noise: Noise of the quantum computer; for fused circuits alone.
        shots: Measurements behind every output; a :class:`Sampling` names the gradients, too.

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
        noise=noise,
        shots=shots,
    )


def _signature(name: str, n_inputs: int, weight_shape: Shape | Mapping[str, Shape]) -> Signature:
    if n_inputs < 1:
        raise ConfigurationError(
            f"circuit '{name}': it must take at least one input, got {n_inputs}"
        )
    named = isinstance(weight_shape, Mapping)
    shapes = dict(weight_shape) if isinstance(weight_shape, Mapping) else {"weights": weight_shape}
    return Signature(name, n_inputs, {key: tuple(shape) for key, shape in shapes.items()}, named)


def _tape(function: Callable[..., Any], signature: Signature) -> Any:
    from qmarl.circuits.compiler import build_tape

    return build_tape(function, signature, *signature.sample(np.random.default_rng(0)))
