from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qmarl.errors import ConfigurationError
from qmarl.federated.aggregators import FedAvg
from qmarl.federated.messages import MessageError, encode
from qmarl.federated.privacy_noise import NoiseSource
from qmarl.federated.server import Server
from qmarl.federated.split import UPWARD, Cut, Flow, Guard, Slip, pack, unpack
from qmarl.federated.transport import SERVER, InMemoryChannel, MeteredChannel
from qmarl.types import Array, Envelope, Link, ParameterSpec

SLIP = Slip("activations", "all", "drone_0", 3, 7, (4, 2), "float64")
ARRAY = np.linspace(-1, 1, 8).reshape(4, 2)
FLOWS: tuple[Flow, ...] = (*UPWARD, "outputs", "activation_gradients")
ROWS = hnp.arrays(np.float64, (5, 3), elements=st.floats(-10, 10).map(lambda x: round(x, 3)))


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=0),
        elements=st.floats(-1e6, 1e6, width=32),
    ),
    st.sampled_from(FLOWS),
)
def test_what_crosses_arrives_to_the_last_bit(array: Array, flow: Flow) -> None:
    cut = Cut(InMemoryChannel(), "all", "drone_0", 3, str(array.dtype))
    got = cut.carry(flow, 7, array, array.shape)
    assert (got.dtype, got.shape) == (array.dtype, array.shape)
    assert got.tobytes() == array.tobytes()
    assert got.flags.writeable


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ({"flow": "output_gradients"}, "it holds"),
        ({"flow": "outputs"}, "broadcast"),
        ({"group": "others"}, "others"),
        ({"client": "drone_1"}, "drone_1"),
        ({"round": 2}, "2"),
        ({"batch": 6}, "6.0"),
        ({"shape": (2, 4)}, "expected"),
        ({"dtype": "float32"}, "float32"),
    ],
)
def test_a_message_of_another_place_or_time_is_refused(lie: dict[str, object], reason: str) -> None:
    other = replace(SLIP, **lie)  # type: ignore[arg-type] # fields by name
    array = ARRAY.reshape(other.shape).astype(other.dtype)
    with pytest.raises(MessageError, match=r"activations of client 'drone_0' refused") as error:
        unpack(SLIP, pack(other, array))
    assert reason in str(error.value)


@given(st.data())
def test_damaged_messages_are_refused(data: st.DataObject) -> None:
    payload = pack(SLIP, ARRAY)
    place = data.draw(st.integers(0, len(payload) - 1))
    bit = data.draw(st.integers(0, 7))
    flipped = bytearray(payload)
    flipped[place] ^= 1 << bit
    for bad in (bytes(flipped), payload[:place], payload + b"x"):
        with pytest.raises(MessageError, match="drone_0"):
            unpack(SLIP, bad)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_neither_sent_nor_believed(bad: float) -> None:
    array = ARRAY.copy()
    array[1, 1] = bad
    with pytest.raises(MessageError, match="not finite"):
        pack(SLIP, array)
    envelope = Envelope(
        "update",
        3,
        "drone_0",
        "all",
        {"activations": array},
        {"activations": None},
        4,
        {"batch": 7.0},
    )
    with pytest.raises(MessageError, match="not finite"):
        unpack(SLIP, encode(envelope))


def test_a_message_that_is_larger_than_expected_is_refused_unread() -> None:
    large = replace(SLIP, shape=(100_000, 2))
    with pytest.raises(MessageError, match="bytes, at most"):
        unpack(SLIP, pack(large, np.zeros(large.shape)))


@dataclass
class Replaying:
    """Delivers the first message of each link again and again."""

    first: dict[Link, bytes] = field(default_factory=dict)

    def transfer(self, payload: bytes, link: Link) -> bytes:
        return self.first.setdefault(link, payload)


def test_a_replayed_message_is_refused() -> None:
    cut = Cut(Replaying(), "all", "drone_0", 3, "float64")
    cut.carry("activations", 0, ARRAY, ARRAY.shape)
    with pytest.raises(MessageError, match="batch 1"):
        cut.carry("activations", 1, ARRAY, ARRAY.shape)


def test_activations_are_no_update_of_a_model_and_the_other_way_round() -> None:
    layout = {"actor.w0": ParameterSpec((4, 2), None, "weights")}
    server = Server(layout, {"actor.w0": np.zeros((4, 2))}, FedAvg(), ["drone_0"])
    rejection = server.receive(pack(SLIP, ARRAY), 3, "drone_0")
    assert rejection is not None
    assert "['activations'], but ['actor.w0'] are shared" in rejection.reason
    update = Envelope("update", 3, "drone_0", "all", {"actor.w0": ARRAY}, {"actor.w0": None}, 4)
    with pytest.raises(MessageError, match=r"actor\.w0"):
        unpack(SLIP, encode(update))


def test_bytes_are_counted_by_direction() -> None:
    channel = MeteredChannel(InMemoryChannel())
    cut = Cut(channel, "all", "drone_0", 3, "float64")
    for flow in FLOWS:
        cut.carry(flow, 0, ARRAY, ARRAY.shape)
    assert set(channel.sent) == {Link("drone_0", SERVER, 3), Link(SERVER, "drone_0", 3)}
    traffic = channel.take(3)
    assert 2 * ARRAY.nbytes < traffic.up < 2 * ARRAY.nbytes + 600
    assert 2 * ARRAY.nbytes < traffic.down < 2 * ARRAY.nbytes + 600


def test_no_client_is_called_server() -> None:
    with pytest.raises(ConfigurationError, match="server"):
        Cut(InMemoryChannel(), "all", SERVER, 0, "float64")


@given(ROWS)
def test_every_sample_is_within_the_norm(activations: Array) -> None:
    sent = Guard(0.7).protect(activations, NoiseSource(0), "a")
    norms = np.linalg.norm(activations, axis=1)
    assert (np.linalg.norm(sent, axis=1) <= 0.7 * (1 + 1e-12)).all()
    np.testing.assert_array_equal(sent[norms <= 0.7], activations[norms <= 0.7])
    np.testing.assert_array_equal(Guard().protect(activations, NoiseSource(0)), activations)


@given(ROWS, ROWS)
def test_gradients_go_back_through_the_clipping(activations: Array, gradients: Array) -> None:
    guard, step = Guard(1.5), 1e-6
    away = np.abs(np.linalg.norm(activations, axis=1) - 1.5) > 0.01  # it has a kink at the norm
    pulled = guard.pull(activations, gradients)
    for column in range(3):
        shift = step * np.eye(3)[column]
        above, below = (guard.protect(activations + s, NoiseSource(0)) for s in (shift, -shift))
        slope = ((above - below) / (2 * step) * gradients).sum(1)
        np.testing.assert_allclose(pulled[away, column], slope[away], atol=1e-6)


def test_the_noise_has_the_deviation_that_was_asked_for_and_a_name() -> None:
    zeros, guard = np.zeros((5000, 4), np.float32), Guard(0.5, 2.0)
    one = guard.protect(zeros, NoiseSource(1), "drone_0", 3, 7)
    assert one.dtype == np.float32
    assert one.std() == pytest.approx(1.0, rel=0.03)
    assert one.mean() == pytest.approx(0.0, abs=0.03)
    np.testing.assert_array_equal(one, guard.protect(zeros, NoiseSource(1), "drone_0", 3, 7))
    assert (one != guard.protect(zeros, NoiseSource(1), "drone_0", 3, 8)).any()
