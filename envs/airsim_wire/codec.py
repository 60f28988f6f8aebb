"""How structs become the maps that AirSim sends and come back, field by field and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Final, Literal, Self, get_args, get_origin, get_type_hints

from qmarl.errors import RunError

Version = Literal[1, 4]
"""What ``getServerVersion`` answers: 1 is AirSim, 4 is Cosys-AirSim."""

CLASSIC: Final[Version] = 1
"""Microsoft's AirSim, 1.8."""
COSYS: Final[Version] = 4
"""Cosys-AirSim, 3.x."""

ONLY_CLASSIC: Final = {"only": CLASSIC}
"""Metadata of a field that only AirSim sends."""
ONLY_COSYS: Final = {"only": COSYS}
"""Metadata of a field that only Cosys-AirSim sends."""

_Convert = Callable[[Any, Version], Any]


class WireError(RunError):
    """What arrived is not what AirSim's protocol says."""


@dataclass(frozen=True)
class Struct:
    """Base of the structs on the wire; the names of fields are AirSim's own."""

    def to_map(self, version: Version = CLASSIC) -> dict[str, Any]:
        """The map that stands for this struct.

        Args:
            version: Of the protocol; fields of the other one are left out.
        """
        kind: Any = type(self)
        plan = _plan(kind, version)
        return {name: write(getattr(self, name), version) for name, write, _ in plan}

    @classmethod
    def from_map(cls, given: object, version: Version = CLASSIC) -> Self:
        """The struct that a map stands for; fields that nobody knows are passed over.

        Args:
            given: What was unpacked.
            version: Of the protocol; fields of the other one keep their defaults.

        Raises:
            WireError: It is no map, or a field is missing or of another kind.
        """
        if not isinstance(given, dict):
            raise WireError(f"{cls.__name__}: got {_shown(given)}; allowed is a map")
        kind: Any = cls
        found = {}
        for name, _, read in _plan(kind, version):
            if name not in given:
                raise WireError(f"{cls.__name__}: '{name}' is missing")
            try:
                found[name] = read(given[name], version)
            except TypeError as error:
                raise WireError(f"{cls.__name__}.{name}: {error}") from None
        return cls(**found)


@cache
def _plan(cls: type[Any], version: Version) -> tuple[tuple[str, _Convert, _Convert], ...]:
    """Name, writer and reader of every field that a version of the protocol has."""
    hints = get_type_hints(cls)
    own = [item.name for item in fields(cls) if item.metadata.get("only", version) == version]
    return tuple((name, *_converters(hints[name])) for name in own)


def _converters(kind: Any) -> tuple[_Convert, _Convert]:
    if get_origin(kind) is tuple:
        write, read = _converters(get_args(kind)[0])
        return _each(write, list), _each(read, tuple)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return (lambda value, version: value.to_map(version)), kind.from_map
    if kind is float:
        return (lambda value, _: float(value)), _number
    return (lambda value, _: value), _exactly(kind)


def _each(convert: _Convert, gather: Callable[[Iterable[Any]], Any]) -> _Convert:
    def every(values: Any, version: Version) -> Any:
        if not isinstance(values, (list, tuple)):
            raise TypeError(f"got {_shown(values)}; allowed is a list")
        return gather(convert(value, version) for value in values)

    return every


def _exactly(kind: type) -> _Convert:
    def check(value: Any, _: Version) -> Any:
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
        raise TypeError(f"got {_shown(value)}; allowed is {kind.__name__}")

    return check


def _number(value: Any, _: Version) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise TypeError(f"got {_shown(value)}; allowed is a number")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
