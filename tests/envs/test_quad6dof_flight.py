import numpy as np
import pytest
from flying import WIDE, fly, quads, rest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.backends.quad6dof import Quad6Dof, Quad6DofConfig
from envs.backends.randomisation import RandomisationConfig
from envs.backends.wind import WindConfig
from envs.bodies import Start

ONE = np.ones((1, 1), bool)


def test_hover_holds_its_place() -> None:
    drone = quads()
    fly(drone, (0, 0, 0), 300)
    assert np.abs(drone.position).max() < 1e-3
    assert np.abs(drone.velocity).max() < 1e-4


@pytest.mark.parametrize(
    "command", [(1, 0, 0), (0, -2, 0), (0, 0, 1), (0, 0, -2), (3, -3, 1), (5, 0, 0)]
)
def test_the_velocity_answers_a_step_without_overshoot_or_steady_error(
    command: tuple[float, float, float],
) -> None:
    wanted = np.array(command)
    answer = fly(quads(), command, 100)[:, 0, 0] @ wanted / (wanted @ wanted)
    rise = np.argmax(answer > 0.9) - np.argmax(answer > 0.1)
    assert 0.3 <= 0.1 * rise <= 1.2
    assert answer.max() < 1.02
    assert answer[-20:] == pytest.approx(1, abs=2e-3)


def test_no_command_along_an_axis_is_no_motion_along_it() -> None:
    assert np.abs(fly(quads(), (2, 0, 0), 50)[..., 1:]).max() < 0.08


def test_the_mean_of_the_wind_and_a_wrong_mass_leave_no_steady_error() -> None:
    heavy = RandomisationConfig(mass=(1.2, 1.2), drag=(1.5, 1.5))
    drone = quads(wind=WindConfig(speed=5, turbulence=0), randomisation=heavy)
    seen = fly(drone, (1, 0, 0), 150)
    assert np.abs(seen[:30]).max() > 0.1
    assert seen[-1, 0, 0] == pytest.approx([1, 0, 0], abs=0.01)


def test_gusts_move_a_drone_that_hovers() -> None:
    drone = quads(8, wind=WindConfig(speed=6))
    steady = fly(drone, (0, 0, 0), 200)[100:]
    assert (steady.std(0) > 0.005).all()
    assert np.abs(steady).max() < 1


def test_a_drone_keeps_its_heading_until_it_is_turned() -> None:
    drone = quads()
    drone.place(
        np.arange(1),
        Start(np.zeros((1, 1, 3)), np.full((1, 1), 2.0), np.full((1, 1), 1.5)),
        np.zeros((1, 0)),
    )
    assert drone.velocity[0, 0] == pytest.approx([1.5 * np.cos(2), 1.5 * np.sin(2), 0], rel=1e-5)
    fly(drone, (1, 1, 0), 30)
    assert drone.heading[0, 0] == pytest.approx(2, abs=0.01)
    drone.turn_to(np.full((1, 1), -2.0, np.float32))
    fly(drone, (0, 0, 0), 50)
    assert drone.heading[0, 0] == pytest.approx(-2, abs=0.02)


def test_a_wall_stops_the_component_across_it_and_the_way_back_is_free() -> None:
    box = np.array([[-1, -9, 0], [1, 9, 4]], np.float32)
    drone = quads(arena=box)
    rest(drone, 2)
    fly(drone, (1, 0.5, 0), 50)
    assert drone.position[0, 0, 0] == 1
    assert abs(drone.velocity[0, 0, 0]) < 0.05
    assert drone.velocity[0, 0, 1] == pytest.approx(0.5, abs=0.05)
    assert fly(drone, (-1, 0, 0), 15)[-1, 0, 0, 0] < -0.8


def test_a_drone_lands_and_takes_off() -> None:
    drone = quads(arena=np.array([[-9, -9, 0], [9, 9, 9]], np.float32))
    rest(drone, 1)
    fly(drone, (0, 0, -1), 60)
    assert drone.position[0, 0, 2] == 0
    fly(drone, (0, 0, 1), 40)
    assert drone.position[0, 0, 2] > 2
    assert np.abs(drone.position[0, 0, :2]).max() < 0.05


def test_who_does_not_move_stands_still_and_level() -> None:
    drone = quads(1, 2)
    fly(drone, (2, 1, 0), 5)
    there = drone.position.copy()
    for _ in range(5):
        drone.advance(np.full((1, 2, 3), 2, np.float32), np.array([[True, False]]))
    assert (drone.position[0, 1] == there[0, 1]).all()
    assert (drone.velocity[0, 1] == 0).all()
    assert (drone.position[0, 0] > there[0, 0]).all()
    drone.bodies.orient()
    assert drone.bodies.axes[2, 2, 1] == 1
    fly(drone, (0, 0, 0), 1)
    assert np.abs(drone.velocity[0, 1]).max() < 1e-4


