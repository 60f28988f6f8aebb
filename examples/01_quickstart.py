"""Trains a quantum team and its classical twin on the same worlds and sets them side by side.

.venv/bin/python examples/01_quickstart.py rounds=40

Overrides on the command line (``a.b=value``) hold for both. Without any, both train as long as
``configs/quickstart.yaml`` says.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainers.config import load_experiment
from trainers.progress import make_progress
from trainers.report import write_report
from trainers.runs import evaluate, train

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "quickstart.yaml"


def learn(kind: str, overrides: Sequence[str]) -> Path:
    """Trains a team with actors of ``kind`` and returns its run directory."""
    config = load_experiment(CONFIG, [*overrides, f"actor.kind={kind}", f"name=example-{kind}"])
    console = make_progress()
    try:
        return train(config, source=CONFIG.read_text(encoding="utf-8"), console=console)
    finally:
        console.close()


def line(kind: str, scores: dict[str, Any]) -> str:
    """Writes one team's scores with their 95 % intervals."""
    cells = []
    for name in ("success", "collision", "return"):
        score = scores[name]
        cells.append(f"{name} {score['mean']:.2f} ({score['low']:.2f} to {score['high']:.2f})")
    return f"{kind:<4} {', '.join(cells)}"


def main(overrides: Sequence[str]) -> None:
    """Trains both, plays both on the same held-out episodes, and writes one report."""
    runs = {kind: learn(kind, overrides) for kind in ("vqc", "mlp")}
    for kind, run in runs.items():
        print(line(kind, evaluate(run, episodes=100, seed=1)))
    print(f"report: {write_report(runs['vqc'], [runs['mlp']])}")


if __name__ == "__main__":
    main(sys.argv[1:])
