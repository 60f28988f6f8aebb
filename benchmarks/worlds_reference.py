"""Scores worlds without learning: how hard they are before anyone has trained.

Run ``python benchmarks/worlds_reference.py`` (about a minute): it prints a table and writes
``benchmarks/scores/worlds_reference.json``. Every number follows from the seeds below.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from envs.mobility import MobilitySection
from envs.references import POLICIES
from envs.registry import ENVS, make
from envs.scripted import Policy, at_random, play, straight
from envs.section import WorldSection
from envs.tasks.drone_layout import DroneNavigationConfig
from qmarl.types import Array

EPISODES, SEED, RESAMPLES = 2000, 20_000, 2000
RUNGS = ("easy", "medium", "hard")
SCORES = Path(__file__).parent / "scores" / "worlds_reference.json"

Score = dict[str, dict[str, float]]


def interval(values: Array) -> dict[str, float]:
    """Mean and 95 % percentile bootstrap interval of ``(n,)`` values; nan ones are left out."""
    known = values[np.isfinite(values)]
    if not known.size:
        return {}
    generator = np.random.default_rng(SEED)
    means = known[generator.integers(0, known.size, (RESAMPLES, known.size))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    found = {"mean": known.mean(), "low": low, "high": high}
    return {name: round(float(value), 4) for name, value in found.items()}


def score(config: WorldSection, policy: Policy) -> Score:
    """Plays the episodes and returns intervals by metric."""
    found = play(make(config, EPISODES), policy, SEED)
    return {name: interval(values) for name, values in found.items()}


def both(config: WorldSection) -> Iterator[tuple[str, Policy]]:
    """The reference policy and the random one."""
    yield "scripted", POLICIES[config.id](config)
    yield "random", at_random(SEED, make(config, 1).spec)


def sections(name: str) -> Iterator[tuple[str, WorldSection]]:
    """Every section of a world that is scored, with what sets it apart."""
    section = ENVS[name].config
    if not issubclass(section, MobilitySection):
        yield "", section()
        return
    for actions in ("discrete", "continuous"):
        for rung in RUNGS:
            yield f"{rung}, {actions}, ", section(difficulty=rung, actions=actions)


def world(name: str) -> dict[str, Score]:
    """Scores of one world by rung, kind of actions and policy."""
    return {
        f"{place}{who}": score(config, policy)
        for place, config in sections(name)
        for who, policy in both(config)
    }


def main() -> None:
    """Scores every world, prints and writes."""
    worlds = {name: world(name) for name in ENVS}
    for drones in (3, 4):
        config = DroneNavigationConfig(drones=drones)
        worlds["drone_navigation"][f"{drones} drones, straight"] = score(config, straight)
    about = {"episodes": EPISODES, "seed": SEED}
    SCORES.write_text(json.dumps({**about, "worlds": worlds}, indent=1) + "\n", encoding="utf-8")
    for name, scores in worlds.items():
        for place, metrics in scores.items():
            line = "  ".join(
                f"{metric} {m['mean']:.3f} [{m['low']:.3f}, {m['high']:.3f}]"
                for metric, m in metrics.items()
                if m
            )
            print(f"{name}, {place:28}  {line}")


if __name__ == "__main__":
    main()
