from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmarl.errors import ConfigurationError
from qmarl.federated import robust
from qmarl.federated.aggregators import FedAvg, Update
from qmarl.federated.server import Server
from qmarl.federated.strategies import (
    Bulyan,
    CentredClipping,
    FedMedian,
    FedTrimmedAvg,
    GeometricMedian,
    Krum,
    Mixing,
    MultiKrum,
)
from qmarl.types import Array, ParameterSpec

N, F, D = 15, 3, 120
ROBUST = [
    FedMedian(),
    FedTrimmedAvg(beta=0.2),
    GeometricMedian(),
    Krum(num_malicious_clients=F),
    MultiKrum(num_malicious_clients=F),
    Bulyan(num_malicious_clients=F),
    CentredClipping(iterations=10),
    Mixing(FedTrimmedAvg(beta=0.2), F),
]


def honest(seed: int) -> Array:
    return 1 + 0.1 * np.random.default_rng(seed).normal(size=(N - F, D))


def joined(strategy: FedAvg, rows: Array) -> Array:
    updates = [Update(f"c{i:02d}", {"a": row}, 1) for i, row in enumerate(rows)]
    step: Array = strategy.aggregate(updates, {})[0]["a"]
    return step


@pytest.mark.parametrize("strategy", ROBUST, ids=lambda s: getattr(s, "kind", "mixing"))
@pytest.mark.parametrize("size", [1e2, 1e6, 1e100])
def test_a_few_clients_far_away_do_not_carry_the_rest_along(strategy: FedAvg, size: float) -> None:
    rows = np.concatenate([honest(0), np.full((F, D), -size)])
    with np.errstate(over="ignore", invalid="ignore"):
        found = joined(strategy, rows)
    assert np.linalg.norm(found - honest(0).mean(0)) < 2.0
    assert np.linalg.norm(joined(FedAvg(), rows) - honest(0).mean(0)) > 100


@pytest.mark.parametrize("strategy", ROBUST, ids=lambda s: getattr(s, "kind", "mixing"))
def test_moving_every_client_moves_the_result(strategy: FedAvg) -> None:
    rows = np.concatenate([honest(1), -honest(2)[:F]])
    shift = np.linspace(-3, 3, D)
    tolerance = 1.0 if strategy is ROBUST[6] else 1e-6  # centred clipping starts from nothing
    assert joined(strategy, rows + shift) == pytest.approx(
        joined(strategy, rows) + shift, abs=tolerance
    )


def test_krum_takes_one_of_the_updates() -> None:
    rows = honest(3)
    found = joined(Krum(num_malicious_clients=F), rows)
    assert any((found == row).all() for row in rows)


def test_krum_score_counts_the_nearest_but_f_and_two() -> None:
    x = np.array([[0.0], [1.0], [3.0], [7.0], [100.0]])
    scores = robust.krum_scores(robust.square_distances(x), 1)  # 5 - 1 - 2 = 2 neighbours
    assert scores.tolist() == [1 + 9, 1 + 4, 4 + 9, 16 + 36, 93**2 + 97**2]


def test_trimmed_mean_leaves_out_the_extremes() -> None:
    rows = np.array([[5.0], [1.0], [2.0], [3.0], [-100.0]])
    assert joined(FedTrimmedAvg(beta=0.2), rows) == pytest.approx([2.0])
    assert joined(FedTrimmedAvg(beta=0.0), rows) == pytest.approx([-89 / 5])


@given(st.integers(0, 10_000), st.integers(3, 12), st.integers(1, 6))
def test_no_point_near_the_geometric_median_is_better(seed: int, n: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    found = robust.geometric_median(x)

    def cost(point: Array) -> float:
        return float(np.linalg.norm(x - point, axis=1).sum())

    for _ in range(20):
        assert cost(found) <= cost(found + 1e-3 * rng.normal(size=d)) + 1e-9


def test_geometric_median_leaves_a_row_that_is_not_it() -> None:
    x = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [0.0, 4.0]])
    assert (np.median(x, 0) == 0).all()  # where the search begins: on a row
    found = robust.geometric_median(x)
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert 0.1 < found[0] <= 2.0


def test_distances_of_small_updates_beside_each_other_are_exact() -> None:
    rng = np.random.default_rng(0)
    x = 3.0 + 1e-9 * rng.normal(size=(6, 500))
    want = ((x[:, None] - x[None]) ** 2).sum(-1)
    np.testing.assert_allclose(robust.square_distances(x), want, rtol=1e-12)


def test_mixing_averages_the_nearest_with_oneself() -> None:
    x = np.array([[0.0], [1.0], [2.0], [50.0]])
    assert robust.mixed(x, 2)[:, 0].tolist() == [0.5, 0.5, 1.5, 26.0]


def test_bulyan_by_hand() -> None:
    x = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0], [1000.0]])
    found = robust.bulyan(x, 1)[0]  # 5 chosen without 1000, then the 3 nearest their median
    assert 1.0 <= found <= 4.0


@pytest.mark.parametrize(
    ("strategy", "least"),
    [(Krum(num_malicious_clients=2), 7), (Bulyan(num_malicious_clients=1), 7)],
)
def test_too_few_clients_for_the_promise_are_refused(strategy: Krum, least: int) -> None:
    names = [f"c{i}" for i in range(least - 1)]
    layout = {"a": ParameterSpec((2,), None, "weights")}
    with pytest.raises(ConfigurationError, match=f"needs {least} clients or more"):
        Server(layout, {"a": np.zeros(2)}, strategy, names)
