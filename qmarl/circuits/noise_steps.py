"""A noisy program step by step: rotations, channels on one wire, and fixed gates between them."""

from __future__ import annotations

from typing import NamedTuple

from qmarl.circuits.entanglers import entangler
from qmarl.circuits.gates import Angle, FixedGate, Rotation
from qmarl.circuits.noise import NoiseConfig, noisy_wires
from qmarl.circuits.plan import Block, Monomial
from qmarl.circuits.program import Program
from qmarl.circuits.wire_maps import Axis


class Turn(NamedTuple):
    """A rotation: by an angle of the data or of the weights, or, with neither row, by a constant.

    Attributes:
        wire: Its qubit.
        axis: Its axis.
        offset: The constant part of its angle [rad].
        data: Row among the angles of the data, or -1.
        free: Row among those of the weights, or -1.
    """

    wire: int
    axis: Axis
    offset: float
    data: int = -1
    free: int = -1


class Struck(NamedTuple):
    """The channel on one wire."""

    wire: int


Step = Turn | Struck | Monomial | Block


class Steps(NamedTuple):
    """A noisy program, step by step.

    Attributes:
        order: What acts on the state, in order.
        data: Angles with an input.
        free: Angles with a weight alone.
    """

    order: tuple[Step, ...]
    data: tuple[Angle, ...]
    free: tuple[Angle, ...]


def lower_steps(program: Program, noise: NoiseConfig, quiet: int = 0) -> Steps:
    """Lowers a program under noise.

    Args:
        program: The program.
        noise: Channels and where they act.
        quiet: Number of gates at the end without noise.
    """
    writer = _Writer(program.qubits)
    wires = noisy_wires(program.gates, program.qubits, noise, quiet)
    for gate, noisy in zip(program.gates, wires, strict=True):
        writer.gate(gate)
        writer.channels(noisy)
    writer.flush()
    return Steps(tuple(writer.order), tuple(writer.data), tuple(writer.free))


class _Writer:
    """Writes steps; fixed gates wait until something else comes, so that they become one."""

    def __init__(self, qubits: int) -> None:
        self.order: list[Step] = []
        self.data: list[Angle] = []
        self.free: list[Angle] = []
        self._qubits = qubits
        self._fixed: list[FixedGate] = []

    def gate(self, gate: Rotation | FixedGate) -> None:
        if isinstance(gate, FixedGate):
            self._fixed.append(gate)
            return
        self.flush()
        turn = Turn(gate.wire, gate.axis, gate.angle.offset)
        if gate.angle.feature >= 0:
            turn = turn._replace(data=len(self.data))
            self.data.append(gate.angle)
        elif gate.angle.weight >= 0:
            turn = turn._replace(free=len(self.free))
            self.free.append(gate.angle)
        self.order.append(turn)

    def channels(self, wires: tuple[int, ...]) -> None:
        if wires:
            self.flush()
        self.order += [Struck(wire) for wire in wires]

    def flush(self) -> None:
        self.order += entangler(self._fixed, self._qubits)
        self._fixed = []
