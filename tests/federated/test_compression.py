from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qmarl.federated.aggregators import FedAvg
from qmarl.federated.client import Client
from qmarl.federated.compression import Codec, Compression, Quantise, RandomMask, TopK
from qmarl.federated.messages import MessageError, encode
from qmarl.federated.server import Server
from qmarl.types import Envelope, ParameterSpec, Params

LAYOUT = {
    "actor.angles": ParameterSpec((10, 12), 2 * math.pi, "angles"),
    "actor.bias": ParameterSpec((), None, "readout"),
    "actor.weight": ParameterSpec((3, 4), None, "weights"),
}
SIZE = 133
ALL = [Quantise(), Quantise(bits=3), Quantise(bits=16), TopK(), TopK(share=1.0), RandomMask()]


def deltas(seed: int, scale: float = 0.1) -> Params:
    rng = np.random.default_rng(seed)
    return {name: np.asarray(rng.normal(0, scale, spec.shape)) for name, spec in LAYOUT.items()}


def codec(compression: Compression | None, seed: int = 0) -> Codec:
    return Codec(LAYOUT, "all", compression, seed)


def vector(arrays: Params) -> np.ndarray:
    return np.concatenate([arrays[name].ravel() for name in LAYOUT])


def across(one: Codec, arrays: Params, number: int, memory: Params | None = None) -> Params:
    sent, _ = one.write(arrays, memory or {}, "c", number)
    return one.read(sent, "c", number)


@pytest.mark.parametrize("compression", ALL)
def test_names_shapes_and_types_come_back(compression: Compression) -> None:
    got = across(codec(compression), deltas(0), 4)
    assert {name: array.shape for name, array in got.items()} == {
        name: spec.shape for name, spec in LAYOUT.items()
    }
    assert all(array.dtype == np.float64 for array in got.values())


def test_without_compression_nothing_changes() -> None:
    got = across(codec(None), deltas(0), 0)
    assert all((got[name] == array).all() for name, array in deltas(0).items())


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_quantised_numbers_are_next_to_the_true_ones_and_right_in_the_mean(bits: int) -> None:
    one, true = codec(Quantise(bits=bits)), deltas(0)
    rounds = [across(one, true, number) for number in range(400)]
    for name, array in true.items():
        unit = np.abs(array).max() / (2 ** (bits - 1) - 1)
        got = np.stack([each[name] for each in rounds])
        assert (np.abs(got - array) < unit * (1 + 1e-9)).all()
        assert (np.abs(got.mean(0) - array) < 5 * unit / 2 / np.sqrt(400) + 1e-12).all()
        np.testing.assert_allclose(got / unit, np.round(got / unit), atol=1e-6)


def test_top_k_takes_the_largest_numbers_exactly_to_float32() -> None:
    true = deltas(0)
    got, whole = vector(across(codec(TopK(share=0.1)), true, 0)), vector(true)
    kept = got != 0
    assert kept.sum() == math.ceil(0.1 * SIZE)
    assert np.abs(whole[kept]).min() >= np.abs(whole[~kept]).max()
    assert (got[kept] == whole[kept].astype(np.float32)).all()


def test_error_feedback_brings_everything_in_the_end() -> None:
    """What was sent and what is still kept add up to all that was learned, in every round."""
    one, memory, sent = codec(TopK(share=0.2)), Params(), np.zeros(SIZE)
    for number in range(30):
        arrays, memory = one.write(deltas(number), memory, "c", number)
        sent += vector(one.read(arrays, "c", number))
        learned = sum(vector(deltas(each)) for each in range(number + 1))
        np.testing.assert_allclose(sent + memory["left"], learned, atol=1e-12)
    for number in range(30, 45):  # nothing more is learned: the rest comes
        zero = {name: np.zeros(spec.shape) for name, spec in LAYOUT.items()}
        arrays, memory = one.write(zero, memory, "c", number)
        sent += vector(one.read(arrays, "c", number))
    np.testing.assert_allclose(sent, learned, atol=1e-6)


def test_without_error_feedback_nothing_is_kept() -> None:
    _, memory = codec(TopK(error_feedback=False)).write(deltas(0), {}, "c", 0)
    assert memory == {}


def test_a_masked_update_is_right_in_the_mean_and_shows_other_places_each_time() -> None:
    one, true = codec(RandomMask(share=0.25)), deltas(0)
    rounds = np.stack([vector(across(one, true, number)) for number in range(1200)])
    assert (np.sum(rounds != 0, 1) == math.ceil(0.25 * SIZE)).all()
    spread = np.sqrt(3 / 1200) * np.abs(vector(true))
    assert (np.abs(rounds.mean(0) - vector(true)) < 5 * spread).all()


def size(compression: Compression | None, layout: dict[str, ParameterSpec] = LAYOUT) -> int:
    rng = np.random.default_rng(0)
    arrays = {name: np.asarray(rng.normal(size=spec.shape)) for name, spec in layout.items()}
    sent, _ = Codec(layout, "all", compression).write(arrays, {}, "c", 0)
    return len(Client("c", "all", layout).send(0, sent, 64))


@pytest.mark.parametrize(
    ("compression", "share"),
    [
        (Quantise(bits=16), 0.27),
        (Quantise(bits=8), 0.14),
        (Quantise(bits=2), 0.05),
        (TopK(share=0.1), 0.12),
        (RandomMask(share=0.25), 0.27),
    ],
)
def test_messages_become_as_small_as_promised(compression: Compression, share: float) -> None:
    large = {"w": ParameterSpec((100, 100), None, "weights")}
    assert size(compression, large) < share * size(None, large)
    assert size(compression) < size(None)


