"""A picture as a sheet: what stands still is drawn once, what moves is drawn over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import numpy as np

from envs.drawing.palette import INK, PAPER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qmarl.types import Array

DPI = 100
_HEAD, _GAP = 0.36, 0.16  # inches that the line above takes, and beside its words
_BETWEEN = "  ·  "


@final
class Sheet:
    """A figure in memory with a line of words above.

    Args:
        width: Inches.
        height: Inches, of which the line above takes a little.

    Attributes:
        figure: To put axes on, before :meth:`freeze`.
    """

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER)
        self._canvas: Any = FigureCanvasAgg(self.figure)
        edge, line = _GAP / width, 1 - 0.6 * _HEAD / height
        words: dict[str, Any] = {"va": "center", "animated": True, "color": INK}
        self._title = self.figure.text(edge, line, "", size=10.5, weight="bold", **words)
        self._words = self.figure.text(1 - edge, line, "", size=9.5, ha="right", **words)
        self._still: Any = None

    @property
    def top(self) -> float:
        """Share of the height that is left below the line of words."""
        return 1 - _HEAD / float(self.figure.get_figheight())

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.figure.bbox.height)

    def freeze(self) -> None:
        """Draws what stands still."""
        self._canvas.draw()
        self._still = self._canvas.copy_from_bbox(self.figure.bbox)

    def paint(
        self, title: str, words: Sequence[str], colour: str, moving: Callable[[], None]
    ) -> Array:
        """Returns a picture ``(height, width, 3)`` uint8.

        Args:
            title: On the left of the line above.
            words: On its right, the weightiest first; what finds no room is left out.
            colour: Of the words.
            moving: Draws what moves.
        """
        self._canvas.restore_region(self._still)
        moving()
        self._title.set_text(title)
        self._words.set_color(colour)
        self._fit([word for word in words if word])
        for text in (self._title, self._words):
            self.figure.draw_artist(text)
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()

    def _fit(self, words: list[str]) -> None:
        """Shows as many words as there is room for."""
        room = self.figure.bbox.width - 2 * _GAP * DPI - self._title.get_window_extent().width
        self._words.set_text(_BETWEEN.join(words))
        while words and self._words.get_window_extent().width > room - _GAP * DPI:
            words.pop()
            self._words.set_text(_BETWEEN.join(words))
