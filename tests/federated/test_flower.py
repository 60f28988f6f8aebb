"""Agreement with Flower's plain functions, from numbers that fixtures/make_flwr.py wrote once."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qmarl.federated.adaptive import FedAdagrad, FedAdam, FedYogi
from qmarl.federated.aggregators import Aggregator, FedAvg, FedAvgM, Update
from qmarl.federated.strategies import Bulyan, FedMedian, FedTrimmedAvg, Krum, MultiKrum
from qmarl.types import Params

TOLD: dict[str, Any] = json.loads(
    (Path(__file__).parent / "fixtures" / "flwr.json").read_text(encoding="utf-8")
)
SEEDS = range(len(TOLD["updates"]))
SAME: dict[str, Aggregator] = {
    "fedavg": FedAvg(),
    "fedmedian": FedMedian(),
    "fedtrimmedavg": FedTrimmedAvg(beta=0.2),
    "krum": Krum(num_malicious_clients=2),
    "multikrum": MultiKrum(num_malicious_clients=2, num_clients_to_keep=6),
    "bulyan": Bulyan(num_malicious_clients=2),
}
ADAPTIVE = {"eta": 0.1, "beta_1": 0.8, "beta_2": 0.95, "tau": 1e-9}
SERVERS: dict[str, Aggregator] = {
    "fedavgm": FedAvgM(server_learning_rate=0.5, server_momentum=0.9),
    "fedyogi": FedYogi(**ADAPTIVE),
    "fedadagrad": FedAdagrad(eta=0.1, tau=1e-9),
}


def arrays(named: dict[str, Any]) -> Params:
    return {name: np.array(values) for name, values in named.items()}


def updates(seed: int) -> list[Update]:
    return [
        Update(f"client_{place:02d}", arrays(one["arrays"]), one["examples"])
        for place, one in enumerate(TOLD["updates"][seed])
    ]


def steps(strategy: Aggregator) -> list[Params]:
    state: Params = {}
    found = []
    for seed in SEEDS:
        step, state = strategy.aggregate(updates(seed), state)
        found.append(step)
    return found


def their_steps(name: str) -> list[Params]:
    after = [{n: np.zeros_like(a) for n, a in arrays(TOLD["servers"][name][0]).items()}]
    after += [arrays(one) for one in TOLD["servers"][name]]
    return [{n: two[n] - one[n] for n in one} for one, two in pairwise(after)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SAME)
def test_a_round_agrees(name: str, seed: int) -> None:
    found, _ = SAME[name].aggregate(updates(seed), {})
    for array, wanted in arrays(TOLD["functions"][seed][name]).items():
        np.testing.assert_allclose(found[array], wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", SERVERS)
def test_servers_with_memory_agree_over_rounds(name: str) -> None:
    """Theirs begin with a second moment of 0, ours, as published, with tau squared: here 1e-18."""
    for found, wanted in zip(steps(SERVERS[name]), their_steps(name), strict=True):
        for array in wanted:
            np.testing.assert_allclose(found[array], wanted[array], rtol=1e-7)


def test_their_adam_is_ours_times_a_correction_that_the_paper_does_not_have() -> None:
    """Reddi et al. 2021, algorithm 2, has no bias correction; theirs counts a round too many."""
    pairs = zip(steps(FedAdam(**ADAPTIVE)), their_steps("fedadam"), strict=True)
    for number, (found, wanted) in enumerate(pairs):
        power = number + 2
        factor = np.sqrt(1 - 0.95**power) / (1 - 0.8**power)
        for array in wanted:
            np.testing.assert_allclose(factor * found[array], wanted[array], rtol=1e-7)
            assert not np.allclose(found[array], wanted[array], rtol=0.05)


@pytest.mark.parametrize("seed", SEEDS)
def test_we_believe_no_claims_about_examples_where_they_do(seed: int) -> None:
    theirs = arrays(TOLD["functions"][seed]["multikrum, weighted"])
    ours, _ = SAME["multikrum"].aggregate(updates(seed), {})
    assert not np.allclose(ours["w"], theirs["w"])
    claims = [Update(u.client, u.arrays, 10**6 * u.examples**3) for u in updates(seed)]
    boasted, _ = SAME["multikrum"].aggregate(claims, {})
    assert all((boasted[name] == ours[name]).all() for name in ours)
