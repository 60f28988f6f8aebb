"""Sensors of a vehicle, without noise: lidar, distance, IMU, GPS, barometer, magnetometer.

Directions, frames and formulas follow AirSim 1.8.1 (``UnrealLidarSensor.cpp``, ``EarthUtils.hpp``,
``BarometerSimple.hpp``, ``MagnetometerSimple.hpp``, ``ImuSimple.hpp``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from envs.airsim_server import frames
from envs.airsim_server.errors import CallError
from envs.airsim_server.rays import BORDER, NOTHING, look
from envs.airsim_server.scene import GROUND
from envs.airsim_server.settings import SensorKind
from envs.airsim_wire import structs
from envs.backends.rigid import GRAVITY

if TYPE_CHECKING:
    from envs.airsim_server.settings import SensorSettings
    from envs.airsim_server.settings_reader import Mount
    from envs.airsim_server.simulator import Simulator
    from envs.airsim_server.vehicle import Vehicle
    from qmarl.types import Array

SEA_PRESSURE: Final = 101325.0
"""Pa at sea level."""
MAGNETIC_FIELD: Final = np.array([0.34252, 0.09805, 0.93438])
"""The earth's magnetic field at AirSim's home, Gauss, north, east and down."""

_MOST_POINTS: Final = 100_000
_WORDS: Final = {
    SensorKind.LIDAR: "lidar",
    SensorKind.IMU: "IMU",
    SensorKind.BAROMETER: "barometer",
    SensorKind.MAGNETOMETER: "magnetometer",
    SensorKind.GPS: "gps",
    SensorKind.DISTANCE: "distance sensor",
}


def sensor(vehicle: Vehicle, kind: SensorKind, name: str) -> SensorSettings:
    """A vehicle's sensor by name; the first of its kind for an empty name.

    Raises:
        CallError: There is none, in AirSim's words.
    """
    for own in vehicle.sensors.values():
        if own.kind == kind and own.enabled and name in ("", own.name):
            return own
    raise CallError(f"No {_WORDS[kind]} with name {name} exist on vehicle")


def mounted(vehicle: Vehicle, mount: Mount) -> tuple[Array, Array]:
    """Where something on a vehicle is, ``(3,)`` m in its spawn frame, and its attitude."""
    turn = frames.product(vehicle.turn, mount_turn(mount))
    place = vehicle.position + frames.matrix(vehicle.turn) @ np.array(mount.position)
    return place, turn


def mount_turn(mount: Mount) -> Array:
    """The attitude of a mount on its vehicle."""
    return frames.from_euler(*(math.radians(angle) for angle in mount.rotation))


def others(simulator: Simulator, vehicle: Vehicle) -> tuple[Array, list[str]]:
    """All other vehicles as spheres ``(k, 4)`` in our frame, and their names."""
    rest = [each for each in simulator.vehicles if each is not vehicle and each.kind != "eye"]
    rows = [[*each.place, each.radius] for each in rest]
    return np.array(rows, np.float32).reshape(len(rest), 4), [each.name for each in rest]


def lidar(simulator: Simulator, vehicle: Vehicle, name: str) -> structs.LidarData:
    """One sweep of a lidar."""
    own = sensor(vehicle, SensorKind.LIDAR, name)
    place, turn = mounted(vehicle, own.mount)
    beams = lidar_beams(own, vehicle.kind == "multirotor") @ frames.matrix(turn).T
    spheres, names = others(simulator, vehicle)
    start = frames.turned(place + vehicle.spawn)
    reach = own.number("Range", 100.0)
    sight = look(
        start, frames.turned(beams), simulator.scene, simulator.scene.solids(spheres), reach
    )
    hit = sight.met != NOTHING
    points = place + beams[hit] * sight.distance[hit, None].astype(np.float64)
    if own.frame == "SensorLocalFrame":
        points = (points - place) @ frames.matrix(turn)
    names += simulator.scene.names
    met = [names[thing] if thing != BORDER else GROUND for thing in sight.met[hit].tolist()]
    return structs.LidarData(
        simulator.stamp,
        tuple(points.ravel().tolist()) or (0.0,),
        frames.pose(place, turn),
        tuple(simulator.scene.number(name) for name in met),
        tuple(met),
    )


def lidar_beams(own: SensorSettings, flies: bool) -> Array:
    """Unit vectors ``(R, 3)`` forward, right and down, laser by laser from the highest."""
    channels = max(1, int(own.number("NumberOfChannels", 16)))
    sweeps = max(1.0, own.number("RotationsPerSecond", 10))
    total = min(own.number("PointsPerSecond", 100_000) / sweeps, _MOST_POINTS)
    each = max(1, round(total / channels))
    upper = own.number("VerticalFOVUpper", -15 if flies else 10)
    lower = own.number("VerticalFOVLower", -45 if flies else -10)
    first, last = own.number("HorizontalFOVStart", 0.0), own.number("HorizontalFOVEnd", 359.0)
    around = np.arange(each) * (360.0 / each)
    width = 360.0 if abs(last - first) >= 360 else (last - first) % 360
    within = (around - first) % 360 <= width
    heights = np.radians(np.linspace(upper, lower, channels) if channels > 1 else [upper])
    azimuth, elevation = np.meshgrid(np.radians(around[within]), heights)
    level = np.cos(elevation)
    beams = [level * np.cos(azimuth), level * np.sin(azimuth), -np.sin(elevation)]
    return np.stack(beams, -1).reshape(-1, 3)


def distance(simulator: Simulator, vehicle: Vehicle, name: str) -> structs.DistanceSensorData:
    """What a single beam measures, held within the sensor's limits."""
    own = sensor(vehicle, SensorKind.DISTANCE, name)
    place, turn = mounted(vehicle, own.mount)
    least, most = own.number("MinDistance", 0.2), own.number("MaxDistance", 40.0)
    spheres, _ = others(simulator, vehicle)
    beam = frames.turned(frames.matrix(turn)[:, :1].T)
    solids = simulator.scene.solids(spheres)
    sight = look(frames.turned(place + vehicle.spawn), beam, simulator.scene, solids, most)
    return structs.DistanceSensorData(
        simulator.stamp,
        max(least, float(sight.distance[0])),
        least,
        most,
        frames.pose(np.array(own.mount.position), mount_turn(own.mount)),
    )


