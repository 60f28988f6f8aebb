"""A quantum circuit as plain numbers: rotations, fixed gates and measured words.

A :class:`Program` is the normal form that the compiler writes and every executor reads. It needs
NumPy alone, so a rollout worker can run it without torch or PennyLane.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, final

import msgpack  # type: ignore[import-untyped] # it has no stubs
import numpy as np
import numpy.typing as npt

from qmarl.circuits.expressions import NOTHING, Derived, Expressions, Node
from qmarl.errors import RunError
from qmarl.types import Array, Params

if TYPE_CHECKING:
    from qmarl.circuits.inference import BoundProgram
    from qmarl.circuits.plan import Plan

FORMAT = 1
"""Version of the serialised form."""


class Angle(NamedTuple):
    """An angle ``factor * weight * feature + offset`` [rad].

    Attributes:
        factor: Constant factor.
        offset: Constant part [rad].
        weight: Index into the flat weights (and derived ones), -1 where none takes part.
        feature: Index into the inputs (and derived ones), -1 where none takes part.
    """

    factor: float
    offset: float
    weight: int = -1
    feature: int = -1


class Rotation(NamedTuple):
    """One-qubit rotation ``exp(-i angle / 2 (axis . sigma))``.

    Attributes:
        wire: Qubit, 0 is the most significant bit of a basis state's index.
        axis: Unit vector ``(x, y, z)``.
        angle: Its angle.
    """

    wire: int
    axis: tuple[float, float, float]
    angle: Angle


class FixedGate(NamedTuple):
    """A gate without parameters on two or more qubits.

    Attributes:
        wires: Qubits, the first is the most significant bit of the matrix's index.
        matrix: ``(2**k, 2**k)`` unitary, complex.
    """

    wires: tuple[int, ...]
    matrix: Array


Gate = Rotation | FixedGate


class PauliWord(NamedTuple):
    """``coefficient * i**|flips & signs| X**flips Z**signs``: a product of Pauli operators.

    Attributes:
        coefficient: Real factor.
        flips: Bit mask (in the index of a basis state) of the qubits with X or Y.
        signs: Bit mask of the qubits with Z or Y.
    """

    coefficient: float
    flips: int
    signs: int


class Projection(NamedTuple):
    """Projector on the basis states whose bits under ``mask`` equal ``bits``."""

    mask: int
    bits: int


Observable = tuple[PauliWord | Projection, ...]
"""A measured quantity: the sum of its terms."""


@final
@dataclass(frozen=True, eq=False)
class Program:
    """Normal form of a circuit; see :mod:`qmarl.circuits.compiler` for how it comes about.

    Attributes:
        name: Name of the circuit, for messages.
        qubits: Number of qubits ``n``.
        n_inputs: Number of inputs of one sample.
        weights: Shape of each named weight; flat weights are their concatenation in this order.
        gates: Gates in the order in which they act on ``|0...0>``.
        outputs: Measured quantities, one output each.
        derived: Functions that stand before the circuit: their values join the inputs and the
            flat weights, behind the given ones.
    """

    name: str
    qubits: int
    n_inputs: int
    weights: tuple[tuple[str, tuple[int, ...]], ...]
    gates: tuple[Gate, ...]
    outputs: tuple[Observable, ...]
    derived: Derived = NOTHING

    @property
    def n_outputs(self) -> int:
        """Number of outputs of one sample."""
        return len(self.outputs)

    @property
    def weight_names(self) -> tuple[str, ...]:
        """Names of the weights, in the order of the flat vector."""
        return tuple(name for name, _ in self.weights)

    @property
    def n_weights(self) -> int:
        """Number of trainable numbers."""
        return sum(int(np.prod(shape)) for _, shape in self.weights)

    @cached_property
    def plan(self) -> Plan:
        """The program lowered to arrays, made when it is first asked for."""
        from qmarl.circuits.lowering import lower  # plans are made of programs: a circle at import

        return lower(self)

    def flatten(self, weights: Mapping[str, Array]) -> Array:
        """Joins named weights ``(*agents, *shape)`` into one array ``(*agents, n_weights)``."""
        parts = []
        for name, shape in self.weights:
            array = np.asarray(weights[name])
            lead = array.shape[: array.ndim - len(shape)]
            parts.append(array.reshape(*lead, int(np.prod(shape))))
        return np.concatenate(parts, -1)

    def unflatten(self, flat: Array) -> Params:
        """Splits ``(*agents, n_weights)`` into named weights ``(*agents, *shape)``."""
        named, start = {}, 0
        for name, shape in self.weights:
            stop = start + int(np.prod(shape))
            named[name] = flat[..., start:stop].reshape(*flat.shape[:-1], *shape)
            start = stop
        return named

    def bind(self, weights: Mapping[str, Array], dtype: npt.DTypeLike = np.float32) -> BoundProgram:
        """Builds the unitaries of frozen ``weights`` once, for many calls.

        Args:
            weights: Named weights ``(*agents, *shape)``; the unitaries are built in float64.
            dtype: float32 or float64, of the inputs and outputs.
        """
        from qmarl.circuits.inference import bind  # the executor reads programs: a circle at import

        return bind(self, weights, dtype)

    def to_bytes(self) -> bytes:
        """Serialises the program as msgpack, without pickle."""
        packed: bytes = msgpack.packb(_to_plain(self))
        return packed

    @staticmethod
    def from_bytes(payload: bytes) -> Program:
        """Reads what :meth:`to_bytes` wrote.

        Raises:
            RunError: The bytes are not a serialised program of this version.
        """
        try:
            plain = msgpack.unpackb(payload)
            if plain["format"] != FORMAT:
                raise ValueError(f"format {plain['format']}")
            return _from_plain(plain)
        except (KeyError, TypeError, ValueError, IndexError, msgpack.UnpackException) as error:
            raise RunError(
                f"these bytes are not a circuit program of format {FORMAT}: {error}"
            ) from error


def _to_plain(program: Program) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": program.name,
        "qubits": program.qubits,
        "n_inputs": program.n_inputs,
        "weights": program.weights,
        "gates": [_plain_gate(gate) for gate in program.gates],
        "outputs": [
            [(int(isinstance(term, PauliWord)), tuple(term)) for term in observable]
            for observable in program.outputs
        ],
        "derived": [(part.nodes, part.wanted) for part in program.derived],
    }


def _plain_gate(gate: Gate) -> tuple[Any, ...]:
    if isinstance(gate, Rotation):
        return (1, gate.wire, gate.axis, tuple(gate.angle))
    return (0, gate.wires, np.asarray(gate.matrix, np.complex128).tobytes())


def _from_plain(plain: dict[str, Any]) -> Program:
    return Program(
        name=plain["name"],
        qubits=plain["qubits"],
        n_inputs=plain["n_inputs"],
        weights=tuple((name, tuple(shape)) for name, shape in plain["weights"]),
        gates=tuple(_read_gate(gate) for gate in plain["gates"]),
        outputs=tuple(
            tuple(PauliWord(*term) if is_word else Projection(*term) for is_word, term in terms)
            for terms in plain["outputs"]
        ),
        derived=Derived(*(_read_expressions(part) for part in plain["derived"])),
    )


def _read_expressions(plain: list[Any]) -> Expressions:
    nodes = tuple(
        Node(kind, source, function, tuple((factor, tuple(places)) for factor, places in terms))
        for kind, source, function, terms in plain[0]
    )
    return Expressions(nodes, tuple(plain[1]))


def _read_gate(plain: list[Any]) -> Gate:
    if plain[0]:
        return Rotation(plain[1], tuple(plain[2]), Angle(*plain[3]))
    size = 2 ** len(plain[1])
    matrix = np.frombuffer(plain[2], np.complex128).reshape(size, size)
    return FixedGate(tuple(plain[1]), matrix)
