"""Finds PennyLane devices by name, and says what is missing when one cannot be had."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np

from qmarl.config import nearest
from qmarl.errors import ConfigurationError

DeviceGradient = Literal["best", "backprop", "adjoint", "parameter_shift"]
"""How a device's gradients are had; ``best`` is the first that it supports, in this order."""

_PACKAGES = {
    "qiskit.": "pennylane-qiskit",
    "braket.": "amazon-braket-pennylane-plugin",
    "cirq.": "pennylane-cirq",
    "ionq.": "pennylane-ionq",
    "lightning.gpu": "pennylane-lightning-gpu",
    "lightning.kokkos": "pennylane-lightning-kokkos",
    "lightning.": "pennylane-lightning",
}
"""The package that usually provides the devices whose names start like this."""

_DTYPES = {"complex64": np.complex64, "complex128": np.complex128}


@final
@dataclass(frozen=True)
class DeviceSettings:
    """How a circuit is run on a PennyLane device.

    Attributes:
        options: What the device is made with, besides its wires. ``shots`` is set on the circuits,
            as PennyLane now asks for.
        retries: How often a call is repeated that fails with an ``OSError``, such as
            ``ConnectionError`` or ``TimeoutError``.
        pause: Seconds before the first repetition; each further pause is twice as long.
        gradient: How gradients are had.

    Raises:
        ConfigurationError: An option is the circuit's own, or shots are not a count.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    retries: int = 3
    pause: float = 1.0
    gradient: DeviceGradient = "best"

    def __post_init__(self) -> None:
        problem = options_problem(self.options)
        if problem:
            raise ConfigurationError(f"actor.device_options: {problem}")

    @property
    def shots(self) -> int | None:
        """Measurements of each circuit; None for exact results."""
        shots: int | None = self.options.get("shots")
        return shots


def options_problem(options: Mapping[str, Any]) -> str | None:
    """What no device can take, whatever its name.

    >>> options_problem({"shots": 0})
    "'shots' must be a whole number of at least 1, got 0"
    """
    if "wires" in options:
        return "'wires' follow from the circuit; leave them out"
    shots = options.get("shots")
    if shots is not None and (type(shots) is not int or shots < 1):
        return f"'shots' must be a whole number of at least 1, got {shots!r}"
    return None


def make_device(name: str, wires: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Makes a PennyLane device.

    Args:
        name: Its name.
        wires: The circuit's wires.
        options: What else it is made with; ``shots`` are left to the circuits.

    Raises:
        ConfigurationError: There is no such device, or it does not take these options.
    """
    import pennylane as qp

    try:
        _check_options(name, options)
        return qp.device(name, wires=wires, **_arguments(name, options))
    except qp.exceptions.DeviceError as error:
        raise ConfigurationError(f"actor.backend: {_missing(name, error)}") from error
    except ImportError as error:
        raise ConfigurationError(
            f"actor.backend: PennyLane's device '{name}' cannot be loaded: {error}"
        ) from error
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"actor.device_options: the device '{name}' refuses {dict(options)}: {error}"
        ) from error


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    """Finds options that the device's constructor does not name, where it names them all."""
    import pennylane as qp

    if name not in qp.plugin_devices:
        return
    taken = inspect.signature(qp.plugin_devices[name].load()).parameters
    if any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        return
    allowed = sorted(taken.keys() - {"wires"} | {"shots"})
    for option in options:
        if option not in allowed:
            near = nearest(option, allowed)
            raise ConfigurationError(
                f"actor.device_options: the device '{name}' has no option '{option}'"
                f"{_hint(near)}; it takes {', '.join(allowed)}"
            )


def _arguments(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as the device takes them: a configuration writes types as words."""
    arguments = {key: value for key, value in options.items() if key != "shots"}
    dtype = arguments.get("c_dtype")
    if isinstance(dtype, str):
        if dtype not in _DTYPES:
            raise ConfigurationError(
                f"actor.device_options: 'c_dtype' of the device '{name}' must be one of "
                f"{', '.join(_DTYPES)}, got '{dtype}'"
            )
        arguments["c_dtype"] = _DTYPES[dtype]
    return arguments


def _missing(name: str, error: Exception) -> str:
    """Says that there is no such device, or that it is not for this PennyLane."""
    import pennylane as qp

    installed = sorted(qp.plugin_devices)
    if name in installed:
        return str(error)
    packages = [package for start, package in _PACKAGES.items() if name.startswith(start)]
    source = f"; the package '{packages[0]}' usually provides it" if packages else ""
    return (
        f"PennyLane has no device '{name}' here{_hint(nearest(name, installed))}{source}; "
        f"installed are {', '.join(installed)}"
    )


def _hint(near: str | None) -> str:
    return f" (did you mean '{near}'?)" if near else ""
