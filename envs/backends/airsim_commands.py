"""What a task commands, in AirSim's words: velocities, attitudes, rotors, pedals and wheels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from envs.airsim_wire.connection import Request
from envs.backends.airsim_frames import pose_map

if TYPE_CHECKING:
    from qmarl.types import Array

_HOLD: Final = 10.0  # s that a move is good for; the next decision ends it long before
_FREE: Final = 0  # the drivetrain that may look elsewhere than where it flies to
_AHEAD: Final = {"is_rate": True, "yaw_or_rate": 0.0}  # headings are held
Manner = Literal["velocity", "attitude", "motors"]
"""What a drone's command is."""
Own = tuple[Sequence[float], bool]
"""A vehicle's command, and whether it moves."""


@dataclass(frozen=True)
class Drive:
    """What full pedals and a full turn of the wheel do.

    Attributes:
        gas: Acceleration of a throttle of 1, m/s^2.
        brake: Deceleration of a brake of 1, m/s^2.
        steer: Steering angle of a wheel at 1, rad.
    """

    gas: float
    brake: float
    steer: float


def move_of(kind: str, name: str, own: Own, manner: Manner, drive: Drive) -> Request:
    """One decision of one vehicle.

    Args:
        kind: ``drone``, or ``vehicle``: its acceleration in m/s^2 and steering angle in rad.
        name: The vehicle's.
        own: Its command.
        manner: What a drone's command is, in our axes: a velocity in m/s; roll, pitch, yaw rate and
            lift as in :meth:`envs.backends.quad6dof.Quad6Dof.advance_attitude`; or four shares of
            the rotors' thrust, in the same order as ours.
        drive: What pedals and wheel do.
    """
    command, moving = own
    if kind == "vehicle":
        return Request("setCarControls", (_controls(command, moving, drive), name))
    if manner == "velocity" or not moving:
        x, y, z = command[:3] if moving else (0.0, 0.0, 0.0)
        return Request("moveByVelocity", (x, -y, -z, _HOLD, _FREE, _AHEAD, name), quiet=True)
    if manner == "motors":
        return Request("moveByMotorPWMs", (*command, _HOLD, name), quiet=True)
    roll, pitch, rate, lift = command
    given = (roll, -pitch, -rate, lift, _HOLD, name)
    return Request("moveByRollPitchYawrateThrottle", given, quiet=True)


def places_of(names: Sequence[str], position: Array, heading: Array) -> list[Request]:
    """Puts vehicles at ``(A, 3)`` m, from where they were spawned in AirSim's axes, and rad."""
    rows = zip(names, position.tolist(), heading.tolist(), strict=True)
    return [
        Request("simSetVehiclePose", (pose_map(at, turn), True, name)) for name, at, turn in rows
    ]


def _controls(command: Sequence[float], moving: bool, drive: Drive) -> dict[str, Any]:
    wanted = command[0] if moving else -drive.brake
    steer = command[1] if moving else 0.0
    return {
        "throttle": min(max(wanted / drive.gas, 0.0), 1.0),
        "steering": min(max(-steer / drive.steer, -1.0), 1.0),
        "brake": min(max(-wanted / drive.brake, 0.0), 1.0),
        "handbrake": not moving,
        "is_manual_gear": False,
        "manual_gear": 0,
        "gear_immediate": True,
    }
