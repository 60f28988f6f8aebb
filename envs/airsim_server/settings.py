"""``settings.json``, read as AirSim reads it: same keys, same defaults.

Source: AirSim 1.8.1, ``AirSimSettings.hpp`` and the parameters of its sensors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from envs.airsim_server.own_settings import OwnSettings
from envs.airsim_server.settings_reader import Mount, Node
from envs.airsim_wire.structs import DEFAULT_PORT, GeoPoint
from qmarl.errors import ConfigurationError

Kind = Literal["multirotor", "car", "eye"]
"""What a vehicle is; an eye is what AirSim calls computer vision: a camera that is put anywhere."""

_KINDS: Final[dict[str, Kind]] = {
    "simpleflight": "multirotor",
    "px4multirotor": "multirotor",
    "arducopter": "multirotor",
    "arducoptersolo": "multirotor",
    "physxcar": "car",
    "ardurover": "car",
    "computervision": "eye",
}
_MODES: Final[dict[str, tuple[str, str]]] = {
    "Multirotor": ("SimpleFlight", "simpleflight"),
    "Car": ("PhysXCar", "physxcar"),
    "ComputerVision": ("ComputerVision", "computervision"),
}
_ORIGIN: Final = GeoPoint(47.641468, -122.140165, 122.0)


class SensorKind(IntEnum):
    """What a sensor measures."""

    BAROMETER = 1
    IMU = 2
    GPS = 3
    MAGNETOMETER = 4
    DISTANCE = 5
    LIDAR = 6


@dataclass(frozen=True)
class SensorSettings:
    """A sensor; ``numbers`` holds the keys that its kind reads."""

    name: str
    kind: SensorKind
    enabled: bool = True
    mount: Mount = field(default_factory=Mount)
    numbers: Mapping[str, float] = field(default_factory=dict)
    frame: str = "VehicleInertialFrame"

    def number(self, key: str, default: float) -> float:
        """One of its numbers, or what AirSim takes when it is left out."""
        return self.numbers.get(key, default)


@dataclass(frozen=True)
class CaptureSettings:
    """How large an image is, in pixels, and how wide, in degrees."""

    width: int = 256
    height: int = 144
    fov: float = 90.0


@dataclass(frozen=True)
class CameraSettings:
    """A camera: where it sits, and its images by type."""

    mount: Mount = field(default_factory=Mount)
    captures: Mapping[int, CaptureSettings] = field(default_factory=dict)


@dataclass(frozen=True)
class VehicleSettings:
    """A vehicle: where it starts, m and degrees in the world's NED frame, and what it carries."""

    name: str
    kind: Kind
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    yaw: float = 0.0
    sensors: tuple[SensorSettings, ...] = ()
    cameras: Mapping[str, CameraSettings] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """All that a simulator is told.

    Attributes:
        text: The file as it was written.
        notes: What in it was passed over, a sentence each.
    """

    mode: str
    vehicles: tuple[VehicleSettings, ...]
    port: int = DEFAULT_PORT
    host: str = ""
    clock_speed: float = 1.0
    wind: tuple[float, float, float] = (0.0, 0.0, 0.0)
    origin: GeoPoint = _ORIGIN
    camera: CameraSettings = CameraSettings()
    sensors: tuple[SensorSettings, ...] = ()
    own: OwnSettings = field(default_factory=OwnSettings)
    text: str = "{}"
    notes: tuple[str, ...] = ()


