"""The ways over a crossing of two roads: straight on, left or right, and where ways meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from envs.tasks.vehicle_common import angle

if TYPE_CHECKING:
    from qmarl.types import Array

_COS: Final = (1.0, 0.0, -1.0, 0.0)
_STEP = 0.25  # m between the points at which ways are compared


@final
@dataclass(frozen=True)
class Crossing:
    """Two roads that cross at right angles in the origin; traffic keeps to the right.

    A way comes along arm 0, 1, 2 or 3 (driving towards +x, +y, -x, -y) and turns 1 (left), 0 or -1
    (right) on a circular arc in the square where the roads overlap. ``along`` counts metres from
    the square's edge, negative before it. All methods work on arrays of any shape.

    Attributes:
        half: Half a side of the square, m.
        lane: Width of a lane, m.
        leave: Metres behind the square where a way ends.
    """

    half: float
    lane: float
    leave: float

    def inside(self, turn: Array) -> Array:
        """Length of ways within the square, m."""
        found: Array = np.where(turn == 0, 2 * self.half, np.pi / 2 * self._radius(turn))
        return found.astype(np.float32)

    def end(self, turn: Array) -> Array:
        """Where ways end, m along them."""
        return self.inside(turn) + np.float32(self.leave)

    def point(self, arm: Array, turn: Array, along: Array) -> Array:
        """Places ``(..., 2)`` in m on ways."""
        x, y = self._place(turn, along)
        cosine, sine = _turned(arm)
        return np.stack([cosine * x - sine * y, sine * x + cosine * y], -1).astype(np.float32)

    def direction(self, arm: Array, turn: Array, along: Array) -> Array:
        """Headings ``(...)`` in rad of ways."""
        share = np.clip(along / self.inside(turn), 0, 1)
        found: Array = np.pi / 2 * (arm + turn * share)
        return angle(found.astype(np.float32))

    def locate(self, arm: Array, turn: Array, place: Array) -> tuple[Array, Array]:
        """How far along their ways places ``(..., 2)`` are, and how far to the left of them, m."""
        cosine, sine = _turned(arm)
        x = cosine * place[..., 0] + sine * place[..., 1]
        y = cosine * place[..., 1] - sine * place[..., 0]
        mirror, radius = np.where(turn == 0, 1, turn).astype(np.float32), self._radius(turn)
        half = np.float32(self.half)
        right, below = x + half, half - y * mirror  # seen from the middle of the arc
        arc = np.arctan2(right, below) * radius
        aside = radius - np.sqrt(right * right + below * below)
        ahead, behind = (turn == 0) | (right < 0), (turn != 0) & (below < 0) & (right >= 0)
        along = np.where(ahead, right, np.where(behind, self.inside(turn) - below, arc))
        aside = np.where(ahead, mirror * y + mirror * self.lane / 2, aside)
        aside = np.where(behind, radius - right, aside)
        return along.astype(np.float32), (mirror * aside).astype(np.float32)

    def conflicts(self, clearance: float, length: float) -> Array:
        """Where ways come too near to each other to be driven at once.

        Args:
            clearance: Distance between middles of lanes below which ways are in conflict, m.
            length: Of a vehicle, m: its front and its tail count.

        Returns:
            ``(4, 3, 3, 2)`` float32: by how many arms the other's lies to the left, and by the own
            and the other's turn plus 1, where the zone begins and ends, m along the own way.
            Unlimited (infinite) where ways share a lane; beginning behind its end where they have
            nothing to do with each other.
        """
        table = np.zeros((4, 3, 3, 2), np.float32)
        along = np.arange(-2 * self.half, 4 * self.half, _STEP)
        for other, own, its in np.ndindex(4, 3, 3):
            mine = self.point(np.array(0), np.array(own - 1), along)
            theirs = self.point(np.array(other), np.array(its - 1), along)
            apart = np.sqrt(((mine[:, None] - theirs) ** 2).sum(-1)).min(1)
            near = np.flatnonzero(apart < clearance)
            table[other, own, its] = _zone(near, along, length)
        return table

    def _radius(self, turn: Array) -> Array:
        found: Array = np.float32(self.half) + turn * np.float32(self.lane / 2)
        return found

    def _place(self, turn: Array, along: Array) -> tuple[Array, Array]:
        """Places on ways of arm 0: before the square, on the arc, and behind it."""
        radius, inside = self._radius(turn), self.inside(turn)
        arc = np.clip(along, 0, inside) / radius
        before, behind = np.minimum(along, 0), np.maximum(along - inside, 0)
        mirror = np.where(turn == 0, 1, turn)
        x = np.where(turn == 0, along, before + radius * np.sin(arc)) - self.half
        y = self.half - radius * np.cos(arc) + behind
        return x, np.where(turn == 0, -self.lane / 2, mirror * y)


def _turned(arm: Array) -> tuple[Array, Array]:
    table = np.array(_COS, np.float32)
    return table[arm], table[arm - 1]


def _zone(near: Array, along: Array, length: float) -> tuple[float, float]:
    if not near.size:
        return np.inf, -np.inf
    first, last = along[near[0]] - length / 2, along[near[-1]] + length / 2
    begin = -np.inf if near[0] == 0 else first
    return begin, np.inf if near[-1] == len(along) - 1 else last
