"""Key rates without statistics: entropies, GLLP with decoys, and what no link can exceed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qmarl.types import Array


def binary_entropy(error: Array | float) -> Array:
    """Returns ``h(e)`` in bits; 0 at ``e`` = 0 and 1."""
    e = np.asarray(error, float)
    return np.asarray(_shannon(e) + _shannon(1 - e))


def bb84_rate(error: Array | float) -> Array:
    """Returns ``1 - 2 h(e)``, secret bits for each sifted bit (Shor and Preskill 2000).

    Zero at an error rate of 11.003 %. Not clipped: negative where there is no key.
    """
    return 1 - 2 * binary_entropy(error)


def six_state_leak(error: Array | float) -> Array:
    """Returns what an eavesdropper may know of a six-state bit, in bits (Lo 2001).

    ``H(1 - 3e/2, e/2, e/2, e/2) - h(e)``, for errors that are alike in the three bases.

    Args:
        error: Bit error rate, at most 2/3.
    """
    e = np.asarray(error, float)
    return np.asarray(_shannon(1 - 1.5 * e) + 3 * _shannon(e / 2) - binary_entropy(e))


def six_state_rate(error: Array | float) -> Array:
    """Returns the six-state protocol's secret bits for each sifted bit; zero at 12.62 %."""
    return np.asarray(1 - six_state_leak(error) - binary_entropy(error))


def chsh_leak(score: Array | float) -> Array:
    """Returns what an eavesdropper may know of a bit at CHSH value ``S``, in bits.

    ``h((1 + sqrt((S/2)^2 - 1)) / 2)`` against collective attacks (Acin et al. 2007,
    arXiv:quant-ph/0702152, eq. 3); 1 where ``S`` is at most 2.
    """
    excess = np.clip((np.asarray(score, float) / 2) ** 2 - 1, 0, 1)
    return binary_entropy((1 + np.sqrt(excess)) / 2)


def repeaterless_bound(transmittance: Array | float) -> Array:
    """Returns ``-log2(1 - eta)``, the most secret bits for each pulse (Pirandola et al. 2017)."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log2(1 - np.asarray(transmittance, float)))


@dataclass(frozen=True)
class Yields:
    """What one kind of pulse gives.

    Attributes:
        gain: Probability that a pulse is detected.
        error: Rate of wrong bits among the detected ones, bases being equal.
    """

    gain: Array
    error: Array


def coherent(
    photons: Array | float,
    transmittance: Array | float,
    background: Array | float,
    misalignment: float,
) -> Yields:
    """Returns the yields of a phase-randomised coherent pulse (Ma et al. 2005, eqs. 10 and 11).

    Args:
        photons: Mean number of photons.
        transmittance: From the source to a click, the detector's efficiency included.
        background: ``Y0``, probability of a click without a photon.
        misalignment: ``e_d``, probability that a photon meets the wrong detector.
    """
    seen = -np.expm1(-np.asarray(transmittance, float) * photons)
    return _yields(seen, background, misalignment)


def single_photon(
    transmittance: Array | float, background: Array | float, misalignment: float
) -> Yields:
    """Returns the yields of a pulse with one photon; arguments as for :func:`coherent`."""
    return _yields(np.asarray(transmittance, float), background, misalignment)


def decoy_rate(
    photons: Array | float,
    transmittance: Array | float,
    background: Array | float,
    misalignment: float,
    efficiency: float = 1.16,
    sifting: float = 0.5,
) -> Array:
    """Returns the secret bits for each signal pulse, with infinitely many decoys.

    ``q {-Q f h(E) + Q1 [1 - h(e1)]}`` (Gottesman et al. 2004; Lo, Ma and Chen 2005, eq. 1).

    Args:
        photons: Mean number of photons of a signal pulse.
        transmittance: From the source to a click.
        background: Probability of a click without a photon.
        misalignment: Probability that a photon meets the wrong detector.
        efficiency: ``f``, disclosed bits over ``h(E)`` in error correction, at least 1.
        sifting: ``q``, share of pulses with equal bases.

    Returns:
        Rate, negative where there is no key.
    """
    signal = coherent(photons, transmittance, background, misalignment)
    one = single_photon(transmittance, background, misalignment)
    single_gain = one.gain * photons * np.exp(-np.asarray(photons, float))
    disclosed = signal.gain * efficiency * binary_entropy(signal.error)
    return np.asarray(sifting * (single_gain * (1 - binary_entropy(one.error)) - disclosed))


def best_photons(
    transmittance: float, background: float, misalignment: float, efficiency: float = 1.16
) -> float:
    """Returns the mean number of photons with the greatest :func:`decoy_rate`, to 1e-4."""
    low, high = 1e-3, 2.0
    golden = (math.sqrt(5) - 1) / 2
    while high - low > 1e-4:
        left, right = high - golden * (high - low), low + golden * (high - low)
        worth = decoy_rate(
            np.array([left, right]), transmittance, background, misalignment, efficiency
        )
        low, high = (low, right) if worth[0] > worth[1] else (left, high)
    return (low + high) / 2


def _shannon(p: Array) -> Array:
    inside = np.clip(p, 0, 1)
    return -inside * np.log2(np.where(inside > 0, inside, 1))


def _yields(seen: Array, background: Array | float, misalignment: float) -> Yields:
    gain = seen + background
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.where(gain > 0, (0.5 * background + misalignment * seen) / gain, 0.5)
    return Yields(np.asarray(gain), error)
