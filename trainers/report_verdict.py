"""What the intervals of two scores allow to say, and not a word more."""

from __future__ import annotations

import math
from typing import NamedTuple

from trainers.report_text import Measure, Score, amount

_FEW = "intervals overlap once they are widened to Wilson's: no difference shown"


class Verdict(NamedTuple):
    """What the intervals of two runs say about one measure."""

    measure: str
    sentence: str
    differs: bool


def verdict(
    measure: Measure,
    names: tuple[str, str],
    scores: tuple[Score, Score],
    episodes: tuple[int | None, int | None] = (None, None),
) -> Verdict:
    """Says what two intervals allow to say.

    Args:
        measure: What was measured.
        names: Labels of the two runs.
        scores: Their means and intervals.
        episodes: How many episodes stand behind each, where that is known.

    Returns:
        A sentence. Only when the intervals do not overlap does it speak of an advantage; those of
        shares must not do so even when they are widened to Wilson's.
    """
    first, second = scores
    if overlap(first, second):
        return Verdict(measure.title, "intervals overlap: no difference shown", False)
    wide = [widened(one, n) for one, n in zip(scores, episodes, strict=True)]
    if measure.unit == "share" and overlap(*wide):
        return Verdict(measure.title, _FEW, False)
    better = (first.mean - second.mean) * measure.better > 0
    ahead, behind = (0, 1) if better else (1, 0)
    high, low = (amount(scores[k].mean, measure.unit) for k in (ahead, behind))
    sentence = f"intervals do not overlap: advantage {names[ahead]} ({high} against {low})"
    return Verdict(measure.title, sentence, True)


def overlap(first: Score, second: Score) -> bool:
    """Says whether two intervals have a point in common."""
    return first.low <= second.high and second.low <= first.high


def widened(score: Score, episodes: int | None) -> Score:
    """Widens a share's interval until it holds Wilson's (1927) 95 % score interval too.

    The bootstrap's interval has no width when all episodes end alike, however few they were.

    >>> tuple(round(x, 3) for x in widened(Score(0.0, 0.0, 0.0), 20))
    (0.0, 0.0, 0.161)
    """
    if not episodes or episodes < 1:
        return score
    z2 = 1.959964**2
    centre = (score.mean + z2 / (2 * episodes)) / (1 + z2 / episodes)
    spread = max(score.mean * (1 - score.mean), 0.0) / episodes + z2 / (4 * episodes**2)
    half = math.sqrt(z2 * spread) / (1 + z2 / episodes)
    return Score(score.mean, min(score.low, centre - half), max(score.high, centre + half))
