from __future__ import annotations

import numpy as np
import pytest

from qmarl.secure import rates
from qmarl.secure.authentication import Ends, Signer, introduced, paired, seed_bytes
from qmarl.secure.bb84 import run_bb84, sift
from qmarl.secure.eavesdroppers import (
    InterceptResend,
    Jamming,
    ManInTheMiddle,
    PhotonNumberSplitting,
)
from qmarl.secure.postquantum import new_signing_key
from qmarl.secure.protocols import BB84Config
from qmarl.secure.pulses import (
    Eavesdropper,
    Receiver,
    SinglePhotonSource,
    Source,
    WeakCoherentSource,
    exchange,
)
from qmarl.secure.randomness import entropy
from qmarl.secure.session import Outcome, Transcript, key_bytes

FIBRE_25 = Receiver(10**-0.5)
SINGLE = SinglePhotonSource()
IDEAL = Receiver(1.0, efficiency=1.0, background=0.0, misalignment=0.0)
DECOYS = BB84Config(
    source=WeakCoherentSource(photons=(0.5, 0.15, 0.0), chosen=(0.5, 0.3, 0.2)),
    main_basis=0.7,
    pulses=12_000_000,
)


def seeds() -> Ends:
    return paired(bytes(range(seed_bytes(2))))


def play(
    config: BB84Config,
    eavesdropper: Eavesdropper | None = None,
    receiver: Receiver = FIBRE_25,
    name: int = 0,
    secure: bool = False,
) -> Outcome:
    return run_bb84(config, receiver, seeds(), entropy(7, name, secure=secure), eavesdropper)


def agrees(outcome: Outcome) -> bool:
    """Whether both ends hold one key of the reported length, or neither holds any."""
    if outcome.alice is None or outcome.bob is None:
        return outcome.alice is outcome.bob and outcome.report.aborted is not None
    same = np.array_equal(outcome.alice, outcome.bob)
    return same and len(outcome.alice) == outcome.report.length > 0


def test_two_million_single_photons_over_25_km() -> None:
    found = play(BB84Config(source=SINGLE))
    assert agrees(found)
    assert found.report.length == pytest.approx(30_000, rel=0.03)
    assert found.report.error_rate == pytest.approx(0.01, abs=0.005)
    assert found.alice is not None
    assert found.alice.mean() == pytest.approx(0.5, abs=0.02)
    spent = found.report.disclosed / (
        (found.report.sifted - found.report.tested) * float(rates.binary_entropy(0.01))
    )
    assert spent < 1.15


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 1.0])
@pytest.mark.parametrize(("protocol", "share"), [("bb84", 1 / 4), ("six_state", 1 / 3)])
def test_interception_shows_in_proportion(fraction: float, protocol: str, share: float) -> None:
    config = BB84Config.model_validate(
        {"protocol": protocol, "source": "single_photon", "pulses": 60_000}
    )
    chance, eve = entropy(1, protocol), InterceptResend(fraction=fraction)
    found = exchange(config.pulses, SINGLE, config.basis_chosen, IDEAL, eve, chance)
    kept = sift(config, found, Transcript(), chance).found
    expected = fraction * share
    room = 4.5 * np.sqrt(expected * (1 - expected) / len(kept.slots))
    assert (kept.alice != kept.bob).mean() == pytest.approx(expected, abs=room)
    assert (kept.alice == kept.bob)[kept.known].all()
    bases = len(config.basis_chosen)
    assert kept.known.mean() == pytest.approx(fraction / bases, abs=0.02)


def test_an_eavesdropper_costs_key_and_then_all_of_it() -> None:
    quiet, some, all_ = (
        play(BB84Config(source=SINGLE), InterceptResend(fraction=f)) for f in (0.0, 0.1, 1.0)
    )
    assert quiet.report.length > some.report.length > 0
    assert agrees(some)
    assert all_.report.aborted == "error_rate"
    assert "11.00% is the most" in all_.report.why
    assert agrees(all_)


def test_six_states_make_a_key() -> None:
    found = play(BB84Config(source=SINGLE, protocol="six_state"))
    assert agrees(found)
    assert found.report.length > 10_000


def test_decoys_make_a_key() -> None:
    found = play(DECOYS)
    assert agrees(found)
    assert found.report.length > 1000


