"""Scores flights without learning: how hard drone navigation is before anyone has trained.

Run ``python benchmarks/worlds_reference.py``: it prints a table and writes
``benchmarks/scores/worlds_reference.json``. Every number follows from the seeds below.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from envs.registry import make
from envs.scripted import Policy, at_random, play, straight
from envs.tasks.drone_layout import DroneNavigationConfig
from qmarl.types import Array

EPISODES, SEED, RESAMPLES = 2000, 20_000, 10_000
TEAMS = (3, 4)
SCORES = Path(__file__).parent / "scores" / "worlds_reference.json"


def interval(values: Array) -> dict[str, float]:
    """Mean and 95 % percentile bootstrap interval of ``(n,)`` values; nan ones are left out."""
    known = values[np.isfinite(values)]
    if not known.size:
        return {}
    generator = np.random.default_rng(SEED)
    means = [generator.choice(known, known.size).mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    found = {"mean": known.mean(), "low": low, "high": high}
    return {name: round(float(value), 4) for name, value in found.items()}


def score(policy: Policy, drones: int) -> dict[str, dict[str, float]]:
    """Plays the episodes and returns intervals by metric."""
    world = make(DroneNavigationConfig(drones=drones), EPISODES)
    found = play(world, policy, SEED)
    names = ("success", "collision", "time_to_goal", "return", "length")
    return {name: interval(found[name]) for name in names}


def main() -> None:
    """Scores both scripts on every team, prints and writes."""
    results = {
        f"{drones} drones": {
            "straight": score(straight, drones),
            "random": score(at_random(SEED), drones),
        }
        for drones in TEAMS
    }
    about = {"world": "drone_navigation, defaults", "episodes": EPISODES, "seed": SEED}
    SCORES.write_text(json.dumps({**about, "scores": results}, indent=2) + "\n", encoding="utf-8")
    for team, scripts in results.items():
        for script, metrics in scripts.items():
            line = "  ".join(
                f"{name} {m['mean']:.3f} [{m['low']:.3f}, {m['high']:.3f}]"
                for name, m in metrics.items()
                if m
            )
            print(f"{team}, {script:8}  {line}")


if __name__ == "__main__":
    main()
