from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmarl.federated.aggregators import Update
from qmarl.federated.angles import circular_mean, halfway, shorter_way
from qmarl.federated.client import Client
from qmarl.federated.conformance import check_aggregator
from qmarl.federated.fisher import FisherAvg
from qmarl.federated.server import Server
from qmarl.types import ParameterSpec, Params

LAYOUT = {
    "actor.angles": ParameterSpec((3,), 2 * math.pi, "angles"),
    "actor.bias": ParameterSpec((), None, "readout"),
}
TURN = 2 * math.pi


def update(client: str, values: list[float], known: list[float], examples: int = 1) -> Update:
    def arrays(numbers: list[float]) -> Params:
        return {"actor.angles": np.array(numbers[:3]), "actor.bias": np.array(numbers[3])}

    return Update(client, arrays(values), examples, information=arrays(known))


def test_fisher_averaging_keeps_what_an_aggregator_promises() -> None:
    check_aggregator(FisherAvg)
    check_aggregator(lambda: FisherAvg(weighted=False, damping=1.0))


def test_each_coordinate_follows_who_knows_most_of_it() -> None:
    one = update("a", [1, 1, 1, 1], [4, 0, 0, 0])
    two = update("b", [3, 3, 3, 3], [0, 0, 2, 2], examples=3)
    step, state = FisherAvg(damping=0.5).aggregate([two, one], {})
    # Information scaled to mean 1: (4, 0, 0, 0) and (0, 0, 2, 2); damped, then times examples.
    first = np.array([4.5, 0.5, 0.5, 0.5])
    second = 3 * np.array([0.5, 0.5, 2.5, 2.5])
    wanted = (first * 1 + second * 3) / (first + second)
    np.testing.assert_allclose(np.append(step["actor.angles"], step["actor.bias"]), wanted)
    assert state == {}


def test_large_claims_bring_nothing() -> None:
    honest, spread = update("a", [1, 1, 1, 1], [1, 1, 1, 1]), [2.0, 1.0, 1.0, 0.0]
    small = FisherAvg().aggregate([honest, update("b", [0, 0, 0, 0], spread)], {})[0]
    boast = update("b", [0, 0, 0, 0], [1e12 * known for known in spread])
    large = FisherAvg().aggregate([honest, boast], {})[0]
    for name, array in small.items():
        np.testing.assert_allclose(large[name], array, rtol=1e-12)


def server() -> Server:
    start = {name: np.zeros(spec.shape) for name, spec in LAYOUT.items()}
    return Server(LAYOUT, start, FisherAvg(), ["a", "b"], informed=True)


def message(known: Params) -> bytes:
    deltas = {name: np.ones(spec.shape) for name, spec in LAYOUT.items()}
    rides = {f"fisher/{name}": array for name, array in known.items()}
    return Client("a", "all", LAYOUT).send(0, deltas | rides, 5)


def known(**changes: np.ndarray) -> Params:
    whole = {name: np.ones(spec.shape) for name, spec in LAYOUT.items()}
    return whole | {f"actor.{name}": array for name, array in changes.items()}


def test_information_travels_with_the_deltas() -> None:
    one = server()
    assert one.receive(message(known()), 0, "a") is None
    assert one.aggregate(0).participants == ("a",)
    np.testing.assert_allclose(one.params["actor.angles"], 1)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({}, "are shared"),
        (known(bias=np.array(np.nan)), "not finite"),
        (known(bias=np.array(-1.0)), "is negative"),
        (known(angles=np.ones(4)), "float64"),
        (known(other=np.ones(4)), "are shared"),
    ],
)
def test_bad_information_is_refused_by_name(bad: Params, reason: str) -> None:
    rejection = server().receive(message(bad), 0, "a")
    assert rejection is not None
    assert rejection.client == "a"
    assert rejection.reason.startswith("Fisher information")
    assert reason in rejection.reason


def test_information_that_nobody_asked_for_is_refused() -> None:
    start = {name: np.zeros(spec.shape) for name, spec in LAYOUT.items()}
    plain = Server(LAYOUT, start, FisherAvg(), ["a", "b"])
    rejection = plain.receive(message(known()), 0, "a")
    assert rejection is not None
    assert "are shared" in rejection.reason


ANGLES = st.floats(-50, 50)


@given(st.lists(ANGLES, min_size=1, max_size=6), st.sampled_from([TURN, 2 * TURN]))
def test_a_circular_mean_does_not_know_how_often_an_angle_went_round(
    angles: list[float], period: float
) -> None:
    plain = np.array(angles)[:, None]
    wound = plain + period * np.arange(len(angles))[:, None]
    points = np.exp(2j * np.pi / period * plain).mean()
    one, two = (circular_mean(each, period) for each in (plain, wound))
    if abs(points) > 1e-6:
        assert abs(shorter_way(one, two, period)).max() < 1e-5 * period
        assert abs(np.exp(2j * np.pi / period * one[0]) - points / abs(points)) < 1e-5


def test_a_circular_mean_by_hand() -> None:
    pair = np.array([[0.1], [TURN - 0.3]])
    assert circular_mean(pair, TURN) == pytest.approx(-0.1)
    assert circular_mean(pair + 1, TURN, (1, 1)) == pytest.approx(0.9)
    quarter = np.array([0.0, math.pi / 2])
    assert circular_mean(quarter, TURN, (3, 1)) == pytest.approx(math.atan2(1, 3))
    assert circular_mean(np.array([0.5, 0.5 + math.pi]), TURN) == pytest.approx(0.5)


@given(ANGLES, ANGLES)
def test_halfway_is_the_circular_mean_of_two_near_the_first(one: float, other: float) -> None:
    layout = {"x": LAYOUT["actor.bias"]._replace(period=TURN)}
    middle = halfway({"x": np.array(one)}, {"x": np.array(other)}, layout)["x"]
    assert abs(middle - one) <= math.pi / 2 + 1e-9
    if abs(abs(shorter_way(np.array(one), np.array(other), TURN)) - math.pi) > 1e-6:
        mean = circular_mean(np.array([one, other]), TURN)
        assert abs(shorter_way(mean, middle, TURN)) < 1e-6


def test_numbers_without_period_meet_in_the_middle() -> None:
    layout = {"x": LAYOUT["actor.bias"]}
    assert halfway({"x": np.array(1.0)}, {"x": np.array(9.0)}, layout)["x"] == 5
