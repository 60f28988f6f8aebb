"""Wraps a PennyLane device: counts what runs on it, and tries again when it does not answer.

Imported only when a circuit is made for a device (it needs PennyLane).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, final

import numpy as np
import pennylane as qp

from qmarl.circuits.ledger import Counts, Ledger, measured_groups
from qmarl.circuits.plugins import DeviceSettings
from qmarl.errors import RunError

log = logging.getLogger(__name__)

Result = TypeVar("Result")

TRANSIENT = (ConnectionError, TimeoutError, OSError)
"""What a device that does not answer raises; the first two are kinds of the third."""


def persist(
    action: Callable[[], Result], device: str, settings: DeviceSettings, ledger: Ledger
) -> Result:
    """Repeats an action until the device answers.

    Args:
        action: What to do.
        device: Name of the device.
        settings: How often to repeat it, and the pauses.
        ledger: Where repetitions are counted.

    Raises:
        RunError: The last attempt failed, too.
    """
    for attempt in range(settings.retries + 1):
        try:
            return action()
        except TRANSIENT as error:
            last = error
        if attempt < settings.retries:
            pause = settings.pause * 2**attempt
            log.warning("device '%s' failed, next attempt in %g s: %s", device, pause, last)
            ledger.add(Counts(retries=1))
            time.sleep(pause)
    attempts = "1 attempt" if settings.retries == 0 else f"{settings.retries + 1} attempts"
    raise RunError(
        f"actor.backend: the device '{device}' failed in {attempts}, at last with "
        f"{type(last).__name__}: {last}"
    ) from last


@final
class CountedDevice(qp.devices.Device):  # type: ignore[misc]  # PennyLane ships no types
    """A device that keeps a ledger and repeats calls that fail.

    What the device runs outside :meth:`forward` is counted as shifted circuits: they come from the
    backward pass. Circuits are counted when their results have come.

    Args:
        device: The PennyLane device.
        name: Its name, for messages.
        settings: How often to repeat a call.
        ledger: Where everything is counted.
    """

    def __init__(self, device: Any, name: str, settings: DeviceSettings, ledger: Ledger) -> None:
        super().__init__(wires=device.wires)
        self._device, self._name = device, name
        self._settings, self._ledger = settings, ledger
        self._groups: dict[tuple[str, ...], int] = {}
        self._forward = self._batched = False

    @property
    def name(self) -> str:
        """Name of the device inside."""
        return self._name

    def uncounted(self) -> CountedDevice:
        """The same device with a ledger of its own, for trials."""
        return CountedDevice(self._device, self._name, self._settings, Ledger())

    @contextmanager
    def forward(self, *, batched: bool) -> Iterator[None]:
        """Marks the forward pass.

        Args:
            batched: Whether a circuit may stand for a batch of samples.
        """
        self._forward, self._batched = True, batched
        try:
            yield
        finally:
            self._forward = self._batched = False

    def setup_execution_config(self, config: Any = None, circuit: Any = None) -> Any:
        """Asks the device inside."""
        return self._device.setup_execution_config(config, circuit)

    def preprocess_transforms(self, execution_config: Any = None) -> Any:
        """Asks the device inside."""
        return self._device.preprocess_transforms(execution_config)

    def supports_derivatives(self, execution_config: Any = None, circuit: Any = None) -> bool:
        """Asks the device inside."""
        return bool(self._device.supports_derivatives(execution_config, circuit))

    def execute(self, circuits: Any, execution_config: Any = None) -> Any:
        """Runs circuits.

        Raises:
            RunError: The device did not answer.
        """
        results = self._call(self._device.execute, circuits, execution_config)
        self._ledger.add(self._counts(_listed(circuits)))
        return _doubles(results)

    def compute_derivatives(self, circuits: Any, execution_config: Any = None) -> Any:
        """Computes the gradients of circuits by the device's own method.

        Raises:
            RunError: The device did not answer.
        """
        results = self._call(self._device.compute_derivatives, circuits, execution_config)
        self._ledger.add(Counts(jobs=1, derivatives=len(_listed(circuits))))
        return results

    def execute_and_compute_derivatives(self, circuits: Any, execution_config: Any = None) -> Any:
        """Runs circuits and computes their gradients by the device's own method.

        Raises:
            RunError: The device did not answer.
        """
        both = self._device.execute_and_compute_derivatives
        results, derivatives = self._call(both, circuits, execution_config)
        counts = self._counts(_listed(circuits))
        self._ledger.add(counts.plus(Counts(derivatives=len(_listed(circuits)))))
        return _doubles(results), derivatives

    def _call(self, method: Callable[[Any, Any], Any], circuits: Any, config: Any) -> Any:
        settled = config or qp.devices.ExecutionConfig()
        return persist(lambda: method(circuits, settled), self._name, self._settings, self._ledger)

    def _counts(self, tapes: Sequence[Any]) -> Counts:
        runs = [self._measured(tape) * self._samples(tape) for tape in tapes]
        shots = [
            count * (tape.shots.total_shots or 0) for count, tape in zip(runs, tapes, strict=True)
        ]
        executions = sum(runs)
        shifted = 0 if self._forward else executions
        return Counts(jobs=1, executions=executions, shots=sum(shots), shifted=shifted)

    def _samples(self, tape: Any) -> int:
        """Samples that a tape stands for; PennyLane is slow to tell, so it is asked if need be."""
        return (tape.batch_size or 1) if self._batched else 1

    def _measured(self, tape: Any) -> int:
        """Commuting groups of a tape's measurements, which repeat from tape to tape."""
        key = tuple(map(repr, tape.measurements))
        if key not in self._groups:
            self._groups[key] = measured_groups(tape.measurements)
        return self._groups[key]


def _listed(circuits: Any) -> Sequence[Any]:
    return [circuits] if isinstance(circuits, qp.tape.QuantumScript) else circuits


def _doubles(results: Any) -> Any:
    """Makes Python's floats NumPy's: torch would round the former to float32."""
    if isinstance(results, (tuple, list)):
        return type(results)(_doubles(result) for result in results)
    return np.float64(results) if type(results) is float else results
