"""Calls about multirotors: moves that are answered when they are over, and their states."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from envs.airsim_server import frames, states
from envs.airsim_server.arguments import drone, finite, number, record, whole
from envs.airsim_server.call_table import Deferred, both
from envs.airsim_server.errors import CallError
from envs.airsim_server.flyers import ATTITUDE, MOTORS
from envs.airsim_server.moves import (
    Attitude,
    Hover,
    Landing,
    Motors,
    Move,
    Rotation,
    Velocity,
    nanoseconds,
)
from envs.airsim_server.paths import ACCURACY, Path, look_ahead
from envs.airsim_wire.structs import Drivetrain, GeoPoint, RotorStates, Vector3r, YawMode
from envs.airsim_wire.structs import Rotor as RotorState

if TYPE_CHECKING:
    from envs.airsim_server.simulator import Simulator
    from envs.airsim_server.vehicle import Vehicle
    from qmarl.types import Array

TAKEOFF_SPEED: Final = 0.5
"""m/s at which a drone takes off, and goes home."""
TAKEOFF_HEIGHT: Final = 3.0
"""m that it rises."""

_STILL: Final = 0.05  # m/s
_MOST_POINTS: Final = 10_000


def _start(simulator: Simulator, own: Vehicle, move: Move) -> Deferred:
    """Begins a move; its answer comes when it is over."""
    answer = Deferred()
    move.done = answer.set
    simulator.begin(own, move)
    return answer


def _able(own: Vehicle, mode: int) -> None:
    assert own.flyers is not None
    why = own.flyers.refusal(mode)
    if why:
        raise CallError(why)


def _yaw(simulator: Simulator, given: object) -> YawMode:
    found = record(YawMode, given, simulator)
    finite(found.yaw_or_rate)
    return found


def _facing(yaw: YawMode, drivetrain: object, x: float, y: float) -> YawMode:
    """What the heading does on a flight along x and y."""
    if whole(drivetrain) != Drivetrain.FORWARD_ONLY or yaw.is_rate:
        return yaw
    if math.hypot(x, y) <= ACCURACY:
        return YawMode(True, 0.0)
    return YawMode(False, yaw.yaw_or_rate + math.degrees(math.atan2(y, x)))


def _velocity(
    simulator: Simulator,
    vx: object,
    vy: object,
    vz: object,
    duration: object,
    drivetrain: object,
    yaw: object,
    name: object,
) -> Deferred:
    own, (x, y, z) = drone(simulator, name), finite(vx, vy, vz)
    facing = _facing(_yaw(simulator, yaw), drivetrain, x, y)
    move = Velocity(np.array([x, y, z]), facing, nanoseconds(number(duration)))
    return _start(simulator, own, move)


def _velocity_z(
    simulator: Simulator,
    vx: object,
    vy: object,
    z: object,
    duration: object,
    drivetrain: object,
    yaw: object,
    name: object,
) -> Deferred:
    own, (x, y, down) = drone(simulator, name), finite(vx, vy, z)
    facing = _facing(_yaw(simulator, yaw), drivetrain, x, y)
    move = Velocity(np.array([x, y, 0.0]), facing, nanoseconds(number(duration)), down)
    return _start(simulator, own, move)


def _turned(own: Vehicle, vx: object, vy: object) -> tuple[float, float]:
    """A level velocity of the body's frame in the world's."""
    (x, y), yaw = finite(vx, vy), own.yaw
    return x * math.cos(yaw) - y * math.sin(yaw), x * math.sin(yaw) + y * math.cos(yaw)


def _body_velocity(
    simulator: Simulator, vx: object, vy: object, vz: object, *rest: object
) -> Deferred:
    x, y = _turned(drone(simulator, rest[-1]), vx, vy)
    return _velocity(simulator, x, y, vz, *rest)


def _body_velocity_z(
    simulator: Simulator, vx: object, vy: object, z: object, *rest: object
) -> Deferred:
    x, y = _turned(drone(simulator, rest[-1]), vx, vy)
    return _velocity_z(simulator, x, y, z, *rest)


def _path(
    simulator: Simulator,
    path: object,
    velocity: object,
    timeout: object,
    drivetrain: object,
    yaw: object,
    lookahead: object,
    adaptive: object,
    name: object,
) -> Deferred | bool:
    if not isinstance(path, list) or len(path) > _MOST_POINTS:
        raise CallError(f"a path has up to {_MOST_POINTS} points")
    own, points = drone(simulator, name), [record(Vector3r, point, simulator) for point in path]
    if not points:
        return True
    facing, drive = _yaw(simulator, yaw), whole(drivetrain)
    if drive == Drivetrain.FORWARD_ONLY and facing.is_rate:
        raise CallError("Yaw cannot be specified as rate if drivetrain is ForwardOnly")
    places = np.array([finite(*frames.numbers(point).tolist()) for point in points])
    (speed,) = finite(velocity)
    ahead = look_ahead(number(lookahead), number(adaptive), speed)
    line = np.concatenate([own.position[None], places])
    move = Path(line, speed, nanoseconds(number(timeout)), facing, drive, ahead)
    return _start(simulator, own, move)


def _to_place(
    simulator: Simulator, x: object, y: object, z: object, *rest: object
) -> Deferred | bool:
    return _path(simulator, [_point(x, y, z)], *rest)


def _to_height(
    simulator: Simulator,
    z: object,
    velocity: object,
    timeout: object,
    yaw: object,
    lookahead: object,
    adaptive: object,
    name: object,
) -> Deferred | bool:
    own = drone(simulator, name)
    x, y, _ = own.position.tolist()
    goal = [_point(x, y, z)]
    return _path(simulator, goal, velocity, timeout, 0, yaw, lookahead, adaptive, name)


def _to_earth(
    simulator: Simulator, latitude: object, longitude: object, altitude: object, *rest: object
) -> Deferred | bool:
    own, given = drone(simulator, rest[-1]), finite(latitude, longitude, altitude)
    there = frames.from_earth(GeoPoint(*given), simulator.settings.origin) - own.spawn
    return _path(simulator, [_point(*there.tolist())], *rest)


def _point(x: object, y: object, z: object) -> dict[str, object]:
    return {"x_val": x, "y_val": y, "z_val": z}


def _slowly(simulator: Simulator, own: Vehicle, place: Array, timeout: object) -> Deferred | bool:
    """Flies to a place as AirSim does for taking off and going home."""
    line = np.stack([own.position, place])
    ahead = look_ahead(-1, 1, TAKEOFF_SPEED)
    move = Path(line, TAKEOFF_SPEED, nanoseconds(number(timeout)), YawMode(), 0, ahead)
    return _start(simulator, own, move)


def _takeoff(simulator: Simulator, timeout: object, name: object) -> Deferred | bool:
    own = drone(simulator, name)
    speed = float(np.linalg.norm(own.velocity))
    if speed > _STILL:
        raise CallError(
            f"Cannot perform takeoff because vehicle is already moving with velocity {speed:f} m/s"
        )
    return _slowly(simulator, own, own.position - np.array([0, 0, TAKEOFF_HEIGHT]), timeout)


def _land(simulator: Simulator, timeout: object, name: object) -> Deferred:
    return _start(simulator, drone(simulator, name), Landing(nanoseconds(number(timeout))))


def _home(simulator: Simulator, timeout: object, name: object) -> Deferred | bool:
    return _slowly(simulator, drone(simulator, name), np.zeros(3), timeout)


def _hover(simulator: Simulator, name: object) -> bool:
    own = drone(simulator, name)
    simulator.begin(own, Hover(own.position, YawMode()))
    return True


def _cancel(simulator: Simulator, name: object) -> None:
    simulator.cancel(drone(simulator, name))


def _rotate(
    simulator: Simulator, yaw: object, timeout: object, margin: object, name: object
) -> Deferred:
    own, (angle, within) = drone(simulator, name), finite(yaw, margin)
    time = nanoseconds(number(timeout))
    return _start(simulator, own, Rotation(own.position, YawMode(False, angle), within, time))


def _spin(simulator: Simulator, rate: object, duration: object, name: object) -> Deferred:
    own, (turning,) = drone(simulator, name), finite(rate)
    time = nanoseconds(number(duration))
    return _start(simulator, own, Hover(own.position, YawMode(True, turning), time))


def _attitude(turns: bool, at_height: bool, rolls: bool = False) -> Any:
    """Roll, pitch, a heading or its rate, and a throttle or a height, for a time."""

    def call(
        simulator: Simulator,
        roll: object,
        pitch: object,
        yaw: object,
        lift: object,
        duration: object,
        name: object,
    ) -> Deferred:
        own = drone(simulator, name)
        _able(own, ATTITUDE)
        right, up, clockwise, share = finite(roll, pitch, yaw, lift)
        time = nanoseconds(number(duration))
        angles = (right, up, clockwise)
        return _start(simulator, own, Attitude(angles, share, time, turns, at_height, rolls))

    return call


def _motors(
    simulator: Simulator,
    front_right: object,
    rear_left: object,
    front_left: object,
    rear_right: object,
    duration: object,
    name: object,
) -> Deferred:
    own = drone(simulator, name)
    _able(own, MOTORS)
    one, two, three, four = finite(front_right, rear_left, front_left, rear_right)
    return _start(simulator, own, Motors((one, two, three, four), nanoseconds(number(duration))))


def _state(simulator: Simulator, name: object) -> dict[str, Any]:
    return states.multirotor(simulator, drone(simulator, name))


def _rotors(simulator: Simulator, name: object) -> dict[str, Any]:
    own = drone(simulator, name)
    assert own.flyers is not None
    rotors = tuple(RotorState(*each) for each in own.flyers.rotors(own.index))
    return RotorStates(rotors, simulator.stamp).to_map()


def _gains(simulator: Simulator, *given: object) -> None:
    """Accepts gains of AirSim's own controller; ours has its own."""
    drone(simulator, given[-1])


