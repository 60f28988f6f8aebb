"""Worker processes of a Ray cluster: as many as are wanted and fit, while nodes come and go."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, final

from qmarl.errors import RunError, UnreachableError
from trainers.distributed import ExecutorConfig, Result
from trainers.distributed_connection import first_line
from trainers.distributed_waiting import Waiting

COUNT_S = 5.0
"""Seconds between two looks at how much room there is."""
STILLBORN = 20
"""Workers that may die one after another while they start."""


@final
class Pool:
    """Keeps workers alive: who dies is replaced, and with ``workers: auto`` room is filled.

    A worker is handed out only after it has answered once, so a worker that waits for a node, or
    for a node's return, holds nothing up.

    Args:
        ray: The module, connected.
        config: How many workers, and what each needs.
        wait: How answers are waited for.
    """

    def __init__(self, ray: Any, config: ExecutorConfig, wait: Waiting) -> None:
        self._ray, self._config, self._wait = ray, config, wait
        others = {name: each for name, each in config.resources.items() if each}
        self._kind = ray.remote(Worker).options(
            num_cpus=config.num_cpus,
            num_gpus=config.num_gpus,
            resources=others,
            max_restarts=0,  # who dies is replaced, perhaps on another node
            max_task_retries=0,  # units of work are pure, so we hand them out again ourselves
            scheduling_strategy="SPREAD",
        )
        self.starting: dict[Any, Any] = {}
        self._free: list[Any] = []
        self._busy: set[Any] = set()
        self._stillborn, self._room, self._counted = 0, 1, -COUNT_S
        self._alone = time.monotonic()
        self.fill()

    def __len__(self) -> int:
        """Workers that answered and are alive, as far as is known."""
        return len(self._free) + len(self._busy)

    @property
    def idle(self) -> int:
        """Workers without work."""
        return len(self._free)

    def fill(self) -> None:
        """Starts workers until there are as many as wanted; lets go of those that cannot come."""
        missing = self._wanted() - len(self) - len(self.starting)
        for _ in range(missing):
            worker = self._kind.remote()
            self.starting[worker.hello.remote()] = worker
        for reference in list(self.starting)[: max(-missing, 0)]:
            self._ray.kill(self.starting.pop(reference))

    def take(self) -> Any | None:
        """A free worker, or ``None``."""
        if not self._free:
            return None
        worker = self._free.pop(0)
        self._busy.add(worker)
        return worker

    def give_back(self, worker: Any) -> None:
        """Frees a worker that has done its work."""
        self._busy.discard(worker)
        self._free.append(worker)

    def remove(self, worker: Any) -> None:
        """Ends a worker that died, or that is stuck; :meth:`check` puts another in its place."""
        self._busy.discard(worker)
        self._ray.kill(worker)
        self._alone = time.monotonic()

    def started(self, reference: Any) -> None:
        """Takes in a worker whose first answer is there, or finds that it died before.

        Raises:
            RunError: No worker can start; the text says why.
        """
        worker = self.starting.pop(reference)
        try:
            self._wait.get(reference)
        except self._ray.exceptions.RayError as error:
            self._stillborn += 1
            if self._stillborn > STILLBORN:
                raise RunError(f"Ray workers cannot start: {first_line(error)}") from error
            time.sleep(min(0.1 * self._stillborn, 1.0))
            self._ray.kill(worker)
            return
        self._stillborn = 0
        self._free.append(worker)

    def check(self) -> None:
        """Replaces who is gone; ends patience with a pool that has been empty for too long.

        Raises:
            UnreachableError: There has been no worker for too long.
        """
        if len(self):
            self._alone = time.monotonic()
        elif time.monotonic() - self._alone > self._config.patience_s:
            raise UnreachableError(
                f"no worker could start in {self._config.patience_s:g} s: each needs "
                f"{self._config.needs}, and the cluster has {self._has()}"
            )
        self.fill()

    def close(self) -> None:
        """Ends all workers."""
        for worker in [*self.starting.values(), *self._free, *self._busy]:
            self._ray.kill(worker)

    def _wanted(self) -> int:
        if self._config.workers != "auto":
            return self._config.workers
        if time.monotonic() - self._counted >= COUNT_S:
            self._counted = time.monotonic()
            self._room = max(sum(self._fits(node) for node in self._ray.nodes()), 1)
        return self._room

    def _fits(self, node: dict[str, Any]) -> int:
        if not node["Alive"]:
            return 0
        has = node["Resources"]
        return min(int(has.get(name, 0.0) // each) for name, each in self._config.needs.items())

    def _has(self) -> dict[str, float]:
        total = self._ray.cluster_resources()
        return {name: total.get(name, 0.0) for name in self._config.needs}


class Worker:
    """A Ray actor without state: it keeps only what importing and compiling left in memory."""

    def hello(self) -> bool:
        """Answers, so that one knows that it is there."""
        return True

    def run(self, function: Callable[..., Result], job: tuple[Any, ...]) -> tuple[Result, float]:
        """Does one unit of work, and says how many seconds it took."""
        started = time.monotonic()
        return function(*job), time.monotonic() - started
