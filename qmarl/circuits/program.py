"""A quantum circuit as plain numbers: rotations, fixed gates and measured words.

A :class:`Program` is the normal form that the compiler writes and every executor reads. It needs
NumPy alone, so a rollout worker can run it without torch or PennyLane.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import msgpack  # type: ignore[import-untyped] # it has no stubs
import numpy as np
import numpy.typing as npt

from qmarl.circuits.expressions import NOTHING, Derived, Expressions, Node
from qmarl.circuits.gates import (
    Angle,
    FixedGate,
    Gate,
    NormalForm,
    Observable,
    PauliWord,
    Prepared,
    Projection,
    Rotation,
)
from qmarl.circuits.inference import BoundProgram
from qmarl.circuits.lowering import lower, lower_layered
from qmarl.circuits.numpy_executor import bind
from qmarl.circuits.plan import LayeredPlan, Plan
from qmarl.errors import RunError
from qmarl.types import Array, Params

FORMAT = 1
"""Version of the serialised form."""


@final
@dataclass(frozen=True, eq=False)
class Program:
    """Normal form of a circuit; see :mod:`qmarl.circuits.compiler` for how it comes about.

    Attributes:
        name: Name of the circuit, for messages.
        qubits: Number of qubits ``n``.
        n_inputs: Number of inputs of one sample.
        weights: Shape of each named weight; flat weights are their concatenation in this order.
        gates: Gates in the order in which they act.
        outputs: Measured quantities, one output each.
        derived: Functions that stand before the circuit: their values join the inputs and the
            flat weights, behind the given ones.
        prepared: The state made of inputs that the gates act on, None for ``|0...0>``.
    """

    name: str
    qubits: int
    n_inputs: int
    weights: tuple[tuple[str, tuple[int, ...]], ...]
    gates: tuple[Gate, ...]
    outputs: tuple[Observable, ...]
    derived: Derived = NOTHING
    prepared: Prepared | None = None

    @property
    def n_outputs(self) -> int:
        """Number of outputs of one sample."""
        return len(self.outputs)

    @cached_property
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
        return lower(self._normal_form)

    @cached_property
    def layered(self) -> LayeredPlan:
        """The program as layers whatever its size, for devices other than the processor."""
        plan = self.plan
        return plan if isinstance(plan, LayeredPlan) else lower_layered(self._normal_form)

    @cached_property
    def kept(self) -> dict[tuple[Any, ...], Any]:
        """What executors keep of the program from call to call, in this process."""
        return {}

    @property
    def _normal_form(self) -> NormalForm:
        return NormalForm(
            self.qubits, self.n_weights, self.gates, self.outputs, self.derived, self.prepared
        )

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
        flat = self.flatten(weights)
        bound = bind(self.plan, flat.reshape(-1, self.n_weights), dtype)
        return BoundProgram(bound, flat.shape[:-1])

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
        "prepared": program.prepared,
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
        prepared=_read_prepared(plain.get("prepared")),
    )


def _read_prepared(plain: list[Any] | None) -> Prepared | None:
    """The prepared state; programs written before there were any have none."""
    if plain is None:
        return None
    circuit, wires, amplitudes = plain
    return Prepared(circuit, tuple(wires), tuple(Angle(*angle) for angle in amplitudes))


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
