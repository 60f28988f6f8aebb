"""The line above a picture: how the task stands, in the words of its outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from envs.world import ARRIVED, CRASHED

if TYPE_CHECKING:
    from envs.flight import Flight, Match
    from qmarl.types import Array


def standing(flight: Flight, moment: int) -> list[str]:
    """How a flight stands at a moment; at its end, what came out of it."""
    if flight.outcomes and moment == flight.moments - 1:
        return verdict(flight)
    known = [_TOLD[name](flight, moment) for name in flight.outcome_names if name in _TOLD]
    crashed = int((flight.status[moment] == CRASHED).sum())
    return [*(known or [_arrived(flight, moment)]), f"{crashed} crashed" if crashed else ""]


def verdict(recording: Flight | Match) -> list[str]:
    """What came out of an episode: what holds as a word, what was measured with its number."""
    words = []
    for name in recording.outcome_names:
        value = recording.outcomes.get(name)
        if value is None or (name in _PLAIN and not value):
            continue
        word = name.replace("_", " ")
        words.append(
            word if name in _PLAIN else f"{word} {value:.3g}".replace("-", "\N{MINUS SIGN}")
        )
    return words


def _arrived(flight: Flight, moment: int) -> str:
    bound = np.isfinite(flight.goals).all((0, 2))
    if not (flight.goal_radius and bound.any()):
        return ""
    arrived = flight.status[moment, bound] == ARRIVED
    return f"{int(arrived.sum())} of {len(arrived)} arrived"


def _caught(flight: Flight, moment: int) -> str:
    if flight.marks is None:
        return ""
    free: Array = np.all(np.isfinite(flight.marks), axis=-1)
    return f"{int(free[0].sum() - free[moment].sum())} of {int(free[0].sum())} caught"


def _error(flight: Flight, moment: int) -> str:
    away = np.linalg.norm(flight.positions[moment] - flight.goals[moment], axis=-1)
    return f"{np.nanmean(away):.2f} m off their places" if np.isfinite(away).any() else ""


def _served(flight: Flight, moment: int) -> str:
    landed = int((flight.status[moment] == ARRIVED).sum())
    return f"{landed} landed" if landed else ""


_PLAIN = ("success", "collision", "off_road")
_TOLD: Mapping[str, Callable[[Flight, int], str]] = {
    "caught": _caught,
    "formation_error": _error,
    "gap_error": _error,
    "served": _served,
}
