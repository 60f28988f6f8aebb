"""Cameras of a vehicle: what their pixels look at."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from envs.airsim_server import frames
from envs.airsim_server.errors import CallError
from envs.airsim_server.rays import Sight, look
from envs.airsim_server.sensors import mounted, others
from envs.airsim_server.settings import CameraSettings, CaptureSettings
from envs.airsim_server.settings_reader import Mount
from envs.airsim_wire.structs import CameraInfo, ProjectionMatrix

if TYPE_CHECKING:
    from envs.airsim_server.simulator import Simulator
    from envs.airsim_server.vehicle import Vehicle
    from qmarl.types import Array

FAR: Final = 65504.0
"""Depth of what is not there, m: the greatest number of a 16-bit float, as Unreal has it."""
MOST_PIXELS: Final = 1920 * 1080
"""Pixels of all images of a call together beyond this are refused."""

_AHEAD, _ASIDE = 0.5, 0.25
_MOUNTS: Final = {
    "front_center": Mount((_AHEAD, 0.0, 0.0)),
    "front_right": Mount((_AHEAD, _ASIDE, 0.0)),
    "front_left": Mount((_AHEAD, -_ASIDE, 0.0)),
    "bottom_center": Mount((0.0, 0.0, 0.1), (0.0, -90.0, 0.0)),
    "back_center": Mount((-_AHEAD, 0.0, 0.0), (0.0, 0.0, 180.0)),
    "fpv": Mount((_AHEAD, 0.0, -0.1)),
}
_OLD_NAMES: Final = ("front_center", "front_right", "front_left", "bottom_center", "back_center")


@dataclass(frozen=True)
class Picture:
    """What a camera saw.

    Attributes:
        sight: What its rays met, row by row from the top, pixels from left to right.
        names: Names of the solids that rays can meet.
        ahead: ``(R,)`` cosine between each ray and the camera's axis.
        rays: ``(R, 3)`` unit vectors in our frame.
        place: ``(3,)`` m in the vehicle's spawn frame.
        turn: ``(4,)`` attitude.
        capture: Size and field of view.
    """

    sight: Sight
    names: list[str]
    ahead: Array
    rays: Array
    place: Array
    turn: Array
    capture: CaptureSettings


def camera(simulator: Simulator, vehicle: Vehicle, name: str) -> CameraSettings:
    """A vehicle's camera by name, or by the number that older scripts use.

    Raises:
        CallError: It has none of this name.
    """
    if name in vehicle.cameras:
        return vehicle.cameras[name]
    wanted = name or "front_center"
    if wanted.isdigit() and int(wanted) < len(_OLD_NAMES):
        wanted = _OLD_NAMES[int(wanted)]
        if wanted in vehicle.cameras:
            return vehicle.cameras[wanted]
    if wanted not in _MOUNTS:
        raise CallError(f"Camera '{name}' is not available on vehicle '{vehicle.name}'")
    return replace(simulator.settings.camera, mount=_MOUNTS[wanted])


def capture_of(own: CameraSettings, image_type: int) -> CaptureSettings:
    """How large a camera's images of a type are."""
    return own.captures.get(image_type, own.captures.get(-1, CaptureSettings()))


def set_mount(simulator: Simulator, vehicle: Vehicle, name: str, mount: Mount) -> None:
    """Puts a camera elsewhere on its vehicle."""
    vehicle.cameras[name] = replace(camera(simulator, vehicle, name), mount=mount)


def set_view(simulator: Simulator, vehicle: Vehicle, name: str, degrees: float) -> None:
    """Sets a camera's field of view.

    Raises:
        CallError: It is not within 1 and 170 degrees.
    """
    if not 1 <= degrees <= 170:
        raise CallError(f"a field of view must be from 1 to 170 degrees, got {degrees:g}")
    own = camera(simulator, vehicle, name)
    captures = {kind: replace(capture_of(own, kind), fov=degrees) for kind in range(-1, 12)}
    vehicle.cameras[name] = replace(own, captures=captures)


def take(simulator: Simulator, vehicle: Vehicle, name: str, image_type: int) -> Picture:
    """Takes a picture."""
    own = camera(simulator, vehicle, name)
    capture = capture_of(own, image_type)
    place, turn = mounted(vehicle, own.mount)
    rays, ahead = pixel_rays(capture)
    rays = frames.turned(rays @ frames.matrix(turn).T)
    spheres, names = others(simulator, vehicle)
    scene = simulator.scene
    start = frames.turned(place + vehicle.spawn)
    sight = look(start, rays, scene, scene.solids(spheres), FAR)
    return Picture(sight, names + scene.names, ahead, rays, place, turn, capture)


def pixel_rays(capture: CaptureSettings) -> tuple[Array, Array]:
    """Unit vectors ``(R, 3)`` forward, right and down through the pixels, and their first part."""
    side = 2 * math.tan(math.radians(capture.fov) / 2) / capture.width
    right = side * (np.arange(capture.width) - (capture.width - 1) / 2)
    down = side * (np.arange(capture.height) - (capture.height - 1) / 2)
    y, z = np.broadcast_arrays(right, down[:, None])
    rays = np.stack([np.ones_like(y), y, z], -1).reshape(-1, 3)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return rays, rays[:, 0].copy()


def info(simulator: Simulator, vehicle: Vehicle, name: str) -> CameraInfo:
    """Where a camera is and how it projects."""
    own = camera(simulator, vehicle, name)
    capture = capture_of(own, 0)
    wide = 1 / math.tan(math.radians(capture.fov) / 2)
    rows = (
        (wide, 0.0, 0.0, 0.0),
        (0.0, wide * capture.width / capture.height, 0.0, 0.0),
        (0.0, 0.0, 0.0, 10.0),
        (0.0, 0.0, -1.0, 0.0),
    )
    return CameraInfo(
        frames.pose(*mounted(vehicle, own.mount)), capture.fov, ProjectionMatrix(rows)
    )
