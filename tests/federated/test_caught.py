from __future__ import annotations

import numpy as np
import pytest

from qmarl.errors import ConfigurationError
from qmarl.federated.aggregators import Aggregator, FedAvg
from qmarl.federated.client import Client
from qmarl.federated.config import FederationConfig
from qmarl.federated.round_report import RoundReport
from qmarl.federated.server import Server
from qmarl.federated.strategies import (
    Bulyan,
    FedTrimmedAvg,
    Krum,
    Mixing,
    MultiKrum,
)
from qmarl.types import Array, ParameterSpec

D = 30
LAYOUT = {"a": ParameterSpec((D,), None, "weights")}
WITH_F = [  # the malicious clients that each bears with, and the fewest clients with which it does
    (Krum(num_malicious_clients=3), 3, 9),
    (MultiKrum(num_malicious_clients=3), 3, 9),
    (MultiKrum(num_malicious_clients=3, num_clients_to_keep=6), 3, 9),
    (Bulyan(num_malicious_clients=3), 3, 15),
    (FedTrimmedAvg(beta=0.3), 3, 10),
    (Mixing(FedTrimmedAvg(beta=0.3), 3), 3, 10),
    (Mixing(Krum(num_malicious_clients=3), 3), 3, 9),
]


def honest(count: int) -> Array:
    return 1 + 0.1 * np.random.default_rng(0).normal(size=(count, D))


def submit(one: Server, rows: Array, round_number: int = 0) -> None:
    for name, row in zip(one.clients, rows, strict=False):
        message = Client(name, "all", LAYOUT).send(round_number, {"a": row}, 10)
        one.receive(message, 0, name)


def server(strategy: Aggregator, clients: int) -> Server:
    names = [f"c{i:02d}" for i in range(clients)]
    return Server(LAYOUT, {"a": np.zeros(D)}, strategy, names)


def played(strategy: Aggregator, rows: Array) -> tuple[RoundReport, Array]:
    one = server(strategy, len(rows))
    submit(one, rows)
    return one.aggregate(0), one.params["a"]


def ident(value: object) -> str:
    return type(value).__name__ if not isinstance(value, int) else str(value)


@pytest.mark.parametrize(("strategy", "f", "n"), WITH_F, ids=ident)
@pytest.mark.parametrize("refused", [1, 2, 3])
def test_who_is_refused_need_not_be_borne_with(
    strategy: Aggregator, f: int, n: int, refused: int
) -> None:
    rows = honest(n)
    rows[:refused] = np.nan
    rows[refused:f] = -1e4
    report, found = played(strategy, rows)
    assert report.kept == ""
    assert report.caught == tuple(f"c{i:02d}" for i in range(refused))
    assert np.linalg.norm(found - honest(n)[f:].mean(0)) < 1.0


def test_without_malicious_ones_left_all_that_are_left_count() -> None:
    rows = honest(10)
    rows[:3] = np.nan
    for strategy in (MultiKrum(num_malicious_clients=3), FedTrimmedAvg(beta=0.3)):
        np.testing.assert_allclose(played(strategy, rows)[1], rows[3:].mean(0))
    one_of_ten = honest(10)
    one_of_ten[4] = np.inf
    found = played(FedTrimmedAvg(beta=0.1), one_of_ten)[1]
    np.testing.assert_allclose(found, np.delete(one_of_ten, 4, 0).mean(0))


def test_more_than_expected_are_caught_and_the_rest_goes_on() -> None:
    rows = honest(10)
    rows[:5] = np.nan
    report, found = played(MultiKrum(num_malicious_clients=3), rows)
    assert len(report.caught) == 5
    np.testing.assert_allclose(found, rows[5:].mean(0))


@pytest.mark.parametrize("strategy", [MultiKrum(num_malicious_clients=3), FedTrimmedAvg(beta=0.1)])
def test_lateness_proves_nothing(strategy: Aggregator) -> None:
    """Honest clients are late too: the rule goes on bearing with as many malicious ones."""
    one = server(strategy, 10)
    submit(one, honest(7))
    for name in one.clients[7:]:
        late = Client(name, "all", LAYOUT).send(5, {"a": honest(1)[0]}, 10)
        rejection = one.receive(late, 0, name)
        assert rejection is not None
        assert not rejection.faulty
    report = one.aggregate(0)
    assert report.caught == ()
    assert "but the strategy needs" in report.kept


def test_only_whose_update_is_not_in_the_aggregate_counts_as_caught() -> None:
    one = server(FedAvg(), 3)
    submit(one, honest(3))
    assert one.receive(b"noise", 0, "c00") is not None  # beside a good one
    assert one.receive(b"noise", 0, "stranger") is not None
    assert one.receive(b"noise", 0) is not None
    assert one.aggregate(0).caught == ()
    one.receive(b"noise", 0, "c01")
    assert one.aggregate(0).caught == ("c01",)


def test_more_to_keep_than_there_are_is_refused_before_round_0() -> None:
    strategy = {"kind": "multikrum", "num_malicious_clients": 1, "num_clients_to_keep": 9}
    config = FederationConfig.model_validate({"strategy": strategy})
    reason = config.shortfall(8, config.aggregator().least())
    assert "9 of 8 clients can never be kept" in reason
    assert config.shortfall(9, config.aggregator().least()) == ""


def test_clients_are_still_counted_before_round_0() -> None:
    with pytest.raises(ConfigurationError, match="needs 9 clients or more"):
        server(MultiKrum(num_malicious_clients=3), 8)
