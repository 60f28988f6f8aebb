"""Circuits: PennyLane quantum functions, run as fused programs."""

from qmarl.circuits.builtin import CircuitConfig
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
