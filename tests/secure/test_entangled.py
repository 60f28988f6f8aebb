from __future__ import annotations

import numpy as np
import pytest

from qmarl.secure.authentication import paired, seed_bytes
from qmarl.secure.eavesdroppers import InterceptResend, ManInTheMiddle
from qmarl.secure.entangled import (
    EntangledConfig,
    PairEavesdropper,
    Score,
    chsh,
    measure_pairs,
    run_entangled,
)
from qmarl.secure.pulses import Receiver
from qmarl.secure.randomness import entropy
from qmarl.secure.session import Outcome

IDEAL = Receiver(1.0, efficiency=1.0, background=0.0, misalignment=0.0)
HALF = Receiver(0.5, efficiency=0.6, background=1e-6, misalignment=0.005)
PAIRS = 400_000


def score(fraction: float, visibility: float = 1.0, receiver: Receiver = IDEAL) -> Score:
    config = EntangledConfig(protocol="e91", pairs=PAIRS, visibility=visibility)
    eve = InterceptResend(fraction=fraction)
    return chsh(measure_pairs(config, receiver, receiver, entropy(5, "chsh"), eve))


@pytest.mark.parametrize("visibility", [1.0, 0.9, 0.5])
def test_the_chsh_value_is_that_of_quantum_mechanics(visibility: float) -> None:
    found = score(0.0, visibility)
    room = 4.5 * float(np.sqrt((1 / found.trials).sum()))
    assert found.value == pytest.approx(2 * np.sqrt(2) * visibility, abs=room)


def test_full_interception_leaves_no_entanglement() -> None:
    found = score(1.0)
    assert found.value == pytest.approx(np.sqrt(2), abs=0.03)
    assert found.value < 2
    assert score(0.2).value == pytest.approx(2 * np.sqrt(2) * 0.9, abs=0.03)


def test_dark_counts_lower_the_chsh_value() -> None:
    noisy = Receiver(1.0, efficiency=0.5, background=0.4, misalignment=0.0)
    both = (0.5 / (0.5 + 0.5 * 0.4)) ** 2  # share of the coincidences that are two photons
    assert score(0.0, 1.0, noisy).value == pytest.approx(2 * np.sqrt(2) * both, abs=0.03)


def play(
    protocol: str,
    eavesdropper: PairEavesdropper | None = None,
    receiver: Receiver = HALF,
    pairs: int = 2_000_000,
) -> Outcome:
    config = EntangledConfig.model_validate({"protocol": protocol, "pairs": pairs})
    ends = paired(bytes(range(seed_bytes(2))))
    return run_entangled(config, receiver, receiver, ends, entropy(2, protocol), eavesdropper)


@pytest.mark.parametrize("protocol", ["bbm92", "e91"])
def test_pairs_make_one_key_at_both_ends(protocol: str) -> None:
    found = play(protocol)
    assert found.alice is not None
    assert found.bob is not None
    np.testing.assert_array_equal(found.alice, found.bob)
    assert len(found.alice) == found.report.length > 1000
    assert found.report.error_rate == pytest.approx(0.02, abs=0.01)  # half of 2 % noise, and 1 %


def test_bbm92_has_the_error_rate_of_bb84_under_interception() -> None:
    config = EntangledConfig(pairs=PAIRS, visibility=1.0)
    eve = InterceptResend(fraction=0.5)
    found = measure_pairs(config, IDEAL, IDEAL, entropy(0, "f"), eve)
    same = found.alice_choice == found.bob_choice
    wrong = (found.alice != found.bob)[same]
    assert wrong.mean() == pytest.approx(0.125, abs=4.5 * np.sqrt(0.125 / len(wrong)))
    assert not wrong[found.known[same]].any()


@pytest.mark.parametrize(("protocol", "reason"), [("bbm92", "error_rate"), ("e91", "chsh")])
def test_interception_ends_the_session(protocol: str, reason: str) -> None:
    found = play(protocol, InterceptResend())
    assert found.report.aborted == reason
    assert found.alice is found.bob is None
    assert found.report.why


def test_a_man_in_the_middle_and_too_little_light() -> None:
    assert play("bbm92", ManInTheMiddle()).report.aborted == "authentication"
    assert play("bbm92", pairs=1000).report.aborted == "too_few_detections"
