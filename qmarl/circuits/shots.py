"""Finite shots: which words are measured together, and estimates drawn from exact probabilities.

Drawing counts from the exact probabilities of basis states is what a quantum computer does when it
measures, so the estimates have its distribution. The random stream of a call is a hash of what the
call is given: the same parameters and inputs give the same counts in any process.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, final

import numpy as np
from pydantic import Field

from qmarl.circuits.gates import Angle, Observable, PauliWord, Projection, Rotation
from qmarl.circuits.program import Program
from qmarl.config import Section
from qmarl.errors import ConfigurationError
from qmarl.types import Array

Gradient = Literal["adjoint", "parameter_shift", "spsa"]
"""How gradients are had: from the exact state, from shifted circuits, or from random changes."""

MAX_MEASURED = 12
"""Qubits that may be measured together: their ``2**m`` probabilities are written out."""


class SPSAConfig(Section):
    """Simultaneous perturbation stochastic approximation (Spall 1992)."""

    step: float = Field(0.2, gt=0)
    """Change of every parameter at once, up and down [rad]."""
    draws: int = Field(8, ge=1)
    """Random directions whose slopes are averaged; each costs two circuits."""


SPSA = SPSAConfig()
"""The defaults."""


class Outcomes(NamedTuple):
    """Words that are measured together.

    Attributes:
        basis: Rotations that turn the measured basis into that of Z.
        projections: The outcomes, one projection each.
        table: ``(outputs, outcomes)``: what each outcome adds to each output.
    """

    basis: tuple[Rotation, ...]
    projections: tuple[Observable, ...]
    table: Array


@dataclass
class _Group:
    """Terms that commute qubit by qubit, with the letter measured on each bit."""

    letters: dict[int, str] = field(default_factory=dict)
    terms: list[tuple[int, PauliWord | Projection]] = field(default_factory=list)


def measured_groups(program: Program) -> tuple[Outcomes, ...]:
    """Sorts the terms of all outputs into groups that one basis measures.

    Raises:
        ConfigurationError: A group has more qubits than can be sampled.
    """
    groups: list[_Group] = []
    for row, observable in enumerate(program.outputs):
        for term in observable:
            letters = _letters(term, program.qubits)
            home = next((g for g in groups if _agree(g.letters, letters)), None)
            if home is None:
                home = _Group()
                groups.append(home)
            home.letters |= letters
            home.terms.append((row, term))
    widest = max((len(group.letters) for group in groups), default=0)
    if widest > MAX_MEASURED:
        raise ConfigurationError(
            f"actor.shots: circuit '{program.name}' measures {widest} qubits together; at most "
            f"{MAX_MEASURED} can be sampled"
        )
    return tuple(_outcomes(group, program) for group in groups)


def _letters(term: PauliWord | Projection, qubits: int) -> dict[int, str]:
    """The letter that a term needs on each bit."""
    if isinstance(term, Projection):
        return {bit: "Z" for bit in range(qubits) if (term.mask >> bit) & 1}
    found = {}
    for bit in range(qubits):
        place = 2 * ((term.flips >> bit) & 1) + ((term.signs >> bit) & 1)
        if place:
            found[bit] = "_ZXY"[place]
    return found


def _agree(left: dict[int, str], right: dict[int, str]) -> bool:
    return all(left.get(bit, letter) == letter for bit, letter in right.items())


def _outcomes(group: _Group, program: Program) -> Outcomes:
    bits = sorted(group.letters, reverse=True)
    states = np.zeros(2 ** len(bits), int)
    for bit in bits:
        states = states | (_bit(np.arange(len(states)), bits, bit) << bit)
    mask = sum(1 << bit for bit in bits)
    table = np.zeros((program.n_outputs, len(states)))
    for row, term in group.terms:
        table[row] += _values(term, states)
    return Outcomes(
        basis=tuple(
            _BASIS[letter](program.qubits - 1 - bit)
            for bit, letter in group.letters.items()
            if letter in _BASIS
        ),
        projections=tuple((Projection(mask, int(state)),) for state in states),
        table=table,
    )


def _bit(outcome: Array, bits: list[int], bit: int) -> Array:
    return (outcome >> (len(bits) - 1 - bits.index(bit))) & 1


def _values(term: PauliWord | Projection, states: Array) -> Array:
    """Value of a term in each basis state, once its own basis is that of Z."""
    if isinstance(term, Projection):
        return np.asarray((states & term.mask) == term.bits)
    parity = np.bitwise_count(states & (term.flips | term.signs)) & 1
    return np.asarray(term.coefficient * (1 - 2.0 * parity))


_BASIS = {
    "X": lambda wire: Rotation(wire, (0.0, 1.0, 0.0), Angle(0.0, -math.pi / 2)),
    "Y": lambda wire: Rotation(wire, (1.0, 0.0, 0.0), Angle(0.0, math.pi / 2)),
}


def estimate(
    probabilities: Array, table: Array, shots: int | None, rng: np.random.Generator
) -> Array:
    """Outputs ``(..., outputs)`` estimated from ``shots`` measurements.

    Args:
        probabilities: ``(..., outcomes)``.
        table: ``(outputs, outcomes)``.
        shots: Number of measurements; None for the exact expectation.
        rng: Draws the counts.
    """
    exact = np.maximum(probabilities.astype(np.float64), 0.0)
    exact /= exact.sum(-1, keepdims=True)
    if shots is None:
        return np.asarray(exact @ table.T)
    return np.asarray(rng.multinomial(shots, exact) @ table.T / shots)


def stream_of(purpose: str, arrays: Iterable[Array]) -> np.random.Generator:
    """A random stream that is a pure function of some arrays.

    >>> once, again = (stream_of("shots", [np.ones(3)]).random() for _ in range(2))
    >>> once == again, once == stream_of("shots", [np.zeros(3)]).random()
    (True, False)
    """
    digest = hashlib.blake2b(purpose.encode(), digest_size=16)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return np.random.Generator(np.random.Philox(int.from_bytes(digest.digest(), "little")))


@final
@dataclass(frozen=True)
class Sampling:
    """How outputs and gradients are estimated.

    Attributes:
        shots: Measurements of each group of words; None for exact outputs.
        gradient: How gradients are had.
        spsa: Settings of ``spsa``.
    """

    shots: int | None = None
    gradient: Gradient = "adjoint"
    spsa: SPSAConfig = SPSA

    def __post_init__(self) -> None:
        if self.shots is not None and self.shots < 1:
            raise ConfigurationError(f"actor.shots: at least 1 is allowed, got {self.shots}")
        if self.shots is not None and self.gradient == "adjoint":
            raise ConfigurationError(
                "actor.gradient: 'adjoint' needs the exact state, which no shots give; use "
                "'parameter_shift' or 'spsa', or leave out actor.shots"
            )


EXACT = Sampling()
"""Exact outputs and gradients."""
