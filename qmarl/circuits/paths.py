"""The choice of path: what runs a circuit, as it was asked for, and why."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

from qmarl.circuits.noise import SILENT, NoiseConfig
from qmarl.circuits.plugins import DeviceSettings
from qmarl.circuits.program import Program
from qmarl.circuits.shots import EXACT, Sampling
from qmarl.circuits.signature import Signature
from qmarl.errors import ConfigurationError

if TYPE_CHECKING:
    from qmarl.circuits.device import DeviceRunner
    from qmarl.circuits.noise_program import Runner

log = logging.getLogger(__name__)

FALLBACK = "default.qubit"


@final
@dataclass(frozen=True)
class Wanted:
    """How a circuit shall run.

    Attributes:
        backend: ``program`` or ``pennylane:<device>``.
        device: How a PennyLane device is made and asked.
        noise: Noise of the quantum computer.
        sampling: Shots and gradients.
    """

    backend: str = "program"
    device: DeviceSettings | None = None
    noise: NoiseConfig = SILENT
    sampling: Sampling = EXACT

    @property
    def exact(self) -> bool:
        """Whether outputs and gradients are exact."""
        sampling = self.sampling
        return self.noise.silent and sampling.shots is None and sampling.gradient == "adjoint"


@final
@dataclass(frozen=True)
class Path:
    """What runs a circuit.

    Attributes:
        name: ``program`` or ``pennylane:<device>``.
        reason: Why this one.
        program: The fused program without noise and shots, None on a device.
        runner: What runs the program under noise or with shots, None where all is exact.
        device: The PennyLane device, None where there is a program.
        settings: How that device was made.
        noise: Noise of the quantum computer.
        sampling: Shots and gradients of the program.
    """

    name: str
    reason: str
    program: Program | None = None
    runner: Runner | None = None
    device: DeviceRunner | None = None
    settings: DeviceSettings | None = None
    noise: NoiseConfig = SILENT
    sampling: Sampling = EXACT

    @property
    def shots(self) -> int | None:
        """Measurements of each circuit, None where outputs are exact."""
        return self.device.shots if self.device is not None else self.sampling.shots

    @property
    def gradient(self) -> str:
        """How gradients are had."""
        return self.device.gradient if self.device is not None else self.sampling.gradient


def sampling_of(circuit: str, shots: Sampling | int | None) -> Sampling:
    """What a number of shots stands for: estimates whose gradients are parameter shifts.

    >>> sampling_of("mine", 100)
    Sampling(shots=100, gradient='parameter_shift', spsa=SPSAConfig(step=0.2, draws=8))

    Raises:
        ConfigurationError: It is not a whole number of at least 1.
    """
    if isinstance(shots, Sampling):
        return shots
    if shots is None:
        return EXACT
    if type(shots) is not int or shots < 1:
        raise ConfigurationError(
            f"circuit '{circuit}': shots must be a whole number of at least 1, got {shots!r}"
        )
    return Sampling(shots, "parameter_shift")


def choose(function: Callable[..., Any], signature: Signature, wanted: Wanted) -> Path:
    """Finds what runs a quantum function as it is wanted.

    A function that cannot be fused runs on ``default.qubit``; that is logged, with the reason.

    Raises:
        ConfigurationError: There is no such backend, or it cannot run the function like this.
    """
    from qmarl.circuits.compiler import compile_function
    from qmarl.circuits.recorder import CompileError

    kind, _, device = wanted.backend.partition(":")
    if kind == "pennylane" and device:
        found = _on_device(function, signature, device, wanted, "chosen by the backend")
        return replace(found, reason=f"{found.reason}; gradients by {_words(found.gradient)}")
    if wanted.backend != "program":
        raise ConfigurationError(
            f"circuit '{signature.name}': actor.backend: got '{wanted.backend}', allowed are "
            "'program' and 'pennylane:<device>'"
        )
    try:
        program = compile_function(function, signature)
        if program.prepared is not None and not wanted.exact:
            raise CompileError("its state is made of inputs, which noise and shots do not know")
    except CompileError as error:
        found = _on_device(function, signature, FALLBACK, wanted, str(error))
        log.warning("circuit '%s' runs on %s: %s", signature.name, found.name, error)
        return found
    return _fused(program, wanted)


def _fused(program: Program, wanted: Wanted) -> Path:
    from qmarl.circuits.shots_program import make_runner

    noise, sampling = wanted.noise, wanted.sampling
    made = make_runner(program, noise, sampling)
    runner = None if isinstance(made, Program) else made
    parts = ["fused, and verified against default.qubit"]
    if not noise.silent:
        parts.append(f"noise {noise.method(program.qubits)}")
    if sampling.shots is not None:
        parts.append(f"outputs from {sampling.shots} shots")
    if sampling.gradient != "adjoint":
        parts.append(f"gradients by {_words(sampling.gradient)}")
    return Path("program", "; ".join(parts), program, runner, noise=noise, sampling=sampling)


def _words(gradient: str) -> str:
    return gradient.replace("_", " ")


def _on_device(
    function: Callable[..., Any], signature: Signature, device: str, wanted: Wanted, reason: str
) -> Path:
    from qmarl.circuits.device import DeviceRunner

    start, backend = f"circuit '{signature.name}': ", f"pennylane:{device}"
    if not wanted.noise.silent:
        raise ConfigurationError(
            f"{start}noise acts on fused circuits alone, but it runs on {backend}: {reason}"
        )
    try:
        given = wanted.device if wanted.backend == backend else None
        settings = _sampled(given or DeviceSettings(), wanted.sampling)
        runner = DeviceRunner(function, signature, device, settings)
    except ConfigurationError as error:
        text = str(error)
        raise ConfigurationError(text if signature.name in text else start + text) from error
    return Path(backend, reason, device=runner, settings=settings)


def _sampled(settings: DeviceSettings, sampling: Sampling) -> DeviceSettings:
    """The same settings with the shots and gradients that are wanted."""
    shots, options = sampling.shots, dict(settings.options)
    if sampling.gradient == "spsa":
        raise ConfigurationError(
            "actor.gradient: 'spsa' is for 'backend: program'; a device has 'parameter_shift'"
        )
    if shots is not None and options.setdefault("shots", shots) != shots:
        raise ConfigurationError(
            f"actor.device_options: {options['shots']} shots, but actor.shots is {shots}; "
            "leave one of them out"
        )
    shifts = sampling.gradient == "parameter_shift"
    gradient = "parameter_shift" if shifts else settings.gradient
    return replace(settings, options=options, gradient=gradient)
