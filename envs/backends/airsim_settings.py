"""The settings.json of a simulator that we start for a world."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from qmarl.errors import ConfigurationError

_TYPES: Final = {"drone": "SimpleFlight", "vehicle": "PhysXCar"}
_APART: Final = {"drone": 2.0, "vehicle": 6.0}  # m from one spawn to the next


def settings_text(
    base: str, vehicles: Mapping[str, str], port: int, own: Mapping[str, Any] | None = None
) -> str:
    """The text of a settings.json.

    Args:
        base: A file to start from; its vehicles that are also named here keep what they are told.
        vehicles: ``drone`` or ``vehicle`` by name.
        port: Where the simulator is to listen.
        own: The key ``Qmarl``, which only our own simulator reads.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    given = _read(base) if base else {}
    there = given.get("Vehicles", {})
    spawned = {name: _spawn(kind, place) for place, (name, kind) in enumerate(vehicles.items())}
    mode = "Multirotor" if "drone" in vehicles.values() else "Car"
    usual = {"SettingsVersion": 1.2, "SimMode": mode, "ViewMode": "NoDisplay"}
    ours = {"Qmarl": dict(own)} if own else {}
    found = {**usual, **ours, **given, "ApiServerPort": port, "Vehicles": {**spawned, **there}}
    return json.dumps(found, indent=1)


def _spawn(kind: str, place: int) -> dict[str, Any]:
    at = {"X": 0.0, "Y": place * _APART[kind], "Z": 0.0}
    return {"VehicleType": _TYPES[kind], "AutoCreate": True, **at}


def _read(path: str) -> dict[str, Any]:
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"env.airsim.launch.settings: {path}: {error}") from None
    if not isinstance(found, dict):
        raise ConfigurationError(f"env.airsim.launch.settings: {path}: must be an object")
    return found
