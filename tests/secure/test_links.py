from __future__ import annotations

import numpy as np
import pytest

from qmarl.secure import optics
from qmarl.secure.links import (
    DetectorConfig,
    DroneDroneLink,
    FibreLink,
    GroundDroneLink,
    SatelliteGroundLink,
    awake,
    satellite_positions,
    trusted_relay,
)

DETECTOR = DetectorConfig()
GROUND = np.zeros(3)


def test_fibre_loses_by_length() -> None:
    found = FibreLink(attenuation=0.2, fixed_loss=1.0).along([0, 25, 50], DETECTOR)
    np.testing.assert_allclose(found.loss_db, [1, 6, 11])
    laid = FibreLink(detour=1.5).budget(GROUND, np.array([3e3, 4e3, 0]), DETECTOR)
    np.testing.assert_allclose(laid.loss_db, 0.2 * 7.5)


def test_still_air_leaves_a_gaussian_beam() -> None:
    link = DroneDroneLink(turbulence=0, jitter=0, optics_efficiency=1, haze_height=1e-3)
    high = np.array([0, 0, 40e3]), np.array([2000.0, 0, 40e3])  # above the air
    radius = np.hypot(0.012, 850e-9 * 2000 / (np.pi * 0.012))
    expected = 1 - np.exp(-2 * (0.013 / radius) ** 2)
    np.testing.assert_allclose(link.budget(*high, DETECTOR).transmittance, expected, rtol=1e-9)


def test_jitter_is_the_mean_over_where_the_beam_points() -> None:
    """Against a simulation of a small aperture in a beam that moves."""
    rng, w, sigma, a = np.random.default_rng(0), 1.0, 0.7, 0.02
    away = rng.normal(0, sigma, (400_000, 2))
    share = 2 * a**2 / w**2 * np.exp(-2 * (away**2).sum(-1) / w**2)  # light on a small disc
    found = optics.collected(a, np.sqrt(w**2 + 4 * sigma**2))
    assert found == pytest.approx(share.mean(), rel=5e-3)


def test_the_horizontal_coherence_radius_is_the_known_closed_form() -> None:
    ends = np.array([0, 0, 10.0]), np.array([3000.0, 0, 10.0])
    heights, share, weights = optics.air_path(*ends)
    cn2 = optics.turbulence(heights, 1e-14, 21)
    expected = (1.46 * 3 / 8 * (2 * np.pi / 850e-9) ** 2 * cn2.mean() * 3000) ** -0.6
    found = optics.coherence_radius(cn2, share, weights, 850e-9)
    assert found == pytest.approx(expected, rel=1e-3)
    assert weights.sum() == pytest.approx(3000)


def test_the_integrated_turbulence_at_zenith_is_that_of_hv_5_7() -> None:
    """The Hufnagel-Valley 5/7 model is named after its r0 of 5 cm at 0.5 um."""
    heights, share, weights = optics.air_path(GROUND, np.array([0, 0, 1e6]))
    cn2 = optics.turbulence(heights, 1.7e-14, 21)
    fried = 2.1 * optics.coherence_radius(cn2, np.zeros_like(share), weights, 0.5e-6)
    assert fried == pytest.approx(0.05, abs=0.003)


def test_loss_rises_with_distance_weather_and_turbulence() -> None:
    here = np.array([0, 0, 50.0])
    there = np.stack([np.linspace(20, 5000, 30), np.zeros(30), np.full(30, 60.0)], -1)

    def loss(link: DroneDroneLink) -> np.ndarray:
        return link.budget(here, there, DETECTOR).loss_db

    clear = loss(DroneDroneLink())
    assert (np.diff(clear) > 0).all()
    for weather in ("haze", "mist", "fog", "rain"):
        assert (loss(DroneDroneLink(weather=weather)) > clear).all()
    assert (loss(DroneDroneLink(turbulence=0)) < clear).all()
    assert (loss(DroneDroneLink(jitter=1e-3)) > clear).all()


