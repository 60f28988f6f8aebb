"""From a world's section to the ``settings.json`` of a simulator that it can be flown in."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from envs.airsim_server.frames import turned
from envs.airsim_server.settings import SensorKind
from envs.airsim_wire.structs import ImageType
from envs.backends.airsim_settings import settings_text

if TYPE_CHECKING:
    from envs.mobility import MobilitySection
    from envs.sensing.config import CameraConfig, LidarConfig, RangerConfig

_WAYS: Final = {
    "forward": (0.0, 0.0),
    "left": (0.0, -90.0),
    "back": (0.0, 180.0),
    "right": (0.0, 90.0),
    "up": (90.0, 0.0),
    "down": (-90.0, 0.0),
}  # pitch and yaw, degrees
_SWEEPS: Final = 10  # of a lidar in a second
_RADII: Final = ("drone_radius", "pursuer_radius")


def world_settings(
    config: MobilitySection, names: Sequence[str], kinds: Sequence[str], port: int
) -> str:
    """The text of a ``settings.json``.

    Vehicles are spawned apart from each other, carry the sensors of the section, and have its
    agents' names. Under the key ``Qmarl``, which AirSim passes over, stand the section's bodies and
    its arena for our own simulator.

    Args:
        config: The world's section.
        names: The agents.
        kinds: ``drone`` or ``vehicle`` for each of them.
        port: Where the simulator is to listen.
    """
    vehicles = dict(zip(names, kinds, strict=True))
    plain = json.loads(settings_text("", vehicles, port, _own(config)))
    for vehicle in plain["Vehicles"].values():
        vehicle.update(_carried(config))
    plain = {"SettingsVersion": plain.pop("SettingsVersion"), "ClockSpeed": 1.0, **plain}
    return json.dumps(plain, indent=2) + "\n"


def _own(config: MobilitySection) -> dict[str, Any]:
    physics = config.backend if config.backend in ("point", "quad6dof") else "quad6dof"
    origin = np.array(config.airsim.origin)
    plain = config.model_dump()
    return {
        "physics": physics,
        "point": config.point.model_dump(mode="json"),
        "quad6dof": config.quad6dof.model_dump(mode="json"),
        "bicycle": config.bicycle.model_dump(mode="json"),
        "arena": (turned(config.arena) + origin).round(6).tolist(),
        "multirotor_radius": next((plain[name] for name in _RADII if name in plain), 0.1),
    }


def _carried(config: MobilitySection) -> dict[str, Any]:
    """Sensors and cameras of a vehicle."""
    sensors, given = {}, config.sensors
    if given.ranger is not None:
        sensors.update(_rangers(given.ranger))
    if given.lidar is not None:
        sensors["lidar"] = _lidar(given.lidar)
    found: dict[str, Any] = {"Sensors": sensors} if sensors else {}
    if given.camera is not None:
        found["Cameras"] = {"front_center": _camera(given.camera)}
    return found


def _rangers(config: RangerConfig) -> dict[str, Any]:
    """A distance sensor for each direction."""
    return {
        f"distance_{way}": {
            "SensorType": int(SensorKind.DISTANCE),
            "Enabled": True,
            "MinDistance": 0.0,
            "MaxDistance": config.range,
            **_at(*_WAYS[way]),
        }
        for way in config.directions
    }


def _lidar(config: LidarConfig) -> dict[str, Any]:
    half, full = math.degrees(config.vertical_view) / 2, math.degrees(config.field_of_view)
    around = (0.0, 359.0) if full > 359 else (-full / 2, full / 2)
    return {
        "SensorType": int(SensorKind.LIDAR),
        "Enabled": True,
        "NumberOfChannels": config.layers,
        "RotationsPerSecond": _SWEEPS,
        "PointsPerSecond": config.beams * config.layers * _SWEEPS,
        "Range": config.range,
        "VerticalFOVUpper": half if config.layers > 1 else 0.0,
        "VerticalFOVLower": -half if config.layers > 1 else 0.0,
        "HorizontalFOVStart": around[0],
        "HorizontalFOVEnd": around[1],
        "DataFrame": "SensorLocalFrame",
        **_at(0.0, 0.0),
    }


def _camera(config: CameraConfig) -> dict[str, Any]:
    size = {
        "Width": config.width,
        "Height": config.height,
        "FOV_Degrees": math.degrees(config.field_of_view),
    }
    kinds = (ImageType.SCENE, ImageType.DEPTH_PERSPECTIVE, ImageType.SEGMENTATION)
    captures = [{"ImageType": int(kind), **size} for kind in kinds]
    return {"CaptureSettings": captures, **_at(math.degrees(config.pitch), 0.0)}


def _at(pitch: float, yaw: float) -> dict[str, float]:
    return {"X": 0.0, "Y": 0.0, "Z": 0.0, "Roll": 0.0, "Pitch": pitch, "Yaw": yaw}
