"""AirSim's calls with the types of their arguments and answers, for both versions of the protocol.

A function here makes a :class:`Call`; :class:`envs.airsim_wire.client.Client` makes it at a
simulator. Vehicles are named; the empty name is the simulator's first one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from envs.airsim_wire.codec import CLASSIC, Struct, Version, WireError
from envs.airsim_wire.connection import Request
from envs.airsim_wire.structs import (
    CarControls,
    CarState,
    CollisionInfo,
    DistanceSensorData,
    Drivetrain,
    ImageRequest,
    ImageResponse,
    ImuData,
    KinematicsState,
    LidarData,
    MultirotorState,
    Pose,
    RotorStates,
    Vector3r,
    YawMode,
)

Result = TypeVar("Result")
Plain = TypeVar("Plain", bool, int, str)
Shape = TypeVar("Shape", bound=Struct)

FOREVER: Final = 3e38
"""A time limit that is none, s: what AirSim's own clients send."""


@dataclass(frozen=True)
class Call(Generic[Result]):
    """One call that is ready to be made.

    Attributes:
        method: Its name on the wire.
        params: Plain data and structs.
        read: Turns the answer into a result.
        classic: Further arguments that only AirSim takes.
        cosys: Further arguments that only Cosys-AirSim takes.
    """

    method: str
    params: tuple[Any, ...]
    read: Callable[[Any, Version], Result]
    classic: tuple[Any, ...] = ()
    cosys: tuple[Any, ...] = ()

    def request(self, version: Version, quiet: bool = False) -> Request:
        """The call as plain data in a version of the protocol."""
        every = self.params + (self.classic if version == CLASSIC else self.cosys)
        return Request(self.method, tuple(_plain(param, version) for param in every), quiet)


def _plain(value: Any, version: Version) -> Any:
    if isinstance(value, Struct):
        return value.to_map(version)
    return [_plain(item, version) for item in value] if isinstance(value, list) else value


def _nothing(_: Any, __: Version) -> None:
    return None


def _simple(kind: type[Plain]) -> Callable[[Any, Version], Plain]:
    def read(value: Any, _: Version) -> Plain:
        if not isinstance(value, kind):
            raise WireError(f"got {value!r:.60}; allowed is {kind.__name__}")
        return value

    return read


def _all_of(read: Callable[[Any, Version], Result]) -> Callable[[Any, Version], list[Result]]:
    def every(values: Any, version: Version) -> list[Result]:
        if not isinstance(values, list):
            raise WireError(f"got {values!r:.60}; allowed is a list")
        return [read(value, version) for value in values]

    return every


def ping() -> Call[bool]:
    """Whether the simulator is there."""
    return Call("ping", (), _simple(bool))


def server_version() -> Call[int]:
    """Which protocol the simulator speaks: 1 AirSim, 4 Cosys-AirSim."""
    return Call("getServerVersion", (), _simple(int))


def min_client_version() -> Call[int]:
    """The oldest protocol that the simulator bears with."""
    return Call("getMinRequiredClientVersion", (), _simple(int))


def list_vehicles() -> Call[list[str]]:
    """Names of all vehicles."""
    return Call("listVehicles", (), _all_of(_simple(str)))


def settings_string() -> Call[str]:
    """The text of the simulator's settings.json."""
    return Call("getSettingsString", (), _simple(str))


def reset() -> Call[None]:
    """Puts all vehicles back where they were spawned; takes API control away and disarms."""
    return Call("reset", (), _nothing)


def pause(paused: bool) -> Call[None]:
    """Stops time, or lets it run."""
    return Call("simPause", (paused,), _nothing)


def is_paused() -> Call[bool]:
    """Whether time stands still."""
    return Call("simIsPaused", (), _simple(bool))


def continue_for_time(seconds: float) -> Call[None]:
    """Lets time run for so many seconds and stops it again."""
    return Call("simContinueForTime", (float(seconds),), _nothing)


def continue_for_frames(frames: int) -> Call[None]:
    """Lets time run for so many frames and stops it again."""
    return Call("simContinueForFrames", (int(frames),), _nothing)