def server(compression: Compression) -> Server:
    start = {name: np.zeros(spec.shape) for name, spec in LAYOUT.items()}
    return Server(LAYOUT, start, FedAvg(), ["c", "d"], codec=codec(compression))


def message(arrays: Params, number: int = 0) -> bytes:
    return Client("c", "all", LAYOUT).send(number, arrays, 10)


@pytest.mark.parametrize("compression", ALL)
def test_the_server_moves_by_what_was_unfolded(compression: Compression) -> None:
    one = server(compression)
    sent, _ = codec(compression).write(deltas(0), {}, "c", 0)
    assert one.receive(message(sent), 0, "c") is None
    one.aggregate(0)
    wanted = codec(compression).read(sent, "c", 0)
    for name, array in wanted.items():
        np.testing.assert_allclose(one.params[name], array, rtol=1e-15)


@pytest.mark.parametrize("compression", ALL)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_not_finite_or_too_large_is_still_seen_and_refused(
    compression: Compression, bad: float
) -> None:
    spoiled = deltas(0)
    spoiled["actor.angles"][:] = bad
    sent, memory = codec(compression).write(spoiled, {}, "c", 0)
    rejection = server(compression).receive(message(sent), 0, "c")
    assert rejection is not None
    assert rejection.client == "c"
    assert "not finite" in rejection.reason or "its norm is" in rejection.reason
    assert all(np.isfinite(array).all() for array in memory.values())


def first(compression: Compression) -> Params:
    return codec(compression).write(deltas(0), {}, "c", 0)[0]


def changed(compression: Compression, **changes: Any) -> Params:
    arrays = first(compression) | changes
    return {name: array for name, array in arrays.items() if array is not None}


@pytest.mark.parametrize(
    ("compression", "changes", "reason"),
    [
        (Quantise(), {"layout": None}, "other parameters"),
        (Quantise(), {"layout": np.zeros(8, np.uint8)}, "other parameters"),
        (Quantise(), {"codes": np.zeros(5, np.uint8)}, "'codes' must be"),
        (Quantise(), {"codes": np.full(133, 255, np.uint8)}, "none that can be"),
        (Quantise(), {"scales": -np.ones(3)}, "none that can be"),
        (Quantise(), {"scales": np.ones(4)}, "'scales' must be"),
        (TopK(), {"places": np.zeros(14, np.uint32)}, "must ascend"),
        (TopK(), {"places": np.arange(125, 139).astype(np.uint32)}, "below 133"),
        (TopK(), {"places": np.arange(14)}, "'places' must be uint32"),
        (TopK(), {"values": np.zeros(14)}, "'values' must be float32"),
        (TopK(), {"values": None}, "are sent"),
        (TopK(), {"more": np.zeros(3)}, "are sent"),
        (RandomMask(), {"values": np.zeros(133)}, "'values' must be float64"),
    ],
)
def test_malformed_content_is_refused_with_the_clients_name(
    compression: Compression, changes: dict[str, Any], reason: str
) -> None:
    rejection = server(compression).receive(message(changed(compression, **changes)), 0, "c")
    assert rejection is not None
    assert (rejection.client, reason in rejection.reason) == ("c", True), rejection.reason


def test_sides_that_compress_differently_do_not_understand_each_other() -> None:
    rejection = server(Quantise(bits=4)).receive(message(first(Quantise(bits=8))), 0, "c")
    assert rejection is not None
    assert "compressed otherwise" in rejection.reason
    plain = server(TopK()).receive(message(deltas(0)), 0, "c")
    assert plain is not None


@pytest.mark.parametrize("compression", [Quantise(bits=3), TopK(), RandomMask()])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_strange_arrays_never_escape(compression: Compression, data: st.DataObject) -> None:
    """Whatever arrays a client sends, they are refused by name or are finite deltas."""
    kinds = st.sampled_from(["float64", "float32", "int64", "uint32", "uint8"])
    strange = kinds.flatmap(
        lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=2, max_side=150))
    )
    good = first(compression)
    arrays = dict(good)
    for name in data.draw(st.sets(st.sampled_from([*good, "surplus"]), min_size=1)):
        like = good.get(name)
        same = strange if like is None else hnp.arrays(like.dtype, like.shape) | strange
        arrays[name] = data.draw(same)
    one = server(compression)
    envelope = Envelope("update", 0, "c", "all", arrays, dict.fromkeys(arrays), 5)
    rejection = one.receive(encode(envelope), 0, "c")
    if rejection is not None:
        assert rejection.client == "c"
    else:
        one.aggregate(0)
        assert all(np.isfinite(array).all() for array in one.params.values())


def test_reading_says_why_it_cannot() -> None:
    with pytest.raises(MessageError, match="other parameters"):
        codec(TopK()).read({}, "c", 0)


def test_the_places_of_a_mask_belong_to_seed_client_and_round() -> None:
    sent, _ = codec(RandomMask(), seed=1).write(deltas(0), {}, "c", 0)
    right = codec(RandomMask(), seed=1).read(sent, "c", 0)
    for seed, client, number in ((2, "c", 0), (1, "d", 0), (1, "c", 1)):
        other = codec(RandomMask(), seed).read(sent, client, number)
        assert any((other[name] != array).any() for name, array in right.items())