def test_two_million_coherent_pulses_count_as_the_formula_says() -> None:
    config = DECOYS.model_copy(update={"pulses": 2_000_000})
    chance = entropy(3, "counts")
    found = exchange(config.pulses, config.source, config.basis_chosen, FIBRE_25, None, chance)
    signal = found.intensity == 0
    sent = config.pulses * config.source.chosen[0]
    formula = rates.coherent(0.5, 10**-0.5 * 0.2, FIBRE_25.background, FIBRE_25.misalignment)
    assert signal.sum() / sent == pytest.approx(float(formula.gain), rel=0.03)
    same = signal & (found.alice_bases == found.bob_bases)
    wrong = (found.alice != found.bob)[same].mean()
    assert wrong == pytest.approx(float(formula.error), rel=0.2)
    # What Gottesman, Lo, Luetkenhaus and Preskill make of these counts is within 5 % of what they
    # make of the expected ones.
    one = rates.single_photon(10**-0.5 * 0.2, FIBRE_25.background, FIBRE_25.misalignment)
    alone = one.gain * 0.5 * np.exp(-0.5) * (1 - rates.binary_entropy(one.error))
    counted = alone - 1.16 * signal.sum() / sent * rates.binary_entropy(wrong)
    asked = 2 * rates.decoy_rate(
        0.5, 10**-0.5 * 0.2, FIBRE_25.background, FIBRE_25.misalignment, 1.16
    )
    assert float(counted) == pytest.approx(float(asked), rel=0.05)


def test_decoys_betray_the_splitting_of_photon_numbers() -> None:
    far = Receiver(0.02, efficiency=0.5, background=1e-6)
    quiet = exchange(2_000_000, DECOYS.source, (0.7, 0.3), far, None, entropy(0, "q"))
    split = exchange(
        2_000_000, DECOYS.source, (0.7, 0.3), far, PhotonNumberSplitting(), entropy(0, "s")
    )
    assert split.known.mean() > 0.9  # nearly every bit is known, at no errors
    assert (quiet.intensity == 1).mean() > 2 * (split.intensity == 1).mean()
    found = play(DECOYS, PhotonNumberSplitting(), far)
    assert found.report.error_rate < 0.02
    assert found.report.aborted == "no_secret_bits"
    assert agrees(found)


def test_only_authentication_notices_a_man_in_the_middle() -> None:
    found = play(BB84Config(source=SINGLE), ManInTheMiddle())
    assert found.report.aborted == "authentication"
    assert found.report.known == 1
    assert found.report.error_rate < 0.02
    assert agrees(found)


def test_ends_stay_in_step_after_an_attack_and_live_on_their_own_key() -> None:
    config, ends = BB84Config(source=SINGLE, pulses=300_000), paired(bytes(range(seed_bytes(4))))
    lost = run_bb84(config, FIBRE_25, ends, entropy(0, "lost"), ManInTheMiddle())
    good = run_bb84(config, FIBRE_25, ends, entropy(0, "good"))
    assert (lost.report.tags, good.report.tags) == (2, 2)
    assert good.alice is not None
    assert good.bob is not None
    assert run_bb84(config, FIBRE_25, ends, entropy(0, "end")).report.aborted == "authentication"
    ends.alice.replenish(key_bytes(good.alice)[:32])
    ends.bob.replenish(key_bytes(good.bob)[:32])
    assert agrees(run_bb84(config, FIBRE_25, ends, entropy(0, "on")))
    assert ends.alice.left == ends.bob.left == 0


def test_jamming_leaves_no_key() -> None:
    assert play(BB84Config(source=SINGLE), Jamming()).report.aborted == "error_rate"
    weak = BB84Config(pulses=300_000)
    assert play(weak, Jamming()).report.aborted == "error_rate"
    flooded = play(weak, Jamming(clicks=1.0))
    assert flooded.report.error_rate == pytest.approx(0.48, abs=0.02)
    assert agrees(flooded)


def test_strangers_meet_by_their_signatures() -> None:
    alice, bob, other = (new_signing_key(bytes([k]) * 32) for k in range(3))
    config = BB84Config(source=SINGLE, pulses=300_000)
    good = run_bb84(config, FIBRE_25, introduced(alice, bob), entropy(0, "met"))
    assert agrees(good)
    assert good.alice is not None
    between = run_bb84(
        config, FIBRE_25, introduced(alice, bob), entropy(0, "met"), ManInTheMiddle()
    )
    assert between.report.aborted == "authentication"
    mistaken = Ends(Signer(alice, bob.public), Signer(other, alice.public))
    found = run_bb84(config, FIBRE_25, mistaken, entropy(0, "met"))
    assert found.report.aborted == "authentication"
    assert found.alice is found.bob is None


@pytest.mark.parametrize("protocol", ["bb84", "six_state"])
def test_parities_of_an_ldpc_code_correct_a_session(protocol: str) -> None:
    config = BB84Config.model_validate(
        {"protocol": protocol, "source": "single_photon", "reconciliation": "ldpc"}
    )
    found = play(config)
    assert agrees(found)
    assert found.report.length > 10_000


