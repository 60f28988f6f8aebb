"""Waiting for Ray in a thread of its own, so that signals reach the one who runs the training.

Ray's compiled code looks at signals while the main thread waits in it. An exception that a handler
raises there is lost, or comes out as a ``SystemError``; in Python's own waiting it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, final


@final
class Waiting:
    """Ray's two calls that take time.

    Args:
        ray: The module, connected.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="waits-for-ray")

    def ready(self, references: Sequence[Any], seconds: float) -> list[Any]:
        """Those of ``references`` that are there when the first is, or when the time is over."""
        return self._thread.submit(self._wait, references, seconds).result()

    def get(self, reference: Any) -> Any:
        """What a reference stands for; raises what Ray raises."""
        return self._thread.submit(self._ray.get, reference).result()

    def close(self) -> None:
        """Waits until nobody waits any more."""
        self._thread.shutdown()

    def _wait(self, references: Sequence[Any], seconds: float) -> list[Any]:
        ready: list[Any] = self._ray.wait(list(references), num_returns=1, timeout=seconds)[0]
        return ready
