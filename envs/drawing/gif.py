"""Writes pictures as an animated GIF, with Pillow alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from envs.drawing.palette import AGENTS, ALARM, INK

if TYPE_CHECKING:
    from PIL.Image import Image

    from qmarl.types import Array

_REST = 1500  # ms that the last picture stays
_COLOURS = 128


def image(pixels: Array) -> Image:
    """An image of ``(height, width, 3)`` uint8."""
    from PIL import Image

    return Image.fromarray(pixels)


def write_gif(pictures: Sequence[Array], path: Path, pause: int) -> None:
    """Writes pictures as a GIF that loops.

    Args:
        pictures: At least one, each ``(height, width, 3)`` uint8.
        path: Where to.
        pause: Milliseconds from one to the next; a GIF knows tenths of these.
    """
    from PIL.Image import Dither

    palette = _palette(pictures)
    frames = [image(p).quantize(palette=palette, dither=Dither.NONE) for p in pictures]
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=[pause] * (len(frames) - 1) + [_REST],
        loop=0,
        optimize=True,
    )


def _palette(pictures: Sequence[Array]) -> Image:
    """One palette for all: nothing flickers, and what stands still costs nothing."""
    words = [*AGENTS, ALARM, INK]
    swatches = [[int(word[at : at + 2], 16) for at in (1, 3, 5)] for word in words]
    middle, end = pictures[len(pictures) // 2], pictures[-1]
    band = np.array(swatches, np.uint8).repeat(middle.shape[1] // len(words), 0)[None]
    band = band.repeat(40, 0)  # wide enough that every colour of an agent gets its own place
    seen = np.concatenate([middle, end])[:, : band.shape[1]]
    return image(np.concatenate([seen, band])).quantize(_COLOURS)
