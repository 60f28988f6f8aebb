import numpy as np
import pytest
from flying import fly, quads

from envs.backends.quad6dof import Quad6DofConfig
from envs.backends.rigid import GRAVITY, MAX_RATE, RigidBodies
from envs.backends.rotors import Rotors

CRAZYFLIE = Quad6DofConfig()
MOVING = np.ones((1, 1), bool)


def spinning(
    inertia: tuple[float, float, float], *rates: tuple[float, float, float]
) -> RigidBodies:
    bodies = RigidBodies(inertia, len(rates))
    bodies.rates[...] = np.array(rates, np.float32).T
    return bodies


def tumble(bodies: RigidBodies, steps: int, seconds: float = 0.01) -> None:
    for _ in range(steps):
        bodies.turn(np.zeros_like(bodies.rates), seconds)


def momentum(bodies: RigidBodies, inertia: tuple[float, float, float]) -> np.ndarray:
    """Angular momentum in the world, ``(3, N)``."""
    bodies.orient()
    return np.einsum("jn,jin->in", bodies.rates * np.array(inertia)[:, None], bodies.axes)


def test_a_body_without_lift_and_drag_falls_by_the_law() -> None:
    drone = quads(drag=0)
    drone.rotors.speed[:] = 0
    for _ in range(20):
        drone.advance_motors(np.zeros((1, 1, 4), np.float32), MOVING)
    assert drone.position[0, 0] == pytest.approx([0, 0, -GRAVITY * 2**2 / 2], rel=1e-5)
    assert drone.velocity[0, 0] == pytest.approx([0, 0, -GRAVITY * 2], rel=1e-5)


def test_energy_is_kept_without_thrust_and_drag() -> None:
    drone = quads(drag=0)
    drone.rotors.speed[:] = 0
    drone.bodies.velocity[:, 0] = 3, -2, 9
    drone.bodies.rates[:, 0] = 4, 5, 6
    before = (3**2 + 2**2 + 9**2) / 2
    for _ in range(30):
        drone.advance_motors(np.zeros((1, 1, 4), np.float32), MOVING)
        velocity = drone.velocity[0, 0]
        energy = (velocity**2).sum() / 2 + GRAVITY * drone.position[0, 0, 2]
        assert energy == pytest.approx(before, rel=1e-4)
    assert drone.bodies.rates[2, 0] == pytest.approx(6, rel=1e-5)


@pytest.mark.parametrize("inertia", [CRAZYFLIE.inertia, (1e-5, 2e-5, 2.9e-5)])
def test_a_tumbling_body_keeps_its_angular_momentum_and_energy(
    inertia: tuple[float, float, float],
) -> None:
    bodies = spinning(inertia, (3, 4, 6), (-8, 1, 2), (0.1, 9, 0.1))
    start = momentum(bodies, inertia)
    energy = (np.array(inertia)[:, None] * bodies.rates**2).sum(0)
    first = bodies.rates.copy()
    tumble(bodies, 1000)
    size = np.sqrt((start**2).sum(0))
    drift = np.sqrt(((momentum(bodies, inertia) - start) ** 2).sum(0))
    assert (drift < 0.002 * size).all()
    after = (np.array(inertia)[:, None] * bodies.rates**2).sum(0)
    assert after == pytest.approx(energy, rel=2e-3)
    assert np.abs(bodies.rates - first).max() > 1  # it did tumble


def test_a_steady_spin_turns_by_rate_times_time() -> None:
    bodies = spinning((1e-5, 1e-5, 1e-5), (0, 0, 2.0))
    tumble(bodies, 100, 0.005)
    bodies.orient()
    assert bodies.axes[0, :, 0] == pytest.approx([np.cos(1), np.sin(1), 0], abs=1e-4)


def norm_drift(steps: int) -> float:
    generator = np.random.default_rng(0)
    bodies = spinning(CRAZYFLIE.inertia, *generator.normal(0, 10, (4, 3)).tolist())
    kicks = generator.normal(0, 300, (64, 3, 4)).astype(np.float32)
    for step in range(steps):
        bodies.turn(kicks[step % 64].copy(), 0.01)
    assert np.abs(bodies.rates).max() <= MAX_RATE
    return float(np.abs((bodies.quaternion.astype(float) ** 2).sum(0) - 1).max())


def test_the_quaternion_stays_of_length_one() -> None:
    assert norm_drift(10_000) < 1e-6


@pytest.mark.slow
def test_the_quaternion_stays_of_length_one_for_a_million_steps() -> None:
    assert norm_drift(1_000_000) < 1e-6


