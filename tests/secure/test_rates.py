from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from qmarl.secure import rates

GYS = (1.7e-6, 0.033)  # background and misalignment of Gobby, Yuan and Shields 2004


def eta(kilometres: float) -> float:
    return float(10 ** (-0.021 * kilometres) * 0.045)


def zero(function: Callable[[float], rates.Array | float], low: float, high: float) -> float:
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if float(function(middle)) > 0 else (low, middle)
    return low


def test_where_one_way_keys_end() -> None:
    assert zero(rates.bb84_rate, 0.01, 0.2) == pytest.approx(0.110028, abs=1e-6)
    assert zero(rates.six_state_rate, 0.01, 0.2) == pytest.approx(0.12619, abs=1e-5)


def test_where_device_independent_keys_end() -> None:
    def rate(error: float) -> float:
        score = 2 * np.sqrt(2) * (1 - 2 * error)
        return float(1 - rates.binary_entropy(error) - rates.chsh_leak(score))

    assert zero(rate, 0.001, 0.14) == pytest.approx(0.07149, abs=1e-5)


def test_gys_reaches_142_km() -> None:
    def best(kilometres: float) -> float:
        photons = rates.best_photons(eta(kilometres), *GYS, 1.22)
        return float(rates.decoy_rate(photons, eta(kilometres), *GYS, 1.22))

    assert zero(best, 50, 200) == pytest.approx(142.2, abs=0.1)
    assert rates.best_photons(eta(50), *GYS, 1.22) == pytest.approx(0.479, abs=1e-3)


def test_no_rate_exceeds_the_repeaterless_bound() -> None:
    through = np.logspace(-5, -0.01, 50)
    assert (rates.decoy_rate(0.5, through, 0, 0, 1, 1) < rates.repeaterless_bound(through)).all()


def test_entropies_at_the_ends() -> None:
    np.testing.assert_allclose(rates.binary_entropy(np.array([0, 0.5, 1])), [0, 1, 0])
    np.testing.assert_allclose(rates.chsh_leak(np.array([1.0, 2.0, 8**0.5])), [1, 1, 0], atol=1e-7)
    assert rates.six_state_leak(0.0) == 0
    assert rates.coherent(0.5, 0.0, 0.0, 0.01).error == 0.5
