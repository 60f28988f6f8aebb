"""Functions of inputs and weights that stand before a circuit, as ``arctan(scale * x)`` does.

An angle that is not of the form ``c * weight * input + b`` is recorded as a graph of sums, products
and elementwise functions. Its values join the inputs (or the weights, where no input takes part) as
further columns; gradients are passed back through the graph in reverse order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, final

import numpy as np

from qmarl.circuits.symbols import Applied, Input, Monomial, Symbol, Weight
from qmarl.types import Array

SLOPES: dict[str, Callable[[Array, Array], Array]] = {
    "sin": lambda x, _: np.cos(x),
    "cos": lambda x, _: -np.sin(x),
    "tan": lambda _, y: 1 + y * y,
    "arcsin": lambda x, _: 1 / np.sqrt(1 - x * x),
    "arccos": lambda x, _: -1 / np.sqrt(1 - x * x),
    "arctan": lambda x, _: 1 / (1 + x * x),
    "sinh": lambda x, _: np.cosh(x),
    "cosh": lambda x, _: np.sinh(x),
    "tanh": lambda _, y: 1 - y * y,
    "exp": lambda _, y: y,
    "log": lambda x, _: 1 / x,
    "sqrt": lambda _, y: 0.5 / y,
    "absolute": lambda x, _: np.sign(x),
    "floor": lambda x, _: np.zeros_like(x),
    "reciprocal": lambda _, y: -y * y,
}
"""Derivative of each function by its NumPy name, from argument ``x`` and value ``y``."""


class Node(NamedTuple):
    """One node of the graph.

    Attributes:
        kind: An ``input``, a ``weight``, a ``function`` of a node, or a ``sum`` of products.
        source: Index of the input or weight, or node of the function's argument.
        function: Its NumPy name.
        terms: Of a sum: coefficients and the nodes that each multiplies.
    """

    kind: Literal["input", "weight", "function", "sum"]
    source: int = 0
    function: str = ""
    terms: tuple[tuple[float, tuple[int, ...]], ...] = ()


@final
@dataclass(frozen=True)
class Expressions:
    """A graph and what of it is wanted.

    Attributes:
        nodes: Every node after those that it needs.
        wanted: Nodes whose values become columns.
    """

    nodes: tuple[Node, ...] = ()
    wanted: tuple[int, ...] = ()

    def evaluate(self, inputs: Array, weights: Array) -> list[Array]:
        """Values of all nodes, each ``(A, B)`` or ``(A, 1)``.

        Args:
            inputs: ``(F, A, B)``.
            weights: ``(A, P)``.
        """
        values: list[Array] = []
        for node in self.nodes:
            values.append(self._value(node, values, inputs, weights))
        return values

    def _value(self, node: Node, values: Sequence[Array], inputs: Array, weights: Array) -> Array:
        if node.kind == "input":
            return np.asarray(inputs[node.source])
        if node.kind == "weight":
            return weights[:, node.source, None]
        if node.kind == "function":
            return np.asarray(getattr(np, node.function)(values[node.source]))
        total = sum(factor * _product(values, nodes) for factor, nodes in node.terms)
        return np.asarray(total, weights.dtype)

    def pull(
        self, values: Sequence[Array], given: dict[int, Array], inputs: Array | None, weights: Array
    ) -> None:
        """Passes gradients back through the graph.

        Args:
            values: As returned by :meth:`evaluate`.
            given: Gradient of wanted nodes, ``(A, B)`` or ``(A, 1)``.
            inputs: ``(F, A, B)``, added to in place; None where it is not wanted.
            weights: ``(A, P)``, added to in place.
        """
        gradients = dict(given)
        for place in range(len(self.nodes) - 1, -1, -1):
            node, gradient = self.nodes[place], gradients.get(place)
            if gradient is None:
                continue
            if node.kind == "input":
                if inputs is not None:
                    inputs[node.source] += gradient
            elif node.kind == "weight":
                weights[:, node.source] += gradient.sum(-1)
            elif node.kind == "function":
                slope = SLOPES[node.function](values[node.source], values[place])
                _add(gradients, node.source, gradient * slope)
            else:
                _pull_sum(node, values, gradient, gradients)


def _pull_sum(
    node: Node, values: Sequence[Array], gradient: Array, gradients: dict[int, Array]
) -> None:
    for factor, members in node.terms:
        for k, member in enumerate(members):
            others = _product(values, members[:k] + members[k + 1 :])
            _add(gradients, member, gradient * (factor * others))


def _add(gradients: dict[int, Array], place: int, gradient: Array) -> None:
    gradients[place] = gradients[place] + gradient if place in gradients else gradient


def _product(values: Sequence[Array], nodes: Sequence[int]) -> Array | float:
    result: Array | float = 1.0
    for node in nodes:
        result = result * values[node]
    return result


class Derived(NamedTuple):
    """The expressions of a program: further inputs, and further weights."""

    features: Expressions = Expressions()
    weights: Expressions = Expressions()


NOTHING = Derived()
"""No expressions."""


@dataclass
class ExpressionWriter:
    """Collects symbols into one graph, equal ones once.

    Attributes:
        nodes: What has been written.
        wanted: Nodes whose values become columns.
    """

    nodes: list[Node] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)

    def column(self, symbol: Symbol) -> int:
        """The column of a symbol, made if it is new."""
        place = self._symbol(symbol)
        if place not in self.wanted:
            self.wanted.append(place)
        return self.wanted.index(place)

    def finish(self) -> Expressions:
        """The graph."""
        return Expressions(tuple(self.nodes), tuple(self.wanted))

    def _symbol(self, symbol: Symbol) -> int:
        terms = [(factor, self._monomial(monomial)) for monomial, factor in symbol.terms]
        if len(terms) == 1 and terms[0][0] == 1.0 and len(terms[0][1]) == 1:
            return terms[0][1][0]
        return self._node(Node("sum", terms=tuple(terms)))

    def _monomial(self, monomial: Monomial) -> tuple[int, ...]:
        return tuple(self._atom(atom) for atom in monomial)

    def _atom(self, atom: Input | Weight | Applied) -> int:
        if isinstance(atom, Input):
            return self._node(Node("input", atom.input))
        if isinstance(atom, Weight):
            return self._node(Node("weight", atom.weight))
        return self._node(Node("function", self._symbol(atom.argument), atom.function))

    def _node(self, node: Node) -> int:
        if node not in self.nodes:
            self.nodes.append(node)
        return self.nodes.index(node)


def depends_on_input(symbol: Symbol) -> bool:
    """Whether an input takes part in the symbol."""
    return any(
        isinstance(atom, Input) or (isinstance(atom, Applied) and depends_on_input(atom.argument))
        for monomial, _ in symbol.terms
        for atom in monomial
    )
