"""Calls about any vehicle: control, poses, collisions and sensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from envs.airsim_server import frames, sensors, states
from envs.airsim_server.arguments import body, finite, record, text, truth, turn, vehicle
from envs.airsim_server.arguments import place as vector
from envs.airsim_server.call_table import Call, both
from envs.airsim_server.settings import SensorKind
from envs.airsim_server.settings_reader import Mount
from envs.airsim_wire.structs import KinematicsState, Pose

if TYPE_CHECKING:
    from envs.airsim_server.simulator import Simulator
    from envs.airsim_server.vehicle import Vehicle
    from envs.airsim_wire.codec import Struct
    from qmarl.types import Array

_Read = Callable[["Simulator", "Vehicle", str], "Struct"]


def _enable(simulator: Simulator, on: object, name: object) -> None:
    vehicle(simulator, name).api = truth(on)


def _is_enabled(simulator: Simulator, name: object) -> bool:
    return vehicle(simulator, name).api


def _arm(simulator: Simulator, on: object, name: object) -> bool:
    vehicle(simulator, name).armed = truth(on)
    return True


def _home(simulator: Simulator, name: object) -> dict[str, Any]:
    own = vehicle(simulator, name)
    return frames.on_earth(own.spawn, simulator.settings.origin).to_map()


def _collision(simulator: Simulator, name: object) -> dict[str, Any]:
    return states.collision(simulator, body(simulator, name))


def _pose(simulator: Simulator, name: object) -> dict[str, Any]:
    return states.pose(body(simulator, name))


def _set_pose(simulator: Simulator, pose: object, _ignore: object, name: object) -> None:
    own, given = body(simulator, name), record(Pose, pose, simulator)
    simulator.teleport(own, *_place(own, given))


def _place(own: Vehicle, given: Pose) -> tuple[Array, Array]:
    """A pose; where a number is not one the vehicle keeps its own, as in AirSim."""
    place, way = frames.numbers(given.position), given.orientation
    place = np.where(np.isnan(place), own.position, place)
    finite(*place.tolist())
    lost = any(math.isnan(part) for part in (way.w_val, way.x_val, way.y_val, way.z_val))
    return place, own.turn if lost else turn(way)


def _kinematics(simulator: Simulator, name: object) -> dict[str, Any]:
    return states.kinematics(simulator, body(simulator, name))


def _set_kinematics(simulator: Simulator, state: object, name: object) -> None:
    own, given = body(simulator, name), record(KinematicsState, state, simulator)
    moving = vector(given.linear_velocity)
    simulator.teleport(own, *_place(own, Pose(given.position, given.orientation)))
    simulator.set_velocity(own, moving)


def _environment(simulator: Simulator, name: object) -> dict[str, Any]:
    return sensors.environment(simulator, body(simulator, name)).to_map()


def _sensor(read: _Read) -> Callable[[Simulator, object, object], dict[str, Any]]:
    def call(simulator: Simulator, sensor: object, name: object) -> dict[str, Any]:
        found = read(simulator, vehicle(simulator, name), text(sensor))
        return found.to_map(simulator.version)

    return call


def _mount(kind: SensorKind) -> Callable[[Simulator, object, object, object], None]:
    """Puts a sensor elsewhere on its vehicle."""

    def call(simulator: Simulator, sensor: object, pose: object, name: object) -> None:
        own, given = vehicle(simulator, name), record(Pose, pose, simulator)
        found = sensors.sensor(own, kind, text(sensor))
        own.sensors[found.name] = replace(found, mount=mount_of(given))

    return call


def mount_of(given: Pose) -> Mount:
    """A pose on a vehicle as a mount."""
    x, y, z = vector(given.position).tolist()
    angles = frames.to_euler(turn(given.orientation))
    roll, pitch, yaw = (float(np.degrees(angle)) for angle in angles)
    return Mount((x, y, z), (roll, pitch, yaw))


VEHICLE_CALLS: Final = {
    "enableApiControl": both(_enable, 2),
    "isApiControlEnabled": both(_is_enabled, 1),
    "armDisarm": both(_arm, 2),
    "getHomeGeoPoint": both(_home, 1),
    "simGetCollisionInfo": both(_collision, 1),
    "simGetVehiclePose": both(_pose, 1),
    "simSetVehiclePose": both(_set_pose, 3),
    "simGetGroundTruthKinematics": both(_kinematics, 1),
    "simGetPhysicsRawKinematics": Call(_kinematics, None, 1),
    "simSetKinematics": both(lambda sim, state, _, name: _set_kinematics(sim, state, name), 3),
    "simSetPhysicsRawKinematics": Call(_set_kinematics, None, 2),
    "simGetGroundTruthEnvironment": both(_environment, 1),
    "getLidarData": both(_sensor(sensors.lidar), 2),
    "getDistanceSensorData": both(_sensor(sensors.distance), 2),
    "getImuData": both(_sensor(sensors.imu), 2),
    "getGpsData": both(_sensor(sensors.gps), 2),
    "getBarometerData": both(_sensor(sensors.barometer), 2),
    "getMagnetometerData": both(_sensor(sensors.magnetometer), 2),
    "simSetLidarPose": Call(_mount(SensorKind.LIDAR), None, 3),
    "simSetDistanceSensorPose": Call(_mount(SensorKind.DISTANCE), None, 3),
}
"""Calls about any vehicle."""
