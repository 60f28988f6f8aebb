"""Runs a quantum function on a PennyLane device, sample by sample or broadcast.

Imported only when a circuit is made for a device (it needs torch and PennyLane).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
import pennylane as qp
import torch

from qmarl.circuits.compiler import QuantumFunction, build_tape, wire_order
from qmarl.circuits.signature import Signature
from qmarl.errors import ConfigurationError


@final
class DeviceRunner:
    """A quantum function bound to one PennyLane device.

    Args:
        function: The quantum function.
        signature: Shapes of its arguments.
        device: Name of the PennyLane device.

    Raises:
        ConfigurationError: The device does not exist, or cannot run the function.
    """

    def __init__(self, function: QuantumFunction, signature: Signature, device: str) -> None:
        inputs, flat = signature.sample(np.random.default_rng(0))
        with torch.no_grad():
            self.tape = build_tape(function, signature, inputs, flat)
        self._signature = signature
        self._vectors = [
            isinstance(m, qp.measurements.ProbabilityMP) for m in self.tape.measurements
        ]
        self._node = qp.QNode(function, make_device(device, wire_order(self.tape)))
        self._broadcast = device == "default.qubit" and self._broadcasts()
        self.n_outputs = self._try(inputs, flat).shape[-1]

    def __call__(self, inputs: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
        """Outputs ``(A, B, outputs)`` for inputs ``(A, B, F)`` and flat weights ``(A, P)``."""
        rows = [self._batch(x, w) for x, w in zip(inputs, flat, strict=True)]
        return torch.stack(rows).to(inputs.dtype)

    def _batch(self, inputs: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
        weights = self._signature.unflatten(flat)
        if self._broadcast:
            return self._join(self._node(inputs, weights), len(inputs))
        return torch.cat([self._join(self._node(sample, weights), 1) for sample in inputs])

    def _join(self, results: Any, batch: int) -> torch.Tensor:
        """Joins a QNode's results to ``(batch, outputs)``."""
        parts = results if isinstance(results, (tuple, list)) else [results]
        return torch.cat(
            [
                _column(torch.as_tensor(part), batch, vector=vector)
                for part, vector in zip(parts, self._vectors, strict=True)
            ],
            -1,
        )

    def _try(self, inputs: Any, flat: Any) -> torch.Tensor:
        try:
            with torch.no_grad():
                return self._batch(torch.as_tensor(inputs)[None], torch.as_tensor(flat))
        except (qp.exceptions.DeviceError, qp.exceptions.QuantumFunctionError) as error:
            raise ConfigurationError(
                f"circuit '{self._signature.name}' does not run on this device: {error}"
            ) from error

    def _broadcasts(self) -> bool:
        """Whether the function gives for a batch what it gives sample by sample."""
        rng = np.random.default_rng(1)
        pairs = [self._signature.sample(rng) for _ in range(3)]
        inputs = torch.as_tensor(np.stack([pair[0] for pair in pairs]))
        weights = self._signature.unflatten(torch.as_tensor(pairs[0][1]))
        with torch.no_grad():
            single = torch.cat([self._join(self._node(sample, weights), 1) for sample in inputs])
            try:
                return torch.allclose(self._join(self._node(inputs, weights), 3), single)
            except (ValueError, RuntimeError, IndexError, TypeError):
                return False  # the function indexes its inputs as those of one sample


def make_device(name: str, wires: Sequence[Any]) -> Any:
    """Makes a PennyLane device.

    Raises:
        ConfigurationError: There is no such device; the text names those that are installed.
    """
    try:
        return qp.device(name, wires=wires)
    except (qp.exceptions.DeviceError, ImportError) as error:
        installed = ", ".join(sorted(qp.plugin_devices))
        raise ConfigurationError(
            f"actor.backend: PennyLane has no device '{name}' here; installed are {installed}"
        ) from error


def _column(part: torch.Tensor, batch: int, *, vector: bool) -> torch.Tensor:
    """One measurement's result as ``(batch, outputs)``; constant ones come without a batch."""
    if vector:
        return part if part.ndim == 2 else part.expand(batch, -1)
    return part[:, None] if part.ndim else part.expand(batch, 1)
