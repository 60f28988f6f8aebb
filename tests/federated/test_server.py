from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from qmarl.errors import ConfigurationError, RunError
from qmarl.federated.adaptive import FedAdam
from qmarl.federated.aggregators import Aggregator, FedAvg, FedAvgM, Strategy, Update
from qmarl.federated.client import Client
from qmarl.federated.messages import decode, encode
from qmarl.federated.server import Server
from qmarl.federated.share import select
from qmarl.types import Envelope, ParameterSpec, Params

MODEL = {
    "actor.angles": ParameterSpec((2, 3), 2 * math.pi, "angles"),
    "actor.bias": ParameterSpec((), None, "readout"),
    "critic.weight": ParameterSpec((4,), None, "weights"),
}
LAYOUT = select(MODEL, ("actor.*",))
NAMES = ("drone_0", "drone_1", "drone_2")


def model(seed: int) -> Params:
    rng = np.random.default_rng(seed)
    return {name: np.asarray(rng.normal(size=spec.shape)) for name, spec in MODEL.items()}


def server(aggregator: Aggregator | None = None, quorum: int = 1, cap: int = 2**20) -> Server:
    return Server(LAYOUT, model(0), aggregator or FedAvg(), NAMES, "all", quorum, cap)


def clients() -> list[Client]:
    return [Client(name, "all", LAYOUT) for name in NAMES]


def submit_all(one: Server, round_number: int, learned: Sequence[Params]) -> None:
    broadcast = one.broadcast(round_number)
    for client, trained in zip(clients(), learned, strict=True):
        start = client.receive(broadcast[client.name], round_number)
        one.receive(client.submit(round_number, start, trained, 64), round_number)


def test_a_round_of_fedavg_is_the_mean_of_the_trained_models() -> None:
    one, learned = server(), [model(seed) for seed in (1, 2, 3)]
    submit_all(one, 0, learned)
    report = one.aggregate(0)
    for name in LAYOUT:
        mean = np.mean([trained[name] for trained in learned], 0)
        np.testing.assert_allclose(one.params[name], mean, rtol=1e-13, atol=1e-15)
    steps = [one.params[name] - model(0)[name] for name in LAYOUT]
    norm = np.sqrt(sum(np.sum(step**2) for step in steps))
    assert report.participants == NAMES
    assert report.rejected == ()
    assert report.kept == ""
    assert report.update_norm == pytest.approx(norm, rel=1e-12)


def test_personal_parameters_never_leave() -> None:
    one = server()
    payload = one.broadcast(0)["drone_0"]
    client = clients()[0]
    assert set(decode(payload).arrays) == set(LAYOUT)
    update = decode(client.submit(0, client.receive(payload, 0), model(1), 1, {"loss": 2.0}))
    assert set(update.arrays) == set(LAYOUT)
    assert update.metrics == {"loss": 2.0}
    assert b"critic" not in payload


def test_bytes_are_those_that_travelled() -> None:
    one = server()
    down = one.broadcast(4)
    ups = [client.submit(4, model(0), model(1), 8) for client in clients()]
    for payload in [*ups, b"noise"]:
        one.receive(payload, 4)
    report = one.aggregate(4)
    assert report.bytes_down == sum(map(len, down.values()))
    assert report.bytes_up == sum(map(len, ups)) + 5
    assert one.aggregate(5).bytes_up == 0


def test_a_float32_client_brings_the_server_to_its_own_model() -> None:
    one = Server(LAYOUT, model(0), FedAvg(), ["only"])
    client = Client("only", "all", LAYOUT)
    for round_number in range(3):
        start = client.receive(one.broadcast(round_number)["only"], round_number)
        trained = {n: (a + np.pi).astype(np.float32) for n, a in start.items()}
        one.receive(client.submit(round_number, start, trained, 1), round_number)
        one.aggregate(round_number)
        for name in LAYOUT:
            np.testing.assert_array_equal(one.params[name].astype(np.float32), trained[name])


def test_arrival_order_does_not_change_a_bit() -> None:
    states = []
    for order in ((0, 1, 2), (2, 0, 1)):
        one = server(FedAdam())
        for index in order:
            one.receive(clients()[index].submit(0, model(0), model(index + 5), 3 + index), 0)
        one.aggregate(0)
        states.append({name: array.tobytes() for name, array in one.state().items()})
    assert states[0] == states[1]


