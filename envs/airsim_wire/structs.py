"""The structs of AirSim's protocol, with AirSim's own names of fields, declared once.

Lengths are in metres, angles in radians unless said, times in nanoseconds. Axes are north, east and
down (NED). Lists are tuples here. Source: AirSim 1.8.1 and Cosys-AirSim 3.5, the
``MSGPACK_DEFINE_MAP`` lines of ``RpcLibAdaptorsBase.hpp`` and the vehicles' adaptors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from envs.airsim_wire.address import DEFAULT_PORT as DEFAULT_PORT
from envs.airsim_wire.codec import ONLY_CLASSIC, ONLY_COSYS, Struct


class ImageType(IntEnum):
    """What a camera shows."""

    SCENE = 0
    DEPTH_PLANAR = 1
    DEPTH_PERSPECTIVE = 2
    DEPTH_VIS = 3
    DISPARITY_NORMALIZED = 4
    SEGMENTATION = 5
    SURFACE_NORMALS = 6
    INFRARED = 7
    OPTICAL_FLOW = 8
    OPTICAL_FLOW_VIS = 9
    LIGHTING = 10
    ANNOTATION = 11


class Drivetrain(IntEnum):
    """Whether a multirotor may look elsewhere than where it flies to."""

    MAX_DEGREE_OF_FREEDOM = 0
    FORWARD_ONLY = 1


class LandedState(IntEnum):
    """Whether a multirotor stands on something."""

    LANDED = 0
    FLYING = 1


class WeatherParameter(IntEnum):
    """What ``simSetWeatherParameter`` sets."""

    RAIN = 0
    ROADWETNESS = 1
    SNOW = 2
    ROAD_SNOW = 3
    MAPLE_LEAF = 4
    ROAD_LEAF = 5
    DUST = 6
    FOG = 7
    ENABLED = 8


@dataclass(frozen=True)
class Vector2r(Struct):
    """Two numbers."""

    x_val: float = 0.0
    y_val: float = 0.0


@dataclass(frozen=True)
class Vector3r(Struct):
    """Three numbers: north, east and down, or forward, right and down."""

    x_val: float = 0.0
    y_val: float = 0.0
    z_val: float = 0.0


@dataclass(frozen=True)
class Quaternionr(Struct):
    """A rotation from the body to the world, scalar first."""

    w_val: float = 1.0
    x_val: float = 0.0
    y_val: float = 0.0
    z_val: float = 0.0


@dataclass(frozen=True)
class Pose(Struct):
    """Where a body is and how it is turned."""

    position: Vector3r = Vector3r()
    orientation: Quaternionr = Quaternionr()


@dataclass(frozen=True)
class YawMode(Struct):
    """What a multirotor's heading does: a rate in deg/s, or an angle in deg."""

    is_rate: bool = True
    yaw_or_rate: float = 0.0


@dataclass(frozen=True)
class GeoPoint(Struct):
    """A place on earth: degrees and metres."""

    latitude: float = 0.0
    longitude: float = 0.0
    altitude: float = 0.0


@dataclass(frozen=True)
class KinematicsState(Struct):
    """How a body moves; its position is counted from where it was spawned.

    Velocities and accelerations of the position are along the world's axes, those of the attitude
    about the body's.
    """

    position: Vector3r = Vector3r()
    orientation: Quaternionr = Quaternionr()
    linear_velocity: Vector3r = Vector3r()
    angular_velocity: Vector3r = Vector3r()
    linear_acceleration: Vector3r = Vector3r()
    angular_acceleration: Vector3r = Vector3r()


@dataclass(frozen=True)
class CollisionInfo(Struct):
    """The last collision; ``simGetCollisionInfo`` forgets it when it has told of it."""

    has_collided: bool = False
    penetration_depth: float = 0.0
    time_stamp: int = 0
    normal: Vector3r = Vector3r()
    impact_point: Vector3r = Vector3r()
    position: Vector3r = Vector3r()
    object_name: str = ""
    object_id: int = -1


@dataclass(frozen=True)
class RCData(Struct):
    """What a remote control sends."""

    timestamp: int = 0
    pitch: float = 0.0
    roll: float = 0.0
    throttle: float = 0.0
    yaw: float = 0.0
    left_z: float = 0.0
    right_z: float = 0.0
    switches: int = 0
    vendor_id: str = ""
    is_initialized: bool = False
    is_valid: bool = False


@dataclass(frozen=True)
class MultirotorState(Struct):
    """A multirotor as its flight controller estimates it."""

    collision: CollisionInfo = CollisionInfo()
    kinematics_estimated: KinematicsState = KinematicsState()
    gps_location: GeoPoint = GeoPoint()
    timestamp: int = 0
    landed_state: int = LandedState.LANDED
    rc_data: RCData = RCData()


@dataclass(frozen=True)
class Rotor(Struct):
    """One rotor: N, N m and rad/s."""

    thrust: float = 0.0
    torque_scaler: float = 0.0
    speed: float = 0.0


@dataclass(frozen=True)
class RotorStates(Struct):
    """All rotors: front right, rear left, front left, rear right."""

    rotors: tuple[Rotor, ...] = ()
    timestamp: int = 0


