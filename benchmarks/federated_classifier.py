"""Trains the federated classifier with and without attacks, over seeds, and keeps every result.

    python benchmarks/federated_classifier.py          # the table, about a minute
    python benchmarks/federated_classifier.py --variants fedavg --seeds 0 1 2 3 4 5 6 7 8 9

Accuracies are those of the server's parameters on samples that no client has, after the last round.
Results go to benchmarks/scores/federated_classifier.json, one row a variant.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy starts its threads

CONFIG = Path("configs/federated/wdbc.yaml")
SCORES = Path("benchmarks/scores/federated_classifier.json")
MALICIOUS = "clients: [client_0, client_1, client_2]"
TURNED = f"federation.attack={{kind: inner_product, scale: 3, {MALICIOUS}}}"
TRIMMED = "federation.strategy={kind: fedtrimmedavg, beta: 0.3}"
MULTIKRUM = "federation.strategy={kind: multikrum, num_malicious_clients: 3}"
PRIVATE = "federation.privacy={noise_multiplier: %d, clipping_norm: 0.5}"
VARIANTS = {
    "fedavg": [],
    "uneven": ["data.split={kind: dirichlet, alpha: 0.5}"],
    "36 parameters": ["classifier.layers=3"],
    "private, noise 1": [PRIVATE % 1],
    "private, noise 1, secure sums": [PRIVATE % 1, "federation.secagg={}"],
    "private, noise 4": [PRIVATE % 4],
    "turned, fedavg": [TURNED],
    "turned, fedmedian": [TURNED, "federation.strategy=fedmedian"],
    "turned, fedtrimmedavg": [TURNED, TRIMMED],
    "turned, multikrum": [TURNED, MULTIKRUM],
    "labels flipped, fedavg": [f"poisoning={{kind: label_flip, {MALICIOUS}}}"],
    "labels flipped, multikrum": [f"poisoning={{kind: label_flip, {MALICIOUS}}}", MULTIKRUM],
    "backdoor, fedavg": [f"poisoning={{kind: backdoor, {MALICIOUS}}}"],
    "backdoor, multikrum": [f"poisoning={{kind: backdoor, {MALICIOUS}}}", MULTIKRUM],
    "trigger alone, fedavg": [f"poisoning={{kind: backdoor, share: 1.0e-9, {MALICIOUS}}}"],
}


def run(variant: str, seeds: list[int]) -> dict[str, Any]:
    """Trains one variant with all seeds and returns its row."""
    from trainers.perception.config import load_classification
    from trainers.perception.training import classify

    config = load_classification(CONFIG, [*VARIANTS[variant], f"seeds={seeds}"])
    processor = time.process_time()
    found = classify(config)
    triggered = found.triggered
    return {
        "variant": variant,
        "parameters": found.parameters,
        "seeds": seeds,
        "accuracy": [round(score, 4) for score in found.final.tolist()],
        "triggered": None if triggered is None else [round(s, 4) for s in triggered.tolist()],
        "bytes_up_per_round": found.reports[0][0].bytes_up,
        "epsilon": None if found.spent is None else round(found.spent.epsilon, 2),
        "cpu_s": round(time.process_time() - processor, 1),
    }


def load() -> list[dict[str, Any]]:
    """The rows so far."""
    return json.loads(SCORES.read_text()) if SCORES.exists() else []


def keep(row: dict[str, Any]) -> None:
    """Puts a row in the place of an older one of the same variant."""
    rows = {old["variant"]: old for old in load()} | {row["variant"]: row}
    ordered = [rows[variant] for variant in VARIANTS if variant in rows]
    SCORES.write_text(json.dumps(ordered, indent=1) + "\n")


def table() -> str:
    """Mean accuracy of each variant, with its interval over seeds, and that under a trigger."""
    import numpy as np

    from trainers.statistics import bootstrap

    lines = ["variant                         accuracy [95 % over seeds]  worst  with the trigger"]
    for row in load():
        sure = bootstrap(np.array(row["accuracy"]))
        spread = f"{sure['mean']:.3f} [{sure['low']:.3f}, {sure['high']:.3f}]"
        triggered = f"{np.mean(row['triggered']):.3f}" if row["triggered"] else ""
        worst = min(row["accuracy"])
        lines.append(f"{row['variant']:<30}  {spread:<26}  {worst:.3f}  {triggered}".rstrip())
    return "\n".join(lines)


def main() -> None:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    asked = parser.parse_args()
    for variant in asked.variants:
        keep(run(variant, asked.seeds))
    print(table())


if __name__ == "__main__":
    main()
