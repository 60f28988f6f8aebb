"""What a unit of work ran on PennyLane devices, counted in the process that did it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import TypeVar

from agents.actor import Policy
from agents.circuit_actor import DevicePolicy
from qmarl.circuits.ledger import Counts

Result = TypeVar("Result")


def metered(policies: Iterable[Policy], work: Callable[[], Result]) -> tuple[Result, Counts]:
    """Does some work and tells what it ran on devices.

    Args:
        policies: Those whose circuits the work runs.
        work: What to do.

    Returns:
        The work's result, and the circuits that it took; nothing for programs and networks.
    """
    on_devices = [policy for policy in policies if isinstance(policy, DevicePolicy)]
    ledgers = {id(ledger): ledger for ledger in (each.circuit.ledger for each in on_devices)}
    before = [ledger.snapshot() for ledger in ledgers.values()]
    result = work()
    after = [ledger.snapshot() for ledger in ledgers.values()]
    return result, total(now.since(then) for now, then in zip(after, before, strict=True))


def total(counts: Iterable[Counts]) -> Counts:
    """The sum of several counts.

    >>> total([Counts(executions=2), Counts(executions=3)]).executions
    5
    """
    return reduce(Counts.plus, counts, Counts())
