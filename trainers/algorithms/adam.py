"""Adam (Kingma and Ba 2015) on a whole stack of learners, each with its own clipping and count.

All parameters of a learner lie in one row of a matrix, ordered by role, so that one step is a
handful of operations whatever the number of learners and of named arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qmarl.types import Array, Layout, Params, Role

if TYPE_CHECKING:
    import torch

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-5


@dataclass(frozen=True)
class Packing:
    """Where each named parameter lies in a learner's row.

    Attributes:
        layout: The parameters, in the row's order.
    """

    layout: Layout

    @classmethod
    def of(cls, layout: Layout) -> Packing:
        """Orders parameters by role, then by name."""
        names = sorted(layout, key=lambda name: (layout[name].role, name))
        return cls({name: layout[name] for name in names})

    def pack(self, params: Params) -> Array:
        """Arrays ``(S, *shape)`` by name to a matrix ``(S, P)``."""
        stacks = len(next(iter(params.values())))
        return np.concatenate([params[name].reshape(stacks, -1) for name in self.layout], 1)

    def unpack(self, rows: Array) -> Params:
        """A matrix ``(S, P)`` to arrays ``(S, *shape)`` by name."""
        return {
            name: rows[:, place].reshape(len(rows), *self.layout[name].shape)
            for name, place in self._places().items()
        }

    def views(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """Differentiable views ``(S, *shape)`` of a matrix ``(S, P)``."""
        import torch

        parts = torch.split(rows, [spec.size for spec in self.layout.values()], dim=1)
        named = zip(self.layout.items(), parts, strict=True)
        return {name: part.reshape(len(rows), *spec.shape) for (name, spec), part in named}

    def roles(self) -> dict[Role, slice]:
        """The columns of each role."""
        columns: dict[Role, slice] = {}
        for name, place in self._places().items():
            role = self.layout[name].role
            start = columns[role].start if role in columns else place.start
            columns[role] = slice(start, place.stop)
        return columns

    def blocks(self) -> list[tuple[Role, slice]]:
        """The columns of each role, apart for each owner: the part of a name before its first dot.

        What different owners hold lies at different places, so no one knows a norm over all of it.
        """
        blocks: dict[tuple[Role, str], slice] = {}
        for name, place in self._places().items():
            key = (self.layout[name].role, name.partition(".")[0] if "." in name else "")
            start = blocks[key].start if key in blocks else place.start
            blocks[key] = slice(start, place.stop)
        return [(role, columns) for (role, _), columns in blocks.items()]

    def _places(self) -> dict[str, slice]:
        ends = np.cumsum([0, *(spec.size for spec in self.layout.values())]).tolist()
        return {name: slice(ends[index], ends[index + 1]) for index, name in enumerate(self.layout)}


@dataclass(frozen=True)
class RoleSettings:
    """Learning rate and largest gradient norm of each role."""

    rates: Mapping[Role, float]
    norms: Mapping[Role, float]


class StackedAdam:
    """One optimiser for ``S`` learners with ``P`` parameters each.

    Args:
        packing: Order of the parameters.
        rows: ``(S, P)`` leaf tensor that requires gradients; updated in place.
        moments: ``first (S, P)``, ``second (S, P)`` and ``count (S,)``.
        settings: Rates and norms by role.
    """

    def __init__(
        self, packing: Packing, rows: torch.Tensor, moments: Params, settings: RoleSettings
    ) -> None:
        import torch

        self._rows = rows
        self._first = torch.as_tensor(moments["first"]).to(rows).clone()
        self._second = torch.as_tensor(moments["second"]).to(rows).clone()
        self._count = torch.as_tensor(moments["count"]).to(rows.device, torch.float64).clone()
        self._blocks = packing.blocks()
        self._norms = settings.norms
        self._pull: torch.Tensor | None = None
        self._rates = rows.new_zeros(rows.shape[1])
        for role, columns in self._blocks:
            self._rates[columns] = settings.rates[role]

    def freeze(self, moving: Array) -> None:
        """Lets only some parameters move: those where ``moving`` ``(P,)`` is 1, not 0."""
        self._rates *= self._rates.new_tensor(moving)

    def hold(self, pull: Array) -> None:
        """Adds the gradient of ``pull / 2 * (now - start)^2``, ``pull`` being ``(P,)``."""
        self._pull = self._rows.new_tensor(pull)
        self._start = self._rows.detach().clone()

    def step(self) -> torch.Tensor:
        """Clips, applies and clears the gradient; returns its norms ``(S,)`` before clipping."""
        import torch

        gradient = self._rows.grad
        assert gradient is not None
        with torch.no_grad():
            if self._pull is not None:
                gradient.add_(self._pull * (self._rows - self._start))
            norms: torch.Tensor = gradient.norm(dim=1)
            self._clip(gradient)
            self._count += 1
            self._first.lerp_(gradient, 1 - BETA_1)
            self._second.lerp_(gradient.square(), 1 - BETA_2)
            one, two = (
                (1 - beta**self._count).to(gradient.dtype)[:, None] for beta in (BETA_1, BETA_2)
            )
            direction = (self._first / one) / ((self._second / two).sqrt_() + EPSILON)
            self._rows.sub_(direction * self._rates)
        self._rows.grad = None
        return norms

    def moments(self) -> Params:
        """The moments, as given to the constructor."""
        named = {"first": self._first, "second": self._second, "count": self._count}
        return {name: tensor.cpu().numpy() for name, tensor in named.items()}

    def _clip(self, gradient: torch.Tensor) -> None:
        for role, columns in self._blocks:
            part = gradient[:, columns]
            scale = self._norms[role] / (part.norm(dim=1, keepdim=True) + 1e-6)
            part.mul_(scale.clamp_(max=1.0))


def initial_moments(stacks: int, layout: Layout) -> Params:
    """Zero moments for ``stacks`` learners."""
    size = sum(spec.size for spec in layout.values())
    return {
        "first": np.zeros((stacks, size)),
        "second": np.zeros((stacks, size)),
        "count": np.zeros(stacks),
    }
