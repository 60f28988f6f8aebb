"""Readouts: what is measured at the end of a circuit."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any, Literal

from qmarl.config import Section


class ReadoutConfig(Section):
    """What the circuit returns."""

    kind: Literal["z", "local", "z_pairs", "probabilities"] = "z"
    """``z``: every Z_i; ``local``: every X_i, Y_i and Z_i; ``z_pairs``: every Z_i and Z_i Z_j;
    ``probabilities``: all basis states. The first two look at one qubit at a time, so that their
    gradients last in wide shallow circuits (Cerezo et al. 2021, arXiv:2001.00550)."""


def z(qubits: int) -> list[Any]:
    """Expectation value of Z on each qubit: ``qubits`` numbers in [-1, 1]."""
    import pennylane as qp

    return [qp.expval(qp.Z(wire)) for wire in range(qubits)]


def local(qubits: int) -> list[Any]:
    """Expectation values of X, Y and Z on each qubit: ``3 * qubits`` numbers, three bases."""
    import pennylane as qp

    return [qp.expval(axis(wire)) for axis in (qp.X, qp.Y, qp.Z) for wire in range(qubits)]


def z_pairs(qubits: int) -> list[Any]:
    """Expectation values of every Z_i, then of every Z_i Z_j, i < j: ``n + n(n-1)/2`` numbers."""
    import pennylane as qp

    pairs = combinations(range(qubits), 2)
    return z(qubits) + [qp.expval(qp.Z(i) @ qp.Z(j)) for i, j in pairs]


def probabilities(qubits: int) -> list[Any]:
    """Probabilities of all ``2**qubits`` basis states, a projection-valued measure."""
    import pennylane as qp

    return [qp.probs(wires=range(qubits))]


READOUTS: dict[str, Callable[[int], list[Any]]] = {
    "z": z,
    "local": local,
    "z_pairs": z_pairs,
    "probabilities": probabilities,
}
"""Every readout by its name in the configuration."""
