"""Calls about objects: where they are, new ones, segmentation numbers, lines of sight."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from envs.airsim_server import frames
from envs.airsim_server.arguments import (
    body,
    on_earth,
    place,
    record,
    text,
    truth,
    turn,
    whole,
)
from envs.airsim_server.call_table import Call, both
from envs.airsim_server.errors import CallError
from envs.airsim_server.rays import distances
from envs.airsim_server.scene import ASSETS, GROUND, Thing, matching, shape_of
from envs.airsim_wire.structs import Pose, Vector3r

if TYPE_CHECKING:
    from envs.airsim_server.simulator import Simulator
    from qmarl.types import Array

_NAN: Final = float("nan")


def _names(simulator: Simulator) -> list[str]:
    vehicles = [vehicle.name for vehicle in simulator.vehicles]
    return [GROUND, *simulator.scene.names, *vehicles]


def _list(simulator: Simulator, pattern: object) -> list[str]:
    return matching(text(pattern), _names(simulator))


def _list_tags(simulator: Simulator, pattern: object) -> list[list[str]]:
    return [[name, ""] for name in _list(simulator, pattern)]


def _pose(simulator: Simulator, name: object, *_: object) -> dict[str, Any]:
    """Where something is in the world; not a number where there is nothing, as in AirSim."""
    vehicle, thing = simulator.vehicle(text(name) or "?"), simulator.scene.get(text(name))
    if vehicle is not None:
        return frames.pose(vehicle.position + vehicle.spawn, vehicle.turn).to_map()
    if thing is not None:
        place = frames.vector(frames.turned(np.array(thing.position)))
        return Pose(place, thing.turn).to_map()
    if name == GROUND:
        return Pose(Vector3r(0.0, 0.0, -simulator.scene.ground)).to_map()
    return frames.pose(np.full(3, _NAN), np.full(4, _NAN)).to_map()


def _set_pose(simulator: Simulator, name: object, pose: object, _teleport: object) -> bool:
    given, thing = record(Pose, pose, simulator), simulator.scene.get(text(name))
    there = place(given.position)
    vehicle = simulator.vehicle(text(name) or "?")
    if vehicle is not None:
        simulator.teleport(vehicle, there - vehicle.spawn, turn(given.orientation))
        return True
    if thing is None:
        return False
    x, y, z = frames.turned(there).tolist()
    simulator.scene.put(replace(thing, position=(x, y, z), turn=given.orientation))
    return True


def _scale(simulator: Simulator, name: object) -> dict[str, Any]:
    thing = simulator.scene.get(text(name))
    return Vector3r(*(thing.size if thing else (_NAN, _NAN, _NAN))).to_map()


def _set_scale(simulator: Simulator, name: object, scale: object) -> bool:
    thing, size = simulator.scene.get(text(name)), _size(record(Vector3r, scale, simulator))
    if thing is None:
        return False
    simulator.scene.put(replace(thing, size=size))
    return True


def _spawn(
    simulator: Simulator,
    name: object,
    asset: object,
    pose: object,
    scale: object,
    _physics: object,
    _blueprint: object,
) -> str:
    """Puts a cube, sphere or cylinder into the world and says what it is called."""
    given, size = record(Pose, pose, simulator), _size(record(Vector3r, scale, simulator))
    if simulator.scene.full():
        raise CallError("there are too many objects")
    called = simulator.scene.free_name(text(name) or "Object")
    x, y, z = frames.turned(place(given.position)).tolist()
    simulator.scene.put(Thing(called, shape_of(text(asset)), (x, y, z), size, given.orientation))
    return called


def _destroy(simulator: Simulator, name: object) -> bool:
    return simulator.scene.remove(text(name))


def _set_number(simulator: Simulator, name: object, number: object, by_regex: object) -> bool:
    wanted, which = text(name), whole(number)
    names = _names(simulator)
    found = matching(wanted, names) if truth(by_regex) else [n for n in names if n == wanted]
    for each in found:
        simulator.scene.ids[each] = which % 256
    return bool(found)


def _get_number(simulator: Simulator, name: object) -> int:
    return simulator.scene.number(text(name)) if name in _names(simulator) else -1


def _line_to(simulator: Simulator, point: object, vehicle: object) -> bool:
    own = body(simulator, vehicle)
    there = frames.from_earth(on_earth(point, simulator), simulator.settings.origin)
    return _clear(simulator, own.place, frames.turned(there))


def _line_between(simulator: Simulator, one: object, other: object) -> bool:
    origin = simulator.settings.origin
    ends = [
        frames.turned(frames.from_earth(on_earth(point, simulator), origin))
        for point in (one, other)
    ]
    return _clear(simulator, *ends)


def _clear(simulator: Simulator, one: Array, other: Array) -> bool:
    """Whether nothing stands between two points of our frame."""
    way = other - one
    length = float(np.linalg.norm(way))
    if not 1e-6 < length < 1e5:
        return length <= 1e-6
    scene = simulator.scene
    reach, _ = distances(one, (way / length)[None], scene, scene.solids(), length)
    return bool(reach[0] >= length - 1e-3)


def _extents(simulator: Simulator) -> list[dict[str, Any]]:
    corners = frames.turned(simulator.scene.box.astype(float))
    low, high = np.minimum(*corners), np.maximum(*corners)
    origin = simulator.settings.origin
    return [frames.on_earth(corner, origin).to_map() for corner in (low, high)]


def _size(given: Vector3r) -> tuple[float, float, float]:
    x, y, z = place(given).tolist()
    if min(x, y, z) <= 0:
        raise CallError("a scale must be above 0")
    return x, y, z


SCENE_CALLS: Final = {
    "simListSceneObjects": both(_list, 1),
    "simListSceneObjectsTags": Call(_list_tags, None, 1),
    "simListInstanceSegmentationObjects": Call(_names, None, 0),
    "simGetObjectPose": Call(_pose, 1, 2),
    "simSetObjectPose": both(_set_pose, 3),
    "simGetObjectScale": both(_scale, 1),
    "simSetObjectScale": both(_set_scale, 2),
    "simSpawnObject": both(_spawn, 6),
    "simDestroyObject": both(_destroy, 1),
    "simListAssets": both(lambda _: list(ASSETS), 0),
    "simSetSegmentationObjectID": both(_set_number, 3),
    "simGetSegmentationObjectID": both(_get_number, 1),
    "simTestLineOfSightToPoint": both(_line_to, 2),
    "simTestLineOfSightBetweenPoints": both(_line_between, 2),
    "simGetWorldExtents": both(_extents, 0),
}
"""Calls about objects."""
