"""Where the beams of range-finders and lidars point."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from envs.sensing.config import LidarConfig, RangerConfig
    from qmarl.types import Array

_WAYS: Final = {
    "forward": (1, 0, 0),
    "left": (0, 1, 0),
    "back": (-1, 0, 0),
    "right": (0, -1, 0),
    "up": (0, 0, 1),
    "down": (0, 0, -1),
}


def ranger_beams(config: RangerConfig) -> Array:
    """Unit vectors ``(R, 3)`` of range-finders in the order of their directions."""
    return np.array([_WAYS[way] for way in config.directions], np.float64)


def lidar_beams(config: LidarConfig) -> Array:
    """Unit vectors ``(layers * beams, 3)`` of a lidar, layer by layer from below.

    Bodies look along x; beams follow each other counter-clockwise.
    """
    around, edge = _azimuths(config.beams, config.field_of_view), config.vertical_view / 2
    up = np.linspace(-edge, edge, config.layers) if config.layers > 1 else np.zeros(1)
    azimuth, elevation = np.meshgrid(around, up)
    level = np.cos(elevation)
    beams = [level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)]
    return np.stack(beams, -1).reshape(-1, 3)


def _azimuths(beams: int, view: float) -> Array:
    if math.isclose(view, 2 * math.pi):
        return np.arange(beams) * (2 * math.pi / beams)
    return np.linspace(-view / 2, view / 2, beams) if beams > 1 else np.zeros(1)