def enable_api_control(enabled: bool, vehicle: str = "") -> Call[None]:
    """Takes a vehicle over from the remote control, or gives it back."""
    return Call("enableApiControl", (enabled, vehicle), _nothing)


def is_api_control_enabled(vehicle: str = "") -> Call[bool]:
    """Whether a vehicle listens to calls."""
    return Call("isApiControlEnabled", (vehicle,), _simple(bool))


def arm_disarm(arm: bool, vehicle: str = "") -> Call[bool]:
    """Lets motors turn, or stops them."""
    return Call("armDisarm", (arm, vehicle), _simple(bool))


def takeoff(timeout_s: float = 20.0, vehicle: str = "") -> Call[bool]:
    """Rises a few metres; answered when it is there."""
    return Call("takeoff", (float(timeout_s), vehicle), _simple(bool))


def land(timeout_s: float = 60.0, vehicle: str = "") -> Call[bool]:
    """Comes down; answered when it stands."""
    return Call("land", (float(timeout_s), vehicle), _simple(bool))


def hover(vehicle: str = "") -> Call[bool]:
    """Stays where it is."""
    return Call("hover", (vehicle,), _simple(bool))


def cancel_last_task(vehicle: str = "") -> Call[None]:
    """Breaks off what a vehicle is doing."""
    return Call("cancelLastTask", (vehicle,), _nothing)


def _move(
    method: str, numbers: tuple[float, float, float], duration: float, yaw: YawMode, vehicle: str
) -> Call[bool]:
    free = int(Drivetrain.MAX_DEGREE_OF_FREEDOM)
    given = (*map(float, numbers), float(duration), free, yaw, vehicle)
    return Call(method, given, _simple(bool))


def move_by_velocity(
    velocity: Vector3r, duration: float, yaw: YawMode | None = None, vehicle: str = ""
) -> Call[bool]:
    """Flies at a velocity along north, east and down, m/s; answered when the time is over."""
    v = velocity.x_val, velocity.y_val, velocity.z_val
    return _move("moveByVelocity", v, duration, yaw or YawMode(), vehicle)


def move_by_velocity_body_frame(
    velocity: Vector3r, duration: float, yaw: YawMode | None = None, vehicle: str = ""
) -> Call[bool]:
    """Flies at a velocity ahead, to the right and down, m/s."""
    v = velocity.x_val, velocity.y_val, velocity.z_val
    return _move("moveByVelocityBodyFrame", v, duration, yaw or YawMode(), vehicle)


def move_by_velocity_z(
    vx: float, vy: float, z: float, duration: float, yaw: YawMode | None = None, vehicle: str = ""
) -> Call[bool]:
    """Flies at a level velocity, m/s, and holds a height ``z``, m down."""
    return _move("moveByVelocityZ", (vx, vy, z), duration, yaw or YawMode(), vehicle)


def move_to_position(
    place: Vector3r,
    speed: float,
    timeout_s: float = FOREVER,
    yaw: YawMode | None = None,
    vehicle: str = "",
) -> Call[bool]:
    """Flies to a place; answered when it is there or the time is over."""
    where = float(place.x_val), float(place.y_val), float(place.z_val)
    free = int(Drivetrain.MAX_DEGREE_OF_FREEDOM)
    rest = (float(speed), float(timeout_s), free, yaw or YawMode(), -1.0, 1.0, vehicle)
    return Call("moveToPosition", where + rest, _simple(bool))


def move_by_attitude(
    roll: float, pitch: float, yaw_rate: float, throttle: float, duration: float, vehicle: str = ""
) -> Call[bool]:
    """Holds an attitude: rad and rad/s, throttle within [0, 1].

    Axes are forward, right and down on the wire: a positive roll leans to the right, a positive
    pitch lifts the nose, a positive yaw rate turns right. AirSim's own clients take pitch and yaw
    rate the other way round, and turn their signs before they send.
    """
    given = roll, pitch, yaw_rate, throttle, duration
    return Call("moveByRollPitchYawrateThrottle", (*map(float, given), vehicle), _simple(bool))


