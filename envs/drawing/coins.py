"""The coin game's board: a grid with agents and a coin in their colours, and who has how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from envs.drawing.palette import FAINT, FRAME, INK, PANEL, colour

if TYPE_CHECKING:
    from envs.flight import Match
    from qmarl.types import Array

_CORNER, _SIDE = (0.25, 0.22), 4.0  # the grid, inches


def rewards(match: Match) -> Array:
    """What each step up to the end brought the agents, ``(T, A)``; 0 at the first moment.

    A collected coin lies elsewhere in the next moment, so boards tell who stood on it.
    """
    boards = match.boards
    agents, coin = boards[:, :-1, :2], boards[:, -1]
    moved = (coin[1:, :2] != coin[:-1, :2]).any(-1)
    takers = (agents[1:] == coin[:-1, None, :2]).all(-1) & moved[:, None]
    owner = np.arange(agents.shape[1]) == coin[:-1, 2:]
    strangers = (takers & ~owner).sum(1, keepdims=True)
    brought = takers - 2 * owner * strangers
    return np.concatenate([np.zeros((1, agents.shape[1]), int), brought])


def coin_words(match: Match, moment: int) -> list[str]:
    """The team's score up to a moment."""
    return [f"score {_signed(rewards(match)[: moment + 1].sum())}"]


def draw_coins(axes: Any, match: Match, moment: int) -> None:
    """Draws the grid, its agents and coin, and their scores beside it."""
    board, side = match.boards[moment], _cells(match)
    cell = _SIDE / side
    _draw_grid(axes, side, cell)
    places = np.array(_CORNER) + (board[:, :2] + 0.5) * cell
    _draw_coin(axes, places[-1], int(board[-1, 2]), 0.27 * cell)
    groups = board[:-1, 0] * side + board[:-1, 1]
    onto = groups == board[-1, 0] * side + board[-1, 1]
    for index, place in enumerate(places[:-1]):
        mates = np.flatnonzero(groups == groups[index])
        crowd = len(mates) + bool(onto[index])
        turn = np.pi / 4 + 2 * np.pi * int(np.flatnonzero(mates == index)[0]) / max(crowd, 1)
        away = 0.0 if crowd == 1 else 0.26 * cell
        spot = place + away * np.array([np.cos(turn), np.sin(turn)])
        _draw_agent(axes, spot, index, (0.31 if crowd == 1 else 0.19) * cell)
    _draw_scores(axes, match, moment)


def _cells(match: Match) -> int:
    """Cells along each side: the game's usual number, or more where agents went further."""
    usual = 3 if match.boards.shape[1] == 3 else 5
    return max(usual, int(match.boards[..., :2].max()) + 1)


def _draw_grid(axes: Any, side: int, cell: float) -> None:
    from matplotlib.patches import Rectangle

    x, y = _CORNER
    axes.add_artist(Rectangle(_CORNER, _SIDE, _SIDE, fc=PANEL, ec=FRAME, lw=1.2))
    for at in np.arange(1, side) * cell:
        axes.plot([x + at] * 2, [y, y + _SIDE], color=FRAME, lw=0.8)
        axes.plot([x, x + _SIDE], [y + at] * 2, color=FRAME, lw=0.8)


def _draw_coin(axes: Any, place: Array, owner: int, radius: float) -> None:
    from matplotlib.patches import Circle

    axes.add_artist(
        Circle((place[0], place[1]), radius, fc=PANEL, ec=colour(owner), lw=2.2, zorder=3)
    )
    axes.add_artist(Circle((place[0], place[1]), 0.66 * radius, fc=colour(owner), lw=0, zorder=3))


def _draw_agent(axes: Any, place: Array, index: int, half: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = f"round,pad=0,rounding_size={0.4 * half}"
    corner = place[0] - half, place[1] - half
    body = FancyBboxPatch(
        corner, 2 * half, 2 * half, boxstyle=style, fc=colour(index), ec=PANEL, lw=1.2, zorder=4
    )
    axes.add_artist(body)
    size = 72 * half * 0.95
    axes.text(
        *place,
        str(index),
        color=PANEL,
        size=size,
        zorder=5,
        weight="bold",
        ha="center",
        va="center_baseline",
    )


def _draw_scores(axes: Any, match: Match, moment: int) -> None:
    """A line for each agent: its score, and what the last step brought it."""
    brought = rewards(match)[: moment + 1]
    x, y = _CORNER[0] + _SIDE + 0.42, _CORNER[1] + _SIDE - 0.18
    for index, name in enumerate(match.agents):
        place = np.array([x, y - 0.46 * index])
        _draw_agent(axes, place, index, 0.13)
        axes.text(x + 0.27, place[1], name, color=FAINT, size=8.5, va="center")
        total, last = int(brought[:, index].sum()), int(brought[-1, index])
        axes.text(
            x + 1.2,
            place[1],
            _signed(total),
            color=INK,
            size=10,
            weight="bold",
            va="center",
            ha="right",
        )
        if last:
            axes.text(
                x + 1.27, place[1], f"({_signed(last)})", color=colour(index), size=8.5, va="center"
            )


def _signed(number: int) -> str:
    return f"{number:+d}".replace("-", "\N{MINUS SIGN}")
