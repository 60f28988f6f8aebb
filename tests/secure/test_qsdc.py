"""Direct communication. `pytest -m slow tests/secure/test_qsdc.py` sends ten thousand payloads."""

from __future__ import annotations

import numpy as np
import pytest

from qmarl.secure import qsdc
from qmarl.secure.authentication import Signer, introduced, paired, seed_bytes
from qmarl.secure.eavesdroppers import InterceptResend, Jamming, ManInTheMiddle
from qmarl.secure.ldpc import Code
from qmarl.secure.postquantum import new_signing_key
from qmarl.secure.protocols import DirectConfig
from qmarl.secure.pulses import Receiver
from qmarl.secure.qsdc import Delivery, send
from qmarl.secure.qsdc_pairs import DirectEavesdropper, travel, twice
from qmarl.secure.randomness import entropy

IDEAL = Receiver(1.0, efficiency=1.0, background=0.0, misalignment=0.0)
PROTOCOLS = ("two_step", "one_step")
SHORT = {"security": {"secrecy": 1e-6}, "depolarisation": 0.02}


def config(protocol: str, **keys: object) -> DirectConfig:
    return DirectConfig.model_validate({"protocol": protocol, **SHORT, **keys})


def payload(name: int, length: int = 32) -> bytes:
    return np.random.default_rng(name).bytes(length)


def attempt(
    name: int,
    protocol: str,
    eve: DirectEavesdropper | None = None,
    receiver: Receiver = IDEAL,
    length: int = 32,
    **keys: object,
) -> Delivery:
    ends = paired(bytes(range(seed_bytes(4))))
    chance = entropy(11, protocol, name)
    return send(payload(name, length), config(protocol, **keys), receiver, ends, chance, eve)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("length", [1, 300])
def test_a_payload_arrives_exactly_at_two_per_cent_a_leg(protocol: str, length: int) -> None:
    for name in range(3):
        found = attempt(name, protocol, length=length, security={"secrecy": 1e-10})
        assert found.payload == payload(name, length)
        assert found.report.aborted is None
        assert found.report.error_rate == pytest.approx(0.01, abs=0.006)
        assert found.report.known == 0


