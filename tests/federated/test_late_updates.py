"""Updates that come late, wait in a buffer, or are too few: what the server makes of them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from qmarl import checkpoint
from qmarl.federated.adaptive import FedAdam
from qmarl.federated.aggregators import FedAvg
from qmarl.federated.client import Client
from qmarl.federated.server import Server
from qmarl.federated.staleness import Discount, Drop
from qmarl.types import ParameterSpec, Params

LAYOUT = {
    "actor.angles": ParameterSpec((2, 3), 2 * math.pi, "angles"),
    "actor.bias": ParameterSpec((), None, "readout"),
}
NAMES = ("a", "b", "c", "d")


def deltas(value: float) -> Params:
    return {name: np.full(spec.shape, value) for name, spec in LAYOUT.items()}


def server(**rules: Any) -> Server:
    aggregator = rules.pop("aggregator", FedAvg())
    return Server(LAYOUT, deltas(0), aggregator, NAMES, "all", **rules)


def update(client: str, number: int, value: float = 1.0, examples: int = 10) -> bytes:
    return Client(client, "all", LAYOUT).send(number, deltas(value), examples)


def at(one: Server) -> float:
    return float(one.params["actor.bias"])


def test_the_discount_by_hand() -> None:
    assert [Discount(exponent=1).weight(s) for s in (0, 1, 3)] == [1, 0.5, 0.25]
    assert Discount().weight(8) == pytest.approx(1 / 3)
    assert Discount(exponent=0).weight(9) == 1
    assert Drop().weight(0) == 1


def test_a_late_update_counts_by_the_steps_that_it_missed() -> None:
    one = server(late=Discount(exponent=1))
    for number in range(2):
        one.ask(number, ("a", "b") if number == 0 else ("b",))
        assert one.receive(update("b", number), number) is None
        one.aggregate(number)
    assert at(one) == 2
    one.ask(2, ("c",))
    assert one.receive(update("c", 2, 5.0), 2) is None
    assert one.receive(update("a", 0, 6.0), 2) is None  # two steps late: a third of it
    report = one.aggregate(2)
    assert at(one) == pytest.approx(2 + (5 + 6 / 3) / 2)
    late, fresh = report.contributions
    assert (late.client, late.staleness, late.weight) == ("a", 2, pytest.approx(1 / 6))
    assert (fresh.client, fresh.staleness, fresh.weight) == ("c", 0, 0.5)
    assert late.norm == pytest.approx(2 * math.sqrt(7))
    assert report.participants == ("a", "c")
    assert report.asked == ("c",)


def test_rounds_without_a_step_do_not_make_an_update_stale() -> None:
    one = server(late=Discount(exponent=1), min_fit_clients=1)
    one.ask(0, ("a",))
    one.aggregate(0)
    one.ask(1, ())
    one.aggregate(1)
    assert one.receive(update("a", 0, 4.0), 2) is None
    assert one.aggregate(2).contributions[0].staleness == 0
    assert at(one) == 4


def test_under_drop_a_late_update_is_refused_by_name() -> None:
    one = server()
    one.ask(3, NAMES)
    rejection = one.receive(update("a", 2), 3)
    assert rejection is not None
    assert rejection.client == "a"
    assert "of round 2, but this is round 3" in rejection.reason
    report = one.aggregate(3)
    assert report.missing == ("b", "c", "d")


@pytest.mark.parametrize(("age", "used"), [(3, True), (4, False)])
def test_too_stale_an_update_is_refused(age: int, used: bool) -> None:
    one = server(late=Discount(max_staleness=3))
    one.ask(1, ("a",))
    assert (one.receive(update("a", 1), 1 + age) is None) is used


def test_an_update_from_the_future_is_refused() -> None:
    assert server(late=Discount()).receive(update("a", 5), 4) is not None


def test_nobody_is_heard_twice_or_unasked() -> None:
    one = server(late=Discount())
    one.ask(0, ("a", "b"))
    assert one.receive(update("a", 0), 0) is None
    unasked = one.receive(update("c", 0), 0)
    one.aggregate(0)
    again = one.receive(update("a", 0), 1)
    one.ask(1, ("b",))  # a newer call: the old answer is not wanted any more
    older = one.receive(update("b", 0), 1)
    for rejection, name in ((unasked, "c"), (again, "a"), (older, "b")):
        assert rejection is not None
        assert (rejection.client, "not asked for" in rejection.reason) == (name, True)
    assert one.receive(update("b", 1), 1) is None


def test_the_buffer_fills_over_rounds_and_then_makes_one_step() -> None:
    one = server(buffer=3, late=Discount(exponent=1))
    came = {0: ("a",), 1: ("b",), 2: (), 3: ("c", "d"), 4: ("a",)}
    steps = []
    for number, clients in came.items():
        one.ask(number, clients)
        for value, client in enumerate(clients, 1):
            assert one.receive(update(client, number, float(value)), number) is None
        report = one.aggregate(number)
        steps.append((report.participants, report.kept, at(one)))
    assert [participants for participants, _, _ in steps] == [(), (), (), ("a", "b", "c", "d"), ()]
    assert steps[0][1] == "1 of 3 updates in the buffer"
    assert [value for _, _, value in steps] == [0, 0, 0, pytest.approx(5 / 4), pytest.approx(5 / 4)]
    assert steps[3][1] == ""


def test_a_clients_newer_update_takes_the_place_of_its_older_one_in_the_buffer() -> None:
    one = server(buffer=2)
    for number, value in ((0, 100.0), (1, 1.0)):
        one.ask(number, ("a",))
        one.receive(update("a", number, value), number)
        assert one.aggregate(number).participants == ()
    one.ask(2, ("b",))
    one.receive(update("b", 2, 3.0), 2)
    assert one.aggregate(2).participants == ("a", "b")
    assert at(one) == 2


@pytest.mark.parametrize(
    ("rate", "answers", "kept"), [(0.5, 2, False), (0.51, 2, True), (1.0, 4, False), (1.0, 3, True)]
)
def test_below_the_completion_rate_everything_stays(rate: float, answers: int, kept: bool) -> None:
    one = server(min_completion_rate_fit=rate, aggregator=FedAdam())
    one.ask(0, NAMES)
    before = one.state()
    for client in NAMES[:answers]:
        one.receive(update(client, 0), 0)
    report = one.aggregate(0)
    assert (at(one) == 0) is kept
    assert bool(report.kept) is kept
    assert report.missing == NAMES[answers:]
    if kept:
        assert report.kept.startswith(f"{answers} of 4 clients answered")
        assert all((one.params[n] == before[f"params/{n}"]).all() for n in LAYOUT)


def test_the_completion_rate_is_that_of_who_was_asked() -> None:
    one = server(min_completion_rate_fit=1.0, late=Discount())
    one.ask(0, ("a",))
    one.ask(1, ("b", "c"))
    for payload in (update("a", 0), update("b", 1)):
        assert one.receive(payload, 1) is None
    assert one.aggregate(1).kept.startswith("1 of 2 clients answered")


def test_a_round_without_clients_keeps_the_model() -> None:
    one = server(min_completion_rate_fit=1.0)
    one.ask(0, ())
    report = one.aggregate(0)
    assert report.kept == "0 updates, but min_fit_clients is 1"
    assert (report.participants, report.asked, at(one)) == ((), (), 0)


def test_arrival_order_does_not_change_a_bit() -> None:
    results = set()
    for order in itertools.permutations(range(4)):
        one = server(late=Discount(), aggregator=FedAdam())
        one.ask(0, ("a",))
        one.ask(1, ("b", "c", "d"))
        payloads = [update("a", 0, 0.1), *(update(n, 1, 0.3 * i) for i, n in enumerate("bcd"))]
        for index in order:
            assert one.receive(payloads[index], 1) is None
        one.aggregate(1)
        results.add(tuple((name, array.tobytes()) for name, array in one.state().items()))
    assert len(results) == 1


def play(one: Server, number: int) -> None:
    """Everybody is asked in turn; two answer at once, one a round late."""
    asked = (NAMES[number % 4], NAMES[(number + 1) % 4])
    one.ask(number, asked)
    if number:
        one.receive(update(NAMES[(number - 1) % 4], number - 1, 0.3 * number), number)
    one.receive(update(asked[1], number, 0.7 + number, 10 + number), number)
    one.aggregate(number)


@pytest.mark.parametrize("rules", [{}, {"late": Discount()}, {"late": Discount(), "buffer": 3}])
def test_a_resumed_server_goes_on_to_the_same_bits(rules: dict[str, Any], tmp_path: Any) -> None:
    for pause in range(1, 6):
        whole, first = (server(**rules) for _ in range(2))
        for number in range(pause):
            play(whole, number)
            play(first, number)
        checkpoint.save(tmp_path, pause, {"server.all": first.state()}, {})
        second = server(**rules)
        second.load_state(checkpoint.load(tmp_path).arrays["server.all"])
        for number in range(pause, 8):
            play(whole, number)
            play(second, number)
        wanted, got = whole.state(), second.state()
        assert wanted.keys() == got.keys()
        assert all(array.tobytes() == got[name].tobytes() for name, array in wanted.items())
