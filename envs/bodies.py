"""Where bodies are and what stands still: the arrays that tasks, backends and sensors share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from qmarl.types import Array


@dataclass(frozen=True)
class Bodies:
    """The bodies of ``E`` worlds of ``A`` agents, as they are or as agents perceive them.

    Frames are fixed to the arena: x and y level, z up.

    Attributes:
        position: ``(E, A, 3)`` float32 m.
        velocity: ``(E, A, 3)`` float32 m/s.
        heading: ``(E, A)`` float32 radians from the x axis, counter-clockwise seen from above.
        heard: ``(E, A, A)`` bool, whether agent ``i`` knows of agent ``j``; None when all do.
    """

    position: Array
    velocity: Array
    heading: Array
    heard: Array | None = None


@dataclass(frozen=True)
class Start:
    """Where the bodies of ``k`` worlds begin an episode.

    Attributes:
        position: ``(k, A, 3)`` m.
        heading: ``(k, A)`` radians.
        speed: ``(k, A)`` m/s along the heading.
    """

    position: Array
    heading: Array
    speed: Array

    @classmethod
    def resting(cls, position: Array) -> Start:
        """Bodies at rest at ``(k, A, 3)`` that look along x."""
        still = np.zeros(position.shape[:2], np.float32)
        return cls(position, still, still)


@dataclass(frozen=True)
class Solids:
    """What stands in ``E`` worlds; a body of size 0 is not there.

    Attributes:
        spheres: ``(E, M, 4)`` centre and radius, m.
        boxes: ``(E, K, 6)`` centre and half extents along the axes, m.
        cylinders: ``(E, L, 5)`` centre, radius and half height of upright cylinders, m.
        radii: ``(E, A)`` radius of the agents' own bodies as range sensors meet them, m; 0 where
            one is gone. None where they cannot be met.
    """

    spheres: Array
    boxes: Array
    cylinders: Array
    radii: Array | None = None

    @classmethod
    def of(
        cls,
        num_envs: int,
        spheres: Array | None = None,
        boxes: Array | None = None,
        cylinders: Array | None = None,
        radii: Array | None = None,
    ) -> Solids:
        """Solids of ``num_envs`` worlds; kinds that are left out are none."""
        one, two, three = (
            np.zeros((num_envs, 0, size), np.float32) if given is None else given
            for given, size in zip((spheres, boxes, cylinders), (4, 6, 5), strict=True)
        )
        return cls(one, two, three, radii)

    def take(self, rows: Array | slice) -> Solids:
        """The solids of some worlds."""
        radii = None if self.radii is None else self.radii[rows]
        return Solids(self.spheres[rows], self.boxes[rows], self.cylinders[rows], radii)
