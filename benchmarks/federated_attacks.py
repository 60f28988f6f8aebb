"""Trains eight fleets, two of them malicious, under several strategies, and keeps every result.

    python benchmarks/federated_attacks.py             # the table, about half an hour of one core
    python benchmarks/federated_attacks.py --variants clean multikrum --seeds 0

Each run is judged as `qmarl train` judges it: the checkpoint that was best on validation worlds,
greedily, on 200 held-out episodes of other seeds. All have the same budget of world steps, but for
those called "16 worlds": a third as many at each site in each round, so that what the sites learn
differs more by chance, which a rule that picks among ranks cannot tell from malice. Results
go to benchmarks/scores/federated_attacks.json, one row a run; a row that is there already for the
same configuration is not run again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

CONFIG = Path("configs/federated/drone_fleets.yaml")
SCORES = Path("benchmarks/scores/federated_attacks.json")
ATTACK = "federation.attack={kind: inner_product, clients: [fleet_0, fleet_1], scale: 5}"
MEDIAN = "federation.strategy=fedmedian"
TRIMMED = "federation.strategy={kind: fedtrimmedavg, beta: 0.25}"
MULTIKRUM = "federation.strategy={kind: multikrum, num_malicious_clients: 2}"
MIXING = "federation.neighbour_mixing=2"
FEW = "env.num_envs=16"
VARIANTS = {
    "clean": [],
    "fedavg": [ATTACK],
    "fedmedian": [ATTACK, MEDIAN],
    "fedtrimmedavg": [ATTACK, TRIMMED],
    "geometric_median": [ATTACK, "federation.strategy=geometric_median"],
    "centred_clipping": [ATTACK, "federation.strategy=centred_clipping"],
    "multikrum": [ATTACK, MULTIKRUM],
    "mixing, fedtrimmedavg": [ATTACK, TRIMMED, MIXING],
    "16 worlds, clean": [FEW],
    "16 worlds, fedmedian": [ATTACK, MEDIAN, FEW],
    "16 worlds, fedtrimmedavg": [ATTACK, TRIMMED, FEW],
    "16 worlds, mixing, fedtrimmedavg": [ATTACK, TRIMMED, MIXING, FEW],
}


def fingerprint(variant: str) -> str:
    """Hash of everything that a variant's rows come from."""
    text = CONFIG.read_text() + repr(VARIANTS[variant])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def run(job: tuple[str, int]) -> dict[str, Any]:
    """Trains one variant with one seed and returns its row."""
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    from trainers.config import load_experiment
    from trainers.logger import read_metrics
    from trainers.progress import SilentProgress
    from trainers.rundir import RunDirectory
    from trainers.runs import train

    variant, seed = job
    with tempfile.TemporaryDirectory() as directory:
        overrides = [*VARIANTS[variant], f"seed={seed}", f"logging.directory={directory}"]
        config = load_experiment(CONFIG, overrides)
        processor = time.process_time()
        path = train(config, source=CONFIG.read_text(), console=SilentProgress())
        processor = time.process_time() - processor
        lines = read_metrics(RunDirectory.open(path))
        final = json.loads((path / "eval" / "final.json").read_text())
    judged = [line for line in lines if "eval/success" in line]
    return {
        "variant": variant,
        "seed": seed,
        "config": fingerprint(variant),
        "final": final,
        "env_steps": lines[-1]["env_steps"],
        "validation": [[line["env_steps"], line["eval/success"]] for line in judged],
        "train_cpu_s": round(processor, 1),
    }


def load() -> list[dict[str, Any]]:
    """The rows so far."""
    return json.loads(SCORES.read_text()) if SCORES.exists() else []


def keep(row: dict[str, Any]) -> None:
    """Puts a row in the place of an older one of the same variant and seed."""
    rows = [old for old in load() if (old["variant"], old["seed"]) != (row["variant"], row["seed"])]
    rows = sorted([*rows, row], key=lambda each: (each["variant"], each["seed"]))
    SCORES.write_text(json.dumps(rows, indent=1) + "\n")


def table() -> str:
    """Success of each variant, its mean over seeds as a share of that without malicious fleets."""
    import numpy as np

    rows = load()
    found = {
        variant: np.array(
            [row["final"]["success"]["mean"] for row in rows if row["variant"] == variant]
        )
        for variant in VARIANTS
    }
    lines = [f"{'variant':<32} seeds  success mean  worst  best   of clean"]
    lines += [
        f"{name:<32} {len(own):>5}  {own.mean():<12.3f}  {own.min():.3f}  {own.max():.3f}"
        f"  {own.mean() / _clean(found, name):.2f}"
        for name, own in found.items()
        if len(own)
    ]
    return "\n".join(lines)


def _clean(found: dict[str, Any], name: str) -> float:
    """Mean success without malicious fleets, in as many worlds."""
    own = found["16 worlds, clean" if name.startswith("16 worlds") else "clean"]
    return float(own.mean()) if len(own) else float("nan")


def main() -> None:
    """Runs what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(3)))
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    done = {
        (row["variant"], row["seed"])
        for row in load()
        if row["variant"] in VARIANTS and row["config"] == fingerprint(row["variant"])
    }
    jobs = [(v, s) for s in asked.seeds for v in asked.variants if (v, s) not in done]
    with multiprocessing.get_context("spawn").Pool(asked.processes) as pool:
        for row in pool.imap_unordered(run, jobs):
            keep(row)
            success = row["final"]["success"]["mean"]
            print(f"{row['variant']} seed {row['seed']}: success {success:.3f}", flush=True)
    print(table())


if __name__ == "__main__":
    main()
