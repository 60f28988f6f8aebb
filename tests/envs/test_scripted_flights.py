import numpy as np

from envs.registry import make
from envs.scripted import at_random, play, straight
from envs.tasks.drone_layout import DroneNavigationConfig
from envs.world import View


def test_straight_flights_collide_and_random_ones_fail() -> None:
    for drones in (3, 4):
        world = make(DroneNavigationConfig(drones=drones), 300)
        assert play(world, straight, 1)["collision"].mean() >= 0.3
        assert play(world, at_random(0), 1)["success"].mean() <= 0.05


def test_a_lone_drone_without_obstacles_flies_home() -> None:
    world = make(DroneNavigationConfig(drones=1, obstacles=0), 100)
    found = play(world, straight, 0)
    assert found["success"].all()
    assert not found["collision"].any()
    assert (found["time_to_goal"] < 10).all()
    assert np.allclose(found["time_to_goal"], found["length"] * 0.1)


def test_straight_chooses_the_longest_way() -> None:
    goal = np.array([[[0.5, -0.6, 0.1], [-0.5, 0.1, 0.2], [0, 0, 0.3], [0, 0, 0]]], np.float32)
    view = View(goal, np.zeros((1, 0)), np.ones((1, 4), bool), np.ones((1, 4, 7), bool))
    assert straight(view).tolist() == [[3, 1, 4, 6]]


def test_random_keeps_to_what_is_allowed() -> None:
    mask = np.zeros((50, 2, 5), bool)
    mask[..., [1, 3]] = True
    view = View(np.zeros((50, 2, 1)), np.zeros((50, 0)), np.ones((50, 2), bool), mask)
    assert set(np.unique(at_random(0)(view))) == {1, 3}
