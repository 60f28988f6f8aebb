"""Where units of work run: in this process, or on Ray; the results are the same bits.

A unit of work is a pure function of its arguments, so a lost one is simply run again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeVar, final

from pydantic import Field, model_validator

from qmarl.config import Section

Result = TypeVar("Result")


class ExecutorConfig(Section):
    """Where rollouts, learning and evaluations run."""

    shorthand: ClassVar[str] = "kind"

    kind: Literal["inline", "ray"] = "inline"
    """``inline``: in this process; ``ray``: on worker processes of a Ray cluster."""
    workers: int | Literal["auto"] = Field(2, union_mode="left_to_right")
    """Worker processes (ray). A cluster with less room works with as many as fit, and starts the
    rest when nodes come; ``auto``: as many as fit, while nodes come and go."""
    address: str | None = None
    """Cluster to join (ray); by default ``RAY_ADDRESS``, else a cluster of this machine alone."""
    num_cpus: float = Field(1.0, ge=0)
    """Processor cores that Ray sets aside for each worker."""
    num_gpus: float = Field(0.0, ge=0)
    """GPUs that Ray sets aside for each worker; a half lets two workers share one."""
    resources: dict[str, float] = Field(default_factory=dict)
    """Custom Ray resources that each worker needs, such as ``{airsim: 1}``."""
    working_dir: str | None = None
    """Directory, or wheel, whose code is sent to the workers of a cluster; by default every node
    has qmarl installed."""
    patience_s: float = Field(300.0, gt=0)
    """Seconds without any worker after which a run ends; autoscaling clusters take minutes."""

    @model_validator(mode="after")
    def _belongs_to_ray(self) -> ExecutorConfig:
        if self.workers != "auto" and self.workers < 1:
            raise ValueError(f"workers: 1 or more, or 'auto', got {self.workers}")
        if not self.num_cpus and not self.num_gpus and not self.resources:
            raise ValueError("num_cpus: a worker that needs nothing would fit a cluster endlessly")
        # Compared with the defaults, so that a resolved configuration loads again.
        plain = {
            name: field.get_default(call_default_factory=True)
            for name, field in type(self).model_fields.items()
            if name != "kind"
        }
        given = [name for name, default in plain.items() if getattr(self, name) != default]
        if self.kind == "inline" and given:
            raise ValueError(f"{', '.join(given)}: for 'kind: ray', not for 'inline'")
        return self

    @property
    def needs(self) -> dict[str, float]:
        """What each worker takes from a node, by Ray's names."""
        every = {"CPU": self.num_cpus, "GPU": self.num_gpus, **self.resources}
        return {name: amount for name, amount in every.items() if amount}


@dataclass(eq=False)
class Ticket:
    """One unit of work that was handed in; compared by identity.

    Attributes:
        function: What to call.
        job: Its arguments.
        losses: How many workers it has outlived.
    """

    function: Callable[..., Any]
    job: tuple[Any, ...]
    losses: int = 0


class Executor(Protocol):
    """Runs independent units of work."""

    def map(self, function: Callable[..., Result], jobs: Sequence[tuple[Any, ...]]) -> list[Result]:
        """Calls ``function(*job)`` for every job and returns the results in the jobs' order.

        Raises:
            QmarlError: Whatever a unit of work raised.
            RunError: A unit of work was lost again and again.
        """
        ...

    def map_within(
        self,
        function: Callable[..., Result],
        jobs: Sequence[tuple[Any, ...]],
        seconds: float,
    ) -> list[Result | None]:
        """As :meth:`map`, but what is not there after ``seconds`` of wall-clock time is given up.

        Returns:
            The results in the jobs' order, ``None`` for a job that was given up.
        """
        ...

    def begin(self, function: Callable[..., Any], job: tuple[Any, ...]) -> Ticket:
        """Hands in a unit of work, to be done while others are waited for."""
        ...

    def finished(
        self, tickets: Sequence[Ticket], enough: int, seconds: float | None
    ) -> dict[Ticket, Any]:
        """Waits for units of work that were handed in, and gives each result once.

        Args:
            tickets: What is waited for.
            enough: How many results end the waiting.
            seconds: How long to wait at most; ``None`` for no limit.

        Returns:
            What is there, perhaps more than ``enough``; in the order of ``tickets``.
        """
        ...

    def give_up(self, tickets: Sequence[Ticket]) -> None:
        """Forgets units of work, whether under way or not."""
        ...

    def overheads(self) -> dict[str, float]:
        """Seconds of workers that went to anything but work, since this was last asked.

        Returns:
            ``communication``: from handing out a unit of work until its result is here, less the
            work itself; ``waiting``: workers that had nothing to do while others were waited for.
        """
        ...

    def close(self) -> None:
        """Lets go of every process."""
        ...


@final
class InlineExecutor:
    """Runs each unit of work here, one after another."""

    def map(self, function: Callable[..., Result], jobs: Sequence[tuple[Any, ...]]) -> list[Result]:
        """Calls the function in this process."""
        return [function(*job) for job in jobs]

    def map_within(
        self,
        function: Callable[..., Result],
        jobs: Sequence[tuple[Any, ...]],
        seconds: float,  # noqa: ARG002 - one after another, nobody is late
    ) -> list[Result | None]:
        """Takes all the time that it needs: a job that runs here cannot be left alone."""
        return [*self.map(function, jobs)]

    def begin(self, function: Callable[..., Any], job: tuple[Any, ...]) -> Ticket:
        """Notes the work; it is done when it is asked for."""
        return Ticket(function, job)

    def finished(
        self,
        tickets: Sequence[Ticket],
        enough: int,
        seconds: float | None,  # noqa: ARG002 - as in map_within
    ) -> dict[Ticket, Any]:
        """Does the first ``enough`` of them, whatever time that takes."""
        return {ticket: ticket.function(*ticket.job) for ticket in tickets[:enough]}

    def give_up(self, tickets: Sequence[Ticket]) -> None:
        """Has nothing to stop: what was not asked for was never begun."""

    def overheads(self) -> dict[str, float]:
        """None: nothing travels, and nobody waits."""
        return {"communication": 0.0, "waiting": 0.0}

    def close(self) -> None:
        """Has nothing to let go of."""


def greet(config: ExecutorConfig) -> None:
    """Makes sure within seconds that the cluster is there, before any long preparation.

    Raises:
        UnreachableError: It does not answer, or refuses us.
    """
    if config.kind == "ray":
        from trainers import distributed_connection

        distributed_connection.greet(config)


def make_executor(config: ExecutorConfig) -> Executor:
    """Builds the executor that ``config`` describes.

    Raises:
        UnreachableError: The cluster does not answer, or refuses us.
    """
    if config.kind == "inline":
        return InlineExecutor()
    from trainers.distributed_ray import RayExecutor

    return RayExecutor(config)
