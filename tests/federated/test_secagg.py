from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from secure_people import (
    ACTIVE,
    ACTIVE_STAGES,
    CONFIG,
    NAMES,
    PEOPLE,
    SIZE,
    VECTORS,
    exact,
    round_of,
    session_of,
    upto,
)

from qmarl.errors import ConfigurationError, UndeliveredError
from qmarl.federated.masking import KEY_BYTES, FixedPoint, keystream
from qmarl.federated.secagg import (
    SecureAggregationConfig,
    SecureAggregationError,
)
from qmarl.federated.secagg_client import SecureClient
from qmarl.federated.secagg_identity import is_signed, new_identity
from qmarl.federated.secagg_round import SecureRound
from qmarl.federated.secagg_server import SecureSum
from qmarl.federated.secagg_wire import unpack
from qmarl.types import Link

STAGES = ("advert", "shares", "masked", "reveal")


def played(config: SecureAggregationConfig, leaves: dict[str, str]) -> SecureSum | None:
    """Plays a round in which each client leaves before the stage of ``leaves``, or never."""
    play = round_of(session_of(config))
    try:
        while play.server.stage != "done":
            stage = play.server.stage
            play.exchange(VECTORS, [name for name, before in leaves.items() if before == stage])
    except SecureAggregationError as error:
        stopped = str(error)
    else:
        assert not play.rejected
        return play.server.total()
    assert "are needed" in stopped
    assert play.server.stage == "over"
    return None


def expected(stages: tuple[str, ...], leaves: dict[str, str], threshold: int) -> set[str] | None:
    """Who is in the sum, or ``None`` where too few remain to the end."""
    present, included = set(NAMES), set(NAMES)
    for stage in stages:
        present -= {name for name, before in leaves.items() if before == stage}
        included = set(present) if stage == "masked" else included
        if len(present) < threshold:
            return None
    return included


def check(config: SecureAggregationConfig, stages: tuple[str, ...], leaves: dict[str, str]) -> None:
    wanted, got = expected(stages, leaves, int(config.threshold)), played(config, leaves)
    assert (wanted is None) is (got is None)
    if wanted is not None and got is not None:
        assert set(got.clients) == wanted
        np.testing.assert_array_equal(got.words, exact(session_of(config), wanted))


@pytest.mark.parametrize(
    ("config", "stages", "stage"),
    [(CONFIG, STAGES, stage) for stage in STAGES]
    + [(ACTIVE, ACTIVE_STAGES, stage) for stage in ACTIVE_STAGES],
)
def test_every_drop_out_ends_in_the_exact_sum_or_in_an_abort(
    config: SecureAggregationConfig, stages: tuple[str, ...], stage: str
) -> None:
    for count in range(len(NAMES) + 1):
        for gone in combinations(NAMES, count):
            check(config, stages, dict.fromkeys(gone, stage))


@pytest.mark.slow
def test_every_course_of_a_round() -> None:
    for befores in product((*STAGES, "never"), repeat=len(NAMES)):
        check(CONFIG, STAGES, dict(zip(NAMES, befores, strict=True)))


@settings(max_examples=15)
@given(st.lists(st.sampled_from((*ACTIVE_STAGES, "never", "never")), min_size=5, max_size=5))
def test_drop_outs_at_several_stages(befores: list[str]) -> None:
    check(ACTIVE, ACTIVE_STAGES, dict(zip(NAMES, befores, strict=True)))


@settings(max_examples=10)
@given(
    st.sampled_from([32, 64]),
    st.integers(3, 6),
    st.integers(1, 40),
    st.integers(0, 2**31),
    st.sampled_from([0.01, 3.0, 1e3]),
)
def test_the_sum_is_within_half_a_step_for_each_client(
    bits: int, clients: int, size: int, seed: int, spread: float
) -> None:
    people = {f"c{i}": PEOPLE[NAMES[0]] for i in range(clients)}
    config = SecureAggregationConfig(bits=bits, threshold=clients, signatures="ed25519")
    play = round_of(session_of(config, size=size, people=people), people)
    rng = np.random.default_rng(seed)
    vectors = {name: rng.normal(scale=spread, size=size) for name in people}
    got = play.run(vectors)
    clipped = sum(np.clip(vectors[name], -8, 8) for name in people)
    bound = clients * play.server.session.number.step / 2
    assert np.abs(got.values - clipped).max() <= bound + 1e-13
    words = [play.server.session.number.encode(vectors[name]) for name in people]
    np.testing.assert_array_equal(got.words, np.sum(words, axis=0, dtype=words[0].dtype))


