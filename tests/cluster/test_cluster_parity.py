"""Inline and Ray with one, two and four workers give the same bits, whatever is shared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cluster_tools import MODES, digest

from trainers.distributed import ExecutorConfig
from trainers.distributed_ray import RayExecutor

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


class Kept:
    """An executor that outlives the trainings that use it."""

    def __init__(self, inner: RayExecutor) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def close(self) -> None:
        """Left to the fixture."""


@pytest.fixture(scope="module")
def executors() -> Iterator[dict[int, RayExecutor]]:
    """Executors of one, two and four workers on one small cluster of this process."""
    import ray

    options = {"include_dashboard": False, "log_to_driver": False}
    ray.init(address="local", num_cpus=7, object_store_memory=100 * 2**20, **options)
    made = {count: RayExecutor(ExecutorConfig(kind="ray", workers=count)) for count in (1, 2, 4)}
    yield made
    for executor in made.values():
        executor.close()
    ray.shutdown()


QUICK = ("none", "shared", "agents", "fleets")
"""Every way of sharing; the rest is for ``-m slow``."""


@pytest.mark.parametrize(
    "mode", [pytest.param(m, marks=[] if m in QUICK else pytest.mark.slow) for m in MODES]
)
def test_every_number_of_workers_gives_the_bits_of_inline(
    small: Any, train: Any, executors: dict[int, RayExecutor], mode: str, monkeypatch: Any
) -> None:
    """Clock readings apart; five rounds, an evaluation in shards, and the final one."""
    inline = digest(train(small(*MODES[mode])))
    for count, executor in executors.items():
        kept = Kept(executor)
        monkeypatch.setattr("trainers.runs.make_executor", lambda config, kept=kept: kept)
        assert digest(train(small(*MODES[mode]))) == inline, count