def test_axes_stay_at_right_angles_and_follow_the_quaternion() -> None:
    bodies = spinning(CRAZYFLIE.inertia, (5, -3, 2), (0, 0, 1))
    tumble(bodies, 500)
    bodies.orient()
    for body in range(2):
        axes = bodies.axes[..., body]
        assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-5)
        assert np.linalg.det(axes) == pytest.approx(1, abs=1e-5)


def test_a_force_moves_a_body_exactly() -> None:
    bodies = RigidBodies((1, 1, 1), 1)
    for _ in range(50):
        bodies.move(np.array([[1.0], [0], [-2]], np.float32), 0.02)
    assert bodies.position[:, 0] == pytest.approx([0.5, 0, -1], rel=1e-5)
    assert bodies.velocity[:, 0] == pytest.approx([1, 0, -2], rel=1e-5)


def rotors() -> Rotors:
    return Rotors(CRAZYFLIE.arm, CRAZYFLIE.rotor_thrust, CRAZYFLIE.torque_ratio, 1)


@pytest.mark.parametrize("torque", [(1e-4, 0, 0), (0, -1e-4, 0), (0, 0, 5e-5), (1e-4, 2e-4, -3e-5)])
def test_rotors_give_the_lift_and_torque_that_are_wanted(torque: tuple[float, ...]) -> None:
    found = rotors()
    found.want(np.array([0.3], np.float32), np.array(torque, np.float32)[:, None])
    found.spin(np.ones(1, np.float32))
    assert found.lift[0] == pytest.approx(0.3, rel=1e-5)
    assert found.torque[:, 0] == pytest.approx(torque, abs=1e-9, rel=1e-4)


def test_torques_follow_from_where_rotors_stand_and_how_they_turn() -> None:
    found = rotors()
    for rotor, signs in enumerate([(-1, -1, -1), (1, 1, -1), (1, -1, 1), (-1, 1, 1)]):
        found.speed[:] = 0
        found.wanted[:] = 0
        found.wanted[rotor] = 1
        found.spin(np.ones(1, np.float32))
        assert found.lift[0] == pytest.approx(CRAZYFLIE.rotor_thrust)
        side = CRAZYFLIE.arm / np.sqrt(2)  # torque = place x force
        size = CRAZYFLIE.rotor_thrust * np.array([side, side, CRAZYFLIE.torque_ratio])
        assert found.torque[:, 0] == pytest.approx(size * signs)


@pytest.mark.parametrize("lift", [0.0, 0.6, 9.0])
def test_where_rotors_cannot_do_both_torque_comes_before_lift(lift: float) -> None:
    found = rotors()
    found.want(np.array([lift], np.float32), np.array([[1e-3], [0], [0]], np.float32))
    found.spin(np.ones(1, np.float32))
    assert found.torque[:, 0] == pytest.approx([1e-3, 0, 0], abs=1e-8)
    assert 0 < found.lift[0] < 4 * CRAZYFLIE.rotor_thrust


def test_rotors_lag() -> None:
    drone = quads(substeps=1, dt=0.0375)
    drone.rotors.speed[:] = 0
    drone.advance_motors(np.ones((1, 1, 4), np.float32), MOVING)
    assert drone.rotors.speed[:, 0] == pytest.approx(1 - np.exp(-1), rel=1e-5)


def test_a_crazyflie_lifts_about_twice_its_weight() -> None:
    lift = 4 * CRAZYFLIE.rotor_thrust / (CRAZYFLIE.mass * GRAVITY)
    assert lift == pytest.approx(2.24, abs=0.01)
    speed = np.sqrt(CRAZYFLIE.rotor_thrust / 3.1582e-10)  # rpm
    assert speed == pytest.approx(21_667, rel=1e-3)
    hover = 4 * speed / np.sqrt(lift) * 2 * np.pi / 60
    assert CRAZYFLIE.drag == pytest.approx(9.1785e-7 * hover, rel=0.01)


@pytest.mark.parametrize("times", [2, 4])
def test_a_finer_time_step_changes_a_flight_of_10_s_by_less_than_1_percent(times: int) -> None:
    coarse, fine = quads(), quads(substeps=10 * times)
    generator, far = np.random.default_rng(3), 0.0
    for _ in range(20):
        command = tuple(generator.uniform(-3, 3, 3).tolist())
        before = coarse.position.copy()
        for drone in (coarse, fine):
            fly(drone, command, 5)
        far += float(np.sqrt(((coarse.position - before) ** 2).sum()))
    apart = np.sqrt(((coarse.position - fine.position) ** 2).sum())
    assert far > 10
    assert apart < 0.01 * far
