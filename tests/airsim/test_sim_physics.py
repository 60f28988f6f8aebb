"""The simulator's physics are the backends', bit by bit, and cut to any length of time."""

from __future__ import annotations

import numpy as np
import pytest

from envs.airsim_server.car import Car
from envs.airsim_server.flyers import ATTITUDE, MOTORS, OFF, PARKED, VELOCITY
from envs.airsim_server.masses import Masses
from envs.airsim_server.quadrotors import Quadrotors
from envs.airsim_wire.structs import CarControls
from envs.backends.bicycle import Bicycle, BicycleConfig
from envs.backends.point import PointBackend, PointConfig
from envs.backends.quad6dof import Quad6Dof, Quad6DofConfig
from envs.bodies import Start

BOX = np.array([[-4, -4, 0], [4, 4, 5]], np.float32)
DECISION = 100_000_000
PLACES = np.array([[0, 0, 1.5], [1, 0.25, 2], [-2, 1, 1]], np.float32)
LEVEL = np.array([1.0, 0, 0, 0])


def twins():
    ours = Quadrotors(Quad6DofConfig(), 3, BOX)
    theirs = Quad6Dof(Quad6DofConfig(), (1, 3), BOX)
    theirs.place(np.arange(1), Start.resting(PLACES[None]), np.zeros((1, 0)))
    for index, place in enumerate(PLACES):
        ours.place(index, place, LEVEL)
    return ours, theirs


def same(ours, theirs):
    np.testing.assert_array_equal(ours.position, theirs.position[0])
    np.testing.assert_array_equal(ours.velocity, theirs.velocity[0])


@pytest.mark.parametrize("mode", [VELOCITY, ATTITUDE, MOTORS])
def test_quadrotors_take_the_backends_steps(mode):
    ours, theirs = twins()
    ours.mode[:] = mode
    rng, moving = np.random.default_rng(3), np.ones((1, 3), bool)
    for _ in range(60):
        if mode == VELOCITY:
            command = rng.uniform(-2, 2, (1, 3, 3)).astype(np.float32)
            ours.velocity_command[...] = command[0]
            theirs.advance(command, moving)
        elif mode == ATTITUDE:
            command = rng.uniform([-0.2, -0.2, -1, 0.4], [0.2, 0.2, 1, 0.5], (1, 3, 4))
            command = command.astype(np.float32)
            ours.attitude_command[...] = command[0]
            theirs.advance_attitude(command, moving)
        else:
            command = rng.uniform(0.43, 0.46, (1, 3, 4)).astype(np.float32)
            ours.motor_command[...] = command[0]
            theirs.advance_motors(command, moving)
        ours.advance(DECISION)
        same(ours, theirs)
    assert np.abs(theirs.velocity).max() > 0.5


def test_quadrotors_with_different_modes_do_not_disturb_each_other():
    ours, theirs = twins()
    ours.mode[:] = VELOCITY, ATTITUDE, MOTORS
    ours.velocity_command[0] = 1, 0, 0
    ours.attitude_command[1] = 0, 0.1, 0, 0.45
    ours.motor_command[2] = 0.45
    command, moving = np.zeros((1, 3, 3), np.float32), np.ones((1, 3), bool)
    command[0, 0, 0] = 1
    for _ in range(20):
        ours.advance(DECISION)
        theirs.advance(command, moving)
    np.testing.assert_array_equal(ours.position[0], theirs.position[0, 0])
    assert ours.velocity[1, 0] > 0.5  # bows down, flies forward


def test_rotors_that_are_off_let_it_fall_and_who_is_parked_stays():
    ours, _ = twins()
    ours.mode[:] = OFF, PARKED, PARKED
    ours.advance(DECISION)
    ours.advance(DECISION)
    assert ours.position[0, 2] < 1.5
    np.testing.assert_array_equal(ours.position[1:], PLACES[1:])
    assert (ours.velocity[1:] == 0).all()


