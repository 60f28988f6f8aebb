"""Arguments of calls as they arrive: of the right kind and finite, or a call error."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from envs.airsim_server import frames
from envs.airsim_server.errors import CallError, no_simulated_vehicle, no_vehicle
from envs.airsim_wire.codec import Struct, WireError
from envs.airsim_wire.structs import GeoPoint, Quaternionr, Vector3r

if TYPE_CHECKING:
    from envs.airsim_server.simulator import Simulator
    from envs.airsim_server.vehicle import Vehicle
    from qmarl.types import Array

BAD: Final = "std::bad_cast"
"""What msgpack's C++ says of a value of the wrong kind."""
MOST_TEXT: Final = 4096
"""Letters of a name beyond this are refused."""

_Given = TypeVar("_Given", bound=Struct)


def number(value: object) -> float:
    """A finite number, or infinity where a time may last for ever.

    Raises:
        CallError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise CallError(BAD)
    if math.isnan(value):
        raise CallError("a number that is not a number was given")
    return float(value)


def finite(*values: object) -> tuple[float, ...]:
    """Numbers that are neither infinite nor none.

    Raises:
        CallError: One is not.
    """
    found = tuple(number(value) for value in values)
    if not all(abs(value) <= 1e7 for value in found):
        raise CallError("a number beyond 1e7 was given")
    return found


def whole(value: object) -> int:
    """A whole number.

    Raises:
        CallError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise CallError(BAD)
    return value


def truth(value: object) -> bool:
    """True or false.

    Raises:
        CallError: It is neither.
    """
    if not isinstance(value, bool):
        raise CallError(BAD)
    return value


def text(value: object) -> str:
    """A string.

    Raises:
        CallError: It is none, or too long.
    """
    if not isinstance(value, str) or len(value) > MOST_TEXT:
        raise CallError(BAD)
    return value


def record(kind: type[_Given], value: object, simulator: Simulator) -> _Given:
    """A struct of numbers that are all finite.

    Raises:
        CallError: It is none.
    """
    try:
        return kind.from_map(value, simulator.version)
    except WireError:
        raise CallError(BAD) from None


def turn(given: Quaternionr) -> Array:
    """An attitude ``(4,)`` of length 1.

    Raises:
        CallError: A number of it is not finite.
    """
    finite(given.w_val, given.x_val, given.y_val, given.z_val)
    return frames.attitude(given)


def place(given: Vector3r) -> Array:
    """A vector ``(3,)``.

    Raises:
        CallError: A number of it is not finite.
    """
    return np.array(finite(given.x_val, given.y_val, given.z_val))


def on_earth(value: object, simulator: Simulator) -> GeoPoint:
    """A place on earth.

    Raises:
        CallError: It is none.
    """
    found = record(GeoPoint, value, simulator)
    finite(found.latitude, found.longitude, found.altitude)
    return found


def vehicle(simulator: Simulator, name: object) -> Vehicle:
    """The vehicle of a name, to be commanded.

    Raises:
        CallError: There is none.
    """
    found = simulator.vehicle(text(name))
    if found is None:
        raise no_vehicle(text(name))
    return found


def body(simulator: Simulator, name: object) -> Vehicle:
    """The vehicle of a name, as part of the simulation.

    Raises:
        CallError: There is none.
    """
    found = simulator.vehicle(text(name))
    if found is None:
        raise no_simulated_vehicle(text(name))
    return found


def drone(simulator: Simulator, name: object) -> Vehicle:
    """The multirotor of a name.

    Raises:
        CallError: There is none.
    """
    found = vehicle(simulator, name)
    if found.flyers is None:
        raise no_vehicle(text(name))
    return found