def good() -> Envelope:
    return decode(clients()[0].submit(7, model(0), model(1), 64))


def altered(name: str, array: np.ndarray) -> Callable[[Envelope], Envelope]:
    return lambda e: dataclasses.replace(e, arrays=e.arrays | {name: array})


def renamed(e: Envelope) -> Envelope:
    arrays = {("critic.weight" if n == "actor.bias" else n): a for n, a in e.arrays.items()}
    return dataclasses.replace(e, arrays=arrays, periods=dict.fromkeys(arrays))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda e: dataclasses.replace(e, client="eve"), "unknown client"),
        (lambda e: dataclasses.replace(e, round=6), "of round 6"),
        (lambda e: dataclasses.replace(e, round=8), "of round 8"),
        (lambda e: dataclasses.replace(e, group="other"), "of group 'other'"),
        (lambda e: dataclasses.replace(e, kind="broadcast"), "not an update"),
        (lambda e: dataclasses.replace(e, examples=0), "no examples"),
        (lambda e: dataclasses.replace(e, periods=dict.fromkeys(e.arrays)), "has period None"),
        (renamed, "are shared"),
        (altered("actor.bias", np.zeros(1)), "not float64"),
        (altered("actor.bias", np.zeros((), np.float32)), "not float64"),
        (altered("actor.bias", np.array(np.nan)), "not finite"),
        (altered("actor.bias", np.array(-np.inf)), "not finite"),
        (altered("actor.bias", np.zeros(10**5)), "are read"),
    ],
)
def test_a_bad_update_is_refused_and_reported(
    change: Callable[[Envelope], Envelope], reason: str
) -> None:
    one = server()
    before = one.state()
    rejection = one.receive(encode(change(good())), 7)
    assert rejection is not None
    assert reason in rejection.reason
    report = one.aggregate(7)
    assert report.rejected == (rejection,)
    assert report.participants == ()
    assert report.update_norm == 0
    assert all(np.array_equal(before[name], array) for name, array in one.state().items())


def test_a_second_update_is_refused_and_the_first_stays() -> None:
    one = server()
    assert one.receive(clients()[0].submit(0, model(0), model(1), 1), 0) is None
    second = one.receive(clients()[0].submit(0, model(0), model(2), 1), 0)
    assert second is not None
    assert second.client == "drone_0"
    assert one.aggregate(0).participants == ("drone_0",)
    np.testing.assert_allclose(one.params["actor.bias"], model(1)["actor.bias"])


def test_nobody_speaks_for_another() -> None:
    one = server()
    payload = clients()[0].submit(0, model(0), model(1), 1)
    forged = one.receive(payload, 0, sender="drone_1")
    assert forged is not None
    assert (forged.client, "drone_0" in forged.reason) == ("drone_1", True)
    assert one.receive(payload, 0, sender="drone_0") is None


def test_damage_is_reported_with_the_sender_that_the_channel_names() -> None:
    one = server()
    payload = bytearray(clients()[0].submit(0, model(0), model(1), 1))
    payload[40] ^= 1
    one.receive(bytes(payload), 0)
    one.receive(bytes(payload), 0, sender="drone_0")
    rejected = one.aggregate(0).rejected
    assert [rejection.client for rejection in rejected] == ["?", "drone_0"]
    assert all("checksum" in rejection.reason for rejection in rejected)


def test_boasting_is_capped() -> None:
    one = server(cap=10)
    one.receive(clients()[0].submit(0, model(0), model(1), 2**50), 0)
    one.receive(clients()[1].submit(0, model(0), model(2), 10), 0)
    one.aggregate(0)
    mean = (model(1)["actor.bias"] + model(2)["actor.bias"]) / 2
    np.testing.assert_allclose(one.params["actor.bias"], mean)


def test_below_the_quorum_everything_stays() -> None:
    one = server(FedAvgM(), quorum=2)
    submit_all(one, 0, [model(1)] * 3)
    one.aggregate(0)
    before = one.state()
    one.receive(clients()[0].submit(1, model(0), model(1), 1), 1)
    report = one.aggregate(1)
    assert report.participants == ("drone_0",)
    assert report.kept == "1 updates, but min_fit_clients is 2"
    assert report.update_norm == 0
    assert all(np.array_equal(before[name], array) for name, array in one.state().items())


