"""Turns PennyLane measurements into the observables of a program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pennylane as qp

from qmarl.circuits.gates import Observable, PauliWord, Projection
from qmarl.circuits.recorder import CompileError


def convert_measurements(
    measurements: Iterable[Any], place: Mapping[Any, int]
) -> tuple[Observable, ...]:
    """Observables of the measurements, in order; probabilities give one per basis state.

    Args:
        measurements: What the quantum function returned.
        place: Index of each wire.

    Raises:
        CompileError: A measurement is neither an expectation value nor probabilities.
    """
    outputs: list[Observable] = []
    for measurement in measurements:
        if isinstance(measurement, qp.measurements.ExpectationMP) and measurement.obs is not None:
            outputs.append(_expectation(measurement.obs, place))
        elif isinstance(measurement, qp.measurements.ProbabilityMP) and measurement.obs is None:
            outputs += _probabilities(measurement.wires or list(place), place)
        else:
            raise CompileError(f"{measurement} is neither an expectation nor probabilities")
    if not outputs:
        raise CompileError("it returns no measurement")
    return tuple(outputs)


def _expectation(observable: Any, place: Mapping[Any, int]) -> Observable:
    if isinstance(observable, qp.Projector):
        return (_projection(observable, place),)
    sentence = observable.pauli_rep
    if sentence is None:
        sentence = qp.pauli_decompose(
            qp.matrix(observable, wire_order=observable.wires),
            wire_order=observable.wires,
            pauli=True,
        )
    return tuple(_word(word, coefficient, place) for word, coefficient in sentence.items())


def _word(word: Mapping[Any, str], coefficient: Any, place: Mapping[Any, int]) -> PauliWord:
    flips = signs = 0
    for wire, letter in word.items():
        bit = 1 << (len(place) - 1 - place[wire])
        flips |= bit * (letter in "XY")
        signs |= bit * (letter in "ZY")
    return PauliWord(float(complex(coefficient).real), flips, signs)


def _projection(observable: Any, place: Mapping[Any, int]) -> Projection:
    state = observable.parameters[0]
    if len(state) != len(observable.wires):
        raise CompileError("a projector on a state vector is not diagonal")
    return _bits(state, observable.wires, place)


def _probabilities(wires: Any, place: Mapping[Any, int]) -> list[Observable]:
    count = len(wires)
    return [
        (_bits([(state >> (count - 1 - k)) & 1 for k in range(count)], wires, place),)
        for state in range(2**count)
    ]


def _bits(values: Iterable[Any], wires: Iterable[Any], place: Mapping[Any, int]) -> Projection:
    mask = bits = 0
    for value, wire in zip(values, wires, strict=True):
        bit = 1 << (len(place) - 1 - place[wire])
        mask |= bit
        bits |= bit * int(value)
    return Projection(mask, bits)
