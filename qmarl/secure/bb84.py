"""BB84 and the six-state protocol, from pulses to a key that both ends hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from qmarl.secure import finite
from qmarl.secure.authentication import Ends
from qmarl.secure.finite import Tally
from qmarl.secure.protocols import BB84Config
from qmarl.secure.pulses import (
    Detections,
    Eavesdropper,
    Receiver,
    SinglePhotonSource,
    WeakCoherentSource,
    exchange,
)
from qmarl.secure.randomness import Entropy, choices
from qmarl.secure.session import (
    AbortedError,
    Outcome,
    Raw,
    Report,
    Transcript,
    check_error_rate,
    distil,
)
from qmarl.types import Array

_FEWEST = 200  # sifted bits below which nothing can be estimated


@dataclass(frozen=True)
class Sifted:
    """Detections with equal bases, and which of them are compared in public.

    Attributes:
        found: The detections, ``(s,)``.
        tested: ``(s,)`` bool.
    """

    found: Detections
    tested: Array

    @property
    def wrong(self) -> Array:
        """``(s,)`` bool, compared bits that differ."""
        return np.asarray(self.tested & (self.found.alice != self.found.bob))

    @property
    def error(self) -> float:
        """Share of the compared bits that differ."""
        return float(self.wrong.sum() / max(1, self.tested.sum()))

    def tally(self, intensities: int) -> Tally:
        """Counts bits for each intensity."""
        kinds = self.found.intensity
        return Tally(
            *(
                np.bincount(kinds[which], minlength=intensities).astype(float)
                for which in (~self.tested, self.tested, self.wrong)
            )
        )


def run_bb84(
    config: BB84Config,
    receiver: Receiver,
    ends: Ends,
    entropy: Entropy,
    eavesdropper: Eavesdropper | None = None,
) -> Outcome:
    """Runs one session.

    Args:
        config: The protocol.
        receiver: Link and detectors.
        ends: Authenticators of both ends.
        entropy: Randomness, named after the session.
        eavesdropper: Who is on the line.

    Returns:
        A key at both ends, or none and the reason.
    """
    transcript, used = Transcript(), ends.alice.used
    found = exchange(
        config.pulses, config.source, config.basis_chosen, receiver, eavesdropper, entropy
    )
    sifted = sift(config, found, transcript, entropy)
    report = _report(config, found, sifted)
    try:
        if report.sifted < _FEWEST or not report.tested:
            why = f"{report.sifted} sifted bits are too few; {_FEWEST} is the least"
            raise AbortedError("too_few_detections", why)
        check_error_rate(sifted.error, config.max_error_rate)
        raw = _raw(config, sifted, transcript)
        impersonated = eavesdropper is not None and eavesdropper.impersonates
        return distil(raw, report, config.security, ends, entropy, impersonated)
    except AbortedError as error:
        tags = ends.alice.used - used
        return Outcome(replace(report, tags=tags, aborted=error.reason, why=str(error)))


def sift(config: BB84Config, found: Detections, transcript: Transcript, entropy: Entropy) -> Sifted:
    """Keeps what was measured in its own basis, chooses what to compare, and says so in public."""
    same = found.alice_bases == found.bob_bases
    kept = found.take(same)
    if config.main_basis == 0.5:
        share = config.test_fraction
        tested = choices(entropy.parties, len(kept.slots), (1 - share, share)) == 1
    else:
        tested = kept.alice_bases == 1
    # Intensities are announced after the detections, as decoys need it.
    transcript.bob += [found.slots.tobytes(), found.bob_bases.tobytes(), _packed(kept.bob[tested])]
    transcript.alice += [found.alice_bases.tobytes(), kept.intensity.tobytes(), _packed(tested)]
    return Sifted(kept, tested)


def expected_tally(config: BB84Config, receiver: Receiver, efficiency: float = 1.0) -> Tally:
    """Returns the mean counts of a quiet session with a weak coherent source.

    Args:
        config: The protocol.
        receiver: Link and detectors, without dead time.
        efficiency: Share of the detections that is kept.

    Raises:
        ValueError: The source has no intensities.
    """
    from qmarl.secure.rates import coherent

    if not isinstance(config.source, WeakCoherentSource):
        raise ValueError("a source of single photons has no intensities to count")
    eta = receiver.transmittance * receiver.efficiency
    decoys, p = config.source.decoys, config.main_basis
    made = coherent(decoys.photons, eta, receiver.background, receiver.misalignment)
    clicks = config.pulses * decoys.chosen * made.gain * efficiency
    first, second = p**2, (1 - p) ** 2
    if p == 0.5:
        first, second = (1 - config.test_fraction) / 2, config.test_fraction / 2
    return Tally(first * clicks, second * clicks, second * clicks * made.error)


def _raw(config: BB84Config, sifted: Sifted, transcript: Transcript) -> Raw:
    key = ~sifted.tested
    expected = (float(sifted.wrong.sum()) + 1) / (float(sifted.tested.sum()) + 2)
    length = partial(_length, config, sifted)
    return Raw(
        sifted.found.alice[key],
        sifted.found.bob[key],
        expected,
        length,
        transcript,
        config.reconciliation,
    )


def _length(config: BB84Config, sifted: Sifted, leaked: float) -> int:
    """How many secret bits there are after so many disclosed ones."""
    if isinstance(config.source, SinglePhotonSource):
        rule = finite.six_state_length if config.protocol == "six_state" else finite.bb84_length
        tested = float(sifted.tested.sum())
        rest = len(sifted.tested) - tested
        return rule(rest, tested, sifted.error, leaked, config.security)
    tally = sifted.tally(len(config.source.photons))
    return finite.decoy_length(tally, config.source.decoys, leaked, config.security)


def _report(config: BB84Config, found: Detections, sifted: Sifted) -> Report:
    key = ~sifted.tested
    return Report(
        protocol=config.protocol,
        pulses=config.pulses,
        detected=len(found.slots),
        sifted=len(sifted.tested),
        tested=int(sifted.tested.sum()),
        error_rate=sifted.error,
        known=float(sifted.found.known[key].mean()) if key.any() else 0.0,
    )


def _packed(values: Array) -> bytes:
    return np.packbits(values).tobytes()