def many(names: range) -> list[tuple[int, Delivery]]:
    """Both protocols; quiet, tapped a little and more, with little room and with much."""
    shares, room = (0.0, 0.05, 0.1, 0.3), (None, 12_000)
    return [
        (
            n,
            attempt(
                n,
                PROTOCOLS[n % 2],
                InterceptResend(fraction=shares[n // 2 % 4]),
                pairs=room[n // 8 % 2],
            ),
        )
        for n in names
    ]


def right_or_nothing(found: list[tuple[int, Delivery]]) -> int:
    for name, delivery in found:
        if delivery.payload is None:
            assert delivery.report.aborted
            assert delivery.report.why
        else:
            assert delivery.payload == payload(name)
            # More than the eavesdropper saw is hidden, and by more than her best chance.
            assert delivery.report.known < delivery.report.leak
    return sum(delivery.payload is not None for _, delivery in found)


def test_never_a_wrong_payload() -> None:
    arrived = right_or_nothing(many(range(304)))
    assert 60 < arrived < 240


@pytest.mark.slow
def test_never_a_wrong_payload_in_ten_thousand() -> None:
    for first in range(0, 10_000, 400):
        right_or_nothing(many(range(first, first + 400)))


def test_a_tenth_intercepted_aborts_or_is_hidden() -> None:
    eve = InterceptResend(fraction=0.1)
    for protocol, room, noise in (("two_step", 40_000, 0.02), ("one_step", 80_000, 0.005)):
        small, large = (
            attempt(3, protocol, eve, pairs=pairs, depolarisation=noise) for pairs in (None, room)
        )
        assert small.payload is None
        assert small.report.aborted == "no_secret_bits"
        assert large.report.known == pytest.approx(0.1 * large.report.written, rel=0.1)
        assert large.report.known < large.report.leak
        assert large.payload == payload(3)
        assert large.report.secrecy == 1e-6


def rank(rows: list[int]) -> int:
    """Rank over GF(2) of rows whose bits are the digits of whole numbers."""
    pivots: dict[int, int] = {}
    for row in rows:
        while row and row.bit_length() in pivots:
            row ^= pivots[row.bit_length()]
        if row:
            pivots[row.bit_length()] = row
    return len(pivots)


def written(code: Code) -> list[int]:
    """Each bit of a word as a sum of information bits."""
    sums = [1 << at for at in range(code.room)]
    parity = [0] * code.checks
    for bit, check in zip(code.bit.tolist(), code.check.tolist(), strict=True):
        if bit < code.room:
            parity[check] ^= 1 << bit
    for at, row in enumerate(parity):
        sums.append(row ^ (sums[-1] if at else 0))
    return sums


def test_what_was_seen_says_nothing_of_the_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts, by the rank of matrices, the payload's bits that follow from what was intercepted."""
    kept: dict[str, list] = {"make_code": [], "hash_seed": [], "twice": []}
    for name, calls in kept.items():
        real = getattr(qsdc, name)

        def noting(*arguments: object, real=real, calls=calls):  # type: ignore[no-untyped-def]
            calls.append(real(*arguments))
            return calls[-1]

        monkeypatch.setattr(qsdc, name, noting)
    found = attempt(1, "two_step", InterceptResend(fraction=0.05), length=16, pairs=14_000)
    assert found.payload == payload(1, 16)
    code, seed, frames = kept["make_code"][0], kept["hash_seed"][0], kept["twice"][0]
    bits_of = written(code)
    probe = np.random.default_rng(0).integers(0, 2, code.room, np.uint8)
    as_number = int("".join(map(str, probe[::-1])), 2)
    word = [(row & as_number).bit_count() % 2 for row in bits_of]
    np.testing.assert_array_equal(code.encode(probe), word)
    seen = np.stack([frames.seen_bit, frames.seen_phase], 1).ravel()[: code.length]
    known = [bits_of[at] for at in np.flatnonzero(seen)]
    blind = code.room - 128
    hashed = []
    for k in range(128):
        row = 1 << (blind + k)
        for i in np.flatnonzero(seed[blind - 1 + k - np.arange(blind)]):
            row |= 1 << int(i)
        hashed.append(row)
    assert len(known) > 250
    assert rank(known) + rank(hashed) == rank(known + hashed)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_attacks_are_named(protocol: str) -> None:
    line = Receiver(0.9, efficiency=0.95, background=1e-6, misalignment=0.001)
    reasons = {
        "error_rate": (InterceptResend(fraction=0.5), line),
        "authentication": (ManInTheMiddle(), line),
        "too_few_detections": (None, Receiver(1e-4, 0.5, 0.0, 0.0)),
    }
    for reason, (eve, receiver) in reasons.items():
        found = attempt(0, protocol, eve, receiver, depolarisation=0.005, pairs=8000)
        assert (found.payload, found.report.aborted) == (None, reason)
        assert found.report.written == 0  # nothing had been written on the pairs yet
    jammed = attempt(
        0, protocol, Jamming(clicks=0.9), Receiver(0.4, 0.9), depolarisation=0.005, pairs=8000
    )
    assert (jammed.payload, jammed.report.aborted) == (None, "error_rate")


def test_loss_ends_two_steps_and_only_slows_one() -> None:
    far = Receiver(0.05, efficiency=0.5, background=1e-6, misalignment=0.005)
    two, one = (attempt(0, protocol, None, far, depolarisation=0.01) for protocol in PROTOCOLS)
    assert (two.payload, two.report.aborted) == (None, "no_secret_bits")
    assert one.payload == payload(0)
    assert one.report.pairs > 50 * one.report.arrived
    near = Receiver(0.8, efficiency=0.95, background=1e-6, misalignment=0.001)
    assert attempt(0, "two_step", None, near, depolarisation=0.005).payload == payload(0)


def test_signatures_serve_in_place_of_a_seed() -> None:
    alice, bob, other = (new_signing_key(bytes([k]) * 32) for k in range(3))
    right = introduced(alice, bob)
    wrong = type(right)(Signer(alice, bob.public), Signer(other, alice.public))
    found = [
        send(b"go", config("one_step"), IDEAL, ends, entropy(0, "signed"))
        for ends in (right, wrong)
    ]
    assert found[0].payload == b"go"
    assert (found[1].payload, found[1].report.aborted) == (None, "authentication")


def test_nothing_of_the_payload_shows() -> None:
    found = attempt(0, "one_step")
    assert found.payload is not None
    assert repr(found.payload) not in repr(found)


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_interception_disturbs_a_quarter_and_sees_half(fraction: float) -> None:
    rng, eve = np.random.default_rng(5), InterceptResend(fraction=fraction)
    first = travel(100_000, IDEAL, 0.0, eve, rng)
    room = 5 * np.sqrt(0.25 / 100_000)
    for errors in (first.flipped, first.turned):
        assert errors.mean() == pytest.approx(fraction / 4, abs=room)
    assert not (first.flipped & first.seen_bit).any()
    both = twice(first, travel(100_000, IDEAL, 0.0, eve, rng, first))
    assert (both.seen_bit | both.seen_phase).mean() == pytest.approx(fraction, abs=room)
    assert not (both.flipped & both.seen_bit).any()  # she reads what she saw without an error


def test_depolarising_errs_half_as_often_in_each_basis() -> None:
    found = travel(200_000, IDEAL, 0.2, None, np.random.default_rng(6))
    for errors in (found.flipped, found.turned):
        assert errors.mean() == pytest.approx(0.1, abs=0.004)
    assert (found.flipped & found.turned).mean() == pytest.approx(0.05, abs=0.003)
