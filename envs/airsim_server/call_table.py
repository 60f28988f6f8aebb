"""What a call is, and how one answers later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, final

Answer = Callable[[object], None]


@final
class Deferred:
    """A result that comes later; it is told to whoever asks for it.

    Args:
        holds: Whether further calls of the same connection wait for it.
    """

    def __init__(self, holds: bool = False) -> None:
        self.holds = holds
        self._answer: Answer | None = None
        self._result: object = None
        self.ready = False

    def set(self, result: object) -> None:
        """Gives the result; the first one counts."""
        if self.ready:
            return
        self.ready, self._result = True, result
        if self._answer is not None:
            self._answer(result)

    def tell(self, answer: Answer) -> None:
        """Has the result told, at once if it is there."""
        self._answer = answer
        if self.ready:
            answer(self._result)


class Call(NamedTuple):
    """A call.

    Attributes:
        does: Takes the simulator and the arguments; gives what is packed, or a :class:`Deferred`.
        classic: Arguments that AirSim 1.8 sends; None where it has no such call.
        cosys: The same of Cosys-AirSim 3.
    """

    does: Callable[..., Any]
    classic: int | None
    cosys: int | None


def both(does: Callable[..., Any], count: int) -> Call:
    """A call that is the same in both versions."""
    return Call(does, count, count)
