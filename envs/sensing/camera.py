"""A small pinhole camera: where its pixels look, and what they show."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from envs.sensing.config import CameraConfig
    from envs.sensing.rays import Hits
    from qmarl.types import Array

BORDER: Final = np.float32(1 / 3)
OBSTACLE: Final = np.float32(2 / 3)
MATE: Final = np.float32(1)
"""What a pixel of a semantic image shows; 0 for nothing within range."""


def camera_beams(config: CameraConfig) -> Array:
    """Unit vectors ``(height * width, 3)`` through the pixels' centres, row by row.

    Rows go from the image's top to its bottom, pixels in a row from left to right. Bodies look
    along x.
    """
    side = 2 * math.tan(config.field_of_view / 2) / config.width  # of a pixel 1 m ahead
    aside = side * ((config.width - 1) / 2 - np.arange(config.width))
    up = side * ((config.height - 1) / 2 - np.arange(config.height))
    y, z = np.broadcast_arrays(aside, up[:, None])
    cos, sin = math.cos(config.pitch), math.sin(config.pitch)
    rays = np.stack([cos - sin * z, y, sin + cos * z], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    return rays.reshape(-1, 3)


def semantic_image(hits: Hits, reach: float) -> Array:
    """What each ray meets first within ``reach`` m, ``(k, A, R)`` float32."""
    nearest = hits.nearest
    shown = np.where(hits.solid <= nearest, OBSTACLE, BORDER)
    shown = np.where(hits.mate <= nearest, MATE, shown)
    seen: Array = np.where(nearest < np.float32(reach), shown, np.float32(0))
    return seen
