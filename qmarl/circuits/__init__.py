"""Circuits: PennyLane quantum functions, run as fused programs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qmarl.circuits.builtin import CircuitConfig

if TYPE_CHECKING:
    from qmarl.circuits.checks import check_circuit
    from qmarl.circuits.circuit import Circuit, build_circuit
    from qmarl.circuits.description import CircuitDescription
    from qmarl.circuits.direct import Pulled
    from qmarl.circuits.inference import BoundProgram
    from qmarl.circuits.noise import NoiseConfig
    from qmarl.circuits.plugins import DeviceSettings
    from qmarl.circuits.program import Program
    from qmarl.circuits.shots import Sampling

__all__ = [
    "BoundProgram",
    "Circuit",
    "CircuitConfig",
    "CircuitDescription",
    "DeviceSettings",
    "NoiseConfig",
    "Program",
    "Pulled",
    "Sampling",
    "build_circuit",
    "check_circuit",
]

_HOMES = {
    "BoundProgram": "inference",
    "Circuit": "circuit",
    "CircuitDescription": "description",
    "DeviceSettings": "plugins",
    "NoiseConfig": "noise",
    "Program": "program",
    "Pulled": "direct",
    "Sampling": "shots",
    "build_circuit": "circuit",
    "check_circuit": "checks",
}


def __getattr__(name: str) -> Any:
    """Loads the executors when they are asked for: checking a configuration needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
