from __future__ import annotations

import dataclasses
import math
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qmarl.federated.messages import VERSION, MessageError, decode, encode, encode_for, seal
from qmarl.types import Envelope

NAMES = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=12)
DTYPES = st.sampled_from(["float64", "float32", "int64", "uint32", "uint8"])
ARRAYS = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0)))
PERIODS = st.sampled_from([None, 2 * math.pi, 4 * math.pi])


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    arrays = draw(st.dictionaries(NAMES, ARRAYS, max_size=4))
    return Envelope(
        kind=draw(st.sampled_from(["broadcast", "update"])),
        round=draw(st.integers(0, 2**53 - 1)),
        client=draw(NAMES),
        group=draw(NAMES),
        arrays=arrays,
        periods={name: draw(PERIODS) for name in arrays},
        examples=draw(st.integers(0, 2**53 - 1)),
        metrics=draw(st.dictionaries(NAMES, st.floats(allow_nan=False), max_size=3)),
    )


def small() -> Envelope:
    arrays = {"actor.angles": np.linspace(-7, 7, 6).reshape(2, 3), "actor.bias": np.zeros(2)}
    periods = {"actor.angles": 2 * math.pi, "actor.bias": None}
    return Envelope("update", 3, "drone_0", "all", arrays, periods, 64, {"loss": 0.5})


def scalars(envelope: Envelope) -> tuple[object, ...]:
    head = (envelope.kind, envelope.round, envelope.client, envelope.group)
    return (*head, envelope.examples, envelope.metrics, envelope.periods)


@given(envelopes())
def test_round_trip_is_exact(envelope: Envelope) -> None:
    got = decode(encode(envelope))
    assert scalars(got) == scalars(envelope)
    assert list(got.arrays) == list(envelope.arrays)
    for name, array in envelope.arrays.items():
        assert got.arrays[name].dtype == array.dtype
        assert got.arrays[name].shape == array.shape
        assert got.arrays[name].tobytes() == array.tobytes()
        assert got.arrays[name].flags.writeable
    assert encode(got) == encode(envelope)


def test_the_wire_is_little_endian_whatever_the_array_was() -> None:
    arrays = {"a": np.arange(3.0).astype(">f8"), "b": np.arange(12.0).reshape(3, 4).T}
    envelope = Envelope("update", 0, "c", "g", arrays, {"a": None, "b": None})
    got = decode(encode(envelope)).arrays
    assert got["a"].dtype == np.dtype("float64")
    assert got["a"].dtype.isnative
    np.testing.assert_array_equal(got["a"], [0, 1, 2])
    np.testing.assert_array_equal(got["b"], arrays["b"])


def test_every_flipped_bit_is_refused() -> None:
    payload = encode(small())
    for bit in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MessageError):
            decode(bytes(damaged))


def test_every_truncation_and_surplus_is_refused() -> None:
    payload = encode(small())
    for length in range(len(payload)):
        with pytest.raises(MessageError):
            decode(payload[:length])
    with pytest.raises(MessageError, match="checksum"):
        decode(payload + b"\0")


@given(st.binary(max_size=200))
def test_noise_is_refused(payload: bytes) -> None:
    with pytest.raises(MessageError):
        decode(payload)
    with pytest.raises(MessageError):
        decode(seal(payload))


@settings(max_examples=300)
@given(st.data())
def test_damage_under_a_good_checksum_never_escapes(data: st.DataObject) -> None:
    body = bytearray(encode(small())[19:])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        got = decode(seal(bytes(body)))
    except MessageError:
        return
    assert decode(encode(got)).arrays.keys() == got.arrays.keys()


ENTRY = ["float64", [2], None, b"\0" * 16]


