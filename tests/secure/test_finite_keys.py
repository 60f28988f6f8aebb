from __future__ import annotations

import math

import numpy as np
import pytest

from qmarl.secure import finite, rates
from qmarl.secure.bb84 import expected_tally, sift
from qmarl.secure.finite import SecurityConfig, Tally
from qmarl.secure.protocols import BB84Config
from qmarl.secure.pulses import Receiver, SinglePhotonSource, WeakCoherentSource, exchange
from qmarl.secure.randomness import entropy
from qmarl.secure.session import Transcript
from qmarl.secure.tuning import expected_bits, tuned, worth

SECURITY = SecurityConfig()
SIZES = np.logspace(3, 13, 41)
H = float(rates.binary_entropy(0.02))


def lengths(rule: str) -> np.ndarray:
    found = getattr(finite, rule)
    return np.array([found(n, n / 9, 0.02, 1.1 * n * H, SECURITY) / n for n in SIZES])


@pytest.mark.parametrize(
    ("rule", "limit"),
    [
        ("bb84_length", 1 - H - 1.1 * H),
        ("six_state_length", 1 - float(rates.six_state_leak(0.02)) - 1.1 * H),
    ],
)
def test_the_rate_rises_with_the_block_to_its_limit(rule: str, limit: float) -> None:
    found = lengths(rule)
    assert (np.diff(found) >= 0).all()
    assert found[0] == 0
    assert (found < limit).all()
    assert found[-1] == pytest.approx(limit, abs=2e-4)


def test_the_chsh_rate_rises_to_its_limit() -> None:
    found = np.array(
        [finite.chsh_length(n, 2.75, np.full(4, n / 4), 1.1 * n * H, SECURITY) / n for n in SIZES]
    )
    limit = 1 - float(rates.chsh_leak(2.75)) - 1.1 * H
    assert (np.diff(found) >= 0).all()
    assert found[-1] == pytest.approx(limit, abs=1e-3)
    assert finite.chsh_length(10**9, 2.0, np.full(4, 1e9), 0, SECURITY) == 0


def test_the_careful_constant_is_used() -> None:
    n, k = 9e4, 1e4
    expected = math.sqrt((n + k) / (n * k) * (k + 1) / k * math.log(4 / 1e-10))
    assert finite.deviation(n, k, 1e-10) == pytest.approx(expected)


def counts(pulses: int, security: SecurityConfig = SECURITY) -> float:
    config = BB84Config(pulses=pulses, main_basis=0.7)
    receiver = Receiver(10**-0.5)
    tally = expected_tally(config, receiver)
    assert isinstance(config.source, WeakCoherentSource)
    leak = 1.05 * float((tally.key * rates.binary_entropy(tally.wrong / tally.test)).sum())
    return finite.decoy_length(tally, config.source.decoys, leak, security) / pulses


def test_the_decoy_rate_rises_with_the_block() -> None:
    found = [counts(10**power) for power in range(6, 11)]
    assert found[0] == 0
    assert found[-1] > 0
    assert (np.diff(found) >= 0).all()
    strict = SecurityConfig(secrecy=1e-20)
    assert counts(10**8, strict) < counts(10**8)


def test_decoys_find_the_single_photons() -> None:
    """Bounds from exact counts stay on the safe side of the truth, and near it."""
    source, receiver = WeakCoherentSource(photons=(0.5, 0.05, 0.0)), Receiver(10**-0.5)
    config = BB84Config(source=source)
    tally = expected_tally(config, receiver)
    found = finite.single_photons(tally, source.decoys, None)
    true = rates.single_photon(10**-0.5 * 0.2, receiver.background, receiver.misalignment)
    ones = config.pulses * source.decoys.sent(1) * 0.45 * float(true.gain)
    assert 0.95 * ones < found.single <= ones
    assert float(true.error) <= found.phase_error < 1.15 * float(true.error)
    empty = config.pulses * source.decoys.sent(0) * 0.45 * receiver.background
    assert found.vacuum == pytest.approx(empty, rel=1e-3)


def test_nothing_gives_nothing() -> None:
    assert finite.bb84_length(0, 10, 0.0, 0, SECURITY) == 0
    assert finite.six_state_length(10, 0, 0.0, 0, SECURITY) == 0
    none = Tally(np.zeros(3), np.zeros(3), np.zeros(3))
    assert finite.decoy_length(none, WeakCoherentSource().decoys, 0, SECURITY) == 0
    with pytest.raises(ValueError, match="no intensities"):
        expected_tally(BB84Config(source=SinglePhotonSource()), Receiver(1.0))


@pytest.mark.parametrize(
    "photons", [(0.5, 0.6, 0.0), (0.5, 0.3, 0.3), (0.5, 0.1, -0.1), (0.3, 0.2, 0.15)]
)
def test_decoys_that_do_not_bound_are_refused(photons: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="photons"):
        WeakCoherentSource(photons=photons)


def test_tuned_decoys_make_keys_of_shorter_sessions() -> None:
    """At 25 km two million pulses give nothing as they stand, and a little when they are tuned."""
    receiver, found = Receiver(10**-0.5), []
    for pulses in (2_000_000, 12_000_000):
        best = tuned(BB84Config(pulses=pulses), receiver)
        found.append(expected_bits(best, receiver))
        plain = BB84Config(pulses=pulses, main_basis=0.7)
        assert found[-1] > expected_bits(plain, receiver)
    assert found == pytest.approx([345, 23_500], rel=0.05)
    assert counts(2_000_000) == 0
    single = BB84Config(source=SinglePhotonSource())
    assert tuned(single, receiver) is single
    dark = Receiver(1e-9)
    assert tuned(BB84Config(), dark) == BB84Config()


def test_tuned_decoys_stay_within_five_per_cent_of_the_formula() -> None:
    """Mean of eight sessions of twelve million pulses; one alone varies by six per cent."""
    receiver = Receiver(10**-0.5)
    config = tuned(BB84Config(pulses=12_000_000), receiver)
    lengths = []
    for name in range(8):
        chance = entropy(4, "tuned", name)
        found = exchange(config.pulses, config.source, config.basis_chosen, receiver, None, chance)
        lengths.append(worth(sift(config, found, Transcript(), chance).tally(3), config))
    assert np.mean(lengths) == pytest.approx(expected_bits(config, receiver), rel=0.05)


def test_a_sample_bounds_what_was_not_looked_at() -> None:
    """Against the exact tail of the hypergeometric distribution."""
    from scipy.stats import hypergeom

    tested, rest, secrecy = 400, 1_000, 1e-3
    for wrong in (0, 3, 20):
        worst = finite.sampled_error(wrong, tested, rest, secrecy)
        assert wrong / tested < worst < finite.deviation(rest, tested, secrecy) + wrong / tested
        total = math.floor(worst * rest) + 1 + wrong  # one more than the bound allows
        assert hypergeom.cdf(wrong, tested + rest, total, tested) <= secrecy
    assert finite.sampled_error(200, 400, 10, 1e-10) == 0.5
    assert finite.sampled_error(0, 10**9, 10**9, 1e-10) < 1e-7
