"""Compiles a PennyLane quantum function into a :class:`Program`, and verifies it.

The function is traced once on random numbers. PennyLane decomposes its gates to RX, RY, RZ and
gates without parameters; a recorder tells how every angle depends on inputs and weights; the result
is compared with PennyLane's ``default.qubit`` on fresh random numbers before anyone may use it.
Imported only when a circuit is made: it needs torch and PennyLane.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pennylane as qp
import torch

from qmarl.circuits.amplitudes import input_state, prepared_state
from qmarl.circuits.diagonal import axis_angle
from qmarl.circuits.expressions import Derived, ExpressionWriter, depends_on_input
from qmarl.circuits.gates import Angle, FixedGate, Gate, Rotation
from qmarl.circuits.observables import convert_measurements
from qmarl.circuits.program import Program
from qmarl.circuits.recorder import CompileError, Recorder
from qmarl.circuits.signature import Signature
from qmarl.circuits.symbols import Input, Symbol, Weight
from qmarl.errors import ConfigurationError
from qmarl.types import Array

QuantumFunction = Callable[..., Any]

MAX_QUBITS = 20
TOLERANCE = 1e-10
_AXES = {"RX": (1.0, 0.0, 0.0), "RY": (0.0, 1.0, 0.0), "RZ": (0.0, 0.0, 1.0)}
_IGNORED = frozenset({"GlobalPhase", "Barrier", "Identity", "Snapshot", "WireCut"})


def compile_function(function: QuantumFunction, signature: Signature) -> Program:
    """Compiles ``function`` and verifies the result against ``default.qubit``.

    Args:
        function: Takes ``inputs`` and ``weights``, applies gates and returns measurements.
        signature: Shapes of inputs and weights.

    Raises:
        CompileError: The function cannot be fused; the text says why.
        ConfigurationError: It does not use its inputs, or has too many qubits.
    """
    rng = np.random.default_rng(0)
    program, tape = _translate(function, signature, *signature.sample(rng))
    if not _takes_inputs(program):
        raise ConfigurationError(
            f"circuit '{signature.name}': no gate of its quantum function depends on the inputs"
        )
    _verify(program, tape, function, signature, rng)
    return program


def build_tape(function: QuantumFunction, signature: Signature, inputs: Array, flat: Array) -> Any:
    """Runs the quantum function on one sample and returns its PennyLane tape.

    Raises:
        ConfigurationError: It cannot be called like this, or returns no measurement.
    """
    weights = signature.unflatten(torch.as_tensor(flat))
    try:
        inspect.signature(function).bind(inputs, weights)
    except TypeError as error:
        raise ConfigurationError(
            f"circuit '{signature.name}': its quantum function must take (inputs, weights): {error}"
        ) from error
    try:
        tape = qp.tape.make_qscript(function)(torch.as_tensor(inputs), weights)
    except (IndexError, KeyError, TypeError, ValueError, qp.exceptions.WireError) as error:
        raise ConfigurationError(
            f"circuit '{signature.name}': its quantum function fails on {signature.n_inputs} "
            f"inputs and weights {dict(signature.shapes)}: {error}"
        ) from error
    if not tape.measurements:
        raise ConfigurationError(
            f"circuit '{signature.name}': its quantum function must return expectation values or "
            "probabilities, it returns no measurement"
        )
    _check_wires(tape, signature)
    return tape


def _check_wires(tape: Any, signature: Signature) -> None:
    """Refuses measured wires that no gate knows, but for idle ones among wires 0, 1, 2, ..."""
    known = qp.wires.Wires.all_wires([op.wires for op in tape.operations])
    unknown = [wire for wire in tape.wires if wire not in known]
    if unknown and set(tape.wires) != set(range(len(tape.wires))):
        raise ConfigurationError(
            f"circuit '{signature.name}': its quantum function measures the wire {unknown[0]!r}, "
            f"which none of its gates knows; they act on {list(known)}"
        )


def _takes_inputs(program: Program) -> bool:
    if program.prepared is not None:
        return True
    rotations = (gate for gate in program.gates if isinstance(gate, Rotation))
    return any(gate.angle.feature >= 0 for gate in rotations)


def wire_order(tape: Any) -> list[Any]:
    """Wires of a tape: sorted where they are numbers, else in order of appearance."""
    wires = list(tape.wires)
    return sorted(wires) if all(isinstance(wire, int) for wire in wires) else wires


def _translate(
    function: QuantumFunction, signature: Signature, inputs: Array, flat: Array
) -> tuple[Program, Any]:
    recorder = Recorder()
    x, w = torch.as_tensor(inputs), torch.as_tensor(flat)
    with torch.no_grad(), recorder:
        recorder.track(x, Input)
        recorder.track(w, Weight)
        tape = qp.tape.make_qscript(function)(x, signature.unflatten(w))
        preparation = input_state(tape, recorder)
        gates_only = [op for op in tape.operations if op is not preparation]
        simple = _decompose(qp.tape.QuantumScript(gates_only, tape.measurements))
        wires = wire_order(tape if preparation is not None else simple)
        if len(wires) > MAX_QUBITS:
            raise ConfigurationError(
                f"circuit '{signature.name}': it has {len(wires)} qubits, at most {MAX_QUBITS} are "
                "allowed on the backend 'program'"
            )
        place = {wire: k for k, wire in enumerate(wires)}
        angles = _Angles(signature)
        prepared = prepared_state(preparation, place, recorder, angles.angle, signature.name)
        gates = [gate for op in simple.operations for gate in _gates(op, place, recorder, angles)]
    outputs = convert_measurements(simple.measurements, place)
    program = Program(
        name=signature.name,
        qubits=len(wires),
        n_inputs=signature.n_inputs,
        weights=tuple(signature.shapes.items()),
        gates=tuple(gates),
        outputs=outputs,
        derived=Derived(angles.features.finish(), angles.weights.finish()),
        prepared=prepared,
    )
    return program, tape


def _decompose(tape: Any) -> Any:
    names = {*_AXES, "GlobalPhase"}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            [simple], _ = qp.transforms.decompose(
                tape, gate_set=names, stopping_condition=_is_simple
            )
        except (UserWarning, qp.exceptions.DecompositionUndefinedError) as error:
            raise CompileError(f"a gate cannot be decomposed: {error}") from error
    return simple


def _is_simple(op: Any) -> bool:
    if op.name in _AXES or op.name in _IGNORED:
        return True
    return not op.data and op.has_matrix and len(op.wires) <= 6


def _gates(op: Any, place: Mapping[Any, int], recorder: Recorder, angles: _Angles) -> list[Gate]:
    if op.name in _IGNORED:
        return []
    wires = tuple(place[wire] for wire in op.wires)
    if op.name in _AXES:
        angle = angles.angle(recorder.symbol(op.data[0]))
        return [Rotation(wires[0], _AXES[op.name], angle)]
    if not op.has_matrix or op.data:
        raise CompileError(f"{op.name} is not a gate that can be fused")
    matrix = np.asarray(qp.matrix(op, wire_order=op.wires), complex)
    return [_fixed_rotation(wires[0], matrix)] if len(wires) == 1 else [FixedGate(wires, matrix)]


class _Angles:
    """Writes angles; what is not ``c * weight * input + b`` becomes a derived column."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self.features = ExpressionWriter()
        self.weights = ExpressionWriter()

    def angle(self, symbol: Symbol) -> Angle:
        terms = symbol.variable
        if not terms:
            return Angle(0.0, symbol.value)
        [(monomial, factor), *rest] = terms.items()
        inputs = [atom.input for atom in monomial if isinstance(atom, Input)]
        weights = [atom.weight for atom in monomial if isinstance(atom, Weight)]
        simple = (
            len(inputs) + len(weights) == len(monomial) and len(inputs) < 2 and len(weights) < 2
        )
        if rest or not simple:
            return self._derived(symbol)
        return Angle(factor, symbol.value, *(part[0] if part else -1 for part in (weights, inputs)))

    def _derived(self, symbol: Symbol) -> Angle:
        if depends_on_input(symbol):
            column = self._signature.n_inputs + self.features.column(symbol)
            return Angle(1.0, 0.0, feature=column)
        return Angle(1.0, 0.0, weight=self._signature.n_weights + self.weights.column(symbol))


def _fixed_rotation(wire: int, matrix: Array) -> Rotation:
    """A fixed one-qubit gate as a rotation, up to its global phase."""
    axis, angle = axis_angle(matrix)
    return Rotation(wire, axis, Angle(0.0, angle))


def _verify(
    program: Program,
    tape: Any,
    function: QuantumFunction,
    signature: Signature,
    rng: np.random.Generator,
) -> None:
    order = wire_order(tape)
    for _ in range(2):
        inputs, flat = signature.sample(rng)
        reference = evaluate_tape(build_tape(function, signature, inputs, flat), order)
        got = program.bind(program.unflatten(flat[None]), np.float64)(inputs[None, None])[0, 0]
        if got.shape != reference.shape or not np.abs(got - reference).max() < TOLERANCE:
            raise CompileError("the fused circuit disagrees with default.qubit")


def evaluate_tape(tape: Any, wires: Sequence[Any]) -> Array:
    """Outputs ``(n_outputs,)`` of one tape on ``default.qubit``, float64."""
    with torch.no_grad():
        [results] = qp.execute([tape], qp.device("default.qubit", wires=wires))
    parts = results if isinstance(results, (tuple, list)) else [results]
    return np.concatenate([np.asarray(part, float).reshape(-1) for part in parts])
