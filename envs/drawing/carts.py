"""The two cart-poles side by side: carts on their tracks, poles, and how far they may lean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from envs.drawing.palette import FAINT, FRAME, INK, LINE, PANEL, colour
from envs.tasks.cartpole_pair import FURTHEST, HALF_LENGTH, STEEPEST

if TYPE_CHECKING:
    from envs.flight import Match
    from qmarl.types import Array

_SCALE = 0.62  # inches per metre
_MIDDLES, _GROUND = (1.95, 5.65), 0.75  # of the tracks, inches
_CART = (0.5, 0.26)  # width and height, inches


def cart_words(match: Match, moment: int) -> list[str]:
    """How the poles lean at a moment."""
    lean = np.degrees(match.boards[moment, :, 2])
    return [f"{angle:+.1f}°".replace("-", "\N{MINUS SIGN}") for angle in lean]


def draw_carts(axes: Any, match: Match, moment: int) -> None:
    """Draws every cart-pole on its track."""
    for index, (middle, body) in enumerate(zip(_MIDDLES, match.boards[moment], strict=True)):
        _draw_track(axes, middle)
        _draw_cart(axes, middle + _SCALE * body[0], float(body[2]), index)
        axes.text(middle, 0.25, match.agents[index], color=FAINT, size=8.5, ha="center")


def _draw_track(axes: Any, middle: float) -> None:
    reach = _SCALE * FURTHEST
    axes.plot([middle - reach, middle + reach], [_GROUND] * 2, color=LINE, lw=2, zorder=1)
    for end in (middle - reach, middle + reach):
        axes.plot([end] * 2, [_GROUND - 0.09, _GROUND + 0.09], color=FAINT, lw=2, zorder=1)
    axes.plot([middle] * 2, [_GROUND - 0.05, _GROUND], color=FRAME, lw=1, zorder=1)


def _draw_cart(axes: Any, x: float, angle: float, index: int) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    width, height = _CART
    axle = np.array([x, _GROUND + 0.1 + height])
    length = 2 * HALF_LENGTH * _SCALE * 1.7  # drawn longer than to scale, to be seen leaning
    for limit in (-STEEPEST, STEEPEST):
        axes.plot(*_ray(axle, limit, length).T, color=LINE, lw=0.9, ls=(0, (2, 3)), zorder=1)
    body = FancyBboxPatch(
        (x - width / 2, _GROUND + 0.1),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.05",
        fc=colour(index),
        ec=PANEL,
        lw=1,
        zorder=2,
    )
    axes.add_artist(body)
    for side in (-0.3, 0.3):
        axes.add_artist(
            Circle((x + side * width, _GROUND + 0.07), 0.07, fc=INK, ec=PANEL, lw=0.8, zorder=3)
        )
    pole = _ray(axle, angle, length)
    axes.plot(*pole.T, color=INK, lw=5, solid_capstyle="round", zorder=4)
    axes.add_artist(Circle((axle[0], axle[1]), 0.05, fc=PANEL, ec=INK, lw=1, zorder=5))


def _ray(start: Array, angle: float, length: float) -> Array:
    """From ``start``, ``length`` long, ``angle`` radians from upright to the right; ``(2, 2)``."""
    return np.stack([start, start + length * np.array([np.sin(angle), np.cos(angle)])])
