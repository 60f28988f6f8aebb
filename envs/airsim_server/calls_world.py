"""Calls about the whole simulation: versions, time, weather, wind, recording, drawing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from envs.airsim_server import frames
from envs.airsim_server.arguments import number, place, record, text, truth, turn, whole
from envs.airsim_server.call_table import Call, Deferred, both
from envs.airsim_server.errors import CallError
from envs.airsim_server.flyers import SECOND
from envs.airsim_server.settings import VehicleSettings, kind_of
from envs.airsim_server.simulator import FRAME
from envs.airsim_wire.structs import Pose, Vector3r

if TYPE_CHECKING:
    from envs.airsim_server.simulator import Simulator

MOST_TIME: Final = 10**6
"""Seconds that one call may let pass."""


def _version(simulator: Simulator) -> int:
    return simulator.version


def _settings(simulator: Simulator) -> str:
    return simulator.settings.text


def _vehicles(simulator: Simulator) -> list[str]:
    return [vehicle.name for vehicle in simulator.vehicles]


def _pause(simulator: Simulator, paused: object) -> None:
    simulator.end_run()
    simulator.paused = truth(paused)


def _continue_for_time(simulator: Simulator, seconds: object) -> Deferred:
    time = number(seconds)
    if not 0 <= time <= MOST_TIME:
        raise CallError(f"a time must be from 0 to {MOST_TIME} s, got {time:g}")
    return simulator.run(round(time * SECOND))


def _continue_for_frames(simulator: Simulator, count: object) -> Deferred:
    frames_wanted = whole(count)
    if not 0 <= frames_wanted <= MOST_TIME:
        raise CallError(f"frames must be from 0 to {MOST_TIME}, got {frames_wanted}")
    return simulator.run(frames_wanted * FRAME)


def _wind(simulator: Simulator, wind: object) -> None:
    given = place(record(Vector3r, wind, simulator))
    if np.abs(given).max() > 1000:
        raise CallError("a wind must be within 1000 m/s")
    simulator.blow(given)


def _enable_weather(simulator: Simulator, enabled: object) -> None:
    simulator.weather[8] = float(truth(enabled))


def _weather(simulator: Simulator, parameter: object, value: object) -> None:
    which = whole(parameter)
    if not 0 <= which <= 8:
        raise CallError(f"weather parameters are 0 to 8, got {which}")
    simulator.weather[which] = number(value)


def _add_vehicle(
    simulator: Simulator, name: object, kind: object, pose: object, _pawn: object
) -> bool:
    wanted, given = kind_of(text(kind)), record(Pose, pose, simulator)
    north, east, down = place(given.position).tolist()
    if wanted is None or not text(name) or simulator.vehicle(text(name)) is not None:
        return False
    yaw = math.degrees(frames.to_euler(turn(given.orientation))[2])
    own = VehicleSettings(text(name), wanted, (north, east, down), yaw, simulator.settings.sensors)
    simulator.add(own)
    return True


def _record(simulator: Simulator, on: bool) -> None:
    simulator.recording = on


def _nothing(_: Simulator, *given: object) -> None:
    """Accepts what can only be seen in Unreal's window."""
    del given


def _refused(_: Simulator, *given: object) -> bool:
    """Says that something of Unreal's is not there."""
    del given
    return False


def _empty(_: Simulator, *given: object) -> list[object]:
    del given
    return []


WORLD_CALLS: Final = {
    "ping": both(lambda _: True, 0),
    "getServerVersion": both(_version, 0),
    "getMinRequiredClientVersion": both(_version, 0),
    "getSettingsString": both(_settings, 0),
    "listVehicles": both(_vehicles, 0),
    "reset": both(lambda simulator: simulator.reset(), 0),
    "simPause": both(_pause, 1),
    "simIsPaused": both(lambda simulator: simulator.paused, 0),
    "simContinueForTime": both(_continue_for_time, 1),
    "simContinueForFrames": both(_continue_for_frames, 1),
    "simSetWind": both(_wind, 1),
    "simSetExtForce": Call(_nothing, None, 1),
    "simEnableWeather": both(_enable_weather, 1),
    "simSetWeatherParameter": both(_weather, 2),
    "simSetTimeOfDay": both(_nothing, 6),
    "simAddVehicle": both(_add_vehicle, 4),
    "startRecording": both(lambda simulator: _record(simulator, True), 0),
    "stopRecording": both(lambda simulator: _record(simulator, False), 0),
    "isRecording": both(lambda simulator: simulator.recording, 0),
    "simPrintLogMessage": both(_nothing, 3),
    "simRunConsoleCommand": both(_refused, 1),
    "simSetLightIntensity": Call(_refused, 2, None),
    "simSetWorldLightVisibility": Call(_refused, None, 2),
    "simSetWorldLightIntensity": Call(_refused, None, 2),
    "simSetVehicleLightVisibility": Call(_refused, None, 3),
    "simSetVehicleLightIntensity": Call(_refused, None, 3),
    "simLoadLevel": both(_refused, 1),
    "simSwapTextures": both(_empty, 4),
    "simSetObjectMaterial": both(_refused, 3),
    "simSetObjectMaterialFromTexture": both(_refused, 3),
    "simCreateVoxelGrid": both(_refused, 6),
    "simGetMeshPositionVertexBuffers": both(_empty, 0),
    "simFlushPersistentMarkers": both(_nothing, 0),
    "simPlotPoints": both(_nothing, 5),
    "simPlotLineStrip": both(_nothing, 5),
    "simPlotLineList": both(_nothing, 5),
    "simPlotArrows": both(_nothing, 7),
    "simPlotStrings": both(_nothing, 5),
    "simPlotTransforms": both(_nothing, 5),
    "simPlotTransformsWithNames": both(_nothing, 7),
    "simSetTraceLine": both(_nothing, 3),
}
"""Calls about the whole simulation. What can only be seen in Unreal's window is accepted."""
