"""Trains the quickstart over seeds, sharing modes and team sizes, and keeps every raw result.

    python benchmarks/quickstart.py                    # the table in README.md, about an hour
    python benchmarks/quickstart.py --variants federated --seeds 0 1 2 3 4

Each run is judged as `qmarl train` judges it: the checkpoint that was best on validation worlds,
greedily, on 200 held-out episodes of other seeds. Results go to benchmarks/scores/quickstart.json,
one row a run; a row that is there already for the same configuration is not run again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

CONFIG = Path("configs/quickstart.yaml")
SCORES = Path("benchmarks/scores/quickstart.json")
VARIANTS = {
    "federated": [],
    "shared": ["federation.sharing=shared"],
    "none": ["federation.sharing=none"],
    "federated-mlp": ["actor.kind=mlp"],
    "federated-4": ["env.drones=4"],
    "shared-4": ["env.drones=4", "federation.sharing=shared"],
}


def fingerprint() -> str:
    """Hash of the configuration that every row of this table comes from."""
    return hashlib.sha256(CONFIG.read_bytes()).hexdigest()[:12]


def commit() -> str:
    """The commit that was checked out, as far as git knows."""
    asked = ["git", "rev-parse", "--short=10", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


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
        wall, processor = time.perf_counter(), time.process_time()
        path = train(config, source=CONFIG.read_text(), console=SilentProgress())
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        lines = read_metrics(RunDirectory.open(path))
        final = json.loads((path / "eval" / "final.json").read_text())
        model = json.loads((path / "model.json").read_text())
    curve = [
        [x["env_steps"], x["eval/success"], x["eval/collision"]]
        for x in lines
        if "eval/success" in x
    ]
    return {
        "variant": variant,
        "seed": seed,
        "config": fingerprint(),
        "commit": commit(),
        "final": final,
        "env_steps": lines[-1]["env_steps"],
        "actor_parameters": model["all"]["actor"]["parameters"],
        "bytes_up_per_round": sum(v for k, v in lines[-1].items() if k.endswith("bytes_up")),
        "validation": curve,
        "train_wall_s": round(wall, 1),
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


def steps_to(row: dict[str, Any], success: float = 0.85) -> float:
    """World steps until validation first shows ``success``; infinite when it never does."""
    return next((steps for steps, score, _ in row["validation"] if score >= success), float("inf"))


def table() -> str:
    """Mean over seeds of each variant, with the worst seed and a 95 % bootstrap interval."""
    import numpy as np

    from trainers.statistics import bootstrap

    head = "variant        seeds  success mean [95 % over seeds]  worst  collision mean  worst"
    lines = [f"{head}  median steps to .85"]
    rows = load()
    for variant in VARIANTS:
        runs = [row for row in rows if row["variant"] == variant]
        own = [row["final"] for row in runs]
        if not own:
            continue
        success = np.array([each["success"]["mean"] for each in own])
        collision = np.array([each["collision"]["mean"] for each in own])
        sure = bootstrap(success)
        spread = f"{sure['mean']:.3f} [{sure['low']:.3f}, {sure['high']:.3f}]"
        lines.append(
            f"{variant:<14} {len(own):>5}  {spread:<30}  {success.min():.3f}"
            f"  {collision.mean():<14.3f}  {collision.max():.3f}"
            f"  {np.median([steps_to(row) for row in runs]):,.0f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Runs what is missing, two at a time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    done = {(row["variant"], row["seed"]) for row in load() if row["config"] == fingerprint()}
    jobs = [(v, s) for v in asked.variants for s in asked.seeds if (v, s) not in done]
    with multiprocessing.get_context("spawn").Pool(asked.processes) as pool:
        for row in pool.imap_unordered(run, jobs):
            keep(row)
            final = row["final"]
            print(
                f"{row['variant']} seed {row['seed']}: success {final['success']['mean']:.3f}, "
                f"collision {final['collision']['mean']:.3f}, {row['train_wall_s']} s",
                flush=True,
            )
    print(table())


if __name__ == "__main__":
    main()
