from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from qmarl.federated.adaptive import FedAdagrad, FedAdam, FedYogi
from qmarl.federated.aggregators import Aggregator, FedAvg, FedAvgM, FedNova, Strategy, Update
from qmarl.federated.config import FederationConfig
from qmarl.federated.conformance import check_aggregator
from qmarl.federated.strategies import AGGREGATORS, FedTrimmedAvg, Mixing
from qmarl.types import Params

NUMBERS = st.floats(-1e6, 1e6)
DELTAS = hnp.arrays(np.float64, (2, 2), elements=NUMBERS)
EVERY = [*(make() for make in AGGREGATORS.values()), Mixing(FedTrimmedAvg(), 1)]


def update(client: str, value: object, examples: int = 1) -> Update:
    return Update(client, {"a": np.asarray(value, np.float64)}, examples)


@st.composite
def updates(draw: st.DrawFn, least: int = 1) -> list[Update]:
    count = draw(st.integers(least, least + 5))
    return [update(f"c{i}", draw(DELTAS), draw(st.integers(1, 10_000))) for i in range(count)]


def steps(aggregator: Aggregator, rounds: Sequence[Sequence[Update]]) -> list[Params]:
    state: Params = {}
    out = []
    for one in rounds:
        step, state = aggregator.aggregate(one, state)
        out.append(step)
    return out


@pytest.mark.parametrize("aggregator", EVERY)
def test_every_aggregator_conforms(aggregator: Aggregator) -> None:
    check_aggregator(lambda: aggregator, clients=aggregator.least() + 4)


@given(updates())
def test_fedavg_is_the_weighted_mean(given_updates: list[Update]) -> None:
    got = FedAvg().aggregate(given_updates, {})[0]["a"]
    weights = [one.examples for one in given_updates]
    want = np.average([one.arrays["a"] for one in given_updates], axis=0, weights=weights)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-9)


def test_equal_weights_ignore_what_clients_claim() -> None:
    claims = [update("a", [1.0], 1), update("b", [3.0], 10**9)]
    np.testing.assert_array_equal(FedAvg(weighted=False).aggregate(claims, {})[0]["a"], [2.0])
    np.testing.assert_allclose(FedAvg().aggregate(claims, {})[0]["a"], [3.0], atol=1e-8)


@pytest.mark.parametrize("aggregator", EVERY)
@given(st.data())
def test_order_does_not_change_a_bit(aggregator: Aggregator, data: st.DataObject) -> None:
    given_updates = data.draw(updates(aggregator.least()))
    other = data.draw(st.permutations(given_updates))
    one, two = (steps(aggregator, [us, us])[-1]["a"].tobytes() for us in (given_updates, other))
    assert one == two


@pytest.mark.parametrize(
    # Yogi moves by a sign: a rounding in the last place can turn it around.
    "aggregator",
    [each for each in EVERY if not isinstance(each, FedYogi)],
)
@given(DELTAS, st.integers(0, 8))
def test_identical_clients_are_one(aggregator: Aggregator, delta: object, more: int) -> None:
    least = aggregator.least()
    one = [update(f"c{i}", delta, 5) for i in range(least)]
    many = [update(f"c{i}", delta, 5 + i) for i in range(least + more)]
    got, want = (steps(aggregator, [us] * 3)[-1]["a"] for us in (many, one))
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


@given(updates(), st.integers(2, 1000))
def test_the_unit_of_examples_does_not_matter(given_updates: list[Update], factor: int) -> None:
    scaled = [Update(one.client, one.arrays, factor * one.examples) for one in given_updates]
    got, want = (FedAvg().aggregate(us, {})[0]["a"] for us in (scaled, given_updates))
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-8)


@given(st.lists(updates(), min_size=1, max_size=3))
def test_fedavgm_without_momentum_is_fedavg(rounds: list[list[Update]]) -> None:
    plain = steps(FedAvg(), rounds)
    moved = steps(FedAvgM(server_learning_rate=1.0, server_momentum=0.0), rounds)
    for one, other in zip(plain, moved, strict=True):
        np.testing.assert_array_equal(one["a"], other["a"])


def test_fedavgm_by_hand() -> None:
    aggregator = FedAvgM(server_learning_rate=0.5, server_momentum=0.9)
    got = steps(aggregator, [[update("c", [1.0])], [update("c", [2.0])]])
    np.testing.assert_allclose([got[0]["a"][0], got[1]["a"][0]], [0.5, 0.5 * (0.9 + 2.0)])