def test_a_satellite_is_reached_best_overhead_and_not_beyond_the_horizon() -> None:
    sky = satellite_positions(np.array([0, 60, 120, 200, 400.0]), 500e3)
    np.testing.assert_allclose(optics.height(sky), 500e3, rtol=1e-9)
    down = SatelliteGroundLink().budget(sky, GROUND, DETECTOR)
    up = SatelliteGroundLink().budget(GROUND, sky, DETECTOR)
    assert (np.diff(down.loss_db[:4]) > 0).all()
    assert (down.transmittance[:4] > up.transmittance[:4]).all()
    assert down.transmittance[4] == up.transmittance[4] == 0
    assert down.key_rate()[0] > 1e4
    assert down.key_rate()[4] == 0


def test_a_pass_culminates_where_it_is_said_to() -> None:
    x, y, z = satellite_positions(np.array([0.0]), 500e3, np.pi / 6)[0]
    assert np.arctan2(z, np.hypot(x, y)) == pytest.approx(np.pi / 6)


def test_daylight_drowns_a_wide_view() -> None:
    overhead = satellite_positions(np.array([0.0]), 500e3)
    night, day = (
        SatelliteGroundLink(sky=sky).budget(overhead, GROUND, DETECTOR) for sky in ("night", "day")
    )
    assert day.background[0] == pytest.approx(
        DETECTOR.dark_clicks + (night.background[0] - DETECTOR.dark_clicks) * 1e4
    )
    assert day.key_rate()[0] == 0 < night.key_rate()[0]
    narrow = SatelliteGroundLink(sky="day", view=1e-6, band=0.1)
    assert narrow.budget(overhead, GROUND, DETECTOR).key_rate()[0] > 0


def test_a_worlds_positions_give_a_rate_for_each_drone() -> None:
    positions = np.random.default_rng(1).uniform([-900, -900, 20], [900, 900, 120], (4, 3, 3))
    station = np.array([0, 0, 2.0])
    found = GroundDroneLink().budget(positions, station, DETECTOR)
    assert found.transmittance.shape == found.key_rate().shape == (4, 3)
    one = GroundDroneLink().budget(positions[2, 1], station, DETECTOR)
    assert found.transmittance[2, 1] == pytest.approx(float(one.transmittance), rel=1e-12)
    far = np.linalg.norm(positions - station, axis=-1)
    assert (np.argsort(found.key_rate().ravel())[::-1] == np.argsort(far.ravel())).all()
    between = DroneDroneLink().pairs(positions, DETECTOR)
    assert between.transmittance.shape == (4, 3, 3)
    assert (np.diagonal(between.transmittance, axis1=1, axis2=2) == 0).all()
    receiver = between.receiver((0, 0, 1))
    assert receiver.transmittance == between.transmittance[0, 0, 1]
    assert receiver.dead_pulses == 5


def test_relays() -> None:
    first, second = (FibreLink().along([length], DETECTOR) for length in (10.0, 30.0))
    through = first.relayed(second, 0.5)
    np.testing.assert_allclose(through.loss_db, 8 + 10 * np.log10(2))
    assert trusted_relay(first.key_rate(), second.key_rate())[0] == second.key_rate()[0]
    assert through.key_rate()[0] < second.key_rate()[0]


def test_a_slow_detector_saturates() -> None:
    assert awake(np.array(0.0), DETECTOR) == 1
    rates = awake(np.array([0.1, 1.0]), DETECTOR) * np.array([0.1, 1.0]) * DETECTOR.pulse_rate
    assert (rates < 1 / DETECTOR.dead_time).all()


@pytest.mark.parametrize(
    "settings", [{"waist": 0}, {"weather": "snow"}, {"jitter": -1.0}, {"unknown": 1}]
)
def test_bad_links_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        DroneDroneLink.model_validate(settings)
