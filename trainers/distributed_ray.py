"""Units of work on Ray: dealt to whoever is free, and dealt again when a worker is lost."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, final

from qmarl.errors import RunError
from trainers.distributed import ExecutorConfig, Result, Ticket
from trainers.distributed_connection import cause_of, connect, first_line, last_line
from trainers.distributed_pool import Pool
from trainers.distributed_waiting import Waiting

LOSSES = 20
"""Workers that one unit of work may outlive; after that it is taken for the cause."""
TURN_S = 1.0
"""Seconds after which the pool is looked after, whatever happens."""


@final
class RayExecutor:
    """Runs units of work on Ray actors; what a dead worker was doing runs again on another.

    Args:
        config: Address, number of workers and what each of them needs.

    Raises:
        UnreachableError: The cluster does not answer, or refuses us.
    """

    def __init__(self, config: ExecutorConfig) -> None:
        self._ray, self._ours = connect(config)
        self._wait = Waiting(self._ray)
        self._pool = Pool(self._ray, config, self._wait)
        self._waiting: deque[Ticket] = deque()
        self._running: dict[Any, tuple[Ticket, Any, float]] = {}
        self._done: dict[Ticket, Any] = {}
        self._spent = {"communication": 0.0, "waiting": 0.0}
        errors = self._ray.exceptions
        self._lost = (errors.RayActorError, errors.ObjectLostError, errors.WorkerCrashedError)

    def map(self, function: Callable[..., Result], jobs: Sequence[tuple[Any, ...]]) -> list[Result]:
        """Deals the jobs to free workers until all have come back."""
        tickets = [self.begin(function, job) for job in jobs]
        try:
            results = self.finished(tickets, len(tickets), None)
        finally:
            self.give_up(tickets)
        return [results[ticket] for ticket in tickets]

    def map_within(
        self,
        function: Callable[..., Result],
        jobs: Sequence[tuple[Any, ...]],
        seconds: float,
    ) -> list[Result | None]:
        """Deals the jobs until the time is up; workers that are late then are replaced."""
        tickets = [self.begin(function, job) for job in jobs]
        try:
            results = self.finished(tickets, len(tickets), seconds)
        finally:
            self.give_up(tickets)
        return [results.get(ticket) for ticket in tickets]

    def begin(self, function: Callable[..., Any], job: tuple[Any, ...]) -> Ticket:
        """Puts a unit of work in the queue; a free worker starts with it at once."""
        ticket = Ticket(function, job)
        self._waiting.append(ticket)
        self._deal()
        return ticket

    def finished(
        self, tickets: Sequence[Ticket], enough: int, seconds: float | None
    ) -> dict[Ticket, Any]:
        """Deals and waits; the work of others goes on meanwhile."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while sum(ticket in self._done for ticket in tickets) < min(enough, len(tickets)):
            left = TURN_S if deadline is None else deadline - time.monotonic()
            self._turn(min(max(left, 0.0), TURN_S))
            if left <= 0:  # after a last look at what is there
                break
        return {each: self._done.pop(each) for each in tickets if each in self._done}

    def give_up(self, tickets: Sequence[Ticket]) -> None:
        """Forgets units of work; a worker that is busy with one is replaced."""
        forgotten = set(tickets)
        self._waiting = deque(each for each in self._waiting if each not in forgotten)
        for reference, (ticket, worker, _) in list(self._running.items()):
            if ticket in forgotten:
                del self._running[reference]
                self._pool.remove(worker)
        for ticket in forgotten & self._done.keys():
            del self._done[ticket]

    def overheads(self) -> dict[str, float]:
        """Seconds that went to communication and waiting since this was last asked."""
        spent, self._spent = self._spent, dict.fromkeys(self._spent, 0.0)
        return spent

    def close(self) -> None:
        """Lets the workers go; a cluster that we joined or started here ends with us."""
        self._pool.close()
        self._wait.close()
        if self._ours:
            self._ray.shutdown()

    def _deal(self) -> None:
        while self._waiting and (worker := self._pool.take()) is not None:
            ticket, handed = self._waiting.popleft(), time.monotonic()
            reference = worker.run.remote(ticket.function, ticket.job)
            self._running[reference] = (ticket, worker, handed)

    def _turn(self, seconds: float) -> None:
        """Waits for something to happen, and sees to it."""
        self._pool.check()
        self._deal()
        references = [*self._running, *self._pool.starting]
        idle, started = self._pool.idle, time.monotonic()
        ready = self._wait.ready(references, seconds)
        self._spent["waiting"] += idle * (time.monotonic() - started)
        for reference in ready:
            if reference in self._pool.starting:
                self._pool.started(reference)
            else:
                self._settle(reference)
        self._deal()

    def _settle(self, reference: Any) -> None:
        ticket, worker, handed = self._running.pop(reference)
        errors = self._ray.exceptions
        try:
            self._done[ticket], seconds = self._wait.get(reference)
        except self._lost as error:
            self._pool.remove(worker)
            self._again(ticket, error)
            return
        except errors.RaySystemError as error:
            self._pool.give_back(worker)
            raise RunError(f"a Ray worker cannot run our code: {last_line(error)}") from error
        except errors.RayTaskError as error:
            self._pool.give_back(worker)
            raise cause_of(error) from None
        self._spent["communication"] += max(time.monotonic() - handed - seconds, 0.0)
        self._pool.give_back(worker)

    def _again(self, ticket: Ticket, error: Exception) -> None:
        """Puts lost work last in the queue, so that what ends its workers holds up nobody.

        Raises:
            RunError: It was lost so often that it must be what ends the workers.
        """
        ticket.losses += 1
        if ticket.losses > LOSSES:
            raise RunError(
                f"a unit of work was lost with its worker {ticket.losses} times; the last time: "
                f"{first_line(error)}"
            ) from error
        self._waiting.append(ticket)
