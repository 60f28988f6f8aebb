from __future__ import annotations

import numpy as np
import pytest

from qmarl.federated.aggregators import Aggregator, FedAvg, Update
from qmarl.federated.attacks import (
    ATTACKS,
    ALittle,
    Attack,
    Gaussian,
    Inflation,
    InnerProduct,
    Mimic,
    NotANumber,
    SignFlip,
    attacked,
)
from qmarl.federated.client import Client
from qmarl.federated.config import FederationConfig
from qmarl.federated.server import Server
from qmarl.federated.strategies import FedTrimmedAvg, Mixing, MultiKrum
from qmarl.types import Array, ParameterSpec

N, F, D = 15, 3, 120
NAMES = [f"c{i:02d}" for i in range(N)]
BAD = tuple(NAMES[:F])
PUBLISHED = [
    SignFlip(clients=BAD),
    InnerProduct(clients=BAD, scale=2.0),
    ALittle(clients=BAD, deviations=1.5),
    Gaussian(clients=BAD, deviation=10.0),
]


def learned(seed: int) -> Array:
    return 1 + 0.1 * np.random.default_rng(seed).normal(size=(N, D))


def error(strategy: Aggregator, attack: Attack, seed: int) -> float:
    """Distance of the aggregate from the mean of the honest updates."""
    rows, examples = learned(seed), np.full(N, 10)
    sent, claims = attacked(attack, NAMES, rows, examples, np.random.default_rng(seed))
    updates = [
        Update(name, {"a": row}, int(claim))
        for name, row, claim in zip(NAMES, sent, claims, strict=True)
    ]
    found = strategy.aggregate(updates, {})[0]["a"]
    return float(np.linalg.norm(found - rows[F:].mean(0)))


@pytest.mark.parametrize("attack", PUBLISHED, ids=lambda a: a.kind)
@pytest.mark.parametrize(
    "strategy", [MultiKrum(num_malicious_clients=F), Mixing(FedTrimmedAvg(beta=0.2), F)]
)
def test_the_strong_strategies_find_the_honest_mean(strategy: Aggregator, attack: Attack) -> None:
    """At 1.5 deviations an attacker is at times nearer than an honest client: so the median."""
    errors = [error(strategy, attack, seed) for seed in range(15)]
    assert np.median(errors) < 1e-3
    assert np.isfinite(errors).all()
    assert max(errors) < 0.35


@pytest.mark.parametrize("attack", PUBLISHED, ids=lambda a: a.kind)
def test_plain_averaging_does_not(attack: Attack) -> None:
    assert min(error(FedAvg(), attack, seed) for seed in range(5)) > 0.3


def test_what_the_malicious_send() -> None:
    rows, examples, rng = learned(0), np.full(N, 10), np.random.default_rng(0)

    def sent(attack: Attack) -> Array:
        return attacked(attack, NAMES, rows, examples, rng)[0]

    honest = rows[F:]
    np.testing.assert_array_equal(sent(SignFlip(clients=BAD, scale=2.0))[:F], -2 * rows[:F])
    np.testing.assert_allclose(sent(InnerProduct(clients=BAD, scale=3.0))[1], -3 * honest.mean(0))
    np.testing.assert_array_equal(sent(Mimic(clients=BAD))[:F], np.repeat(honest[:1], F, 0))
    assert np.isnan(sent(NotANumber(clients=BAD))[:F]).all()
    assert np.isinf(sent(NotANumber(clients=BAD, value="inf"))[:F]).all()
    for kind in PUBLISHED:
        np.testing.assert_array_equal(sent(kind)[F:], honest)


def test_claims_are_inflated_and_capped_by_the_server() -> None:
    layout = {"a": ParameterSpec((1,), None, "weights")}
    server = Server(layout, {"a": np.zeros(1)}, FedAvg(), ["good", "evil"], examples_cap=100)
    rows = np.array([[1.0], [1.0]])
    attack = Inflation(clients=("evil",), factor=1e6)
    sent, claims = attacked(
        attack, ["good", "evil"], rows, np.array([100, 100]), np.random.default_rng(0)
    )
    assert claims.tolist() == [100, 10**8]
    for name, row, claim in zip(("good", "evil"), sent, claims, strict=True):
        client = Client(name, "all", layout)
        server.receive(client.send(0, {"a": row}, int(claim)), 0, name)
    server.aggregate(0)
    assert server.params["a"] == pytest.approx([0.0])  # one against one, not one against a million


def test_numbers_that_are_none_never_reach_a_strategy() -> None:
    layout = {"a": ParameterSpec((D,), None, "weights")}
    server = Server(layout, {"a": np.zeros(D)}, FedAvg(), NAMES)
    rows, _ = attacked(
        NotANumber(clients=BAD), NAMES, learned(0), np.full(N, 10), np.random.default_rng(0)
    )
    for name, row in zip(NAMES, rows, strict=True):
        server.receive(Client(name, "all", layout).send(0, {"a": row}, 10), 0, name)
    report = server.aggregate(0)
    assert [rejection.client for rejection in report.rejected] == list(BAD)
    assert set(report.participants) == set(NAMES[F:])
    np.testing.assert_allclose(server.params["a"], learned(0)[F:].mean(0))


@pytest.mark.parametrize("bad", [(), tuple(NAMES)])
def test_without_two_sides_there_is_no_attack(bad: tuple[str, ...]) -> None:
    attack = SignFlip(clients=bad or ("someone else",))
    rows = learned(0)
    sent, _ = attacked(attack, NAMES, rows, np.full(N, 1), np.random.default_rng(0))
    np.testing.assert_array_equal(sent, rows)


@pytest.mark.parametrize("kind", ATTACKS)
def test_every_attack_has_a_name_in_the_configuration(kind: str) -> None:
    config = FederationConfig.model_validate({"attack": {"kind": kind, "clients": ["a"]}})
    assert isinstance(config.attack, ATTACKS[kind])
