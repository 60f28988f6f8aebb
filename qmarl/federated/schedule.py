"""Which of the shared parameters travel in which round: layers that are joined later or less often.

As in Chen, Sun and Jin 2020 (arXiv:1903.07424), a part that does not travel in a round goes on
learning at every client. When it travels, what clients send of it is all that they learned since
it last did, so nothing is lost in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from pydantic import Field

from qmarl.config import Section
from qmarl.federated.share import matches, select
from qmarl.types import Layout, ParameterSpec, Params

LAYERED = ("angles", "scales")
"""Roles whose arrays hold one layer of a circuit at each place of their first axis."""


class ShareRule(Section):
    """When some of the shared parameters travel."""

    names: tuple[str, ...] = Field(min_length=1)
    """Patterns of their names. A circuit's layers are called ``actor.angles.layer_0`` and so on,
    those of a perceptron ``actor.w0``, ``actor.b0``, ``actor.w1``."""
    first: int = Field(default=0, ge=0)
    """Round in which they travel for the first time."""
    every: int = Field(default=1, ge=1)
    """They travel in every so many rounds from then on."""

    def due(self, round_number: int) -> bool:
        """Says whether they travel in a round.

        >>> rule = ShareRule(names=("actor.*",), first=3, every=2)
        >>> [number for number in range(8) if rule.due(number)]
        [3, 5, 7]
        """
        return round_number >= self.first and (round_number - self.first) % self.every == 0


class ShareSchedule:
    """The shared parameters of a group in pieces, and which of them travel in a round.

    Args:
        rules: The last one that names a piece decides; a piece that none names travels always.
            Without rules there are no pieces: parameters are what they are.
        layout: Declaration of the shared parameters only.

    Raises:
        ConfigurationError: A pattern of a rule matches nothing that is shared.
    """

    def __init__(self, rules: Sequence[ShareRule], layout: Layout) -> None:
        self._rules = tuple(rules)
        self._whole = dict(layout)
        self._layered = [n for n, spec in layout.items() if spec.role in LAYERED and spec.shape]
        if not rules:
            self._layered = []
        self.layout: Layout = self._pieces()
        for rule in rules:
            select(self.layout, rule.names, "federation.share_schedule")

    def due(self, round_number: int) -> Layout:
        """Returns the pieces that travel up in a round, in the layout's order."""
        return {name: spec for name, spec in self.layout.items() if self._due(name, round_number)}

    def changed(self, round_number: int) -> Layout:
        """Returns the pieces that the server sends in a round: those that it moved in the last."""
        return self.layout if round_number == 0 else self.due(round_number - 1)

    def cut(self, params: Params, axis: int = 0) -> Params:
        """Returns parameters, and whatever else is among them, with layers as pieces.

        Args:
            params: Arrays by name.
            axis: Which axis counts the layers: 0 for one model, 1 for a stack.
        """
        cut: Params = {}
        for name, array in params.items():
            if name in self._layered:
                layers = np.moveaxis(array, axis, 0)
                cut |= {piece(name, place): layer for place, layer in enumerate(layers)}
            else:
                cut[name] = array
        return cut

    def joined(self, pieces: Params, axis: int = 0) -> Params:
        """Undoes :meth:`cut`."""
        whole = {name: array for name, array in pieces.items() if name not in self.layout}
        for name, spec in self._whole.items():
            if name in self._layered:
                layers = [pieces[piece(name, place)] for place in range(spec.shape[0])]
                whole[name] = np.stack(layers, axis)
            else:
                whole[name] = pieces[name]
        return whole

    def _pieces(self) -> Layout:
        return {name: spec for whole in self._whole for name, spec in self._parts(whole)}

    def _parts(self, name: str) -> Iterable[tuple[str, ParameterSpec]]:
        spec = self._whole[name]
        if name not in self._layered:
            return [(name, spec)]
        return [
            (piece(name, place), spec._replace(shape=spec.shape[1:]))
            for place in range(spec.shape[0])
        ]

    def _due(self, name: str, round_number: int) -> bool:
        deciding = [rule for rule in self._rules if matches(name, rule.names)]
        return not deciding or deciding[-1].due(round_number)


def piece(name: str, layer: int) -> str:
    """Name of one layer of an array."""
    return f"{name}.layer_{layer}"