def body(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "kind": "update",
        "round": 0,
        "client": "c",
        "group": "g",
        "arrays": {"a": ENTRY},
        "examples": 1,
        "metrics": {},
    }
    return seal(msgpack.packb(fields | changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "gossip"}, "kind must be"),
        ({"round": -1}, "round must be"),
        ({"round": 2**60}, "round must be"),
        ({"round": 1.0}, "round must be"),
        ({"round": True}, "round must be"),
        ({"client": ""}, "client must be"),
        ({"client": "a\nb"}, "client must be"),
        ({"group": 7}, "group must be"),
        ({"group": "g" * 300}, "group must be"),
        ({"examples": None}, "examples must be"),
        ({"metrics": {"loss": 1}}, "metric 'loss' must be a float"),
        ({"metrics": []}, "metrics must be"),
        ({"arrays": []}, "'arrays' must be a map"),
        ({"arrays": {b"a": ENTRY}}, "array name must be"),
        ({"arrays": {"a": ENTRY[:3]}}, "must be"),
        ({"arrays": {"a": ["object", [2], None, b"\0" * 16]}}, "declares dtype 'object'"),
        ({"arrays": {"a": [["f"], [2], None, b"\0" * 16]}}, "declares dtype"),
        ({"arrays": {"a": ["float64", [3], None, b"\0" * 16]}}, "but has 16 bytes"),
        ({"arrays": {"a": ["float64", [-2], None, b"\0" * 16]}}, "shape of array 'a'"),
        ({"arrays": {"a": ["float64", [2.0], None, b"\0" * 16]}}, "shape of array 'a'"),
        ({"arrays": {"a": ["float64", 2, None, b"\0" * 16]}}, "needs a list as shape"),
        ({"arrays": {"a": ["float64", [2], None, "text"]}}, "needs a list as shape"),
        ({"arrays": {"a": ["float64", [2], -1.0, b"\0" * 16]}}, "period of array 'a'"),
        ({"arrays": {"a": ["float64", [2], math.nan, b"\0" * 16]}}, "period of array 'a'"),
        ({"arrays": {"a": ["float64", [0, 2**50, 2**50], None, b""]}}, "declares shape"),
        ({"surplus": 1}, "the body must be a map"),
    ],
)
def test_each_malformed_field_is_named(changes: dict[str, Any], reason: str) -> None:
    assert decode(body()).examples == 1
    with pytest.raises(MessageError, match=reason):
        decode(body(**changes))


def test_surplus_bytes_in_the_body_are_refused() -> None:
    with pytest.raises(MessageError, match="msgpack"):
        decode(seal(body()[19:] + b"\xc0"))


@pytest.mark.parametrize(
    "bomb",
    [
        b"\xdd\xff\xff\xff\xff",  # a list of 2^32 - 1 items
        b"\xdf\xff\xff\xff\xff",  # a map of as many
        b"\xdd\x00\x00\x80\x00" * 400,  # lists in lists, each preallocated at 32768 items
        b"\x91" * 100_000,  # nested too deeply
        b"\xc6\xff\xff\xff\xff",  # 4 GiB of bytes that are not there
        b"\xd6\xff\x00\x00\x00\x00",  # an extension type
    ],
)
def test_declared_lengths_allocate_nothing(bomb: bytes) -> None:
    with pytest.raises(MessageError, match="msgpack"):
        decode(seal(bomb))


def test_size_and_version_are_checked_first() -> None:
    payload = encode(small())
    with pytest.raises(MessageError, match="at most 10"):
        decode(payload, limit_bytes=10)
    with pytest.raises(MessageError, match=f"version {VERSION + 1}"):
        decode(payload[:2] + bytes([VERSION + 1]) + payload[3:])


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"a": np.zeros(2, np.complex128)}, "complex128"),
        ({"a": np.array([object()])}, "object"),
        ({"a": np.zeros((1,) * 9)}, "9 axes"),
        ({"": np.zeros(2)}, "array name"),
    ],
)
def test_what_would_be_refused_is_not_sent(arrays: dict[str, Any], reason: str) -> None:
    with pytest.raises(MessageError, match=reason):
        encode(Envelope("update", 0, "c", "g", arrays, dict.fromkeys(arrays)))


def test_an_array_without_period_is_not_sent() -> None:
    with pytest.raises(MessageError, match="periods"):
        encode(Envelope("update", 0, "c", "g", {"a": np.zeros(2)}, {}))


@given(envelopes(), st.lists(NAMES, min_size=1, max_size=3, unique=True))
def test_many_messages_are_what_each_would_be_alone(envelope: Envelope, clients: list[str]) -> None:
    together = encode_for(clients, envelope)
    assert list(together) == clients
    for client, payload in together.items():
        alone = dataclasses.replace(envelope, client=client)
        assert payload == encode(alone)
        assert scalars(decode(payload)) == scalars(alone)