def _manual(simulator: Simulator, *given: object) -> None:
    drone(simulator, given[-1])
    raise CallError("moveByRC API is not implemented for this multirotor")


DRONE_CALLS: Final = {
    "takeoff": both(_takeoff, 2),
    "land": both(_land, 2),
    "goHome": both(_home, 2),
    "hover": both(_hover, 1),
    "cancelLastTask": both(_cancel, 1),
    "moveByVelocity": both(_velocity, 7),
    "moveByVelocityZ": both(_velocity_z, 7),
    "moveByVelocityBodyFrame": both(_body_velocity, 7),
    "moveByVelocityZBodyFrame": both(_body_velocity_z, 7),
    "moveOnPath": both(_path, 8),
    "moveToPosition": both(_to_place, 10),
    "moveToGPS": both(_to_earth, 10),
    "moveToZ": both(_to_height, 7),
    "rotateToYaw": both(_rotate, 4),
    "rotateByYawRate": both(_spin, 3),
    "moveByRollPitchYawZ": both(_attitude(False, True), 6),
    "moveByRollPitchYawThrottle": both(_attitude(False, False), 6),
    "moveByRollPitchYawrateZ": both(_attitude(True, True), 6),
    "moveByRollPitchYawrateThrottle": both(_attitude(True, False), 6),
    "moveByAngleRatesZ": both(_attitude(True, True, True), 6),
    "moveByAngleRatesThrottle": both(_attitude(True, False, True), 6),
    "moveByMotorPWMs": both(_motors, 6),
    "moveByManual": both(_manual, 7),
    "moveByRC": both(_manual, 2),
    "setAngleLevelControllerGains": both(_gains, 4),
    "setAngleRateControllerGains": both(_gains, 4),
    "setVelocityControllerGains": both(_gains, 4),
    "setPositionControllerGains": both(_gains, 4),
    "getMultirotorState": both(_state, 1),
    "getRotorStates": both(_rotors, 1),
}
"""Calls about multirotors."""
