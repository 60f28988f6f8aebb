"""All calls by name: what does them, and how many arguments each version of the protocol sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from envs.airsim_server.call_table import Call, Deferred
from envs.airsim_server.calls_camera import CAMERA_CALLS
from envs.airsim_server.calls_car import CAR_CALLS
from envs.airsim_server.calls_drone import DRONE_CALLS
from envs.airsim_server.calls_scene import SCENE_CALLS
from envs.airsim_server.calls_vehicle import VEHICLE_CALLS
from envs.airsim_server.calls_world import WORLD_CALLS
from envs.airsim_server.errors import CallError, no_function, thrown, wrong_count

if TYPE_CHECKING:
    from envs.airsim_server.simulator import Simulator

CALLS: Final = {
    **WORLD_CALLS,
    **SCENE_CALLS,
    **VEHICLE_CALLS,
    **CAMERA_CALLS,
    **DRONE_CALLS,
    **CAR_CALLS,
}
"""Every call that the simulator answers."""


def counts(version: int) -> dict[str, tuple[Call, int]]:
    """The calls of a version with the number of their arguments."""
    each = (
        (name, call, call.cosys if version == 4 else call.classic) for name, call in CALLS.items()
    )
    return {name: (call, count) for name, call, count in each if count is not None}


def perform(
    table: dict[str, tuple[Call, int]], simulator: Simulator, name: str, given: list[object]
) -> tuple[str | None, object]:
    """Does a call.

    Returns:
        An error in rpclib's words or None, and the result, which may be a :class:`Deferred`.
    """
    found = table.get(name)
    if found is None:
        return no_function(name[:256], len(given)), None
    call, count = found
    if len(given) != count:
        return wrong_count(name, count, len(given)), None
    try:
        return None, call.does(simulator, *given)
    except (CallError, ValueError) as error:
        return thrown(name, len(given), str(error)), None


__all__ = ["CALLS", "Call", "Deferred", "counts", "perform"]
