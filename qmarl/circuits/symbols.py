"""Symbolic numbers: what an angle is as a polynomial of inputs, weights and functions of them.

While a quantum function is traced, every number that comes from its inputs or weights is carried
along as a :class:`Symbol`; the compiler then reads off how each angle depends on them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from qmarl.types import Array


@final
@dataclass(frozen=True)  # no named tuple: input 0 must not equal weight 0
class Input:
    """The input of this index."""

    input: int


@final
@dataclass(frozen=True)
class Weight:
    """The entry of this index of the flat weights."""

    weight: int


class Applied(NamedTuple):
    """A function of one symbol, by its NumPy name."""

    function: str
    argument: Symbol


Atom = Input | Weight | Applied
Monomial = tuple[Atom, ...]


@final
@dataclass(frozen=True)
class Symbol:
    """A polynomial of atoms.

    Attributes:
        terms: Pairs of a monomial (its atoms sorted) and its coefficient, sorted.
    """

    terms: tuple[tuple[Monomial, float], ...]

    @staticmethod
    def constant(value: float) -> Symbol:
        """The number ``value``."""
        return Symbol((((), float(value)),) if value else ())

    @staticmethod
    def atom(atom: Atom) -> Symbol:
        """One atom alone."""
        return Symbol((((atom,), 1.0),))

    @staticmethod
    def total(parts: Iterable[Symbol]) -> Symbol:
        """The sum of many symbols, collected once."""
        terms: dict[Monomial, float] = {}
        for part in parts:
            for monomial, factor in part.terms:
                terms[monomial] = terms.get(monomial, 0.0) + factor
        return _collect(terms)

    @property
    def is_constant(self) -> bool:
        """Whether no input or weight takes part."""
        return all(not monomial for monomial, _ in self.terms)

    @property
    def value(self) -> float:
        """The constant part."""
        return dict(self.terms).get((), 0.0)

    @property
    def variable(self) -> dict[Monomial, float]:
        """The terms that are not constant."""
        return {monomial: factor for monomial, factor in self.terms if monomial}

    def __add__(self, other: Symbol) -> Symbol:
        return Symbol.total((self, other))

    def __neg__(self) -> Symbol:
        return Symbol(tuple((monomial, -factor) for monomial, factor in self.terms))

    def __sub__(self, other: Symbol) -> Symbol:
        return self + (-other)

    def __mul__(self, other: Symbol) -> Symbol:
        terms: dict[Monomial, float] = {}
        for left, a in self.terms:
            for right, b in other.terms:
                monomial = tuple(sorted(left + right, key=repr))
                terms[monomial] = terms.get(monomial, 0.0) + a * b
        return _collect(terms)

    def __truediv__(self, other: Symbol) -> Symbol:
        return self * other.apply("reciprocal")

    def __pow__(self, exponent: Symbol) -> Symbol:
        power = exponent.value
        if not exponent.is_constant or power != int(power):
            return (exponent * self.apply("log")).apply("exp")
        if power < 0:
            return (self ** Symbol.constant(-power)).apply("reciprocal")
        result = Symbol.constant(1.0)
        for _ in range(int(power)):
            result = result * self
        return result

    def apply(self, function: str) -> Symbol:
        """A function of this symbol, by its NumPy name; constants are evaluated at once."""
        if self.is_constant:
            return Symbol.constant(float(getattr(np, function)(self.value)))
        return Symbol.atom(Applied(function, self))


def _collect(terms: dict[Monomial, float]) -> Symbol:
    kept = ((monomial, factor) for monomial, factor in terms.items() if factor)
    return Symbol(tuple(sorted(kept, key=repr)))


def symbols(count: int, shape: tuple[int, ...], start: int, kind: type[Input | Weight]) -> Array:
    """An object array of ``count`` fresh atoms from index ``start`` on."""
    atoms = np.empty(count, object)
    atoms[:] = [Symbol.atom(kind(start + k)) for k in range(count)]
    return atoms.reshape(shape)


def constants(values: Array) -> Array:
    """An object array of constant symbols."""
    result = np.empty(values.size, object)
    result[:] = [Symbol.constant(value) for value in values.reshape(-1).tolist()]
    return result.reshape(values.shape)
