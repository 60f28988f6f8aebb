"""Runs a quantum function on a PennyLane device: a whole batch as one list of circuits.

Imported only when a circuit is made for a device (it needs torch and PennyLane).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
import pennylane as qp
import torch

from qmarl.circuits.compiler import QuantumFunction, build_tape, wire_order
from qmarl.circuits.counted_device import CountedDevice, persist
from qmarl.circuits.ledger import Ledger
from qmarl.circuits.plugins import DeviceGradient, DeviceSettings, make_device
from qmarl.circuits.signature import Signature
from qmarl.errors import ConfigurationError, RunError

_METHODS = {"backprop": "backprop", "adjoint": "adjoint", "parameter_shift": "parameter-shift"}
"""PennyLane's word for each way to a gradient, the better ones first."""

Shape = tuple[int, ...]


@final
class DeviceRunner:
    """A quantum function bound to one PennyLane device.

    Making it runs nothing on the device: whether the circuit fits is asked of the device's
    preprocessing. Only simulators that backpropagate are tried, on whether the function broadcasts.

    Args:
        function: The quantum function.
        signature: Shapes of its arguments.
        device: Name of the PennyLane device.
        settings: How the device is made, asked again and differentiated.

    Attributes:
        ledger: Counts what runs on the device.
        gradient: How gradients are had.
        n_outputs: Outputs of one sample.

    Raises:
        ConfigurationError: The device does not exist, or cannot run the function.
        RunError: The device does not answer while it is made.
    """

    def __init__(
        self,
        function: QuantumFunction,
        signature: Signature,
        device: str,
        settings: DeviceSettings | None = None,
    ) -> None:
        self._function, self._signature = function, signature
        self._settings, self.ledger = settings or DeviceSettings(), Ledger()
        with torch.no_grad():
            example = build_tape(function, signature, *signature.sample(np.random.default_rng(0)))
        example = example.copy(shots=self.shots)
        self._shapes = self._output_shapes(example)
        self.n_outputs = sum(int(np.prod(shape)) for shape in self._shapes)
        self._device = self._make(device, wire_order(example))
        self.gradient = self._choose_gradient(example)
        self._check(example)
        self._broadcast = self.gradient == "backprop" and self._broadcasts()

    def __call__(self, inputs: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
        """Outputs ``(A, B, outputs)`` for inputs ``(A, B, F)`` and flat weights ``(A, P)``."""
        weights = [self._signature.unflatten(row) for row in flat]
        agents, batch = inputs.shape[:2]
        if self._broadcast:
            tapes, each = [self._tape(x, w) for x, w in zip(inputs, weights, strict=True)], batch
        else:  # one list for all agents and samples, which a remote device queues together
            pairs = zip(inputs, weights, strict=True)
            tapes, each = [self._tape(sample, w) for x, w in pairs for sample in x], 1
        outputs = self._execute(self._device, tapes, each)
        return outputs.reshape(agents, batch, -1).to(inputs.dtype)

    @property
    def shots(self) -> int | None:
        """Measurements of each circuit; None for exact results."""
        return self._settings.shots

    def _tape(self, inputs: Any, weights: Any) -> Any:
        """The tape of one sample, or of a batch."""
        tape = qp.tape.make_qscript(self._function)(inputs, weights)
        tape = tape.copy(shots=self.shots)
        parameters = tape.get_parameters(trainable_only=False)
        tape.trainable_params = qp.math.get_trainable_indices(parameters)
        return tape

    def _execute(self, device: CountedDevice, tapes: Sequence[Any], batch: int) -> torch.Tensor:
        """Outputs ``(tapes * batch, outputs)``, differentiable where a tape is trainable."""
        trainable = any(tape.trainable_params for tape in tapes)
        method = _METHODS[self.gradient] if trainable else None
        try:
            with device.forward(batched=batch > 1):
                results = qp.execute(tapes, device, diff_method=method, interface="torch")
        except qp.exceptions.WireError as error:
            raise RunError(
                f"circuit '{self._signature.name}': its wires must not depend on the data: {error}"
            ) from error
        return torch.cat([self._join(result, batch) for result in results])

    def _join(self, results: Any, batch: int) -> torch.Tensor:
        """Joins the measurements of a tape to ``(batch, outputs)``."""
        parts = results if isinstance(results, (tuple, list)) else [results]
        columns = [
            _column(torch.as_tensor(part), batch, vector=bool(shape))
            for part, shape in zip(parts, self._shapes, strict=True)
        ]
        return torch.cat(columns, -1)

    def _make(self, name: str, wires: Sequence[Any]) -> CountedDevice:
        settings, ledger = self._settings, self.ledger
        made = persist(lambda: make_device(name, wires, settings.options), name, settings, ledger)
        return CountedDevice(made, name, settings, ledger)

    def _output_shapes(self, tape: Any) -> list[Shape]:
        try:
            shapes = [tuple(m.shape(None, len(tape.wires))) for m in tape.measurements]
            if (
                all(m.numeric_type is float for m in tape.measurements)
                and max(map(len, shapes)) < 2
            ):
                return shapes
            reason = "it returns a state"
        except (qp.exceptions.MeasurementShapeError, qp.exceptions.QuantumFunctionError) as error:
            reason = str(error)
        raise ConfigurationError(
            f"circuit '{self._signature.name}': its quantum function must return expectation "
            f"values or probabilities: {reason}"
        )

    def _choose_gradient(self, tape: Any) -> DeviceGradient:
        """The best way to gradients that the device supports for this circuit, or the given one."""
        chosen = self._settings.gradient
        if chosen == "best":
            found: list[DeviceGradient] = [w for w in ("backprop", "adjoint") if self._can(w, tape)]
            return found[0] if found else "parameter_shift"
        if chosen != "parameter_shift" and not self._can(chosen, tape):
            reason = f"with {self.shots} shots" if self.shots else "for it"
            raise ConfigurationError(
                f"circuit '{self._signature.name}': the device '{self._device.name}' has no "
                f"gradients by '{chosen}' {reason}; use 'best'"
            )
        return chosen

    def _can(self, way: DeviceGradient, tape: Any) -> bool:
        config = qp.devices.ExecutionConfig(gradient_method=_METHODS[way])
        return self._device.supports_derivatives(config, tape)

    def _check(self, tape: Any) -> None:
        """Lets the device say whether it can run the circuit, without running it."""
        try:
            config = qp.devices.ExecutionConfig(gradient_method=None)
            config = self._device.setup_execution_config(config, tape)
            self._device.preprocess_transforms(config)([tape])
        except (
            qp.exceptions.DeviceError,
            qp.exceptions.QuantumFunctionError,
            qp.exceptions.WireError,
        ) as error:
            raise self._misfit(error) from error

    def _broadcasts(self) -> bool:
        """Whether the function gives for a batch what it gives sample by sample."""
        rng = np.random.default_rng(1)
        pairs = [self._signature.sample(rng) for _ in range(3)]
        inputs = torch.as_tensor(np.stack([pair[0] for pair in pairs]))
        weights = self._signature.unflatten(torch.as_tensor(pairs[0][1]))
        trial = self._device.uncounted()
        with torch.no_grad():
            single = self._try(trial, [self._tape(sample, weights) for sample in inputs])
            try:
                together = self._execute(trial, [self._tape(inputs, weights)], 3)
            except Exception:  # whatever a function made for one sample raises on a batch
                return False
        return together.shape == single.shape and torch.allclose(together, single)

    def _try(self, device: CountedDevice, tapes: Sequence[Any]) -> torch.Tensor:
        """Runs samples on a simulator, whose refusals may have any type."""
        try:
            return self._execute(device, tapes, 1)
        except Exception as error:
            raise self._misfit(error) from error

    def _misfit(self, error: Exception) -> ConfigurationError:
        return ConfigurationError(
            f"circuit '{self._signature.name}' does not run on the device "
            f"'{self._device.name}': {error}"
        )


def _column(part: torch.Tensor, batch: int, *, vector: bool) -> torch.Tensor:
    """One measurement's result as ``(batch, outputs)``; constant ones come without a batch."""
    if vector:
        return part if part.ndim == 2 else part.expand(batch, -1)
    return part[:, None] if part.ndim else part.expand(batch, 1)
