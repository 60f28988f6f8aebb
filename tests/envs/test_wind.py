import numpy as np
import pytest

from envs.backends.wind import Wind, WindConfig


def blown(config: WindConfig, worlds: int, steps: int, dt: float = 0.1) -> np.ndarray:
    """Winds ``(steps, 3, worlds)``."""
    wind = Wind(config, worlds, dt)
    uniform = np.random.default_rng(0).random((worlds, wind.draws))
    wind.begin(np.arange(worlds), uniform, np.ones(worlds))
    return np.array([wind.blow().copy() for _ in range(steps)])


def test_still_air_needs_no_numbers() -> None:
    wind = Wind(WindConfig(), 3, 0.1)
    wind.begin(np.arange(3), np.zeros((3, 0)), np.ones(3))
    assert wind.draws == 0
    assert (wind.blow() == 0).all()


def test_without_turbulence_the_wind_is_steady() -> None:
    config = WindConfig(speed=4, direction=np.pi / 6, turbulence=0)
    seen = blown(config, 2, 5)
    assert seen == pytest.approx(
        np.broadcast_to(4 * np.array([[np.sqrt(0.75)], [0.5], [0]]), (5, 3, 2)), abs=1e-5
    )


def test_directions_are_drawn_evenly_where_none_is_given() -> None:
    seen = blown(WindConfig(speed=2, turbulence=0), 4000, 1)[0]
    assert np.hypot(*seen[:2]) == pytest.approx(2, rel=1e-5)
    assert np.abs(seen.mean(1)).max() < 0.1


def test_scales_are_those_of_the_specification() -> None:
    low = WindConfig(height=3.048)  # 10 ft
    assert low.lengths == pytest.approx((23.07, 23.07, 3.048), rel=1e-3)
    assert low.deviations == pytest.approx((0.1963, 0.1963, 0.1), rel=1e-3)
    high = WindConfig(height=304.8)  # 1000 ft: the same on all axes
    assert high.lengths == pytest.approx((304.8,) * 3, rel=1e-3)
    assert high.deviations == pytest.approx((0.1,) * 3, rel=1e-3)


def test_gusts_have_the_deviations_that_are_asked_for() -> None:
    config = WindConfig(speed=5, direction=0)
    seen = blown(config, 6000, 1)[0]
    gusts = seen - np.array([[5], [0], [0]])
    assert gusts.std(1) == pytest.approx(5 * np.array(config.deviations), rel=0.04)
    assert np.abs(gusts.mean(1)).max() < 0.04
    kurtosis = (gusts**4).mean(1) / gusts.var(1) ** 2
    assert kurtosis == pytest.approx([3, 3, 3], abs=0.3)  # normally distributed


def test_gusts_along_the_wind_fade_as_drydens_do() -> None:
    config = WindConfig(speed=5, direction=0)
    seen = blown(config, 4000, 60)[:, 0] - 5
    for lag in (5, 15, 30, 50):
        fade = (seen[0] * seen[lag]).mean() / seen.var()
        assert fade == pytest.approx(np.exp(-5 * lag * 0.1 / config.lengths[0]), abs=0.06)


def test_gusts_across_the_wind_fade_as_drydens_do() -> None:
    config = WindConfig(speed=5, direction=0)
    seen = blown(config, 4000, 60)
    for axis, lags in ((1, (5, 15, 30, 50)), (2, (1, 3, 6, 9))):
        for lag in lags:
            way = 5 * lag * 0.1 / config.lengths[axis]
            fade = (seen[0, axis] * seen[lag, axis]).mean() / seen[:, axis].var()
            assert fade == pytest.approx(np.exp(-way) * (1 - way / 2), abs=0.06)


def test_vertical_gusts_are_the_quickest() -> None:
    seen = blown(WindConfig(speed=5, direction=0), 500, 50)
    changes = np.diff(seen, axis=0).std((0, 2)) / seen.std((0, 2))
    assert changes[2] > 2 * changes[0]


def test_a_world_blows_the_same_whatever_else_is_in_the_batch() -> None:
    config, generator = WindConfig(speed=3), np.random.default_rng(1)
    whole, alone = Wind(config, 37, 0.1), Wind(config, 1, 0.1)
    uniform, factor = generator.random((37, whole.draws)), generator.uniform(0.5, 2, 37)
    whole.begin(np.arange(37), uniform, factor)
    alone.begin(np.arange(1), uniform[30:31], factor[30:31])
    for _ in range(30):
        assert (whole.blow()[:, 30] == alone.blow()[:, 0]).all()
    whole.begin(np.array([4, 30]), uniform[:2], factor[:2])  # others go on as they were
    before = whole.velocity.copy()
    assert np.abs(whole.blow() - before)[:, 5].max() < 0.5


def test_the_factor_makes_the_whole_wind_stronger() -> None:
    wind = Wind(WindConfig(speed=3, direction=0, turbulence=0), 2, 0.1)
    wind.begin(np.arange(2), np.zeros((2, wind.draws)), np.array([1.0, 2.0]))
    assert wind.blow()[0] == pytest.approx([3, 6])
