"""Measures what fused circuits give the main job: env-steps per CPU-second, side by side.

    python benchmarks/train_throughput.py

Plays rounds of configs/quickstart.yaml (collecting, learning, sharing; no evaluation) with the
actor on the fused program and on PennyLane's `default.qubit`, in one process, interleaved; prints
medians and their ratio and writes benchmarks/scores/train_throughput.json.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

SCORES = Path("benchmarks/scores/train_throughput.json")
BACKENDS = {
    "vqc, program": ["actor.backend=program"],
    "vqc, pennylane:default.qubit": ["actor.backend=pennylane:default.qubit"],
    "mlp twin": ["actor.kind=mlp"],
}


def player(overrides: list[str]) -> Callable[[int], float]:
    """Returns a function that plays round ``number`` and gives env-steps per CPU-second."""
    from trainers.build import build, make_rounds
    from trainers.config import load_experiment
    from trainers.distributed import InlineExecutor

    parts = build(load_experiment(Path("configs/quickstart.yaml"), overrides))
    rounds, state = make_rounds(parts, InlineExecutor()), parts.start

    def play(number: int) -> float:
        started = time.process_time()
        params = {
            name: parts.federations[name].broadcast(arrays, number)
            for name, arrays in state.params.items()
        }
        outcome = rounds.play(params, state.moments, number, 0.0)
        for name, federation in parts.federations.items():
            learned = outcome.learned[name]
            federation.gather(learned.params, learned.examples, number)
        return outcome.env_steps / (time.process_time() - started)

    return play


def main() -> None:
    """Interleaves the backends and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    count = parser.parse_args().rounds
    players = {name: player(overrides) for name, overrides in BACKENDS.items()}
    speeds: dict[str, list[float]] = {name: [] for name in players}
    for number in range(count + 1):
        for name, play in players.items():
            speed = play(number)
            if number:  # the first round warms up
                speeds[name].append(speed)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    slow = medians["vqc, pennylane:default.qubit"]
    rows = {
        name: {
            "env_steps_per_cpu_s": round(median, 1),
            "ratio_to_pennylane": round(median / slow, 2),
            "raw": [round(value, 1) for value in speeds[name]],
        }
        for name, median in medians.items()
    }
    SCORES.write_text(json.dumps(rows, indent=1) + "\n")
    for name, row in rows.items():
        ratio = row["ratio_to_pennylane"]
        print(f"{name:<30} {row['env_steps_per_cpu_s']:>9} env-steps/CPU-s  x {ratio}")


if __name__ == "__main__":
    main()
