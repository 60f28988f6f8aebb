"""States of vehicles as the maps that are sent; the structs say what is in them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from envs.airsim_server import frames
from envs.airsim_server.car import MAX_RPM
from envs.airsim_wire import structs

if TYPE_CHECKING:
    from envs.airsim_server.simulator import Simulator
    from envs.airsim_server.vehicle import Vehicle
    from envs.airsim_wire.codec import Version

_ZERO = [0.0, 0.0, 0.0]


def kinematics(simulator: Simulator, vehicle: Vehicle) -> dict[str, Any]:
    """How a vehicle moves: the map of :class:`structs.KinematicsState`."""
    if vehicle.flyers is not None:
        rows = [part[vehicle.index] for part in simulator.snapshot()]
    else:
        parts = (vehicle.position, vehicle.turn, vehicle.velocity, vehicle.rates)
        rows = [part.tolist() for part in (*parts, vehicle.acceleration)]
    position, (w, x, y, z), velocity, rates, acceleration = rows
    return {
        "position": _vector(position),
        "orientation": {"w_val": w, "x_val": x, "y_val": y, "z_val": z},
        "linear_velocity": _vector(velocity),
        "angular_velocity": _vector(rates),
        "linear_acceleration": _vector(acceleration),
        "angular_acceleration": _vector(_ZERO),
    }


def multirotor(simulator: Simulator, vehicle: Vehicle) -> dict[str, Any]:
    """The map of :class:`structs.MultirotorState`."""
    moving = kinematics(simulator, vehicle)
    north, east, down = moving["position"].values()
    x, y, z = vehicle.spawn.tolist()
    place = frames.on_earth((north + x, east + y, down + z), simulator.settings.origin)
    landed = structs.LandedState.LANDED if vehicle.resting else structs.LandedState.FLYING
    return {
        "collision": _told(vehicle.collision, simulator.version),
        "kinematics_estimated": moving,
        "gps_location": vars(place),
        "timestamp": simulator.stamp,
        "landed_state": int(landed),
        "rc_data": _told(vehicle.rc, simulator.version),
    }


def car(simulator: Simulator, vehicle: Vehicle) -> dict[str, Any]:
    """The map of :class:`structs.CarState`."""
    assert vehicle.car is not None
    return {
        "speed": vehicle.car.speed,
        "gear": vehicle.car.gear,
        "rpm": vehicle.car.rpm,
        "maxrpm": MAX_RPM,
        "handbrake": vehicle.car.controls.handbrake,
        "kinematics_estimated": kinematics(simulator, vehicle),
        "timestamp": simulator.stamp,
    }


def collision(simulator: Simulator, vehicle: Vehicle) -> dict[str, Any]:
    """The last collision, which is forgotten: the map of :class:`structs.CollisionInfo`.

    As in AirSim only ``has_collided`` is cleared; the rest tells of the last one for ever.
    """
    told = _told(vehicle.collision, simulator.version)
    if vehicle.collision.has_collided:
        known = {name: getattr(vehicle.collision, name) for name in told}
        vehicle.collision = structs.CollisionInfo(**{**known, "has_collided": False})
    return told


def pose(vehicle: Vehicle) -> dict[str, Any]:
    """Where a vehicle is: the map of :class:`structs.Pose`."""
    return frames.pose(vehicle.position, vehicle.turn).to_map()


@lru_cache(maxsize=256)
def _told(struct: structs.CollisionInfo | structs.RCData, version: Version) -> dict[str, Any]:
    """The map of what seldom changes; it is packed and never written to."""
    return struct.to_map(version)


def _vector(numbers: list[float]) -> dict[str, float]:
    x, y, z = numbers
    return {"x_val": x, "y_val": y, "z_val": z}
