"""Calls about cars, and about eyes that are put anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from envs.airsim_server import states
from envs.airsim_server.arguments import finite, record, vehicle
from envs.airsim_server.call_table import Call, both
from envs.airsim_server.errors import no_vehicle
from envs.airsim_wire.structs import CarControls

if TYPE_CHECKING:
    from envs.airsim_server.car import Car
    from envs.airsim_server.simulator import Simulator


def _car(simulator: Simulator, name: object) -> Car:
    found = vehicle(simulator, name).car
    if found is None:
        raise no_vehicle(str(name))
    return found


def _drive(simulator: Simulator, controls: object, name: object) -> None:
    car, given = _car(simulator, name), record(CarControls, controls, simulator)
    finite(given.throttle, given.steering, given.brake)
    car.controls = given


def _controls(simulator: Simulator, name: object) -> dict[str, Any]:
    return _car(simulator, name).controls.to_map()


def _state(simulator: Simulator, name: object) -> dict[str, Any]:
    _car(simulator, name)
    return states.car(simulator, vehicle(simulator, name))


def _eye(simulator: Simulator, name: object) -> dict[str, Any]:
    own = vehicle(simulator, name)
    return {"kinematics_estimated": states.kinematics(simulator, own), "timestamp": simulator.stamp}


CAR_CALLS: Final = {
    "setCarControls": both(_drive, 2),
    "getCarControls": both(_controls, 1),
    "getCarState": both(_state, 1),
    "getComputerVisionState": Call(_eye, None, 1),
}
"""Calls about cars."""
