"""Where the time of a unit of work goes, in laps; a monotonic clock, so that no one can set it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from time import perf_counter
from typing import final


@final
class Stopwatch:
    """Gives every stretch of time since the last lap to a name.

    Attributes:
        seconds: Seconds by name, so far.

    Example:
        >>> watch = Stopwatch()
        >>> watch.lap("worlds")
        >>> list(watch.seconds)
        ['worlds']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._started = self._last = perf_counter()

    def lap(self, name: str) -> None:
        """Ends a stretch of time and begins the next."""
        now = perf_counter()
        self.seconds[name] += now - self._last
        self._last = now

    @property
    def total(self) -> float:
        """Seconds since the watch was started."""
        return perf_counter() - self._started


def summed(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Adds up the seconds of several units of work, name by name.

    >>> summed([{"worlds": 1.0}, {"worlds": 2.0, "circuits": 0.5}])
    {'worlds': 3.0, 'circuits': 0.5}
    """
    total: dict[str, float] = defaultdict(float)
    for part in parts:
        for name, seconds in part.items():
            total[name] += seconds
    return dict(total)