@dataclass(frozen=True)
class CarControls(Struct):
    """What a driver does: throttle and steering within [-1, 1], brake within [0, 1].

    Steering to the right is positive.
    """

    throttle: float = 0.0
    steering: float = 0.0
    brake: float = 0.0
    handbrake: bool = False
    is_manual_gear: bool = False
    manual_gear: int = 0
    gear_immediate: bool = True


@dataclass(frozen=True)
class CarState(Struct):
    """A car; speed in m/s along its heading."""

    speed: float = 0.0
    gear: int = 0
    rpm: float = 0.0
    maxrpm: float = 0.0
    handbrake: bool = False
    kinematics_estimated: KinematicsState = KinematicsState()
    timestamp: int = 0


@dataclass(frozen=True)
class LidarData(Struct):
    """Where a lidar's beams met something: x, y, z, x, y, z, ... in the sensor's frame.

    Nothing met is one single 0.
    """

    time_stamp: int = 0
    point_cloud: tuple[float, ...] = ()
    pose: Pose = Pose()
    segmentation: tuple[int, ...] = field(default=(), metadata=ONLY_CLASSIC)
    groundtruth: tuple[str, ...] = field(default=(), metadata=ONLY_COSYS)


@dataclass(frozen=True)
class DistanceSensorData(Struct):
    """What a range-finder measures."""

    time_stamp: int = 0
    distance: float = 0.0
    min_distance: float = 0.0
    max_distance: float = 0.0
    relative_pose: Pose = Pose()


@dataclass(frozen=True)
class ImuData(Struct):
    """What gyros and accelerometers measure, in the body's axes."""

    time_stamp: int = 0
    orientation: Quaternionr = Quaternionr()
    angular_velocity: Vector3r = Vector3r()
    linear_acceleration: Vector3r = Vector3r()


@dataclass(frozen=True)
class BarometerData(Struct):
    """Altitude in metres, pressures in Pa and hPa."""

    time_stamp: int = 0
    altitude: float = 0.0
    pressure: float = 0.0
    qnh: float = 0.0


@dataclass(frozen=True)
class MagnetometerData(Struct):
    """The magnetic field in the body's axes, Gauss."""

    time_stamp: int = 0
    magnetic_field_body: Vector3r = Vector3r()
    magnetic_field_covariance: tuple[float, ...] = ()


@dataclass(frozen=True)
class GnssReport(Struct):
    """What a satellite receiver reports."""

    geo_point: GeoPoint = GeoPoint()
    eph: float = 0.0
    epv: float = 0.0
    velocity: Vector3r = Vector3r()
    fix_type: int = 3
    time_utc: int = 0


@dataclass(frozen=True)
class GpsData(Struct):
    """The last report of a satellite receiver."""

    time_stamp: int = 0
    gnss: GnssReport = GnssReport()
    is_valid: bool = True


@dataclass(frozen=True)
class EnvironmentState(Struct):
    """The air around a body: Pa, K and kg/m^3."""

    position: Vector3r = Vector3r()
    geo_point: GeoPoint = GeoPoint()
    gravity: Vector3r = Vector3r(0.0, 0.0, 9.80665)
    air_pressure: float = 101325.0
    temperature: float = 288.15
    air_density: float = 1.225


@dataclass(frozen=True)
class ImageRequest(Struct):
    """One image to be taken."""

    camera_name: str = "0"
    image_type: int = ImageType.SCENE
    pixels_as_float: bool = False
    compress: bool = True
    annotation_name: str = field(default="", metadata=ONLY_COSYS)


@dataclass(frozen=True)
class ImageResponse(Struct):
    """One image: bytes (PNG, or BGR rows), or numbers in rows; the other one is empty."""

    image_data_uint8: bytes = b""
    image_data_float: tuple[float, ...] = ()
    camera_position: Vector3r = Vector3r()
    camera_name: str = "0"
    camera_orientation: Quaternionr = Quaternionr()
    time_stamp: int = 0
    message: str = ""
    pixels_as_float: bool = False
    compress: bool = True
    width: int = 0
    height: int = 0
    image_type: int = ImageType.SCENE
    annotation_name: str = field(default="", metadata=ONLY_COSYS)


@dataclass(frozen=True)
class ProjectionMatrix(Struct):
    """Four rows of four numbers."""

    matrix: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class CameraInfo(Struct):
    """A camera; its field of view in degrees."""

    pose: Pose = Pose()
    fov: float = 90.0
    proj_mat: ProjectionMatrix = ProjectionMatrix()


@dataclass(frozen=True)
class Box2D(Struct):
    """A rectangle in pixels."""

    min: Vector2r = Vector2r()
    max: Vector2r = Vector2r()


@dataclass(frozen=True)
class Box3D(Struct):
    """A box."""

    min: Vector3r = Vector3r()
    max: Vector3r = Vector3r()


@dataclass(frozen=True)
class DetectionInfo(Struct):
    """An object that a camera sees."""

    name: str = ""
    geo_point: GeoPoint = GeoPoint()
    box2D: Box2D = Box2D()  # noqa: N815  # AirSim's name
    box3D: Box3D = Box3D()  # noqa: N815
    relative_pose: Pose = Pose()
