"""A run's round, speed and scores as gauges of Ray, for its dashboard and for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

GAUGES = {
    "round": ("qmarl_round", "Rounds that are done"),
    "clock/env_steps_per_s": ("qmarl_env_steps_per_s", "World steps per second"),
    "episode/success": ("qmarl_success", "Share of training episodes that succeeded"),
    "episode/return": ("qmarl_return", "Mean return of training episodes"),
}
"""What is shown, by the metric that it comes from: the gauge's name and what it is."""


@final
class RaySink:
    """Sets gauges, each with the tag ``run``; the driver has to be connected to a cluster.

    Args:
        run: The run's directory.
        config: Not looked at.
    """

    def __init__(self, run: Path, config: Mapping[str, Any]) -> None:  # noqa: ARG002 - a sink
        from ray.util.metrics import Gauge

        self._gauges = {
            metric: Gauge(name, description=what, tag_keys=("run",))
            for metric, (name, what) in GAUGES.items()
        }
        self._tags = {"run": f"{run.parent.name}/{run.name}"}

    def log(self, round_number: int, numbers: Mapping[str, float]) -> None:
        """Sets the gauges to a round's numbers."""
        for metric, value in ({**numbers, "round": round_number + 1}).items():
            if metric in self._gauges:
                self._gauges[metric].set(value, self._tags)

    def close(self) -> None:
        """Has nothing to close: Ray forgets the gauges with the driver."""
