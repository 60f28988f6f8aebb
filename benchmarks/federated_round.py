"""Measures what a round of the federated layer costs beside collecting and learning.

    python benchmarks/federated_round.py

- overhead: 100 clients with 10,000 parameters each: broadcast, updates, checks and strategy, all
  as bytes. Ours and every client's work together, since here they share one core.
- secure sum: 50 clients, threshold 34, of which 5 drop out before they send their masked vector;
  10,000 parameters; all parties' work together.

Prints medians in milliseconds of processor time and writes benchmarks/scores/federated_round.json.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

SCORES = Path("benchmarks/scores/federated_round.json")
STRATEGIES: dict[str, dict[str, Any]] = {
    "fedavg": {},
    "fedadam": {"strategy": "fedadam"},
    "fedmedian": {"strategy": "fedmedian"},
    "multikrum": {"strategy": {"kind": "multikrum", "num_malicious_clients": 20}},
    "mixing, fedtrimmedavg": {"strategy": "fedtrimmedavg", "neighbour_mixing": 20},
    "fedavg, quantised": {"compression": "quantise"},
}
CLIENTS, SECRET, THRESHOLD, DROPPED, SIZE = 100, 50, 34, 5, 10_000


def overhead(settings: dict[str, Any], rounds: int) -> list[float]:
    """Milliseconds of processor time of each round, the first one left out."""
    from qmarl.federated.config import FederationConfig
    from qmarl.federated.transport import InMemoryChannel
    from qmarl.types import ParameterSpec
    from trainers.federation import Federation

    layout = {
        "actor.w0": ParameterSpec((100, 64), None, "weights"),
        "actor.b0": ParameterSpec((64,), None, "weights"),
        "actor.w1": ParameterSpec((64, 54), None, "weights"),
        "actor.b1": ParameterSpec((80,), None, "weights"),
    }
    assert sum(spec.size for spec in layout.values()) == SIZE
    names = [f"client_{place:03d}" for place in range(CLIENTS)]
    rng = np.random.default_rng(0)
    deltas = {name: rng.normal(size=(CLIENTS, *spec.shape)) for name, spec in layout.items()}
    params = {name: np.zeros_like(array) for name, array in deltas.items()}
    config = FederationConfig.model_validate(settings)
    layer = Federation("all", names, layout, params, config, InMemoryChannel())
    found = []
    for number in range(rounds + 1):
        begun = time.process_time()
        start = layer.broadcast(params, number)
        spent = time.process_time() - begun
        trained = {name: start[name] + delta for name, delta in deltas.items()}
        begun = time.process_time()
        report = layer.gather(trained, np.full(CLIENTS, 100), number)
        params = layer.joined(trained)
        found.append(1000 * (spent + time.process_time() - begun))
        assert len(report.participants) == CLIENTS
    return found[1:]


def secure_sum(rounds: int) -> list[float]:
    """Milliseconds of processor time of each secure aggregation, every party's work together."""
    from qmarl.federated.secagg import SecureAggregationConfig, open_session
    from qmarl.federated.secagg_identity import new_identity
    from qmarl.federated.secagg_round import SecureRound
    from qmarl.federated.transport import InMemoryChannel

    names = [f"client_{place:02d}" for place in range(SECRET)]
    identities = {name: new_identity("ed25519") for name in names}
    public = {name: identity.public for name, identity in identities.items()}
    config = SecureAggregationConfig(threshold=THRESHOLD, signatures="ed25519")
    rng = np.random.default_rng(0)
    vectors = {name: rng.normal(size=SIZE) for name in names[DROPPED:]}
    found = []
    for number in range(rounds + 1):
        begun = time.process_time()
        session = open_session(config, "benchmark/all", number, public, SIZE)
        total = SecureRound(session, identities, InMemoryChannel()).run(vectors)
        found.append(1000 * (time.process_time() - begun))
        assert len(total.clients) == SECRET - DROPPED
    return found[1:]


def main() -> None:
    """Runs all and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    count = parser.parse_args().rounds
    rows = {
        f"overhead, {name}": overhead(settings, count) for name, settings in STRATEGIES.items()
    } | {"secure sum": secure_sum(max(1, count // 3))}
    medians = {
        name: {"cpu_ms": round(statistics.median(own), 1), "raw": [round(one, 1) for one in own]}
        for name, own in rows.items()
    }
    SCORES.write_text(json.dumps(medians, indent=1) + "\n")
    for name, row in medians.items():
        print(f"{name:<32} {row['cpu_ms']:>8} ms")


if __name__ == "__main__":
    main()
