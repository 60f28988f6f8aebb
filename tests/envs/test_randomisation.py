import numpy as np
import pytest
from flying import fly, rest

from envs.backends.point import PointBackend, PointConfig
from envs.backends.randomisation import CommandDelay, Conditions, RandomisationConfig
from envs.backends.wind import WindConfig
from qmarl.errors import ConfigurationError

ARENA = np.array([[-50, -50, -50], [50, 50, 50]], np.float32)


def point(worlds: int = 1, agents: int = 1, **parts: object) -> PointBackend:
    config = parts.pop("config", PointConfig())
    found = PointBackend(config, (worlds, agents), ARENA, **parts)  # type: ignore[arg-type]
    rest(found)
    return found


def test_by_default_nothing_varies_and_nothing_is_drawn() -> None:
    conditions = Conditions(RandomisationConfig(), (2, 3))
    assert conditions.draws == 0
    for factor in (conditions.mass, conditions.lag, conditions.drag, conditions.friction):
        assert (factor == 1).all()
    assert (conditions.latency == 0).all()


def test_factors_lie_within_their_ranges_and_differ_between_bodies() -> None:
    config = RandomisationConfig(mass=(0.5, 1.5), drag=(2, 3), wind=(0.1, 0.2), latency=2)
    conditions = Conditions(config, (500, 4))
    assert conditions.draws == 3 * 4 + 1
    uniform = np.random.default_rng(0).random((500, conditions.draws))
    conditions.begin(np.arange(500), uniform)
    for found, (low, high) in (
        (conditions.mass, config.mass),
        (conditions.drag, config.drag),
        (conditions.wind, config.wind),
    ):
        assert low <= found.min() < low + 0.01 * (high - low) + 1e-6
        assert high - 0.01 * (high - low) - 1e-6 < found.max() <= high
        assert found.mean() == pytest.approx((low + high) / 2, rel=0.03)
    assert abs(np.corrcoef(conditions.mass[:, 0], conditions.drag[:, 0])[0, 1]) < 0.15
    assert (conditions.lag == 1).all()
    assert np.bincount(conditions.latency.ravel()) / 2000 == pytest.approx([1 / 3] * 3, abs=0.05)


def test_a_range_that_is_one_number_is_a_constant() -> None:
    conditions = Conditions(RandomisationConfig(mass=(1.3, 1.3)), (2, 2))
    assert conditions.draws == 0
    assert conditions.mass == pytest.approx(1.3)


def test_the_wind_alone_can_vary() -> None:
    conditions = Conditions(RandomisationConfig(wind=(0.5, 2)), (3, 4))
    assert conditions.draws == 1
    conditions.begin(np.array([0, 2]), np.array([[0.0], [0.5]]))
    assert conditions.wind.tolist() == [0.5, 0.5, 1.25]


def test_a_range_upside_down_is_refused() -> None:
    with pytest.raises(ValueError, match="low <= high"):
        RandomisationConfig(lag=(2.0, 1.0))


def test_commands_come_as_late_as_they_should() -> None:
    delay, latency = CommandDelay(2, (1, 3), 1), np.array([[0, 1, 2]])
    delay.fill(np.arange(1), np.full((1, 3, 1), 9.0))
    seen = [delay.pass_on(np.full((1, 3, 1), t), latency)[0, :, 0].tolist() for t in range(5)]
    assert seen == [[0, 9, 9], [1, 0, 9], [2, 1, 0], [3, 2, 1], [4, 3, 2]]


def test_without_delay_commands_pass_as_they_are() -> None:
    command = np.ones((1, 2, 3), np.float32)
    assert CommandDelay(0, (1, 2)).pass_on(command, np.zeros((1, 2), int)) is command


def test_a_late_point_begins_with_what_it_did() -> None:
    late = point(64, randomisation=RandomisationConfig(latency=1))
    seen = fly(late, (1, 0, 0), 2)[:, :, 0, 0]
    assert set(np.round(seen[0], 3)) == {0, 0.5}
    assert set(np.round(seen[1], 3)) == {0.5, 0.75}


def test_drag_slows_a_point_and_its_steady_speed_balances_it() -> None:
    draggy = point(config=PointConfig(drag=1.0, quadratic_drag=0.5))
    speed = fly(draggy, (2, 0, 0), 200)[-1, 0, 0, 0]
    pushed = speed + 0.5 * (2 - speed)  # before the air takes its share
    assert speed * (1 + 0.1 * (1.0 + 0.5 * pushed)) == pytest.approx(pushed, rel=1e-4)
    assert 1.4 < speed < 1.5


def test_any_drag_is_stable() -> None:
    stiff = point(config=PointConfig(drag=100, quadratic_drag=100))
    seen = fly(stiff, (50, -50, 1), 50)
    assert np.isfinite(seen).all()
    assert (np.diff(np.abs(seen[5:]), axis=0) >= -1e-3).all()


def test_wind_carries_a_point_by_its_drag() -> None:
    wind = WindConfig(speed=3, direction=0, turbulence=0)
    carried = point(config=PointConfig(drag=0.5), wind=wind)
    assert fly(carried, (0, 0, 0), 100)[-1, 0, 0, 0] == pytest.approx(
        0.5 * 0.1 * 3 / 0.55, rel=0.02
    )


def test_wind_without_drag_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"point\.drag"):
        point(wind=WindConfig(speed=1))


def test_a_slower_response_takes_so_many_times_as_long() -> None:
    slow = point(randomisation=RandomisationConfig(lag=(2, 2)))
    assert fly(slow, (1, 0, 0), 2)[-1, 0, 0, 0] == pytest.approx(0.5, rel=1e-5)


def test_by_default_a_point_moves_as_it_always_did() -> None:
    plain, generator = point(5, 3, config=PointConfig(response=0.3)), np.random.default_rng(0)
    velocity = np.zeros((5, 3, 3), np.float32)
    position = np.zeros((5, 3, 3), np.float32)
    for _ in range(50):
        command = generator.uniform(-1, 1, (5, 3, 3)).astype(np.float32)
        plain.advance(command, np.ones((5, 3), bool))
        velocity += np.float32(0.3) * (command - velocity)
        position = position + np.float32(0.1) * velocity
        assert (plain.velocity == velocity).all()
        assert (plain.position == position).all()
