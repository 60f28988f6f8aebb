"""What a team knows of a road of two lanes in cells, and who told whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, final

import numpy as np

from envs.tasks.drone_common import square

if TYPE_CHECKING:
    from qmarl.types import Array


class Ahead(NamedTuple):
    """The road ahead of each of ``A`` agents in each lane, right and left; m, or infinite.

    Attributes:
        hazard: ``(k, A, 2)`` to the middle of the first cell that is known to hold a hazard.
        unknown: ``(k, A, 2)`` to the near edge of the first cell that is not known.
    """

    hazard: Array
    unknown: Array


@final
class RoadKnowledge:
    """The roads of ``E`` worlds and who of ``A`` agents knows which cell.

    Lanes are the right one, then the left one.

    Args:
        shape: ``(E, A)``.
        hazards: Number ``K`` of hazards.
        cells: Cells ``C`` of each lane.
        cell: Length of a cell, m.
        lane: Width of a lane, m.

    Attributes:
        middles: ``(2, C, 2)`` places of the cells' middles, m.
        places: ``(E, K, 2)`` places of the hazards, m.
        hazard: ``(E, 2, C)`` bool, cells with a hazard.
        known: ``(E, A, 2, C)`` bool, who knows which cell.
        links: ``(E, A, A)`` bool, who told whom in the last step.
    """

    def __init__(
        self, shape: tuple[int, int], hazards: int, cells: int, cell: float, lane: float
    ) -> None:
        self.middles: Array = np.zeros((2, cells, 2), np.float32)
        self.middles[..., 0] = (np.arange(cells) + 0.5) * cell
        self.middles[..., 1] = lane * (np.arange(2)[:, None] - 0.5)
        self.places: Array = np.zeros((shape[0], hazards, 2), np.float32)
        self.hazard: Array = np.zeros((shape[0], 2, cells), bool)
        self.known: Array = np.zeros((*shape, 2, cells), bool)
        self.links: Array = np.zeros((*shape, shape[1]), bool)
        self._where: Array = np.zeros((2, shape[0], hazards), np.int64)  # lanes, cells
        self._cell = np.float32(cell)

    def begin(self, rows: Array, cells: Array, lanes: Array) -> None:
        """Puts hazards on the roads of some worlds, of which nobody knows anything.

        Args:
            rows: ``(k,)`` positions in the batch.
            cells: ``(k, K)`` int64.
            lanes: ``(k, K)`` int64, 0 right and 1 left.
        """
        self.hazard[rows], self.known[rows], self.links[rows] = False, False, False
        self.hazard[rows[:, None], lanes, cells] = True
        self.places[rows] = self.middles[lanes, cells]
        self._where[:, rows] = lanes, cells

    def scan(self, place: Array, present: Array, radius: float) -> None:
        """The first agents see the cells below them.

        Args:
            place: ``(E, D, 3)`` m, places of the first ``D`` agents.
            present: ``(E, D)`` bool.
            radius: Of what they see, m.
        """
        x = place[:, :, None, None, 0] - self.middles[0, :, 0]
        y = place[:, :, None, None, 1] - self.middles[:, :1, 1]
        seen = x * x + y * y <= np.float32(radius) ** 2
        self.known[:, : place.shape[1]] |= seen & present[:, :, None, None]

    def tell(self, place: Array, present: Array, reach: float, heard: Array | None) -> None:
        """All tell what they know to those in reach.

        Args:
            place: ``(E, A, 3)`` m.
            present: ``(E, A)`` bool.
            reach: Of the radio, m.
            heard: ``(E, A, A)`` bool, links that carry at all; None: all do.
        """
        apart = square(place[:, None] - place[:, :, None])
        links = (apart <= np.float32(reach) ** 2) & present[:, None] & present[:, :, None]
        if heard is not None:
            links &= heard
        before, self.links = self.known, links
        self.known = before.copy()
        for speaker in range(place.shape[1]):
            self.known |= links[:, :, speaker, None, None] & before[:, speaker, None]

    def told(self, agents: slice) -> Array:
        """Cells ``(E, 2, C)`` that any of some agents knows, bool."""
        found: Array = np.any(self.known[:, agents], 1)
        return found

    def exposed(self, agents: slice) -> Array:
        """Hazards ``(E, K)`` that any of some agents knows, bool."""
        lanes, cells = self._where
        found: Array = self.told(agents)[np.arange(len(lanes))[:, None], lanes, cells]
        return found

    def ahead(self, x: Array, rows: Array | slice) -> Ahead:
        """What each agent knows of the road ahead of it.

        Args:
            x: ``(k, A)`` m, from where on.
            rows: Which worlds.
        """
        known = self.known[rows]
        to = self.middles[0, :, 0] - x[..., None]
        edge = to - self._cell / 2
        hazards = known & self.hazard[rows, None] & (to > 0)[:, :, None]
        unknown = ~known & (edge > -self._cell)[:, :, None]
        return Ahead(_first(hazards, to), _first(unknown, edge))


def _first(there: Array, distance: Array) -> Array:
    """Distances ``(k, A, 2)`` of the first cells that are there ``(k, A, 2, C)``, or infinite."""
    which = there.argmax(-1)
    found = np.take_along_axis(there, which[..., None], -1)[..., 0]
    return np.where(found, np.take_along_axis(distance, which, -1), np.float32(np.inf))
