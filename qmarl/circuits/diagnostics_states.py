"""How much of the state space a circuit reaches, and how entangled what it reaches is.

Both measures are expectation values of circuits that are compiled for them: the fidelity of two
states is the probability that running one and undoing the other ends where it began, and the purity
of a qubit follows from its Bloch vector. So no state vector is asked for, and any backend will do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qmarl.circuits.diagnostics_draws import outputs, random_weights, require_samples
from qmarl.errors import ConfigurationError
from qmarl.seeding import stream
from qmarl.types import Array

if TYPE_CHECKING:
    from qmarl.circuits.circuit import Circuit

BINS = 75
"""Bins of the histogram of fidelities, as in Sim et al. 2019."""

REPEATS = 50
"""Samples of Haar-random states that tell what a perfect circuit would score."""


@dataclass(frozen=True)
class Expressibility:
    """How far a circuit's random states are from Haar-random ones (Sim et al. 2019, eq. 7 to 9).

    Attributes:
        divergence: Kullback-Leibler divergence [nat] of the histograms of fidelities; 0 for states
            that cover the whole space evenly, ``(2**n - 1) ln(bins)`` for a circuit that does
            nothing.
        floor: What as many truly Haar-random states score on average, since samples are finite;
            a divergence near it cannot be told from 0.
        fidelities: ``(bins,)`` shares of the circuit's fidelities in equal bins of [0, 1].
        haar: ``(bins,)`` the shares that Haar-random states have.
        samples: Number of pairs of states.
    """

    divergence: float
    floor: float
    fidelities: Array
    haar: Array
    samples: int


@dataclass(frozen=True)
class EntanglingCapability:
    """Mean Meyer-Wallach entanglement of a circuit's random states (Sim et al. 2019, eq. 10).

    Attributes:
        mean: In [0, 1]: 0 for product states, 1 where every qubit is maximally entangled.
        error: Standard error of ``mean``.
        haar: The mean of Haar-random states, ``(2**n - 2) / (2**n + 1)``.
        samples: Number of states.
    """

    mean: float
    error: float
    haar: float
    samples: int


def expressibility(
    circuit: Circuit, samples: int, seed: int, *, inputs: Array | None = None, bins: int = BINS
) -> Expressibility:
    """Compares the fidelities of pairs of a circuit's random states with those of Haar's measure.

    Parameters are drawn by :func:`~qmarl.circuits.diagnostics_draws.random_weights`.

    Args:
        circuit: The circuit.
        samples: Pairs of states, at least 2; Sim et al. use 5000.
        seed: Seed of the parameters.
        inputs: ``(n_inputs,)`` that all states share; zeros where they are not given.
        bins: Bins of the histogram.

    Raises:
        ConfigurationError: There are too few samples, or the circuit has no pure states or cannot
            be undone.
    """
    require_samples(samples)
    values = fidelities(circuit, samples, seed, inputs)
    size = 2 ** qubit_count(circuit)
    expected = haar_histogram(bins, size)
    rng = stream(seed, "haar")
    perfect = [1 - rng.uniform(size=samples) ** (1 / (size - 1)) for _ in range(REPEATS)]
    floor = float(np.mean([divergence(_histogram(one, bins), expected) for one in perfect]))
    found = _histogram(values, bins)
    return Expressibility(divergence(found, expected), floor, found, expected, samples)


def fidelities(circuit: Circuit, samples: int, seed: int, inputs: Array | None = None) -> Array:
    """Fidelities ``(samples,)`` of pairs of states with independent random parameters."""
    rng = stream(seed, "expressibility")
    left, right = (random_weights(circuit, samples, rng) for _ in range(2))
    names = {f"left.{name}": array for name, array in left.items()}
    names |= {f"right.{name}": array for name, array in right.items()}
    overlap = _overlap(circuit)
    values = outputs(overlap, _rows(circuit, inputs, samples), names, qubit_count(circuit))
    return np.asarray(np.clip(values[:, 0], 0.0, 1.0))


def entangling_capability(
    circuit: Circuit, samples: int, seed: int, *, inputs: Array | None = None
) -> EntanglingCapability:
    """Mean entanglement ``Q = 2 (1 - sum_k tr(rho_k^2) / n)`` of a circuit's random states.

    Args:
        circuit: The circuit.
        samples: Number of states, at least 2.
        seed: Seed of the parameters.
        inputs: ``(n_inputs,)`` that all states share; zeros where they are not given.

    Raises:
        ConfigurationError: There are too few samples, or the circuit has no pure states.
    """
    require_samples(samples)
    values = entanglement(circuit, samples, seed, inputs)
    size = 2 ** qubit_count(circuit)
    error = float(values.std(ddof=1) / np.sqrt(samples))
    return EntanglingCapability(float(values.mean()), error, (size - 2) / (size + 1), samples)


def entanglement(circuit: Circuit, samples: int, seed: int, inputs: Array | None = None) -> Array:
    """Meyer-Wallach entanglement ``(samples,)`` of states with random parameters.

    With the Bloch vector ``r_k`` of qubit ``k``, ``tr(rho_k^2) = (1 + |r_k|^2) / 2``, so that
    ``Q = 1 - sum_k |r_k|^2 / n`` (Brennen 2003, quant-ph/0305094).
    """
    qubits = qubit_count(circuit)
    weights = random_weights(circuit, samples, stream(seed, "entanglement"))
    rows = _rows(circuit, inputs, samples)
    bloch = outputs(_tomography(circuit), rows, weights, qubits)
    return np.asarray(np.clip(1 - np.square(bloch).sum(1) / qubits, 0.0, 1.0))


def haar_histogram(bins: int, size: int) -> Array:
    """Shares ``(bins,)`` of the fidelities of Haar-random states of dimension ``size``.

    Their density is ``(N - 1) (1 - F)^(N - 2)`` (Zyczkowski and Sommers 2005).
    """
    edges = np.linspace(0, 1, bins + 1)
    return np.asarray(-np.diff((1 - edges) ** (size - 1)))


def divergence(found: Array, expected: Array) -> float:
    """Kullback-Leibler divergence [nat] of two histograms; empty bins of ``found`` add nothing."""
    held = found > 0
    tiny = np.finfo(float).tiny  # near fidelity 1 Haar's shares underflow on many qubits
    return float(np.sum(found[held] * np.log(found[held] / np.maximum(expected[held], tiny))))


def qubit_count(circuit: Circuit) -> int:
    """Number of qubits that a circuit acts on."""
    return len(circuit.tape.wires)


def _histogram(values: Array, bins: int) -> Array:
    return np.asarray(np.histogram(values, bins, (0.0, 1.0))[0] / len(values))


def _rows(circuit: Circuit, inputs: Array | None, samples: int) -> Array:
    row = np.zeros(circuit.n_inputs) if inputs is None else np.asarray(inputs, np.float64)
    if row.shape != (circuit.n_inputs,):
        raise ConfigurationError(
            f"circuit '{circuit.name}': inputs must be ({circuit.n_inputs},), got {row.shape}"
        )
    return np.tile(row, (samples, 1))


def _tape(circuit: Circuit, inputs: Any, weights: Any) -> Any:
    import pennylane as qp

    return qp.tape.make_qscript(circuit.quantum_function)(inputs, weights)


def _derived(
    circuit: Circuit, function: Callable[[Any, Any], Any], prefixes: tuple[str, ...]
) -> Circuit:
    """A circuit of another function on the same backend, with named copies of the weights."""
    from qmarl.circuits.circuit import Circuit as Made  # torch and PennyLane come with it

    if any(operation.name.startswith("MidMeasure") for operation in circuit.tape.operations):
        raise ConfigurationError(
            f"circuit '{circuit.name}': it measures in its middle, so that it reaches no pure state"
        )
    shapes = {f"{p}{name}": spec.shape for p in prefixes for name, spec in circuit.layout.items()}
    backend = circuit.path if circuit.path.startswith("pennylane:") else "program"
    return Made(
        function,
        circuit.n_inputs,
        shapes,
        name=circuit.name,
        backend=backend,
        device=circuit.device,
    )


def _part(circuit: Circuit, weights: Any, prefix: str) -> Any:
    named = {name: weights[f"{prefix}{name}"] for name in circuit.layout}
    return named if circuit.named else next(iter(named.values()))


def _tomography(circuit: Circuit) -> Circuit:
    """A circuit that measures X, Y and Z of every qubit."""
    import pennylane as qp

    def measured(inputs: Any, weights: Any) -> Any:
        tape = _tape(circuit, inputs, _part(circuit, weights, ""))
        for operation in tape.operations:
            qp.apply(operation)
        return [qp.expval(axis(wire)) for wire in tape.wires for axis in (qp.X, qp.Y, qp.Z)]

    return _derived(circuit, measured, ("",))


def _overlap(circuit: Circuit) -> Circuit:
    """A circuit that runs one parameter set, undoes another and asks whether nothing happened."""
    import pennylane as qp

    def echo(inputs: Any, weights: Any) -> Any:
        there = _tape(circuit, inputs, _part(circuit, weights, "left."))
        back = _tape(circuit, inputs, _part(circuit, weights, "right."))
        for operation in there.operations:
            qp.apply(operation)
        for operation in reversed(back.operations):
            qp.adjoint(operation, lazy=False)
        wires = list(there.wires)
        return qp.expval(qp.Projector([0] * len(wires), wires=wires))

    return _derived(circuit, echo, ("left.", "right."))