class EveryPulse(InterceptResend):
    """Has every pulse simulated, also those that leave no trace."""

    @property
    def blocks(self) -> bool:
        return True


@pytest.mark.parametrize("source", [SINGLE, DECOYS.source])
@pytest.mark.parametrize("fraction", [0.0, 0.4])
def test_pulses_that_do_not_click_leave_no_trace(source: Source, fraction: float) -> None:
    """Counts of the quick way are those of the long way, within five standard deviations."""
    line, counts = Receiver(0.5, 0.3, 0.01, 0.02, dead_pulses=2), []
    for eve in (InterceptResend(fraction=fraction), EveryPulse(fraction=fraction)):
        found = exchange(400_000, source, (0.7, 0.3), line, eve, entropy(8, "same", eve.blocks))
        same = found.alice_bases == found.bob_bases
        wrong = same & (found.alice != found.bob)
        rows = [(found.intensity == k) & extra for k in range(3) for extra in (True, wrong)]
        counts.append([int(which.sum()) for which in (same, wrong, found.known, *rows)])
    quick, long = np.array(counts, float)
    assert (np.abs(quick - long) <= 5 * np.sqrt(quick + long) + 1).all()


def test_no_key_without_seed() -> None:
    ends = paired(bytes(range(seed_bytes(1))))
    found = run_bb84(BB84Config(source=SINGLE), FIBRE_25, ends, entropy(0, "x"))
    assert found.report.aborted == "authentication"
    assert "used up" in found.report.why
    strangers = Ends(paired(bytes(48)).alice, paired(bytes(range(48))).bob)
    found = run_bb84(BB84Config(source=SINGLE), FIBRE_25, strangers, entropy(0, "x"))
    assert found.report.aborted == "authentication"
    assert found.alice is found.bob is None


def test_too_little_light() -> None:
    found = play(BB84Config(source=SINGLE, pulses=1000))
    assert found.report.aborted == "too_few_detections"
    assert agrees(found)


def many(sessions: range) -> list[Outcome]:
    """Short sessions of every kind: quiet, tapped, noisy."""
    config = BB84Config(source=SINGLE, pulses=12_000, test_fraction=0.3)
    return [
        play(
            config,
            InterceptResend(fraction=(0, 0.02, 0.05, 0.3)[name % 4]),
            Receiver(1.0, 0.9, 1e-4, (0.001, 0.01, 0.03)[name % 3]),
            name,
        )
        for name in sessions
    ]


def test_both_ends_hold_one_key_or_none() -> None:
    outcomes = many(range(200))
    assert all(agrees(outcome) for outcome in outcomes)
    made = [outcome.alice is not None for outcome in outcomes]
    assert 50 < sum(made) < 150


@pytest.mark.slow
def test_both_ends_hold_one_key_or_none_ten_thousand_times() -> None:
    for first in range(0, 10_000, 200):
        assert all(agrees(outcome) for outcome in many(range(first, first + 200)))


def test_a_seed_repeats_a_session_and_the_system_does_not() -> None:
    config = BB84Config(source=SINGLE, pulses=300_000)
    first, again, other = play(config), play(config), play(config, name=1)
    assert first.alice is not None
    assert again.alice is not None
    assert other.alice is not None
    np.testing.assert_array_equal(first.alice, again.alice)
    assert not np.array_equal(first.alice[:100], other.alice[:100])
    one, two = (play(config, secure=True) for _ in range(2))
    assert one.alice is not None
    assert two.alice is not None
    assert agrees(one)
    assert not np.array_equal(one.alice[:100], two.alice[:100])


def test_dead_time_keeps_clicks_apart() -> None:
    blind = Receiver(1.0, 0.5, 0.0, 0.0, dead_pulses=9)
    found = exchange(20_000, SINGLE, (0.5, 0.5), blind, None, entropy(0, "dead"))
    assert np.diff(found.slots).min() > 9
    assert len(found.slots) == pytest.approx(20_000 / (2 + 9), rel=0.03)


def test_an_outcome_does_not_show_its_key() -> None:
    found = play(BB84Config(source=SINGLE, pulses=300_000))
    assert found.alice is not None
    held = exchange(9, SINGLE, (0.5, 0.5), IDEAL, None, entropy(0, "held"))
    assert "array" not in repr(found) + repr(held)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"protocol": "six_state"}, "source"),
        ({"protocol": "six_state", "source": "single_photon", "main_basis": 0.7}, "main_basis"),
        ({"main_basis": 0.4}, "main_basis"),
        ({"source": {"kind": "weak_coherent", "chosen": [0.5, 0.2, 0.2]}}, "chosen"),
    ],
)
def test_sessions_that_make_no_sense_are_refused(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        BB84Config.model_validate(settings)
