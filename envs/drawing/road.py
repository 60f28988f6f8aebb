"""A view from above that moves along with the traffic on a road too long for one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from envs.flight import Flight
    from qmarl.types import Array

_NARROWEST = 14.0  # the window shows at least so many vehicle lengths
_ROOM = 1.25  # how much wider the window is than the traffic


@dataclass(frozen=True)
class Window:
    """What is seen of a road along x.

    Attributes:
        shape: Width and height of the view, in any measure.
    """

    shape: tuple[float, float]

    def move(self, axes: Any, flight: Flight, moment: int) -> None:
        """Shows the part of the road where the traffic is at a moment."""
        left, right = _reach(flight, moment)
        wide = max(_ROOM * float((right - left).max()), _NARROWEST * 2 * float(flight.radii.max()))
        middle = float(left[-1] + right[-1]) / 2
        high = wide * self.shape[1] / self.shape[0]
        centre = float(flight.arena[:, 1].mean())
        axes.set(
            xlim=(middle - wide / 2, middle + wide / 2), ylim=(centre - high / 2, centre + high / 2)
        )


def _reach(flight: Flight, moment: int) -> tuple[Array, Array]:
    """Lowest and greatest x of bodies and marks, ``(moment + 1,)``, at each moment up to one."""
    places = [flight.positions[: moment + 1, :, 0]]
    if flight.marks is not None:
        places.append(flight.marks[: moment + 1, :, 0])
    x = np.concatenate(places, 1)
    return np.nanmin(x, axis=1), np.nanmax(x, axis=1)
