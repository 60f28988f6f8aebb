"""One level of a JSON file: values of the right kind, or an error that says where."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from qmarl.config import nearest
from qmarl.errors import ConfigurationError

READ: Final = (
    "SimMode", "CameraDefaults", "DefaultSensors", "OriginGeopoint", "Vehicles", "ApiServerPort",
    "LocalHostIp", "ClockSpeed", "Wind", "Qmarl", "SettingsVersion", "SeeDocsAt",
)  # fmt: skip
"""Keys that are read, or that ask for nothing."""
ELSEWHERE: Final = (
    "CameraDirector", "ClockType", "Default Environment", "EnableRpc", "EngineSound",
    "ExternalCameras", "LogMessagesVisible", "PawnPaths", "PhysicsEngineName", "Recording",
    "RecordUIVisible", "RpcEnabled", "SegmentationSettings", "ShowLosDebugLines",
    "SpeedUnitFactor", "SpeedUnitLabel", "SubWindows", "TimeOfDay", "ViewMode",
)  # fmt: skip
"""Keys of AirSim's that have no meaning without its engine."""

_KINDS: Final = {"dict": "an object", "list": "a list", "str": "a text", "bool": "true or false"}


@dataclass(frozen=True)
class Mount:
    """Where something sits on a vehicle.

    Attributes:
        position: m forward, right and down.
        rotation: Roll, pitch and yaw in degrees.
    """

    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)


@final
class Node:
    """One object of a JSON file.

    Args:
        plain: Its keys and values.
        source: File and place, named in errors.
    """

    def __init__(self, plain: Mapping[str, Any], source: str) -> None:
        self.plain, self.source = plain, source

    @property
    def keys(self) -> list[str]:
        """Its keys."""
        return list(self.plain)

    def notes(self) -> tuple[str, ...]:
        """A sentence for each key of a whole file that nobody knows or that means nothing here."""
        known = (*READ, *ELSEWHERE)
        strange = [
            f"{self.source}: {key!r} is not known and passed over{_meant(key, known)}"
            for key in self.plain
            if key not in known
        ]
        idle = [key for key in self.plain if key in ELSEWHERE]
        said = f"{self.source}: without meaning here: {', '.join(idle)}"
        return (*strange, *([said] if idle else []))

    def child(self, key: str) -> Node:
        """What lies under a key; nothing where it is left out."""
        return Node(self._of(key, dict, {}), f"{self.source}: {key}")

    def children(self, key: str) -> list[Node]:
        """The objects of a list under a key."""
        found = self._of(key, list, [])
        return [
            Node(item, f"{self.source}: {key}[{index}]")
            for index, item in enumerate(found)
            if isinstance(item, dict)
        ]

    def text(self, key: str, default: str) -> str:
        """A string."""
        found: str = self._of(key, str, default)
        return found

    def word(self, key: str, default: str, allowed: Collection[str]) -> str:
        """One of some words; the default for an empty one."""
        found = self.text(key, default) or default
        if found not in allowed:
            raise self._wrong(key, found, ", ".join(allowed))
        return found

    def truth(self, key: str, default: bool) -> bool:
        """True or false."""
        found: bool = self._of(key, bool, default)
        return found

    def number(
        self, key: str, default: float, least: float = -math.inf, most: float = math.inf
    ) -> float:
        """A finite number within limits."""
        found = self.plain.get(key, default)
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise self._wrong(key, found, "a number")
        if not (math.isfinite(found) and least <= found <= most):
            raise self._wrong(key, found, f"a number from {least:g} to {most:g}")
        return float(found)

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        """A whole number within limits."""
        found = self.number(key, default)
        if found != int(found) or not least <= found <= most:
            raise self._wrong(key, found, f"a whole number from {least} to {most}")
        return int(found)

    def triple(self, keys: tuple[str, str, str]) -> tuple[float, float, float]:
        """Three numbers; 0 where one is left out."""
        one, two, three = keys
        return self.number(one, 0.0), self.number(two, 0.0), self.number(three, 0.0)

    def mount(self) -> Mount:
        """Where a sensor or a camera sits: X, Y, Z, Roll, Pitch, Yaw."""
        return Mount(self.triple(("X", "Y", "Z")), self.triple(("Roll", "Pitch", "Yaw")))

    def numbers(self) -> dict[str, float]:
        """All of its numbers."""
        return {
            key: self.number(key, 0.0)
            for key, value in self.plain.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }

    def _of(self, key: str, kind: type, default: Any) -> Any:
        found = self.plain.get(key, default)
        if not isinstance(found, kind):
            raise self._wrong(key, found, _KINDS.get(kind.__name__, kind.__name__))
        return found

    def _wrong(self, key: str, found: object, allowed: str) -> ConfigurationError:
        return ConfigurationError(f"{self.source}: {key}: got {found!r}; allowed is {allowed}")


def _meant(key: str, known: Collection[str]) -> str:
    found = nearest(key, known)
    return f"; did you mean {found!r}?" if found else ""