def test_fedadam_by_hand() -> None:
    aggregator = FedAdam(eta=0.1, beta_1=0.9, beta_2=0.99, tau=1e-3)
    got = steps(aggregator, [[update("c", [0.5])], [update("c", [-0.25])]])
    first, second = 0.1 * 0.5, 0.99 * 1e-6 + 0.01 * 0.25
    np.testing.assert_allclose(got[0]["a"], 0.1 * first / (second**0.5 + 1e-3), rtol=1e-13)
    first, second = 0.9 * first - 0.1 * 0.25, 0.99 * second + 0.01 * 0.0625
    np.testing.assert_allclose(got[1]["a"], 0.1 * first / (second**0.5 + 1e-3), rtol=1e-13)


def test_fednova_weighs_the_way_and_not_the_walkers() -> None:
    one = Update("a", {"a": np.array([1.0])}, 1, steps=1)  # a step of 1
    two = Update("b", {"a": np.array([9.0])}, 1, steps=3)  # three steps of 3
    np.testing.assert_allclose(FedNova().aggregate([one, two], {})[0]["a"], [2.0 * 2.0])


def test_fednova_of_equal_steps_is_fedavg() -> None:
    same = [update("a", [1.0], 2), update("b", [4.0], 1)]
    np.testing.assert_allclose(FedNova().aggregate(same, {})[0]["a"], [2.0])


def test_fedyogi_and_fedadagrad_by_hand() -> None:
    rounds = [[update("c", [0.5])], [update("c", [-0.25])]]
    got = steps(FedYogi(eta=0.1, beta_1=0.9, beta_2=0.99, tau=1e-3), rounds)
    first, second = 0.05, 1e-6 + 0.01 * 0.25
    np.testing.assert_allclose(got[0]["a"], 0.1 * first / (second**0.5 + 1e-3), rtol=1e-13)
    first, second = 0.9 * first - 0.025, second + 0.01 * 0.0625
    np.testing.assert_allclose(got[1]["a"], 0.1 * first / (second**0.5 + 1e-3), rtol=1e-13)
    got = steps(FedAdagrad(eta=0.1, tau=1e-3), rounds)
    second = 1e-6 + 0.25 + 0.0625
    np.testing.assert_allclose(got[1]["a"], 0.1 * -0.25 / (second**0.5 + 1e-3), rtol=1e-13)


def test_angles_are_averaged_unwrapped() -> None:
    turns = [update("a", [2 * np.pi + 0.1]), update("b", [-0.1])]
    np.testing.assert_allclose(FedAvg().aggregate(turns, {})[0]["a"], [np.pi])


def test_small_deltas_survive_beside_large_parameters() -> None:
    deltas = [update(f"c{i}", [1e-12 * (i + 1)]) for i in range(3)]
    np.testing.assert_allclose(FedAvg().aggregate(deltas, {})[0]["a"], [2e-12], rtol=1e-12)


def test_nothing_cannot_be_averaged() -> None:
    with pytest.raises(ValueError, match="at least one"):
        FedAvg().aggregate([], {})


def test_conformance_catches_an_aggregator_that_sums_in_arrival_order() -> None:
    class Arrival(Strategy):
        def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
            names = updates[0].arrays
            return {n: np.asarray(sum(u.arrays[n] for u in updates)) for n in names}, state

    with pytest.raises(AssertionError, match="order"):
        check_aggregator(Arrival)


def test_conformance_catches_an_aggregator_that_counts_clients() -> None:
    class Heavy(Strategy):
        def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
            step, _ = FedAvg().aggregate(updates, {})
            weight = sum(one.examples for one in updates)
            return {name: array * weight for name, array in step.items()}, state

    with pytest.raises(AssertionError, match="unit"):
        check_aggregator(Heavy)


@pytest.mark.parametrize(
    ("value", "want"),
    [("fedavgm", FedAvgM()), ({"kind": "fedadam", "eta": 0.05}, FedAdam(eta=0.05))],
)
def test_an_aggregator_is_a_map_or_a_bare_word(value: object, want: Aggregator) -> None:
    assert FederationConfig.model_validate({"strategy": value}).strategy == want


@pytest.mark.parametrize(
    "value",
    [
        "fedprex",
        {"kind": "fedavg", "eta": 0.1},
        {"kind": "fedavgm", "server_momentum": 1.0},
        {"kind": "fedadam", "tau": 0.0},
        {"kind": "fedadam", "eta": float("inf")},
    ],
)
def test_impossible_aggregators_are_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        FederationConfig.model_validate({"strategy": value})
