"""What goes into a circuit: the number of inputs and the shape of each named weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar, final

import numpy as np

from qmarl.errors import ConfigurationError
from qmarl.types import Array

if TYPE_CHECKING:
    import torch


class Shaped(Protocol):
    """What tensors and arrays have in common here."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each."""
        ...


Numbers = TypeVar("Numbers", bound=Shaped)


@final
@dataclass(frozen=True)
class Signature:
    """Shapes of a circuit's arguments.

    Attributes:
        name: Name of the circuit, for messages.
        n_inputs: Inputs of one sample.
        shapes: Shape of each named weight.
        named: Whether the quantum function takes a mapping of weights; otherwise ``shapes`` has
            one entry and the function takes that array.
    """

    name: str
    n_inputs: int
    shapes: Mapping[str, tuple[int, ...]]
    named: bool

    @property
    def n_weights(self) -> int:
        """Number of trainable numbers."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    def sample(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Random inputs ``(n_inputs,)`` in [-1, 1) and flat weights ``(n_weights,)`` in [-3, 3)."""
        return rng.uniform(-1, 1, self.n_inputs), rng.uniform(-3, 3, self.n_weights)

    def unflatten(self, flat: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        """What the quantum function takes as its weights, from the flat vector."""
        import torch

        sizes = [int(np.prod(shape)) for shape in self.shapes.values()]
        parts = torch.split(flat, sizes)
        arrays = {
            name: part.reshape(shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }
        return arrays if self.named else next(iter(arrays.values()))

    def check(
        self, inputs: Numbers, weights: Numbers | Mapping[str, Numbers]
    ) -> dict[str, Numbers]:
        """The weights by name, in the order of ``shapes``, where shapes and names fit.

        Args:
            inputs: ``(*agents, batch, n_inputs)``.
            weights: ``(*agents, *weight_shape)``, or a mapping of names to such arrays.

        Raises:
            ConfigurationError: They do not fit.
        """
        shape = inputs.shape
        if len(shape) < 2 or shape[-1] != self.n_inputs:
            raise ConfigurationError(
                f"circuit '{self.name}': inputs must be (*agents, batch, {self.n_inputs}), "
                f"got {tuple(shape)}"
            )
        named = weights if isinstance(weights, Mapping) else dict.fromkeys(self.shapes, weights)
        if named.keys() != self.shapes.keys():
            raise ConfigurationError(
                f"circuit '{self.name}': weights must be named {sorted(self.shapes)}, "
                f"got {sorted(named)}"
            )
        agents = shape[:-2]
        for name, own in self.shapes.items():
            if named[name].shape != agents + own:
                raise ConfigurationError(
                    f"circuit '{self.name}': weights '{name}' must be {(*agents, *own)} for inputs "
                    f"{tuple(shape)}, got {tuple(named[name].shape)}"
                )
        return {name: named[name] for name in self.shapes}
