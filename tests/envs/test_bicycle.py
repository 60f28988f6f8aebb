import numpy as np
import pytest
from flying import WIDE, rest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.backends.bicycle import Bicycle, BicycleConfig
from envs.backends.randomisation import RandomisationConfig
from envs.backends.rigid import GRAVITY
from envs.bodies import Start

CAR = BicycleConfig()


def car(worlds: int = 1, agents: int = 1, arena: np.ndarray = WIDE, **parts: object) -> Bicycle:
    found = Bicycle(CAR, (worlds, agents), arena, **parts)  # type: ignore[arg-type]
    rest(found)
    return found


def going(speed: float, heading: float = 0.0, **parts: object) -> Bicycle:
    found = car(**parts)  # type: ignore[arg-type]
    start = Start(np.zeros((1, 1, 3)), np.full((1, 1), heading), np.full((1, 1), speed))
    found.place(np.arange(1), start, np.zeros((1, found.draws)))
    return found


def drive(vehicle: Bicycle, acceleration: float, steer: float, steps: int) -> np.ndarray:
    """Positions ``(steps, 2)`` of the first vehicle's rear axle."""
    shape = vehicle.heading.shape
    command = np.broadcast_to(np.array([acceleration, steer, 0], np.float32), (*shape, 3))
    rear = []
    for _ in range(steps):
        vehicle.advance(command, np.ones(shape, bool))
        heading = vehicle.heading[0, 0]
        ahead = np.array([np.cos(heading), np.sin(heading)])
        rear.append(vehicle.position[0, 0, :2] - CAR.wheelbase / 2 * ahead)
    return np.array(rear)


@pytest.mark.parametrize(("speed", "steer"), [(2.0, 0.3), (4.0, -0.5), (5.0, 0.8), (8.0, 0.1)])
def test_the_rear_axle_drives_a_circle_of_wheelbase_over_tangent(
    speed: float, steer: float
) -> None:
    vehicle = going(speed)
    drive(vehicle, 0, steer, 30)  # until the wheels have turned
    path = drive(vehicle, 0, steer, 200)
    radius = CAR.wheelbase / abs(np.tan(steer))
    solution = np.linalg.lstsq(np.c_[2 * path, np.ones(200)], (path**2).sum(1), rcond=None)[0]
    middle = solution[:2]
    assert np.sqrt(((path - middle) ** 2).sum(1)) == pytest.approx(radius, rel=5e-4)
    turned = np.unwrap(np.arctan2(*(path - middle).T[::-1]))
    rate = (turned[-1] - turned[0]) / 19.9
    assert rate == pytest.approx(speed * np.tan(steer) / CAR.wheelbase, rel=1e-3)


def test_lateral_acceleration_stays_below_what_the_road_holds() -> None:
    vehicle, limit = going(20), CAR.friction * GRAVITY
    drive(vehicle, 0, 1.0, 30)
    before = vehicle.heading[0, 0]
    drive(vehicle, 0, 1.0, 1)
    rate = (vehicle.heading[0, 0] - before) / 0.1
    assert rate * vehicle.speed[0, 0] == pytest.approx(limit, rel=1e-3)
    assert rate < vehicle.speed[0, 0] * np.tan(1.0) / CAR.wheelbase / 5


def test_on_ice_a_vehicle_turns_less() -> None:
    ice = going(10, randomisation=RandomisationConfig(friction=(0.1, 0.1)))
    dry = going(10)
    for vehicle in (ice, dry):
        drive(vehicle, 0, 0.2, 20)
    assert 0 < ice.heading[0, 0] < 0.3 * dry.heading[0, 0]


def test_it_speeds_up_brakes_and_never_drives_backwards() -> None:
    vehicle = car()
    drive(vehicle, 2, 0, 10)
    assert vehicle.speed[0, 0] == pytest.approx(2, rel=1e-5)
    assert vehicle.position[0, 0, 0] == pytest.approx(1, rel=1e-5)
    assert vehicle.velocity[0, 0] == pytest.approx([2, 0, 0], rel=1e-5)
    drive(vehicle, -100, 0, 3)
    assert vehicle.speed[0, 0] == 0
    assert (vehicle.velocity == 0).all()
    stopped = vehicle.position.copy()
    drive(vehicle, -5, 0.5, 10)
    assert (vehicle.position == stopped).all()


