"""One Ray cluster of several nodes on this machine for all tests, and small experiments for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_tools import SMALL, make_cluster

from qmarl.config import load
from trainers.config import PRESETS, ExperimentConfig


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A head and two nodes; tests add and remove nodes, and leave two behind."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    made = make_cluster()
    yield made
    made.shutdown()


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., ExperimentConfig]:
    """Loads the small experiment with overrides; its runs land under the test's directory."""
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)

    def make(*overrides: str) -> ExperimentConfig:
        runs = f"logging.directory={tmp_path / 'runs'}"
        return load(path, [runs, *overrides], ExperimentConfig, PRESETS)[0]

    return make


@pytest.fixture
def train() -> Callable[[ExperimentConfig], Path]:
    """Trains an experiment quietly and returns its run directory."""
    from trainers.progress import SilentProgress
    from trainers.runs import train as start

    return lambda config: start(config, source="# a test\n", console=SilentProgress())
