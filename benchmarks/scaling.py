"""Measures what workers bring: world steps a second, where the time goes, and what 64 nodes would.

    python benchmarks/scaling.py

Two jobs on Ray with 1, 2, ... workers of this machine: fleets, whose unit of work is a whole
`client_round` of a second or so, and the rollout shards of one team. Prints a table and writes
benchmarks/scores/scaling.json. Quiet machines only: the workers are to have the cores.

The model of 64 nodes. A round of U equal units of work on W workers lasts

    T(W) = ceil(U / W) * work + U * (driver + joint) + rest

work: seconds of a unit in its worker; driver: seconds that the driver spends on each unit, one by
one (packing, sending, unpacking), measured with empty work; joint: seconds of learning from a
unit's experience where one learner takes all of it (shards; fleets learn in their own units); rest:
what is done once a round (aggregation, logs). All are measured here. The network is taken to be no
slower than this machine's own, and every node to have one worker: a bound from above.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", RAY_USAGE_STATS_ENABLED="0")

import argparse
import json
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SCORES = Path("benchmarks/scores/scaling.json")
PHASES = ("worlds", "circuits", "learning", "communication", "waiting")
COMMON = ["evaluation.final_episodes=1", "evaluation.episodes=1"]
JOBS = {
    "fleets": [
        *("federation.client=fleet", "federation.fleets=8", "env.num_envs=64"),
        *("algorithm.epochs=8", "algorithm.minibatches=8"),
    ],
    "shards": [
        "env.num_envs=1536",
        "env.shards=4",
        "algorithm.epochs=1",
        "algorithm.minibatches=1",
    ],
}
UNITS = {"fleets": 8, "shards": 4}
"""Units of work in a round of each job; a shard is to last a few tenths of a second."""
NODES = (1, 2, 4, 8, 16, 32, 64)


def nothing(site: Any) -> int:
    """A unit of work that only travels."""
    return len(site)


def measure(job: str, workers: int, rounds: int) -> dict[str, Any]:
    """Plays rounds and takes the medians; the first round, in which workers load, is left out."""
    from trainers.build import build, make_rounds
    from trainers.config import load_experiment
    from trainers.distributed import ExecutorConfig, make_executor

    parts = build(load_experiment(Path("configs/quickstart.yaml"), [*COMMON, *JOBS[job]]))
    executor = make_executor(ExecutorConfig(kind="ray", workers=workers))
    played, state = make_rounds(parts, executor), parts.start
    rows = []
    for number in range(rounds + 1):
        started = time.perf_counter()
        params = {
            name: parts.federations[name].broadcast(arrays, number)
            for name, arrays in state.params.items()
        }
        outcome = played.play(params, state.moments, number, 0.0)
        worked = time.perf_counter()
        for name, federation in parts.federations.items():
            learned = outcome.learned[name]
            federation.gather(learned.params, learned.examples, number)
        rest = time.perf_counter() - worked
        phases = {phase: outcome.seconds.get(phase, 0.0) for phase in PHASES}
        total, collect = time.perf_counter() - started, outcome.seconds["collect"]
        rows.append({"round": total, "collect": collect, "rest": rest, **phases})
        rows[-1]["steps_per_s"] = outcome.env_steps / total
    executor.close()
    return {name: statistics.median([row[name] for row in rows[1:]]) for name in rows[0]}


def overhead(units: int = 8, repeats: int = 20) -> float:
    """Seconds of a round of so many fleets whose work is nothing, from end to end."""
    from trainers.build import build
    from trainers.config import load_experiment
    from trainers.distributed import ExecutorConfig, make_executor
    from trainers.rollout import Shard
    from trainers.work import Site, lesson_for

    parts = build(load_experiment(Path("configs/quickstart.yaml"), COMMON))
    env, group, start = parts.config.env, parts.groups["all"], parts.start
    shard = Shard(env, env.num_envs, 0, parts.rollout_steps, parts.seats, 0, 0)
    lesson = lesson_for(group, start.params["all"], start.moments["all"], 0.0, 0, 0)
    jobs = [(Site(shard, {"all": lesson}),)] * units
    executor = make_executor(ExecutorConfig(kind="ray", workers=2))
    executor.map(nothing, jobs)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        executor.map(nothing, jobs)
        seconds.append(time.perf_counter() - started)
    executor.close()
    return statistics.median(seconds)


def extrapolated(
    one: dict[str, float], units: int, driver: float, *, joint: bool
) -> dict[str, float]:
    """Speed-up over one node that the model gives; units grow with the nodes beyond their number.

    Args:
        one: Medians with one worker.
        units: Units of work in a round here.
        driver: Seconds of the driver for each unit.
        joint: Whether one learner takes the experience of all units.
    """
    played, learned = (one["worlds"] + one["circuits"]) / units, one["learning"] / units
    work, alone_s = (played, driver + learned) if joint else (played + learned, driver)
    found = {}
    for nodes in NODES:
        many = max(units, nodes)
        alone = many * (work + alone_s) + one["rest"]
        together = math.ceil(many / nodes) * work + many * alone_s + one["rest"]
        found[str(nodes)] = round(alone / together, 2)
    return found


def table(rows: dict[str, Any]) -> str:
    """The measurements for people."""
    lines = []
    for job, by_workers in rows.items():
        first = next(iter(by_workers.values()))
        for workers, row in by_workers.items():
            phases = "  ".join(f"{phase} {row[phase]:.2f}" for phase in PHASES)
            gain = first["round"] / row["round"]
            collected = f"collect x {first['collect'] / row['collect']:.2f}  "
            lines.append(
                f"{job:<7} {workers} workers  {row['steps_per_s']:>8.0f} steps/s  round "
                f"{row['round']:.2f} s  x {gain:.2f}  "
                f"{collected if job == 'shards' else ''}[{phases}]"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    chosen = parser.parse_args(arguments)
    whole = overhead()
    print(f"overhead of a round of 8 clients: {1000 * whole:.1f} ms")
    rows = {
        job: {str(count): measure(job, count, chosen.rounds) for count in chosen.workers}
        for job in JOBS
    }
    print(table(rows))
    model = {
        job: extrapolated(
            by_workers[str(chosen.workers[0])], UNITS[job], whole / 8, joint=job == "shards"
        )
        for job, by_workers in rows.items()
    }
    for job, gains in model.items():
        print(f"{job:<7} by the model: " + ", ".join(f"{n} nodes x {g}" for n, g in gains.items()))
    result = {"cores": os.cpu_count(), "overhead_8_clients_s": whole, "rows": rows, "model": model}
    SCORES.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
