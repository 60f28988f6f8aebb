"""What a server remembers between rounds: who owes it an answer, when it moved, what waits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from qmarl.federated.aggregators import Update
from qmarl.types import Params

_NUMBERS = "numbers"
_WAITING = "waiting/"


@dataclass
class Calls:
    """Who was asked for an update of which round, and in which rounds the model moved.

    Attributes:
        open: Round of the answer that each client owes.
        last: Clients that were asked last, in order, and in which round; nobody before the first.
        moves: Rounds in which the model moved, as far back as matters.
        strict: Whether only who was asked is heard; a server that asks nobody hears everybody.
    """

    open: dict[str, int] = field(default_factory=dict)
    last: tuple[int, tuple[str, ...]] = (-1, ())
    moves: tuple[int, ...] = ()
    strict: bool = False

    def ask(self, round_number: int, clients: Sequence[str]) -> None:
        """Expects an update of this round from each; a newer call takes the place of an older."""
        self.strict = True
        self.last = round_number, tuple(sorted(clients))
        self.open |= dict.fromkeys(clients, round_number)

    def asked_in(self, round_number: int) -> tuple[str, ...]:
        """Returns who was asked in the round that was called last."""
        return self.last[1] if self.last[0] == round_number else ()

    def awaits(self, client: str, round_number: int) -> bool:
        """Says whether an update of that round is expected from a client."""
        return not self.strict or self.open.get(client) == round_number

    def answered(self, client: str) -> None:
        """Expects nothing more from a client until it is asked again."""
        self.open.pop(client, None)

    def moved(self, round_number: int, horizon: int) -> None:
        """Notes a step, and forgets those before the last ``horizon`` rounds."""
        recent = (number for number in self.moves if number >= round_number - horizon)
        self.moves = (*recent, round_number)

    def moves_since(self, round_number: int) -> int:
        """Returns the number of steps since the model of a round was sent."""
        return sum(number >= round_number for number in self.moves)

    def state(self) -> Params:
        """Returns what a checkpoint needs, between two rounds."""
        owed = {f"open/{name}": np.array(number) for name, number in self.open.items()}
        return owed | {"moves": np.array(self.moves, np.int64), "strict": np.array(self.strict)}

    @classmethod
    def of(cls, state: Params) -> Calls:
        """Continues from what :meth:`state` returned."""
        owed = {name: int(array) for name, array in under("open/", state).items()}
        moves = tuple(state["moves"].tolist()) if "moves" in state else ()
        return cls(owed, moves=moves, strict=bool(state.get("strict", False)))


def under(prefix: str, state: Params) -> Params:
    """Returns copies of the arrays whose names begin with ``prefix``, without it."""
    return {n[len(prefix) :]: a.copy() for n, a in state.items() if n.startswith(prefix)}


def packed(updates: Iterable[Update]) -> Params:
    """Returns updates that wait as arrays ``waiting/<place>/<client>/...``."""
    arrays: Params = {}
    for place, update in enumerate(updates):
        start = f"{_WAITING}{place}/"
        numbers = (update.examples, update.steps, update.staleness, update.discount)
        arrays[f"{start}{_NUMBERS}"] = np.array(numbers, np.float64)
        arrays[f"{start}client"] = np.frombuffer(update.client.encode(), np.uint8).copy()
        for part, named in (("delta/", update.arrays), ("information/", update.information)):
            arrays |= {f"{start}{part}{name}": array.copy() for name, array in named.items()}
    return arrays


def unpacked(state: Params) -> Iterator[Update]:
    """Yields the updates that :func:`packed` packed, in order."""
    waiting = under(_WAITING, state)
    for place in range(len({name.partition("/")[0] for name in waiting})):
        own = under(f"{place}/", waiting)
        examples, steps, staleness, discount = own[_NUMBERS].tolist()
        yield Update(
            own["client"].tobytes().decode(),
            under("delta/", own),
            int(examples),
            int(steps),
            int(staleness),
            discount,
            under("information/", own),
        )
