"""What stands in the world: obstacles by name, as solids for rays and contacts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, final

import numpy as np

from envs.airsim_server.frames import turned
from envs.airsim_wire.structs import Quaternionr
from envs.bodies import Solids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envs.airsim_server.own_settings import OwnSettings
    from qmarl.types import Array

Shape = Literal["box", "sphere", "cylinder"]

GROUND: Final = "Ground"
"""Name of the ground."""
ASSETS: Final = ("Cube", "Sphere", "Cylinder")
"""What ``simSpawnObject`` can make, 1 m across."""
FAR: Final = 1e5
"""Where the world ends, m."""
MOST_OBJECTS: Final = 512
"""Objects beyond this are refused."""


@dataclass(frozen=True)
class Thing:
    """An obstacle in our frame: its centre and its extents along the axes, m.

    ``turn`` is what was given as its orientation; it is told, but solids stay along the axes.
    """

    name: str
    shape: Shape
    position: tuple[float, float, float]
    size: tuple[float, float, float]
    turn: Quaternionr = field(default_factory=Quaternionr)


@final
class Scene:
    """The obstacles of a world with the ground below them.

    Args:
        own: The settings that say what there is.

    Attributes:
        box: ``(2, 3)`` lower and upper corner of the world, m, in our frame.
        walled: Whether the box was asked for: its walls can be seen.
        names: Names of the solids in the order of :meth:`solids`.
        ids: What each name shows in a segmented image, 0 to 255.
    """

    def __init__(self, own: OwnSettings) -> None:
        self.box, self.walled = _box(own), own.arena is not None
        self._things: dict[str, Thing] = {}
        self._first = tuple(
            Thing(name, given.shape, _triple(turned(np.array(given.position))), given.size)
            for name, given in own.obstacles.items()
        )
        self.ids: dict[str, int] = {}
        self.reset()

    @property
    def ground(self) -> float:
        """Height of the ground, m."""
        return float(self.box[0, 2])

    def reset(self) -> None:
        """Puts everything back to how it was at first."""
        self._things = {thing.name: thing for thing in self._first}
        self._arrange()

    def get(self, name: str) -> Thing | None:
        """An obstacle by name."""
        return self._things.get(name)

    def put(self, thing: Thing) -> None:
        """Puts an obstacle into the world, or in the place of one of its name."""
        self._things[thing.name] = thing
        self._arrange()

    def remove(self, name: str) -> bool:
        """Takes an obstacle away; says whether it was there."""
        found = self._things.pop(name, None)
        self._arrange()
        return found is not None

    def free_name(self, wanted: str) -> str:
        """The wanted name, or one like it that nobody has."""
        names = (f"{wanted}{number or ''}" for number in range(MOST_OBJECTS + 2))
        return next(name for name in names if name not in self._things)

    def full(self) -> bool:
        """Whether no more obstacles are allowed."""
        return len(self._things) >= MOST_OBJECTS

    def solids(self, spheres: Array | None = None) -> Solids:
        """All obstacles as solids of one world; further spheres ``(k, 4)`` come first."""
        if spheres is None:
            return self._solids
        both = np.concatenate([spheres[None].astype(np.float32), self._solids.spheres], 1)
        return replace(self._solids, spheres=both)

    def number(self, name: str) -> int:
        """What something shows in a segmented image: a number of its own until one is set."""
        own = sum(ord(letter) * (place + 7) for place, letter in enumerate(name)) % 254 + 1
        return self.ids.get(name, own)

    def _arrange(self) -> None:
        by_shape: dict[Shape, list[Thing]] = {"sphere": [], "box": [], "cylinder": []}
        for thing in self._things.values():
            by_shape[thing.shape].append(thing)
        self.names: list[str] = [thing.name for group in by_shape.values() for thing in group]
        self._solids = Solids(
            _rows([(*t.position, t.size[0] / 2) for t in by_shape["sphere"]], 4),
            _rows([(*t.position, *(side / 2 for side in t.size)) for t in by_shape["box"]], 6),
            _rows([(*t.position, t.size[0] / 2, t.size[2] / 2) for t in by_shape["cylinder"]], 5),
        )


def matching(pattern: str, names: Sequence[str]) -> list[str]:
    """The names that a regular expression matches as a whole, whatever their case.

    Raises:
        ValueError: It is none, or longer than 256 letters.
    """
    if len(pattern) > 256:
        raise ValueError("the expression is longer than 256 letters")
    try:
        wanted = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"regex_error: {error}") from None
    return [name for name in names if wanted.fullmatch(name)]


def shape_of(asset: str) -> Shape:
    """What an asset's name stands for; a box if nothing else."""
    word = asset.lower()
    if "sphere" in word or "ball" in word:
        return "sphere"
    return "cylinder" if "cylinder" in word or "cone" in word else "box"


def _box(own: OwnSettings) -> Array:
    if own.arena is None:
        return np.array([[-FAR, -FAR, -own.ground], [FAR, FAR, FAR]], np.float32)
    corners = turned(np.array(own.arena))
    return np.stack([corners.min(0), corners.max(0)]).astype(np.float32)


def _rows(rows: list[tuple[float, ...]], width: int) -> Array:
    return np.array(rows, np.float32).reshape(1, len(rows), width)


def _triple(numbers: Array) -> tuple[float, float, float]:
    x, y, z = numbers.tolist()
    return x, y, z
