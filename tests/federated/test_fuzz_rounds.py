"""Whatever strangers put on the wire: it is refused with a reason, logged, and moves nothing."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmarl.federated.aggregators import FedAvg
from qmarl.federated.client import Client
from qmarl.federated.messages import MessageError, decode, encode, seal
from qmarl.federated.server import Server
from qmarl.types import Envelope, ParameterSpec, Params

LAYOUT = {
    "actor.angles": ParameterSpec((2, 3), 2 * np.pi, "angles"),
    "actor.bias": ParameterSpec((4,), None, "readout"),
}
HONEST = ("drone_0", "drone_1", "drone_2")
EVIL = "drone_3"
ROUND = 5


def server() -> Server:
    zero = {name: np.zeros(spec.shape) for name, spec in LAYOUT.items()}
    one = Server(LAYOUT, zero, FedAvg(), (*HONEST, EVIL))
    for number in range(ROUND + 1):
        one.broadcast(number)
        one.ask(number, one.clients)
    return one


def learned(seed: int) -> Params:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=spec.shape) for name, spec in LAYOUT.items()}


def message(client: str, round_number: int = ROUND, group: str = "all", seed: int = 0) -> bytes:
    return Client(client, group, LAYOUT).send(round_number, learned(seed), 10)


def flipped(payload: bytes, bit: int) -> bytes:
    damaged = bytearray(payload)
    damaged[bit // 8 % len(payload)] ^= 1 << bit % 8
    return bytes(damaged)


def sealed_damage(payload: bytes, places: list[tuple[int, int]]) -> bytes:
    """Damage under a checksum that fits: what a client itself may send."""
    body = bytearray(payload[19:])
    for place, value in places:
        body[place % len(body)] = value
    return seal(bytes(body))


DAMAGE: st.SearchStrategy[Callable[[bytes], bytes]] = st.one_of(
    st.integers(0, 10_000).map(lambda bit: lambda payload: flipped(payload, bit)),
    st.integers(0, 400).map(lambda end: lambda payload: payload[: min(end, len(payload) - 1)]),
    st.binary(min_size=1, max_size=9).map(lambda more: lambda payload: payload + more),
    st.binary(max_size=300).map(lambda noise: lambda _: noise),
    st.binary(max_size=300).map(lambda noise: lambda _: seal(noise)),
)


def settled(one: Server, payloads: list[tuple[bytes, str]]) -> Params:
    for name in HONEST[:2]:
        assert one.receive(message(name, seed=7), ROUND, name) is None
    for payload, sender in payloads:
        rejection = one.receive(payload, ROUND, sender)
        assert rejection is not None
        assert rejection.client == sender
        assert 0 < len(rejection.reason) <= 600
    assert one.receive(message(HONEST[2], seed=7), ROUND, HONEST[2]) is None
    report = one.aggregate(ROUND)
    assert report.participants == HONEST
    assert [each.client for each in report.rejected] == [sender for _, sender in payloads]
    return one.params


@settings(max_examples=150, deadline=None)
@given(st.lists(DAMAGE, min_size=1, max_size=4))
def test_damage_of_any_kind_is_refused_and_changes_nothing(
    damage: list[Callable[[bytes], bytes]],
) -> None:
    payloads = [(each(message(EVIL)), EVIL) for each in damage]
    got, want = settled(server(), payloads), settled(server(), [])
    assert all((got[name] == want[name]).all() for name in want)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([number for number in range(12) if number != ROUND]),
    st.sampled_from((*HONEST, "server", "nobody", "drone_33")),
    st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=5),
)
def test_wrong_rounds_replays_names_and_groups_are_refused(
    round_number: int, other: str, group: str
) -> None:
    payloads = [
        (message(EVIL, round_number), EVIL),  # of another round
        (message(other), EVIL),  # in another's name
        (message(HONEST[0], seed=7), HONEST[0]),  # replayed word for word
        (message(EVIL, group=f"not {group}"), EVIL),
    ]
    got, want = settled(server(), payloads), settled(server(), [])
    assert all((got[name] == want[name]).all() for name in want)


def test_an_update_of_an_earlier_round_cannot_be_replayed_later() -> None:
    one = server()
    for name in HONEST:
        assert one.receive(message(name), ROUND, name) is None
    one.aggregate(ROUND)
    one.ask(ROUND + 1, one.clients)
    for payload in (message(HONEST[0]), message(HONEST[0], ROUND + 1)):
        first = one.receive(payload, ROUND + 1, HONEST[0])
        assert (first is None) is (payload == message(HONEST[0], ROUND + 1))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=5))
def test_what_a_client_may_seal_itself_is_refused_or_is_an_update(
    places: list[tuple[int, int]],
) -> None:
    one = server()
    rejection = one.receive(sealed_damage(message(EVIL), places), ROUND, EVIL)
    report = one.aggregate(ROUND)
    assert report.rejected == (() if rejection is None else (rejection,))
    assert all(np.isfinite(array).all() for array in one.params.values())
    if rejection is not None:
        assert report.participants == ()
        assert all((array == 0).all() for array in one.params.values())


SIZES = st.lists(st.integers(0, 2**53 - 1), min_size=1, max_size=8)


@settings(max_examples=80, deadline=None)
@given(SIZES, st.sampled_from(["float64", "float32", "uint8"]), st.binary(max_size=64))
def test_bombs_of_declared_shape_allocate_nothing(
    shape: list[int], dtype: str, content: bytes
) -> None:
    good = decode(message(EVIL))
    empty = Envelope("update", ROUND, EVIL, "all", {}, {})
    body = msgpack.unpackb(encode(empty)[19:])
    body["arrays"] = {name: [dtype, shape, None, content] for name in good.arrays}
    payload = seal(msgpack.packb(body))
    one = server()
    tracemalloc.start()
    rejection = one.receive(payload, ROUND, EVIL)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rejection is not None
    assert peak < 2**20


@pytest.mark.parametrize("head", [b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9"])
@pytest.mark.parametrize("declared", [2**16, 2**24, 2**31, 2**32 - 1])
def test_bombs_of_declared_length_allocate_nothing(head: bytes, declared: int) -> None:
    """Lists, maps, bytes, text and extensions that say they are longer than they are."""
    bomb = seal(head + declared.to_bytes(4, "big") + bytes(16))
    tracemalloc.start()
    with pytest.raises(MessageError):
        decode(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20