def read_file(path: Path) -> Settings:
    """Reads a file; see :func:`read`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from None
    return read(text, str(path))


def read(text: str, source: str = "settings.json") -> Settings:
    """Reads settings.

    Args:
        text: JSON; nothing stands for ``{}``.
        source: Named in errors.

    Raises:
        ConfigurationError: It is no JSON object, or a key that is read has a value that cannot be.
    """
    try:
        plain = json.loads(text or "{}")
    except (json.JSONDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{source}: is no JSON: {error}") from None
    if not isinstance(plain, dict):
        raise ConfigurationError(f"{source}: must be an object, got {type(plain).__name__}")
    return _settings(Node(plain, source), text)


def _settings(root: Node, text: str) -> Settings:
    mode = root.word("SimMode", "Multirotor", _MODES)
    camera = _camera(root.child("CameraDefaults"), CameraSettings())
    given = root.child("DefaultSensors")
    defaults = _sensors(given, ()) if given.keys else _default_sensors(mode)
    origin = root.child("OriginGeopoint")
    return Settings(
        mode=mode,
        vehicles=_vehicles(root, mode, defaults, camera),
        port=root.whole("ApiServerPort", DEFAULT_PORT, 0, 65535),
        host=root.text("LocalHostIp", ""),
        clock_speed=root.number("ClockSpeed", 1.0, least=1e-3, most=1e3),
        wind=root.child("Wind").triple(("X", "Y", "Z")),
        origin=GeoPoint(
            origin.number("Latitude", _ORIGIN.latitude, least=-89.9, most=89.9),
            origin.number("Longitude", _ORIGIN.longitude, least=-360, most=360),
            origin.number("Altitude", _ORIGIN.altitude),
        ),
        camera=camera,
        sensors=defaults,
        own=_own(root),
        text=text or "{}",
        notes=root.notes(),
    )


def _own(root: Node) -> OwnSettings:
    try:
        return OwnSettings.model_validate(root.child("Qmarl").plain)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["Qmarl", *map(str, first["loc"])])
        raise ConfigurationError(f"{root.source}: {where}: {first['msg']}") from None


def _vehicles(
    root: Node, mode: str, defaults: tuple[SensorSettings, ...], camera: CameraSettings
) -> tuple[VehicleSettings, ...]:
    given = root.child("Vehicles")
    if not given.keys:
        name, kind = _MODES[mode]
        return (VehicleSettings(name, _KINDS[kind], sensors=defaults),)
    children = sorted((name, given.child(name)) for name in given.keys)  # AirSim's map is sorted
    return tuple(
        _vehicle(name, child, mode, defaults, camera)
        for name, child in children
        if child.truth("AutoCreate", True)
    )


def _vehicle(
    name: str,
    node: Node,
    mode: str,
    defaults: tuple[SensorSettings, ...],
    camera: CameraSettings,
) -> VehicleSettings:
    kind = node.text("VehicleType", _MODES[mode][1]).lower()
    if kind not in _KINDS:
        raise ConfigurationError(
            f"{node.source}: VehicleType: got {kind!r}; allowed are {', '.join(_KINDS)}"
        )
    cameras = node.child("Cameras")
    return VehicleSettings(
        name,
        _KINDS[kind],
        node.triple(("X", "Y", "Z")),
        node.number("Yaw", 0.0),
        _sensors(node.child("Sensors"), defaults),
        {key: _camera(cameras.child(key), camera) for key in cameras.keys},
    )


def kind_of(word: str) -> Kind | None:
    """What a word for a vehicle's type means, whatever its case; None if nothing."""
    return _KINDS.get(word.lower())


def _camera(node: Node, below: CameraSettings) -> CameraSettings:
    captures = dict(below.captures)
    for child in node.children("CaptureSettings"):
        image_type = child.whole("ImageType", 0, -1, 11)
        plain = captures.get(image_type, CaptureSettings())
        captures[image_type] = CaptureSettings(
            child.whole("Width", plain.width, 1, 1920),
            child.whole("Height", plain.height, 1, 1080),
            child.number("FOV_Degrees", plain.fov, least=1, most=170),
        )
    return CameraSettings(node.mount(), captures)


def _sensors(node: Node, defaults: tuple[SensorSettings, ...]) -> tuple[SensorSettings, ...]:
    """Sensors sorted by name, as in AirSim; with the defaults of kinds that are not there."""
    found = {}
    for name in node.keys:
        child = node.child(name)
        kind = SensorKind(child.whole("SensorType", 0, 1, 6))
        found[name] = SensorSettings(
            name,
            kind,
            child.truth("Enabled", False),
            child.mount(),
            child.numbers(),
            child.text("DataFrame", "VehicleInertialFrame"),
        )
    kinds = {sensor.kind for sensor in found.values()}
    for sensor in defaults:
        if sensor.kind not in kinds:
            found.setdefault(sensor.name, sensor)
    return tuple(found[name] for name in sorted(found))


def _default_sensors(mode: str) -> tuple[SensorSettings, ...]:
    kinds = {
        "Multirotor": ("barometer", "gps", "imu", "magnetometer"),
        "Car": ("gps",),
        "ComputerVision": (),
    }
    return tuple(SensorSettings(name, SensorKind[name.upper()]) for name in kinds[mode])
