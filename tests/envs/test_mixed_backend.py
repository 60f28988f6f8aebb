import numpy as np
import pytest
from flying import WIDE

from envs.backends.bicycle import Bicycle, BicycleConfig
from envs.backends.mixed import MixedBackend
from envs.backends.point import PointBackend, PointConfig
from envs.backends.randomisation import RandomisationConfig
from envs.bodies import Start

SPREAD = RandomisationConfig(lag=(0.5, 1.5))


def parts(worlds: int = 4) -> tuple[PointBackend, Bicycle]:
    drones = PointBackend(PointConfig(), (worlds, 2), WIDE, randomisation=SPREAD)
    return drones, Bicycle(BicycleConfig(), (worlds, 3), WIDE, SPREAD)


def start(worlds: int) -> tuple[Start, np.ndarray]:
    generator = np.random.default_rng(0)
    position = generator.uniform(-5, 5, (worlds, 5, 3)).astype(np.float32)
    heading = generator.uniform(-3, 3, (worlds, 5)).astype(np.float32)
    return Start(position, heading, np.abs(heading)), generator.random((worlds, 5))


def test_bodies_move_as_they_would_by_themselves() -> None:
    drones, cars = parts()
    joined = MixedBackend(parts())
    assert (joined.dt, joined.draws) == (0.1, 5)
    begin, uniform = start(4)
    rows, generator = np.arange(4), np.random.default_rng(1)
    joined.place(rows, begin, uniform)
    for part, agents, numbers in ((drones, slice(2), slice(2)), (cars, slice(2, 5), slice(2, 5))):
        own = Start(begin.position[:, agents], begin.heading[:, agents], begin.speed[:, agents])
        part.place(rows, own, uniform[:, numbers])
    for _ in range(20):
        command = generator.uniform(-2, 2, (4, 5, 3)).astype(np.float32)
        moving = generator.random((4, 5)) < 0.9
        joined.advance(command, moving)
        drones.advance(command[:, :2], moving[:, :2])
        cars.advance(command[:, 2:], moving[:, 2:])
        for name in ("position", "velocity", "heading"):
            apart = np.concatenate([getattr(drones, name), getattr(cars, name)], 1)
            assert (getattr(joined, name) == apart).all()
    joined.close()


def test_placing_some_worlds_leaves_the_others_alone() -> None:
    joined, (begin, uniform) = MixedBackend(parts()), start(4)
    joined.place(np.arange(4), begin, uniform)
    joined.advance(np.ones((4, 5, 3), np.float32), np.ones((4, 5), bool))
    before = joined.position.copy()
    one = Start(begin.position[:1], begin.heading[:1], begin.speed[:1])
    joined.place(np.array([2]), one, uniform[:1])
    assert (joined.position[2] == begin.position[0]).all()
    assert (joined.position[[0, 1, 3]] == before[[0, 1, 3]]).all()


def test_parts_that_do_not_fit_are_refused() -> None:
    drones, _ = parts(4)
    _, cars = parts(5)
    with pytest.raises(ValueError, match=r"\[4, 5\] worlds"):
        MixedBackend([drones, cars])
    slow = PointBackend(PointConfig(dt=0.2), (4, 1), WIDE)
    with pytest.raises(ValueError, match=r"0.1, 0.2\] s"):
        MixedBackend([drones, slow])
