"""The colours of all pictures: agents in hues the colour-blind tell apart, the rest in grey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from qmarl.types import Array

AGENTS: Final = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#7f4fc9",
    "#8c6d31",
)
"""Colours of agents, in order (the first six after Okabe and Ito's palette)."""

PAPER: Final = "#f6f7f9"
PANEL: Final = "#ffffff"
GRID: Final = "#e7ebef"
FRAME: Final = "#c9d0d8"
LINE: Final = "#a9b4c0"
STONE: Final = "#b4bec9"
FAINT: Final = "#6b7785"
INK: Final = "#2b3440"
ALARM: Final = "#c1272d"


def colour(index: int) -> str:
    """The colour of agent ``index``; they repeat after the eighth."""
    return AGENTS[index % len(AGENTS)]


def rgb(word: str) -> Array:
    """``(3,)`` numbers within [0, 1] of a colour ``#rrggbb``."""
    return np.array([int(word[at : at + 2], 16) / 255 for at in (1, 3, 5)])


def mix(one: Array, other: Array, share: float) -> Array:
    """A colour ``share`` of the way from one ``(3,)`` to another."""
    mixed: Array = one + (other - one) * share
    return mixed


def rgba(colours: Array, alpha: Array) -> Array:
    """Colours ``(n, 4)`` of ``(n, 3)`` ones and opacities ``(n,)``."""
    return np.concatenate([colours, alpha[:, None]], 1)
