import numpy as np
import pytest

from qmarl.errors import RunError
from qmarl.federated.config import FederationConfig
from qmarl.federated.transport import SERVER, InMemoryChannel
from qmarl.types import ParameterSpec
from trainers.federation import Federation

LAYOUT = {
    "actor.angles": ParameterSpec((2, 3), 2 * np.pi, "angles"),
    "actor.bias": ParameterSpec((4,), None, "readout"),
    "critic.w0": ParameterSpec((5,), None, "critic"),
}
CLIENTS = ("drone_0", "drone_1", "drone_2")
SHARED = ("actor.angles", "actor.bias")


class Wiretap(InMemoryChannel):
    """Keeps what passed, and lets a test change it on the way."""

    def __init__(self, change=lambda payload, link: payload):
        self.passed, self.change = [], change

    def transfer(self, payload, link):
        self.passed.append((link, len(payload)))
        return self.change(payload, link)


def stack(seed):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(3, *spec.shape)) for name, spec in LAYOUT.items()}


def federation(channel=None, start=None, **config):
    return Federation(
        "all",
        CLIENTS,
        LAYOUT,
        start or stack(0),
        FederationConfig(**config),
        channel or InMemoryChannel(),
    )


def test_a_broadcast_puts_the_first_learners_shared_start_everywhere():
    start = stack(0)
    placed = federation(start=start).broadcast(start, 0)
    for name in SHARED:
        assert (placed[name] == start[name][:1]).all()
        assert placed[name].shape == start[name].shape
    assert placed["critic.w0"] is start["critic.w0"]


def test_a_round_moves_the_server_by_the_weighted_mean_of_what_was_learned():
    start, trained = stack(0), stack(1)
    layer = federation(start=start)
    before = layer.broadcast(start, 0)
    examples = np.array([10, 20, 70])
    report = layer.gather(trained, examples, 0)
    joined = layer.joined(trained)
    for name in SHARED:
        share = (examples / 100).reshape(3, *[1] * (trained[name].ndim - 1))
        expected = before[name][0] + ((trained[name] - before[name]) * share).sum(0)
        np.testing.assert_allclose(joined[name], np.broadcast_to(expected, joined[name].shape))
    assert (joined["critic.w0"] == trained["critic.w0"]).all()
    assert report.participants == CLIENTS


def test_bytes_are_those_that_passed_each_way_in_each_round():
    channel = Wiretap()
    layer = federation(channel)
    for number in range(2):
        channel.passed.clear()
        params = layer.broadcast(stack(0), number)
        report = layer.gather(params, np.ones(3, int), number)
        up, down = report.bytes_up, report.bytes_down
        ways = {True: 0, False: 0}
        for link, size in channel.passed:
            assert link.round == number
            ways[link.receiver == SERVER] += size
        assert (up, down) == (ways[True], ways[False])
        assert up > 8 * 3 * (6 + 4)
    assert {link.sender for link, _ in channel.passed} == {SERVER, *CLIENTS}


def test_a_nan_update_is_counted_and_the_others_go_on():
    start, trained = stack(0), stack(1)
    layer = federation(start=start)
    before = layer.broadcast(start, 0)
    trained["actor.bias"][1, 2] = np.nan
    report = layer.gather(trained, np.array([1, 1, 1]), 0)
    assert report.participants == ("drone_0", "drone_2")
    assert [refused.client for refused in report.rejected] == ["drone_1"]
    assert "not finite" in report.rejected[0].reason
    expected = before["actor.bias"][0] + (trained["actor.bias"] - before["actor.bias"])[
        [0, 2]
    ].mean(0)
    np.testing.assert_allclose(layer.joined(trained)["actor.bias"], [expected] * 3)


def test_nan_updates_alone_keep_the_model():
    start = stack(0)
    layer = federation(start=start)
    before = layer.broadcast(start, 0)
    spoiled = {name: np.full_like(array, np.nan) for name, array in before.items()}
    report = layer.gather(spoiled, np.ones(3, int), 0)
    assert (report.participants, len(report.rejected), report.update_norm) == ((), 3, 0.0)
    assert "min_fit_clients" in report.kept
    for name in SHARED:
        assert (layer.joined(before)[name] == before[name]).all()
    layer.broadcast(before, 1)  # and the next round is like any other
    assert layer.gather(stack(2), np.ones(3, int), 1).participants == CLIENTS


def test_bytes_damaged_on_the_way_are_refused_up_and_told_down():
    def flip(payload, link):
        if link.sender != "drone_1":
            return payload
        return payload[:-1] + bytes([payload[-1] ^ 1]) + b"x"

    layer = federation(Wiretap(flip))
    params = layer.broadcast(stack(0), 0)
    report = layer.gather(params, np.ones(3, int), 0)
    assert [refused.client for refused in report.rejected] == ["drone_1"]

    with pytest.raises(RunError):
        federation(Wiretap(lambda payload, _: payload[:-3])).broadcast(stack(0), 0)


def test_a_restored_server_goes_on_with_the_same_bits():
    trained = [stack(seed) for seed in (1, 2)]

    def play(layer, number):
        layer.broadcast(stack(0), number)
        layer.gather(trained[number], np.array([3, 4, 5]), number)
        return layer.joined(stack(0))

    whole, first, second = (federation(strategy="fedadam") for _ in range(3))
    play(whole, 0)
    play(first, 0)
    second.restore(first.server.state())
    expected, got = play(whole, 1), play(second, 1)
    assert all((expected[name] == got[name]).all() for name in LAYOUT)
    second.restore(None)  # nothing to restore: it stays where it is
    assert all((got[name] == second.joined(stack(0))[name]).all() for name in LAYOUT)
