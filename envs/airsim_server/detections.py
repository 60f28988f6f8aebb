"""Detections: which of the objects that a camera looks for are in its picture, and where."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from envs.airsim_server import frames
from envs.airsim_server.camera import Picture, take
from envs.airsim_wire.structs import Box2D, Box3D, DetectionInfo, Vector2r

if TYPE_CHECKING:
    from envs.airsim_server.simulator import Simulator
    from envs.airsim_server.vehicle import Vehicle
    from qmarl.types import Array

MOST_PATTERNS: Final = 64
"""Names that a camera may look for."""

_CORNERS: Final = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2


@dataclass(frozen=True)
class Watch:
    """What a camera looks for: names with ``*`` for anything, within a distance in m."""

    patterns: tuple[str, ...] = ()
    radius: float = 200.0

    def looking_for(self, pattern: str) -> Watch:
        """The same with one more name."""
        known = dict.fromkeys((*self.patterns, pattern))
        return replace(self, patterns=tuple(known)[:MOST_PATTERNS])

    def wants(self, name: str) -> bool:
        """Whether something of this name is looked for."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.patterns)


def detect(
    simulator: Simulator, vehicle: Vehicle, camera: str, image_type: int, watch: Watch
) -> list[DetectionInfo]:
    """What a camera finds of what it looks for."""
    if not watch.patterns:
        return []
    picture = take(simulator, vehicle, camera, image_type)
    seen = set(picture.sight.met[picture.sight.met >= 0].tolist())
    wanted = [index for index in sorted(seen) if watch.wants(picture.names[index])]
    found = [(index, _body(simulator, picture.names[index])) for index in wanted]
    start = frames.turned(picture.place + vehicle.spawn)
    return [
        _detection(simulator, picture, start, index, body)
        for index, body in found
        if np.linalg.norm(body[0] - start) <= watch.radius
    ]


def _body(simulator: Simulator, name: str) -> tuple[Array, Array]:
    """Centre and size of something, ``(3,)`` m each, in our frame."""
    thing = simulator.scene.get(name)
    if thing is not None:
        return np.array(thing.position), np.array(thing.size)
    vehicle = simulator.vehicle(name)
    assert vehicle is not None
    return vehicle.place, np.full(3, 2 * vehicle.radius)


def _detection(
    simulator: Simulator, picture: Picture, start: Array, index: int, body: tuple[Array, Array]
) -> DetectionInfo:
    centre, size = body
    turn = frames.matrix(picture.turn)
    corners = frames.turned(centre + size * _CORNERS - start) @ turn
    here = frames.turned(centre - start) @ turn
    level = np.array([1.0, -1.0, -1.0, -1.0]) * picture.turn
    return DetectionInfo(
        picture.names[index],
        frames.on_earth(frames.turned(centre), simulator.settings.origin),
        _rectangle(picture, index),
        Box3D(frames.vector(corners.min(0)), frames.vector(corners.max(0))),
        frames.pose(here, level),
    )


def _rectangle(picture: Picture, index: int) -> Box2D:
    """The pixels that show something, from its first to its last."""
    shown = (picture.sight.met == index).reshape(picture.capture.height, picture.capture.width)
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    return Box2D(
        Vector2r(float(columns[0]), float(rows[0])),
        Vector2r(float(columns[-1] + 1), float(rows[-1] + 1)),
    )