def imu(simulator: Simulator, vehicle: Vehicle, name: str) -> structs.ImuData:
    """Attitude, body rates, and the acceleration that is felt."""
    sensor(vehicle, SensorKind.IMU, name)
    felt = vehicle.acceleration - np.array([0, 0, GRAVITY])
    return structs.ImuData(
        simulator.stamp,
        frames.quaternion(vehicle.turn),
        frames.vector(vehicle.rates),
        frames.vector(frames.matrix(vehicle.turn).T @ felt),
    )


def gps(simulator: Simulator, vehicle: Vehicle, name: str) -> structs.GpsData:
    """Where a satellite receiver finds itself."""
    sensor(vehicle, SensorKind.GPS, name)
    report = structs.GnssReport(
        place_on_earth(simulator, vehicle),
        0.1,
        0.1,
        frames.vector(vehicle.velocity),
        3,
        simulator.stamp // 1000,
    )
    return structs.GpsData(simulator.stamp, report, True)


def barometer(simulator: Simulator, vehicle: Vehicle, name: str) -> structs.BarometerData:
    """Pressure, and the altitude that follows from it."""
    sensor(vehicle, SensorKind.BAROMETER, name)
    pressure = air_pressure(place_on_earth(simulator, vehicle).altitude)
    altitude = (1 - (pressure / SEA_PRESSURE) ** 0.190284) * 145366.45 * 0.3048
    return structs.BarometerData(simulator.stamp, altitude, pressure, 1013.25)


def magnetometer(simulator: Simulator, vehicle: Vehicle, name: str) -> structs.MagnetometerData:
    """The earth's field in the body's axes."""
    sensor(vehicle, SensorKind.MAGNETOMETER, name)
    field = frames.matrix(vehicle.turn).T @ MAGNETIC_FIELD
    return structs.MagnetometerData(simulator.stamp, frames.vector(field), ())


def environment(simulator: Simulator, vehicle: Vehicle) -> structs.EnvironmentState:
    """The air around a vehicle, by the standard atmosphere."""
    point = place_on_earth(simulator, vehicle)
    pressure, kelvin = air_pressure(point.altitude), 288.15 - 0.0065 * point.altitude
    return structs.EnvironmentState(
        frames.vector(vehicle.position),
        point,
        structs.Vector3r(0.0, 0.0, GRAVITY),
        pressure,
        kelvin,
        pressure / (287.053 * kelvin),
    )


def place_on_earth(simulator: Simulator, vehicle: Vehicle) -> structs.GeoPoint:
    """Where a vehicle is on earth."""
    return frames.on_earth(vehicle.position + vehicle.spawn, simulator.settings.origin)


def air_pressure(altitude: float) -> float:
    """Pa at an altitude in m, by the standard atmosphere of 1976 below 11 km."""
    share: float = max(1 - 2.25577e-5 * min(altitude, 11_000.0), 0.1) ** 5.25588
    return SEA_PRESSURE * share
