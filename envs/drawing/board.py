"""Draws matches: what a game's board showed, moment by moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

from envs.drawing.carts import cart_words, draw_carts
from envs.drawing.coins import coin_words, draw_coins
from envs.drawing.palette import INK
from envs.drawing.sheet import Sheet
from envs.drawing.tally import verdict
from qmarl.errors import RunError

if TYPE_CHECKING:
    from envs.flight import Match
    from qmarl.types import Array


class Board(NamedTuple):
    """How a game's board is drawn.

    Attributes:
        size: Width and height of the picture, inches.
        dt: Seconds that a step is taken to last.
        draw: Draws one moment on axes that measure inches.
        words: How the match stands at a moment.
    """

    size: tuple[float, float]
    dt: float
    draw: Callable[[Any, Match, int], None]
    words: Callable[[Match, int], list[str]]


BOARDS: Final[Mapping[str, Board]] = {
    "cartpole_pair": Board((7.6, 2.9), 0.02, draw_carts, cart_words),
    "coin_game": Board((6.4, 4.7), 0.8, draw_coins, coin_words),
}
"""The games whose boards can be drawn, by name."""


@final
class MatchArtist:
    """Draws moments of one match.

    Args:
        match: What to draw.
        title: First words of the line above.

    Raises:
        RunError: Nobody knows how to draw the game's board.
    """

    def __init__(self, match: Match, title: str = "") -> None:
        if match.world not in BOARDS:
            raise RunError(
                f"{match.world}: nobody knows how to draw its board, only {', '.join(BOARDS)}"
            )
        self._match, self._title, self._board = match, title, BOARDS[match.world]
        width, height = self._board.size
        self._sheet = Sheet(width, height)
        self._axes: Any = self._sheet.figure.add_axes((0, 0, 1, self._sheet.top))
        self._axes.set_animated(True)
        self._axes.set_axis_off()
        self._axes.set(xlim=(0, width), ylim=(0, height * self._sheet.top))
        self._sheet.freeze()

    def follow(self, match: Match) -> None:
        """Goes on with a longer recording of the same episode."""
        self._match = match

    def draw(self, moment: int) -> Array:
        """Returns the picture of one moment, ``(height, width, 3)`` uint8."""
        match = self._match
        over = match.outcomes and moment == match.moments - 1
        words = verdict(match) if over else self._board.words(match, moment)
        title = f"{self._title}   step {moment}".strip()
        return self._sheet.paint(title, words, INK, partial(self._move, moment))

    def _move(self, moment: int) -> None:
        for artist in (*self._axes.artists, *self._axes.patches, *self._axes.lines):
            artist.remove()
        for text in list(self._axes.texts):
            text.remove()
        self._board.draw(self._axes, self._match, moment)
        self._sheet.figure.draw_artist(self._axes)