def test_power_and_top_speed_limit_the_acceleration() -> None:
    vehicle = going(2 * CAR.power_speed)
    before = vehicle.speed[0, 0]
    drive(vehicle, 100, 0, 1)
    assert vehicle.speed[0, 0] - before == pytest.approx(0.05 * CAR.acceleration, rel=1e-4)
    drive(vehicle, 100, 0, 400)
    assert vehicle.speed[0, 0] == np.float32(CAR.max_speed)


def test_wheels_turn_no_faster_than_their_rate_and_no_further_than_their_stop() -> None:
    vehicle = going(5)
    drive(vehicle, 0, 0.5, 5)
    assert vehicle.steer[0, 0] == pytest.approx(0.2, rel=1e-5)
    drive(vehicle, 0, 9, 60)
    assert vehicle.steer[0, 0] == np.float32(CAR.max_steer)


def test_velocity_is_how_the_position_changes() -> None:
    vehicle = going(6, 1.0)
    for _ in range(40):
        before, old = vehicle.position.copy(), vehicle.velocity.copy()
        drive(vehicle, 0.5, 0.2, 1)
        mean = (old + vehicle.velocity) / 2
        assert (vehicle.position - before) / 0.1 == pytest.approx(mean, abs=0.1)
    assert (vehicle.position[..., 2] == 0).all()


def test_a_vehicle_stands_at_the_wall_and_who_does_not_move_stands_still() -> None:
    box = np.array([[-3, -3, 0], [3, 3, 1]], np.float32)
    vehicle = going(5, arena=box)
    drive(vehicle, 0, 0, 20)
    assert vehicle.position[0, 0, 0] == 3
    assert vehicle.speed[0, 0] == 0
    pair = car(1, 2)
    drive(pair, 3, 0, 5)
    there = pair.position.copy()
    pair.advance(np.full((1, 2, 3), 1, np.float32), np.array([[True, False]]))
    assert (pair.position[0, 1] == there[0, 1]).all()
    assert (pair.velocity[0, 1] == 0).all()
    assert pair.position[0, 0, 0] > there[0, 0, 0]


def test_a_world_is_the_same_whatever_else_is_in_the_batch() -> None:
    spread = RandomisationConfig(mass=(0.8, 1.3), lag=(0.5, 2), friction=(0.4, 1), latency=2)
    many, generator = 37, np.random.default_rng(0)
    whole, alone = (Bicycle(CAR, (n, 3), WIDE, spread) for n in (many, 1))
    uniform = generator.random((many, whole.draws))
    heading = generator.uniform(-3, 3, (many, 3)).astype(np.float32)
    position = generator.uniform(-9, 9, (many, 3, 3)).astype(np.float32)
    whole.place(np.arange(many), Start(position, heading, 5 + heading), uniform)
    one = Start(position[20:21], heading[20:21], 5 + heading[20:21])
    alone.place(np.arange(1), one, uniform[20:21])
    for _ in range(80):
        command = generator.uniform(-3, 3, (many, 3, 3)).astype(np.float32)
        whole.advance(command, np.ones((many, 3), bool))
        alone.advance(command[20:21], np.ones((1, 3), bool))
        for name in ("position", "velocity", "heading", "speed", "steer"):
            assert (getattr(alone, name)[0] == getattr(whole, name)[20]).all()


anything = st.floats(width=32, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(anything, anything), min_size=1, max_size=20), st.floats(0, 100))
def test_no_command_makes_a_number_that_is_not_finite(
    commands: list[tuple[float, float]], speed: float
) -> None:
    vehicle = going(speed)
    for acceleration, steer in commands:
        drive(vehicle, acceleration, steer, 3)
        slip = vehicle.speed * np.abs(np.tan(vehicle.steer))
        assert np.isfinite(slip).all()
        assert 0 <= vehicle.speed[0, 0] <= np.float32(CAR.max_speed)
        assert abs(vehicle.heading[0, 0]) <= np.pi + 1e-5
        assert np.isfinite(vehicle.position).all()
        assert np.isfinite(vehicle.velocity).all()
