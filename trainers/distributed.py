"""Where units of work run: in this process, or on Ray; the results are the same bits.

A unit of work is a pure function of its arguments, so a lost one is simply run again.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from pydantic import Field, model_validator

from qmarl.config import Section
from qmarl.errors import QmarlError, RunError, UnreachableError

Result = TypeVar("Result")
PREFLIGHT_S = 3.0
RETRIES = 20


class ExecutorConfig(Section):
    """Where rollouts and learning run."""

    shorthand: ClassVar[str] = "kind"

    kind: Literal["inline", "ray"] = "inline"
    """``inline``: in this process; ``ray``: on worker processes of a Ray cluster."""
    workers: int = Field(2, ge=1)
    """Worker processes (ray)."""
    address: str | None = None
    """Cluster to join (ray); by default ``RAY_ADDRESS``, else a cluster of this machine alone."""
    resources: dict[str, float] = Field(default_factory=dict)
    """Custom Ray resources that each worker needs, such as ``{airsim: 1}``."""

    @model_validator(mode="after")
    def _belongs_to_ray(self) -> ExecutorConfig:
        # Compared with the defaults, so that a resolved configuration loads again.
        plain = (self.workers, self.address, self.resources) == (2, None, {})
        if self.kind == "inline" and not plain:
            raise ValueError("workers, address and resources are for 'kind: ray', not for 'inline'")
        return self


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

    def close(self) -> None:
        """Lets go of every process."""
        ...


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

    def close(self) -> None:
        """Has nothing to let go of."""


class RayExecutor:
    """Runs units of work on Ray actors; a job whose worker dies runs again on another.

    Args:
        config: Address, number of workers and what each of them needs.

    Raises:
        UnreachableError: The cluster does not answer, or refuses us.
    """

    def __init__(self, config: ExecutorConfig) -> None:
        self._ray, self._ours = _connect(config)
        worker = self._ray.remote(_Worker).options(
            num_cpus=1,
            resources=config.resources,
            max_restarts=-1,
            max_task_retries=0,  # we retry ourselves, with a pause while a worker restarts
            scheduling_strategy="SPREAD",
        )
        self._workers = [worker.remote() for _ in range(config.workers)]

    def map(self, function: Callable[..., Result], jobs: Sequence[tuple[Any, ...]]) -> list[Result]:
        """Deals the jobs to free workers until all have come back."""
        results = self._dealt(function, jobs, None)
        return [results[index] for index in range(len(jobs))]

    def map_within(
        self,
        function: Callable[..., Result],
        jobs: Sequence[tuple[Any, ...]],
        seconds: float,
    ) -> list[Result | None]:
        """Deals the jobs until the time is up; workers that are late then are started anew."""
        results = self._dealt(function, jobs, time.monotonic() + seconds)
        return [results.get(index) for index in range(len(jobs))]

    def _dealt(
        self,
        function: Callable[..., Result],
        jobs: Sequence[tuple[Any, ...]],
        deadline: float | None,
    ) -> dict[int, Result]:
        """Results by the jobs' places: all of them, or those that came before the deadline."""
        results: dict[int, Result] = {}
        waiting, running = list(range(len(jobs)))[::-1], dict[Any, tuple[int, Any]]()
        free, losses = list(self._workers), 0
        while len(results) < len(jobs):
            while free and waiting:
                worker, index = free.pop(0), waiting.pop()
                running[worker.run.remote(function, jobs[index])] = (index, worker)
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            ready = self._ray.wait(list(running), num_returns=1, timeout=left)[0]
            if not ready:
                for _, worker in running.values():
                    self._ray.kill(worker, no_restart=False)
                break
            for reference in ready:
                index, worker = running.pop(reference)
                free.append(worker)
                if not self._take(reference, index, results):
                    losses += 1
                    waiting.append(index)
                    _pause(losses, RETRIES * len(jobs))
        return results

    def _take(self, reference: Any, index: int, results: dict[int, Any]) -> bool:
        errors = self._ray.exceptions
        try:
            results[index] = self._ray.get(reference)
        except (errors.RayActorError, errors.ObjectLostError):
            return False
        except errors.RaySystemError as error:
            raise RunError(f"a Ray worker cannot run our code: {_first_line(error)}") from error
        except errors.RayTaskError as error:
            raise error.cause if isinstance(error.cause, QmarlError) else error from None
        return True

    def close(self) -> None:
        """Lets the workers go; a cluster that we joined or started here ends with us."""
        for worker in self._workers:
            self._ray.kill(worker)
        if self._ours:
            self._ray.shutdown()


def make_executor(config: ExecutorConfig) -> Executor:
    """Builds the executor that ``config`` describes."""
    return RayExecutor(config) if config.kind == "ray" else InlineExecutor()


class _Worker:
    """A Ray actor without state: it keeps only what importing and compiling left in memory."""

    def run(self, function: Callable[..., Result], job: tuple[Any, ...]) -> Result:
        return function(*job)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _pause(losses: int, limit: int) -> None:
    if losses > limit:
        raise RunError(f"workers were lost {losses} times in one round; the last loss ends the run")
    time.sleep(min(0.1 * losses, 1.0))


def _connect(config: ExecutorConfig) -> tuple[Any, bool]:
    """Starts a local cluster, or joins the one that is named, after a short knock at its door.

    Returns:
        The module ``ray``, and whether the connection is ours to close.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # workers use this environment
    address = config.address or os.environ.get("RAY_ADDRESS") or "local"
    if address != "local":
        knock(address)
    import ray

    if ray.is_initialized():  # the process that calls us keeps a cluster of its own
        return ray, False
    own = {"num_cpus": config.workers, "object_store_memory": 200 * 2**20}
    options: dict[str, Any] = own if address == "local" else {}
    if address == "local" and config.resources:
        options["resources"] = {k: v * config.workers for k, v in config.resources.items()}
    try:
        ray.init(
            address=address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}},
            **options,
        )
    except ConnectionError as error:
        raise UnreachableError(
            f"the Ray cluster at {address} did not let us in ({error}); clusters with token "
            "authentication need RAY_AUTH_MODE=token and the head's RAY_AUTH_TOKEN here"
        ) from error
    return ray, True


def knock(address: str) -> None:
    """Checks within three seconds that something listens at a cluster's address.

    Args:
        address: ``host:port``, or ``ray://host:port``; ``auto`` is left to Ray.

    Raises:
        UnreachableError: Nothing does, or the address is not of that form.
    """
    if address == "auto":
        return
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdigit():
        raise UnreachableError(f"the Ray address '{address}' is not host:port")
    try:
        socket.create_connection((host.strip("[]"), int(port)), PREFLIGHT_S).close()
    except OSError as error:
        raise UnreachableError(
            f"no Ray cluster answers at {address} ({error}); start one with `ray start --head`, "
            "or leave out the address to run on this machine"
        ) from error