def move_by_motors(
    front_right: float,
    rear_left: float,
    front_left: float,
    rear_right: float,
    duration: float,
    vehicle: str = "",
) -> Call[bool]:
    """Drives each rotor within [0, 1]."""
    given = front_right, rear_left, front_left, rear_right, duration
    return Call("moveByMotorPWMs", (*map(float, given), vehicle), _simple(bool))


def multirotor_state(vehicle: str = "") -> Call[MultirotorState]:
    """A multirotor's state."""
    return Call("getMultirotorState", (vehicle,), MultirotorState.from_map)


def rotor_states(vehicle: str = "") -> Call[RotorStates]:
    """A multirotor's rotors."""
    return Call("getRotorStates", (vehicle,), RotorStates.from_map)


def ground_truth_kinematics(vehicle: str = "") -> Call[KinematicsState]:
    """How a vehicle truly moves."""
    return Call("simGetGroundTruthKinematics", (vehicle,), KinematicsState.from_map)


def set_kinematics(
    state: KinematicsState, ignore_collision: bool = True, vehicle: str = ""
) -> Call[None]:
    """Puts a vehicle somewhere, moving; its position is counted from where it was spawned."""
    return Call("simSetKinematics", (state, ignore_collision, vehicle), _nothing)


def vehicle_pose(vehicle: str = "") -> Call[Pose]:
    """Where a vehicle is, from where it was spawned."""
    return Call("simGetVehiclePose", (vehicle,), Pose.from_map)


def set_vehicle_pose(pose: Pose, ignore_collision: bool = True, vehicle: str = "") -> Call[None]:
    """Puts a vehicle somewhere, counted from where it was spawned."""
    return Call("simSetVehiclePose", (pose, ignore_collision, vehicle), _nothing)


def object_pose(name: str) -> Call[Pose]:
    """Where a thing or a vehicle is in the world."""
    return Call("simGetObjectPose", (name,), Pose.from_map, cosys=(True,))


def collision_info(vehicle: str = "") -> Call[CollisionInfo]:
    """The last collision since this was asked before: to ask is to clear."""
    return Call("simGetCollisionInfo", (vehicle,), CollisionInfo.from_map)


def lidar_data(lidar: str = "", vehicle: str = "") -> Call[LidarData]:
    """A lidar's points."""
    return Call("getLidarData", (lidar, vehicle), LidarData.from_map)


def distance_sensor_data(sensor: str = "", vehicle: str = "") -> Call[DistanceSensorData]:
    """What a range-finder measures."""
    return Call("getDistanceSensorData", (sensor, vehicle), DistanceSensorData.from_map)


def imu_data(imu: str = "", vehicle: str = "") -> Call[ImuData]:
    """What gyros and accelerometers measure."""
    return Call("getImuData", (imu, vehicle), ImuData.from_map)


def images(requests: Sequence[ImageRequest], vehicle: str = "") -> Call[list[ImageResponse]]:
    """Images of a vehicle's cameras."""
    read = _all_of(ImageResponse.from_map)
    return Call("simGetImages", (list(requests), vehicle), read, classic=(False,))


def add_vehicle(name: str, kind: str, pose: Pose, pawn: str = "") -> Call[bool]:
    """Spawns a vehicle; ``kind`` is such as ``simpleflight`` or ``physxcar``."""
    return Call("simAddVehicle", (name, kind, pose, pawn), _simple(bool))


def set_wind(wind: Vector3r) -> Call[None]:
    """Sets the wind, m/s along north, east and down."""
    return Call("simSetWind", (wind,), _nothing)


def set_car_controls(controls: CarControls, vehicle: str = "") -> Call[None]:
    """Drives a car."""
    return Call("setCarControls", (controls, vehicle), _nothing)


def car_controls(vehicle: str = "") -> Call[CarControls]:
    """What a car was last told."""
    return Call("getCarControls", (vehicle,), CarControls.from_map)


def car_state(vehicle: str = "") -> Call[CarState]:
    """A car's state."""
    return Call("getCarState", (vehicle,), CarState.from_map)