@given(
    st.floats(1e-3, 2.0**20),
    st.sampled_from([32, 64]),
    st.integers(1, 4096),
    st.floats(-1, 1),
)
def test_fixed_point_never_overflows(span: float, bits: int, clients: int, part: float) -> None:
    number = FixedPoint(span, bits, clients)  # type: ignore[arg-type]
    end = number.encode(np.array([span, -span]))
    sums = np.multiply(end, np.array([clients], end.dtype), dtype=end.dtype)
    np.testing.assert_allclose(number.decode(sums), [clients * span, -clients * span], rtol=1e-3)
    value = np.array([part * span])
    error = np.abs(number.decode(number.encode(value)) - value)
    assert error <= number.step / 2 + 2**-52 * span
    np.testing.assert_array_equal(number.encode(2 * end.astype(float) + span), end[[0, 0]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_not_sent(bad: float) -> None:
    play = round_of(session_of())
    upto(play, "masked")
    play.exchange(VECTORS | {"a": np.full(SIZE, bad), "b": np.zeros(SIZE + 1)})
    reasons = [str(one.reason) for one in play.rejected]
    assert "client 'a': its vector: a value is not finite" in reasons[0]
    assert "client 'b': its vector has shape (7,), not (6,)" in reasons[1]
    np.testing.assert_array_equal(play.run(VECTORS).words, exact(play.server.session, "cde"))


def chi_squared(raw: bytes) -> float:
    counts = np.bincount(np.frombuffer(raw, np.uint8), minlength=256)
    share = len(raw) / 256
    return float(((counts - share) ** 2 / share).sum())


@pytest.mark.parametrize("value", [0.0, 8.0, -1e-3])
def test_what_the_server_sees_is_uniform(value: float) -> None:
    session = session_of(size=4000)
    vectors = dict.fromkeys(NAMES, np.full(4000, value))
    sent = upto(round_of(session), "reveal", vectors)
    limit = chi2.isf(1e-7, 255)
    plain = session.number.encode(vectors["a"])
    assert chi_squared(plain.tobytes()) > 100 * limit
    seen = []
    for name in NAMES:
        words = unpack(sent["masked"][name], "masked", session, name).body["words"]
        assert chi_squared(words) < limit
        assert chi_squared((np.frombuffer(words, "<u8") - plain).tobytes()) < limit
        seen.append(np.frombuffer(words, "<u8"))
    # In the sum the masks of pairs cancel, the self-masks do not.
    assert chi_squared(np.sum(seen, axis=0, dtype="<u8").tobytes()) < limit


def test_secrets_have_256_bits_and_every_bit_counts() -> None:
    clients = [SecureClient(session_of(), "a", PEOPLE["a"]) for _ in range(64)]
    seeds = [client._seed for client in clients]
    assert {len(seed) for seed in seeds} == {KEY_BYTES} == {32}
    ones = np.unpackbits(np.frombuffer(b"".join(seeds), np.uint8).reshape(64, 32), axis=1).sum(0)
    assert ones.min() > 8
    assert ones.max() < 56
    key = bytes(range(32))
    streams = {keystream(key, 32)}
    for bit in range(256):
        other = bytearray(key)
        other[bit // 8] ^= 1 << bit % 8
        streams.add(keystream(bytes(other), 32))
    assert len(streams) == 257


def test_keys_are_fresh_in_every_round() -> None:
    adverts = [
        unpack(SecureClient(session, "a", PEOPLE["a"]).advertise(), "advert", session, "a").body
        for session in (session_of(), session_of(), session_of(round_number=1))
    ]
    assert len({piece for advert in adverts for piece in advert.values()}) == 9


def test_identities() -> None:
    for scheme in ("ml-dsa-65", "ed25519"):
        one, again = (new_identity(scheme, bytes(32)) for _ in range(2))
        other = new_identity(scheme)
        assert one.public == again.public != other.public
        signature = one.sign(b"text")
        assert is_signed(one.public, signature, b"text")
        assert not is_signed(one.public, signature, b"tex")
        assert not is_signed(other.public, signature, b"text")
        assert not is_signed(one.public[:-1], signature, b"text")
        assert not is_signed(b"?" + one.public[1:], signature, b"text")


def test_post_quantum_signatures_carry_a_round() -> None:
    people = {name: new_identity() for name in "abc"}
    config = SecureAggregationConfig()
    assert config.signatures == "ml-dsa-65"
    got = round_of(session_of(config, people=people), people).run(VECTORS)
    np.testing.assert_allclose(got.values, sum(VECTORS[name] for name in "abc"), atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "clients", "needed"),
    [
        ({"threshold": 0.5}, 5, 3),
        ({"threshold": 0.5}, 4, 3),
        ({}, 50, 34),
        ({}, 10, 7),
        ({}, 3, 3),
        ({"threshold": 34}, 50, 34),
        ({"active_server": True}, 50, 34),
    ],
)
def test_the_threshold_in_clients(settings: dict[str, float], clients: int, needed: int) -> None:
    assert SecureAggregationConfig.model_validate(settings).needed(clients) == needed


@pytest.mark.parametrize(
    ("settings", "clients", "reason"),
    [
        ({}, 2, "needs 3 clients or more, there are 2"),
        ({}, 5000, "at most 4096"),
        ({"threshold": 2}, 5, "means 2 of 5 clients; it must mean from 3 to 5"),
        ({"threshold": 6}, 5, "means 6 of 5 clients"),
        ({"threshold": 3, "active_server": True}, 5, "from 4 to 5 against an active server"),
        ({"threshold": 0.3}, 10, "means 4 of 10 clients; it must mean from 6 to 10"),
    ],
)
def test_unsafe_thresholds_are_refused(
    settings: dict[str, float], clients: int, reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        SecureAggregationConfig.model_validate(settings).needed(clients)


class Losing:
    """A channel that loses what one client sends."""

    def transfer(self, payload: bytes, link: Link) -> bytes:
        if link.sender == "b":
            raise UndeliveredError("the line is dead")
        return payload


def test_what_a_channel_loses_has_dropped_out() -> None:
    play = SecureRound(session_of(), PEOPLE, Losing())
    got = play.run({name: VECTORS[name] for name in "abde"})
    assert got.clients == ("a", "d", "e")
    assert [one.client for one in play.rejected] == ["b", "c"]
    assert "the line is dead" in play.rejected[0].reason
    assert "it has no vector" in play.rejected[1].reason
    np.testing.assert_array_equal(got.words, exact(play.server.session, "ade"))