def test_attitudes_can_be_commanded() -> None:
    drone, hover = quads(), 0.25 * 4 / 2.24
    command = np.array([[[0.2, 0, 0, hover / np.cos(0.2)]]], np.float32)
    for _ in range(15):
        drone.advance_attitude(command, ONE)
    assert np.arccos(drone.bodies.axes[2, 2, 0]) == pytest.approx(0.2, abs=0.01)
    assert drone.velocity[0, 0, 1] < -1  # a roll to the right leads to the right
    drone = quads()
    for _ in range(15):
        drone.advance_attitude(np.array([[[0, 0.2, 0.5, hover]]], np.float32), ONE)
    assert drone.velocity[0, 0, 0] > 1  # a bow leads ahead
    before = drone.heading[0, 0]
    for _ in range(10):
        drone.advance_attitude(np.array([[[0, 0, 0.5, hover]]], np.float32), ONE)
    assert drone.heading[0, 0] - before == pytest.approx(0.5, abs=0.03)


def test_rotors_can_be_commanded() -> None:
    drone = quads()
    share = drone.rotors.speed[0, 0] ** 2
    for _ in range(10):
        drone.advance_motors(np.full((1, 1, 4), share), ONE)
    assert np.abs(drone.velocity).max() < 1e-3
    for _ in range(3):
        drone.advance_motors(np.array([[[share, share, 1.2 * share, share]]]), ONE)
    rates = drone.bodies.rates[:, 0]  # more lift front left: right side down, nose up, to the left
    assert rates[0] > 0.5
    assert rates[1] < -0.5
    assert rates[2] > 0


EVERYTHING = RandomisationConfig(
    mass=(0.8, 1.2), lag=(0.5, 2.0), drag=(0.5, 2.0), wind=(0.5, 1.5), latency=3
)


def varied(worlds: int) -> Quad6Dof:
    box = np.array([[-6, -6, 0], [6, 6, 5]], np.float32)
    shape = worlds, 3
    return Quad6Dof(Quad6DofConfig(), shape, box, WindConfig(speed=2), EVERYTHING)


def test_a_world_is_the_same_whatever_else_is_in_the_batch() -> None:
    many, generator = 37, np.random.default_rng(0)
    whole, alone, some = varied(many), varied(1), varied(5)
    position = generator.uniform(1, 4, (many, 3, 3)).astype(np.float32)
    heading = generator.uniform(-3, 3, (many, 3)).astype(np.float32)
    uniform = generator.random((many, whole.draws))
    rows = {id(whole): slice(0, many), id(alone): slice(8, 9), id(some): slice(6, 11)}
    for drone in (whole, alone, some):
        at = rows[id(drone)]
        start = Start(position[at], heading[at], 0.3 + 0 * heading[at])
        drone.place(np.arange(len(start.heading)), start, uniform[at])
    for _ in range(60):
        command = generator.uniform(-3, 3, (many, 3, 3)).astype(np.float32)
        moving = generator.random((many, 3)) < 0.98
        for drone in (whole, alone, some):
            drone.advance(command[rows[id(drone)]], moving[rows[id(drone)]])
        for drone in (alone, some):
            at = rows[id(drone)]
            assert (drone.position == whole.position[at]).all()
            assert (drone.velocity == whole.velocity[at]).all()
            assert (drone.heading == whole.heading[at]).all()


def test_placing_some_worlds_leaves_the_others_alone_and_forgets_the_past() -> None:
    drone, fresh = quads(3, 2), quads(1, 2)
    fly(drone, (2, 1, 1), 20)
    others = drone.position[[0, 2]].copy()
    drone.place(np.array([1]), Start.resting(np.zeros((1, 2, 3), np.float32)), np.zeros((1, 0)))
    assert (drone.position[[0, 2]] == others).all()
    fly(drone, (1, 0, 0), 10)
    fly(fresh, (1, 0, 0), 10)
    assert (drone.position[1] == fresh.position[0]).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 3), min_size=1, max_size=5))
def test_no_command_makes_a_number_that_is_not_finite(
    commands: list[tuple[float, float, float]],
) -> None:
    drone = quads()
    for command in commands:
        fly(drone, command, 4)
    for array in (drone.position, drone.velocity, drone.heading, drone.bodies.quaternion):
        assert np.isfinite(array).all()
    assert drone.bodies.axes[2, 2, 0] > 0  # no command tips it over


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4), min_size=1, max_size=5))
def test_no_rotor_command_makes_a_number_that_is_not_finite(
    commands: list[tuple[float, float, float, float]],
) -> None:
    drone = quads()
    for command in commands:
        for _ in range(5):
            drone.advance_motors(np.array([[command]], np.float32), ONE)
    for array in (drone.position, drone.velocity, drone.heading, drone.bodies.rates):
        assert np.isfinite(array).all()


def test_arrays_are_those_of_the_protocol() -> None:
    drone = quads(2, 3)
    for array, shape in ((drone.position, (2, 3, 3)), (drone.heading, (2, 3))):
        assert array.shape == shape
        assert array.dtype == np.float32
    fly(drone, (1, 0, 0), 2)
    assert drone.velocity.dtype == drone.heading.dtype == np.float32
    assert (drone.dt, drone.draws) == (0.1, 0)
    assert WIDE.dtype == np.float32
