"""When the fleets' results come: all in their round, as they come over several, or as written down.

A result that comes in a later round is that of the round in which its fleet began; so a record of
who came when is enough to compute the whole run again, to the same bits, without any waiting.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, final

from qmarl.errors import RunError
from trainers.distributed import Executor, Ticket
from trainers.participation_log import Attendance
from trainers.work import Played, Site, client_round


class Task(NamedTuple):
    """A fleet at work: the round that it began in, and what it does."""

    began: int
    site: Site


@dataclass(frozen=True)
class Arrived:
    """How the fleets' work stands when a round ends.

    Attributes:
        results: What came, by fleet, in the order of the tasks.
        missed: Fleets whose work was given up.
        seconds: What went to anything but work, as the executor says.
    """

    results: dict[str, Played]
    missed: frozenset[str]
    seconds: Mapping[str, float]


class Arrivals(Protocol):
    """Has the fleets' work done, and says what came in a round."""

    def play(self, tasks: Mapping[str, Task], number: int, last: bool) -> Arrived:
        """Waits for what a round waits for.

        Args:
            tasks: Every fleet that is at work, in order: those who begin now, and those who began
                before and have not come yet.
            number: The round.
            last: Whether there is no later round in which a result could come.

        Returns:
            What came. Who neither came nor was given up is still at work.
        """
        ...


@final
@dataclass(frozen=True)
class Together:
    """All come in their own round, or not at all.

    Attributes:
        executor: Where the work is done.
        seconds: Time for it; ``None`` for all the time that it takes.
    """

    executor: Executor
    seconds: float | None = None

    def play(self, tasks: Mapping[str, Task], number: int, last: bool) -> Arrived:  # noqa: ARG002 - all rounds are alike
        """Gives up what is not there in time."""
        jobs = [(task.site,) for task in tasks.values()]
        results: Sequence[Played | None]
        if self.seconds is None:
            results = self.executor.map(client_round, jobs)
        else:
            results = self.executor.map_within(client_round, jobs, self.seconds)
        pairs = dict(zip(tasks, results, strict=True))
        came = {name: result for name, result in pairs.items() if result is not None}
        return Arrived(came, frozenset(tasks.keys() - came.keys()), self.executor.overheads())


@final
class AsTheyCome:
    """A round ends when enough have come or its time is over; the others work on.

    Nobody's work gets older than ``oldest`` rounds: it is waited for, or given up at the end of the
    time if there is one.

    Args:
        executor: Where the work is done.
        enough: Results that end a round; ``None`` for those of everybody.
        seconds: Longest time of a round; ``None`` for no limit.
        oldest: Rounds after which a result would be of no use.
    """

    def __init__(
        self, executor: Executor, enough: int | None, seconds: float | None, oldest: int
    ) -> None:
        self._executor, self._enough = executor, enough
        self._seconds, self._oldest = seconds, oldest
        self._tickets: dict[tuple[str, int], Ticket] = {}

    def play(self, tasks: Mapping[str, Task], number: int, last: bool) -> Arrived:
        """Takes what is there; the oldest work comes first."""
        by_age = sorted(tasks, key=lambda name: tasks[name].began)
        tickets = {name: self._ticket(name, tasks[name]) for name in by_age}
        due = [name for name in by_age if number - tasks[name].began >= self._oldest]
        deadline = None if self._seconds is None else time.monotonic() + self._seconds
        came = self._wait([tickets[name] for name in due], len(due), deadline)
        rest = [ticket for ticket in tickets.values() if ticket not in came]
        enough = len(rest) if self._enough is None else max(self._enough - len(came), 0)
        came |= self._wait(rest, enough, deadline)
        results = {name: came[tickets[name]] for name in tasks if tickets[name] in came}
        missed = {name for name in by_age if name not in results and (last or name in due)}
        self._executor.give_up([tickets[name] for name in missed])
        for name in results.keys() | missed:
            del self._tickets[name, tasks[name].began]
        return Arrived(results, frozenset(missed), self._executor.overheads())

    def _ticket(self, name: str, task: Task) -> Ticket:
        """The ticket of a fleet's work; after an interruption the work begins again."""
        key = (name, task.began)
        if key not in self._tickets:
            self._tickets[key] = self._executor.begin(client_round, (task.site,))
        return self._tickets[key]

    def _wait(
        self, tickets: Sequence[Ticket], enough: int, deadline: float | None
    ) -> dict[Ticket, Played]:
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        return self._executor.finished(tickets, enough, left)


@final
@dataclass(frozen=True)
class Replayed:
    """Everybody comes in the round in which a record says so.

    Attributes:
        executor: Where the work is done.
        script: Who came and who was given up, by round.
    """

    executor: Executor
    script: Mapping[int, Attendance]

    def play(self, tasks: Mapping[str, Task], number: int, last: bool) -> Arrived:  # noqa: ARG002 - the record knows
        """Does the work of those who come, now.

        Raises:
            RunError: The record has no such round, or is that of another run.
        """
        if number not in self.script:
            raise RunError(f"federation.replay: the record has no round {number}")
        written = self.script[number]
        for name, began in written.came.items():
            if name not in tasks or tasks[name].began != began:
                raise RunError(
                    f"federation.replay: in round {number} '{name}' brings work of round {began}, "
                    "which it does not have in this run; the record is of another configuration"
                )
        came = [name for name in tasks if name in written.came]
        results = self.executor.map(client_round, [(tasks[name].site,) for name in came])
        brought = dict(zip(came, results, strict=True))
        return Arrived(brought, frozenset(written.missed), self.executor.overheads())
