"""What a circuit is and how it runs, counted and named for people."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, final

from qmarl.circuits.ledger import Written, estimate
from qmarl.circuits.paths import Path
from qmarl.errors import ConfigurationError


@final
@dataclass(frozen=True)
class CircuitDescription:
    """What a circuit is and how it runs.

    Attributes:
        name: Its name.
        qubits: Number of qubits.
        inputs: Inputs of one sample.
        outputs: Outputs of one sample.
        parameters: Trainable numbers.
        depth: Depth of the circuit as written.
        gates: Number of gates of each kind, as written.
        locality: Most qubits that one output is about; where it is all of many, gradients vanish
            even in shallow circuits (Cerezo et al. 2021, arXiv:2001.00550).
        path: ``program`` or ``pennylane:<device>``.
        reason: Why this path.
        noise: The noise that is not zero, by kind, and where it acts; empty without any.
        shots: Measurements of each circuit, None where results are exact.
        gradient: How gradients are had.
        circuits: Circuits that one sample takes on a quantum computer: ``forward``, and
            ``parameter_shift`` for its gradient where there is such a rule.
    """

    name: str
    qubits: int
    inputs: int
    outputs: int
    parameters: int
    depth: int
    gates: Mapping[str, int]
    locality: int
    path: str
    reason: str
    noise: Mapping[str, Any]
    shots: int | None
    gradient: str
    circuits: Mapping[str, int]


class Runnable(Written, Protocol):
    """A circuit as it was written, with the number of its outputs."""

    @property
    def n_outputs(self) -> int:
        """Outputs of one sample."""
        ...


def describe(circuit: Runnable, path: Path) -> CircuitDescription:
    """Counts what a circuit is made of, and says which path runs and why."""
    tape, specs = circuit.tape, circuit.tape.specs["resources"]
    return CircuitDescription(
        name=circuit.name,
        qubits=len(tape.wires),
        inputs=circuit.n_inputs,
        outputs=circuit.n_outputs,
        parameters=sum(spec.size for spec in circuit.layout.values()),
        depth=specs.depth,
        gates=dict(specs.gate_types),
        locality=max(_locality(measurement, len(tape.wires)) for measurement in tape.measurements),
        path=path.name,
        reason=path.reason,
        noise=path.noise.audible,
        shots=path.shots,
        gradient=path.gradient,
        circuits=_circuits(circuit),
    )


def _locality(measurement: Any, qubits: int) -> int:
    """Most qubits that one term of a measurement is about."""
    sentence = measurement.obs.pauli_rep if measurement.obs is not None else None
    if sentence:
        return max(len(word) for word in sentence)
    return len(measurement.wires) or qubits


def _circuits(circuit: Written) -> dict[str, int]:
    """Circuits that one sample takes on a quantum computer."""
    found = {"forward": estimate(circuit, 1, gradient="none").executions}
    with suppress(ConfigurationError):  # not every gate has a parameter-shift rule
        found["parameter_shift"] = estimate(circuit, 1).shifted
    return found
