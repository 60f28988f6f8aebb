"""Flights as a file: arrays and a description, to be looked at again."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from envs.bodies import Solids
from envs.flight import Flight
from qmarl.errors import RunError

if TYPE_CHECKING:
    from qmarl.types import Array

_FORMAT: Final = "qmarl flights 1"
_ARRAYS: Final = ("arena", "time", "positions", "status", "goals", "radii")
_SOMETIMES: Final = ("headings", "marks", "links", "lines")
_SOLIDS: Final = ("spheres", "boxes", "cylinders")
_WORDS: Final = ("world", "agents", "kinds", "goal_radius", "outcome_names", "outcomes")
_MOST: Final = 100_000  # flights in a file


def pack_flights(flights: Sequence[Flight]) -> bytes:
    """The bytes of a file (NumPy's ``npz``) that holds flights, in their order."""
    arrays: dict[str, Array] = {}
    for number, flight in enumerate(flights):
        for name in (*_ARRAYS, *_SOMETIMES):
            value = getattr(flight, name)
            if value is not None:
                arrays[f"{number}/{name}"] = np.asarray(value)
        for name in _SOLIDS:
            arrays[f"{number}/{name}"] = getattr(flight.solids, name)
    told = [{name: getattr(flight, name) for name in _WORDS} for flight in flights]
    for words in told:
        words["outcomes"] = dict(words["outcomes"])
    text = json.dumps({"format": _FORMAT, "flights": told})
    file = io.BytesIO()
    arrays["description"] = np.frombuffer(text.encode(), np.uint8)
    # Typed as if the first keyword could only be savez's own switch.
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def read_flights(path: Path) -> list[Flight]:
    """Reads a file of flights; nothing in it is run, as NumPy loads no objects unless told to.

    Raises:
        RunError: It cannot be read, or is none.
    """
    try:
        with path.open("rb") as raw, np.load(raw) as file:
            return _flights(file)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(f"'{path}' is no file of flights: {error}") from None


def _flights(file: Mapping[str, Array]) -> list[Flight]:
    described = json.loads(file["description"].tobytes())
    if described["format"] != _FORMAT or len(described["flights"]) > _MOST:
        raise ValueError(f"its format is not '{_FORMAT}'")
    return [_flight(file, words, number) for number, words in enumerate(described["flights"])]


def _flight(file: Mapping[str, Array], words: Mapping[str, Any], number: int) -> Flight:
    arrays = {name: file[f"{number}/{name}"] for name in _ARRAYS}
    more = {name: file[f"{number}/{name}"] for name in _SOMETIMES if f"{number}/{name}" in file}
    solids = Solids(*(file[f"{number}/{name}"] for name in _SOLIDS))
    shape = arrays["positions"].shape
    if shape != (len(arrays["time"]), len(words["agents"]), 3):
        raise ValueError(f"flight {number} has positions of shape {shape}")
    return Flight(
        world=str(words["world"]),
        agents=tuple(map(str, words["agents"])),
        kinds=tuple(map(str, words["kinds"])),
        solids=solids,
        goal_radius=float(words["goal_radius"]),
        outcome_names=tuple(map(str, words["outcome_names"])),
        outcomes={str(name): float(value) for name, value in words["outcomes"].items()},
        **arrays,
        **more,
    )
