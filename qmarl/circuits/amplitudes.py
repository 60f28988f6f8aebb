"""Finds the state that a quantum function prepares from its inputs, while it is compiled.

PennyLane hands over normalised amplitudes: the recorder's symbols of them are divided by a common
norm, which is taken out again. Imported only while compiling (it needs PennyLane).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pennylane as qp

from qmarl.circuits.gates import Angle, Prepared
from qmarl.circuits.recorder import CompileError, Recorder
from qmarl.circuits.symbols import Applied, Symbol, Weight


def input_state(tape: Any, recorder: Recorder) -> Any | None:
    """The operation that prepares a state from inputs or weights, None where there is none.

    Raises:
        CompileError: It is not the first on its wires, or there is more than one, or its amplitudes
            are complex.
    """
    found: Any | None = None
    busy: set[Any] = set()
    for op in tape.operations:
        if isinstance(op, qp.StatePrep) and not _is_constant(op, recorder):
            if found is not None or busy & set(op.wires):
                raise refusal(op)
            found = op
        busy |= set(op.wires)
    return found


def refusal(op: Any) -> CompileError:
    """Why an operation cannot be fused."""
    return CompileError(f"{op.name} prepares a state that depends on inputs or weights")


def _is_constant(op: Any, recorder: Recorder) -> bool:
    entries = recorder.entries(op.data[0])
    if entries is None:
        raise refusal(op)
    return all(entry.is_constant for entry in entries)


def prepared_state(
    op: Any | None,
    place: Mapping[Any, int],
    recorder: Recorder,
    angle: Callable[[Symbol], Angle],
    circuit: str,
) -> Prepared | None:
    """What :func:`input_state` found, as plain numbers.

    Args:
        op: The operation.
        place: Index of each wire.
        recorder: It watched the quantum function.
        angle: Writes a symbol as ``factor * weight * feature + offset``.
        circuit: Name of the circuit.

    Raises:
        CompileError: The amplitudes are not inputs and constants that PennyLane normalised.
    """
    if op is None:
        return None
    entries = recorder.entries(op.data[0])
    assert entries is not None  # refused before
    numbers = _numbers(entries)
    if numbers is None or any(_has_weights(number) for number in numbers):
        raise refusal(op)
    return Prepared(circuit, tuple(place[wire] for wire in op.wires), tuple(map(angle, numbers)))


def _numbers(entries: Sequence[Symbol]) -> list[Symbol] | None:
    """The numbers whose Euclidean norm all entries are divided by, None where there is none."""
    lengths = (
        atom
        for entry in entries
        for monomial in entry.variable
        for atom in monomial
        if isinstance(atom, Applied) and atom.function == "reciprocal"
    )
    for length in dict.fromkeys(lengths):
        numbers = [_multiplied(entry, length) for entry in entries]
        squares = Symbol.total(number * number for number in numbers)
        if squares.apply("sqrt") == length.argument:
            return numbers
    return None


def _multiplied(entry: Symbol, length: Applied) -> Symbol:
    """An entry without the atom ``length`` in each of its terms."""
    rest = []
    for monomial, factor in entry.terms:
        members = list(monomial)
        if length in members:
            members.remove(length)
        rest.append(Symbol(((tuple(members), factor),)))
    return Symbol.total(rest)


def _has_weights(symbol: Symbol) -> bool:
    """Whether a weight takes part in the symbol."""
    return any(
        isinstance(atom, Weight) or (isinstance(atom, Applied) and _has_weights(atom.argument))
        for monomial, _ in symbol.terms
        for atom in monomial
    )
