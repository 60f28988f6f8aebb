"""The intensities and choices of a decoy session that give the longest key for its length."""

from __future__ import annotations

from qmarl.secure import finite, rates
from qmarl.secure.bb84 import expected_tally
from qmarl.secure.finite import Tally
from qmarl.secure.protocols import BB84Config
from qmarl.secure.pulses import Receiver, WeakCoherentSource
from qmarl.types import Array

_STARTS = (
    (0.75, 0.19, 0.09, 0.55, 0.58),
    (0.67, 0.22, 0.20, 0.56, 0.73),
    (0.55, 0.15, 0.02, 0.6, 0.9),
)
_EFFICIENCY = 1.15  # of error correction


def expected_bits(config: BB84Config, receiver: Receiver) -> float:
    """Returns the secret bits of a quiet session whose counts are the expected ones.

    Not rounded and not clipped: negative where there is no key, so that it can be climbed.

    Args:
        config: A session with a weak coherent source and ``main_basis`` above 0.5.
        receiver: Link and detectors; their dead time is counted.
    """
    tally = expected_tally(config, receiver, _listening(config, receiver))
    return worth(tally, config)


def worth(tally: Tally, config: BB84Config) -> float:
    """Returns the secret bits of such counts, if errors are corrected at 1.15 times the limit.

    Args:
        tally: What was counted, or is expected.
        config: The session, with a weak coherent source.

    Raises:
        ValueError: The source has no intensities.
    """
    if not isinstance(config.source, WeakCoherentSource):
        raise ValueError("a source of single photons has no intensities to count")
    security, decoys = config.security, config.source.decoys
    error = float(tally.wrong.sum() / max(1e-9, tally.test.sum()))
    leaked = _EFFICIENCY * float(tally.key.sum()) * float(rates.binary_entropy(error))
    found = finite.single_photons(tally, decoys, security.secrecy)
    secret = found.single * (1 - float(rates.binary_entropy(found.phase_error)))
    return found.vacuum + secret - leaked - finite.decoy_price(security)


def tuned(config: BB84Config, receiver: Receiver) -> BB84Config:
    """Returns the session with the intensities, shares and basis that suit its number of pulses.

    Lim et al. 2014 choose these anew for every block length; a Nelder-Mead search from three
    starting points does it here. Without a weak coherent source nothing changes, and where no
    choice gives a key, neither.

    Args:
        config: The session.
        receiver: Link and detectors of a quiet line.
    """
    if not isinstance(config.source, WeakCoherentSource):
        return config
    from scipy.optimize import minimize  # type: ignore[import-untyped] # it has no stubs

    def loss(point: Array) -> float:
        found = _session(config, point)
        return 1e9 if found is None else -expected_bits(found, receiver)

    best = min(
        (minimize(loss, start, method="Nelder-Mead", options={"maxfev": 600}) for start in _STARTS),
        key=lambda found: float(found.fun),
    )
    better = _session(config, best.x)
    return better if better is not None and best.fun < 0 else config


def _session(config: BB84Config, point: Array) -> BB84Config | None:
    """Reads signal, decoy, their shares and the main basis; ``None`` outside what is allowed."""
    signal, decoy, share, second, basis = (float(value) for value in point)
    inside = signal > decoy > 0 and min(share, second) > 0 and share + second < 1
    if not inside or not 0.5 < basis < 1 or signal > 2:
        return None
    source = WeakCoherentSource(
        photons=(signal, decoy, 0.0), chosen=(share, second, 1 - share - second)
    )
    return config.model_copy(update={"source": source, "main_basis": basis})


def _listening(config: BB84Config, receiver: Receiver) -> float:
    """Share of the pulses for which the receiver is not blind from the click before."""
    assert isinstance(config.source, WeakCoherentSource)
    eta, decoys = receiver.transmittance * receiver.efficiency, config.source.decoys
    made = rates.coherent(decoys.photons, eta, receiver.background, receiver.misalignment)
    return 1 / (1 + receiver.dead_pulses * float(made.gain @ decoys.chosen))