def test_an_update_too_large_to_believe_is_refused_by_name() -> None:
    one = server()
    zero = {name: np.zeros(spec.shape) for name, spec in MODEL.items()}
    far = {name: np.full(spec.shape, 1e7) for name, spec in MODEL.items()}
    rejection = one.receive(clients()[0].submit(0, zero, far, 100), 0)
    assert rejection is not None
    assert rejection.client == clients()[0].name
    assert "at most 1e+06 is believed" in rejection.reason


def test_an_overflowing_aggregate_is_not_applied() -> None:
    one = server()
    one.max_update_norm = np.inf
    huge = {name: np.full(spec.shape, 1e308) for name, spec in MODEL.items()}
    zero = {name: np.zeros(spec.shape) for name, spec in MODEL.items()}
    before = one.state()
    for client in clients():
        one.receive(client.submit(0, zero, huge, 100), 0)
    report = one.aggregate(0)
    assert report.kept == "the aggregate is not finite"
    assert all(np.array_equal(before[name], array) for name, array in one.state().items())


@pytest.mark.parametrize("aggregator", [FedAvg(), FedAvgM(), FedAdam()])
def test_a_resumed_server_goes_on_to_the_same_bits(aggregator: Aggregator) -> None:
    whole, first = server(aggregator), server(aggregator)
    for round_number in range(2):
        for one in (whole, first):
            submit_all(one, round_number, [model(3 * round_number + i) for i in range(3)])
            one.aggregate(round_number)
    second = server(aggregator)
    second.load_state(first.state())
    for one in (whole, second):
        submit_all(one, 2, [model(20 + i) for i in range(3)])
        one.aggregate(2)
    assert whole.state().keys() == second.state().keys()
    for name, array in whole.state().items():
        assert array.tobytes() == second.state()[name].tobytes()


def test_a_checkpoint_of_another_model_is_refused() -> None:
    with pytest.raises(RunError, match="does not fit"):
        server().load_state({"params/actor.angles": np.zeros((2, 3))})
    with pytest.raises(RunError, match=r"shape \(2, 3\)"):
        server().load_state({"params/actor.angles": np.zeros(5), "params/actor.bias": np.zeros(())})


def test_the_state_is_a_copy() -> None:
    one = server()
    one.state()["params/actor.angles"][:] = 9
    np.testing.assert_array_equal(one.params["actor.angles"], model(0)["actor.angles"])


@pytest.mark.parametrize(
    ("names", "quorum", "reason"),
    [
        ([], 1, "distinct names"),
        (["a", "a"], 1, "distinct names"),
        (["a", "server"], 1, "distinct names"),
        (["a", "b"], 3, "min_fit_clients"),
    ],
)
def test_an_impossible_server_is_refused(names: list[str], quorum: int, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        Server(LAYOUT, model(0), FedAvg(), names, min_fit_clients=quorum)


def test_a_start_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"no value for .*actor\.bias"):
        Server(LAYOUT, {"actor.angles": np.zeros((2, 3))}, FedAvg(), ["a"])
    with pytest.raises(ConfigurationError, match="must have shape"):
        Server(LAYOUT, model(0) | {"actor.bias": np.zeros(3)}, FedAvg(), ["a"])


def test_a_client_refuses_a_broadcast_that_is_not_its_own() -> None:
    payload = server().broadcast(2)["drone_1"]
    assert Client("drone_1", "all", LAYOUT).receive(payload, 2).keys() == LAYOUT.keys()
    for client, round_number in (
        (Client("drone_0", "all", LAYOUT), 2),
        (Client("drone_1", "all", LAYOUT), 3),
        (Client("drone_1", "cars", LAYOUT), 2),
        (Client("drone_1", "all", select(MODEL, ("*.angles",))), 2),
    ):
        with pytest.raises(RunError):
            client.receive(payload, round_number)


def test_updates_reach_any_aggregator_in_the_order_of_names() -> None:
    seen: list[str] = []

    class Watcher(Strategy):
        def aggregate(self, updates: Sequence[Update], state: Params) -> tuple[Params, Params]:
            seen.extend(update.client for update in updates)
            return FedAvg().aggregate(updates, state)

    one = server(Watcher())
    for client in reversed(clients()):
        one.receive(client.submit(0, model(0), model(1), 1), 0)
    one.aggregate(0)
    assert seen == list(NAMES)