def test_any_time_may_pass():
    whole, cut = twins()[0], twins()[0]
    for ours in (whole, cut):
        ours.mode[:] = VELOCITY
        ours.velocity_command[...] = 1, -0.5, 0.25
    for _ in range(10):
        whole.advance(DECISION)
        for part in (37_000_000, 3_000_001, 59_999_999):
            cut.advance(part)
    assert np.abs(whole.position - cut.position).max() < 0.01
    assert np.abs(whole.velocity - cut.velocity).max() < 0.02


def test_masses_take_the_backends_steps():
    config = PointConfig(drag=0.3, quadratic_drag=0.1)
    ours, theirs = Masses(config, 3, BOX), PointBackend(config, (1, 3), BOX)
    theirs.place(np.arange(1), Start.resting(PLACES[None]), np.zeros((1, 0)))
    ours.mode[:] = VELOCITY
    for index, place in enumerate(PLACES):
        ours.place(index, place, LEVEL)
    rng = np.random.default_rng(4)
    for _ in range(200):
        command = rng.uniform(-3, 3, (1, 3, 3)).astype(np.float32)
        ours.velocity_command[...] = command[0]
        ours.advance(DECISION)
        theirs.advance(command, np.ones((1, 3), bool))
        same(ours, theirs)


def test_masses_close_as_much_of_the_gap_in_parts_as_at_once():
    once, parts = Masses(PointConfig(), 1, BOX), Masses(PointConfig(), 1, BOX)
    for ours in (once, parts):
        ours.mode[:] = VELOCITY
        ours.velocity_command[0] = 2, 0, 0
    once.advance(DECISION)
    for _ in range(10):
        parts.advance(DECISION // 10)
    np.testing.assert_allclose(parts.velocity, once.velocity, rtol=1e-6)
    assert parts.refusal(MOTORS)
    assert not parts.refusal(VELOCITY)


def test_a_car_takes_the_bicycles_steps():
    box, config = np.array([[-500, -500, 0], [500, 500, 9]], np.float32), BicycleConfig()
    car, theirs = Car(config, box), Bicycle(config, (1, 1), box)
    theirs.place(np.arange(1), Start.resting(np.zeros((1, 1, 3), np.float32)), np.zeros((1, 0)))
    rng = np.random.default_rng(5)
    for _ in range(100):
        pedal, wheel = rng.uniform(-0.3, 1), rng.uniform(-1, 1)
        car.controls = CarControls(
            throttle=max(pedal, 0.0), brake=max(-pedal, 0.0), steering=float(wheel)
        )
        scale = config.acceleration if pedal > 0 else config.brake
        command = np.array([[[pedal * scale, -wheel * config.max_steer, 0]]], np.float32)
        car.advance(DECISION, True)
        theirs.advance(command, np.ones((1, 1), bool))
        np.testing.assert_allclose(car.position, theirs.position[0, 0], atol=1e-5)
    assert car.speed > 5
    assert 1 <= car.gear <= 5
    assert 800 < car.rpm <= 7500


def test_a_car_stands_before_it_goes_backwards():
    box = np.array([[-500, -500, 0], [500, 500, 9]], np.float32)
    car = Car(BicycleConfig(), box)
    car.controls = CarControls(throttle=0.5)
    for _ in range(10):
        car.advance(DECISION, True)
    ahead = float(car.position[0])
    car.controls = CarControls(throttle=-0.5, is_manual_gear=True, manual_gear=-1)
    for _ in range(40):
        car.advance(DECISION, True)
    assert car.gear == -1
    assert car.speed < -3
    assert car.position[0] < ahead
    car.controls = CarControls(handbrake=True)
    for _ in range(40):
        car.advance(DECISION, True)
    assert car.speed == 0


def test_a_car_without_a_driver_rolls_and_steers_right_with_positive_steering():
    car = Car(BicycleConfig(), np.array([[-500, -500, 0], [500, 500, 9]], np.float32))
    car.controls = CarControls(throttle=1.0, steering=1.0)
    car.advance(DECISION, False)
    assert car.speed == 0
    for _ in range(20):
        car.advance(DECISION, True)
    assert car.heading < 0  # clockwise seen from above
    assert car.yaw_rate < 0
