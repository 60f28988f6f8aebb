from typing import Any

import numpy as np
import pytest

from envs.references import POLICIES
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


def reference(config: DroneNavigationConfig) -> dict[str, float]:
    found = play(make(config, 60), POLICIES[config.id](config), 5)
    return {name: float(np.nanmean(values)) for name, values in found.items()}


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        ({}, 0.85),
        ({"actions": "continuous"}, 0.95),
        ({"drones": 4}, 0.8),
        ({"difficulty": "easy"}, 0.9),
        ({"difficulty": "hard", "actions": "continuous"}, 0.8),
        ({"obstacle_shape": "cylinder", "actions": "continuous"}, 0.75),
        ({"backend": "quad6dof", "actions": "continuous"}, 0.85),
    ],
)
def test_the_reference_avoids(settings: dict[str, Any], least: float) -> None:
    found = reference(DroneNavigationConfig(**settings))
    assert found["success"] >= least
    assert found["collision"] <= 0.15


def test_random_numbers_need_the_spec() -> None:
    world = make(DroneNavigationConfig(actions="continuous"), 20)
    chosen = at_random(0, world.spec)(world.reset(0))
    assert chosen.shape == (20, 3, 3)
    assert chosen.dtype == np.float32
    assert np.abs(chosen).max() <= 1
    assert chosen.min() < -0.8
    assert play(world, at_random(0, world.spec), 1)["success"].mean() <= 0.1
