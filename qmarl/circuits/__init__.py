"""Circuits: PennyLane quantum functions, run as fused programs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qmarl.circuits.builtin import CircuitConfig

if TYPE_CHECKING:
    from qmarl.circuits.checks import check_circuit
    from qmarl.circuits.circuit import Circuit, CircuitDescription, build_circuit
    from qmarl.circuits.inference import BoundProgram
    from qmarl.circuits.program import Program

__all__ = [
    "BoundProgram",
    "Circuit",
    "CircuitConfig",
    "CircuitDescription",
    "Program",
    "build_circuit",
    "check_circuit",
]

_HOMES = {
    "BoundProgram": "inference",
    "Circuit": "circuit",
    "CircuitDescription": "circuit",
    "Program": "program",
    "build_circuit": "circuit",
    "check_circuit": "checks",
}


def __getattr__(name: str) -> Any:
    """Loads the executors when they are asked for: checking a configuration needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
