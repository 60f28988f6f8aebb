"""Every kind of space as numbers, and numbers as every kind of action."""

from typing import Any

import numpy as np
import pytest
from foreign_worlds import Zoo
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    MultiBinary,
    MultiDiscrete,
    Sequence,
    Text,
    Tuple,
)

from envs.adapters import PettingZooWorld
from envs.moves import MOST_CHOICES, mover
from envs.pettingzoo_source import PettingZooConfig
from envs.sources import ParallelSource
from envs.spaces import Pictures, reader
from qmarl.errors import ConfigurationError, RunError

BYTE = Box(0, 255, (4, 6, 3), np.uint8)


def world_of(zoo: Zoo, **settings: Any) -> PettingZooWorld:
    config = PettingZooConfig(id="foreign_worlds:Zoo", max_steps=9, **settings)
    return PettingZooWorld(config, 1, ParallelSource(zoo))


@pytest.mark.parametrize(
    ("space", "value", "numbers"),
    [
        (Box(-9, 9, (2, 2)), np.array([[1, 2], [3, 4]], np.float32), [1, 2, 3, 4]),
        (Box(-9, 9, (), np.float64), np.float64(2.5), [2.5]),
        (Box(0, 255, (3,), np.uint8), np.array([0, 51, 255], np.uint8), [0, 0.2, 1]),
        (Box(2, 4, (2,), np.uint8), np.array([2, 3], np.uint8), [0, 0.5]),
        (Box(0, 9, (2,), np.int64), np.array([7, 9]), [7, 9]),
        (Discrete(3), 1, [0, 1, 0]),
        (Discrete(3, start=5), 7, [0, 0, 1]),
        (MultiBinary(3), np.array([1, 0, 1], np.int8), [1, 0, 1]),
        (MultiDiscrete([2, 3]), np.array([1, 2]), [0, 1, 0, 0, 1]),
        (Dict({"b": Discrete(2), "a": Box(0, 9, (1,))}), {"a": [4.0], "b": 1}, [4, 0, 1]),
        (Tuple((Discrete(2), Box(0, 9, (1,)))), (0, np.array([3.0])), [1, 0, 3]),
        (
            Dict(
                {"z": Box(0, 9, (1,)), "action_mask": MultiBinary(2), "c": Dict({"d": Discrete(2)})}
            ),
            {"z": [5.0], "action_mask": [1, 1], "c": {"d": 0}},
            [1, 0, 5],
        ),
    ],
)
def test_what_is_seen_becomes_one_vector(space: Any, value: Any, numbers: list[float]) -> None:
    eye = reader(space, Pictures())
    seen = eye.read(value)
    assert seen.dtype == np.float32
    assert seen.tolist() == pytest.approx(numbers)
    assert eye.size == len(numbers)


def test_pictures_are_averaged_over_areas_and_colours() -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[:2, :3] = 255
    picture[2:, 3:, 0] = 255
    eye = reader(BYTE, Pictures((2, 2), grayscale=True))
    assert eye.read(picture).tolist() == pytest.approx([1, 0, 0, 1 / 3])
    colourful = reader(BYTE, Pictures((2, 2)))
    assert colourful.size == 12
    assert colourful.read(picture).tolist() == pytest.approx([1, 1, 1, *[0] * 6, 1, 0, 0])


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 7, 11])
def test_resizing_keeps_the_mean(side: int) -> None:
    picture = np.random.default_rng(side).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    space = Box(0, 255, picture.shape, np.uint8)
    seen = reader(space, Pictures((side, side), grayscale=True)).read(picture)
    assert seen.size == side * side
    assert seen.mean() == pytest.approx(picture.mean() / 255, rel=1e-5)
    assert 0 <= seen.min() <= seen.max() <= 1


@pytest.mark.parametrize(
    ("space", "value", "words"),
    [
        (Box(0, 1, (2,)), np.zeros(3), r"shape \(3,\), its space has \(2,\)"),
        (Box(0, 1, (2,)), ["a", "b"], "its space has"),
        (Discrete(3), 3, "is 3"),
        (Discrete(3), 1.5, "is 1.5"),
        (Dict({"a": Discrete(2)}), {"b": 1}, "lacks a part"),
        (Tuple((Discrete(2), Discrete(2))), (1,), "lacks a part"),
    ],
)
def test_what_is_not_of_the_space_is_refused(space: Any, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        reader(space, Pictures()).read(value)


@pytest.mark.parametrize(
    "space",
    [
        Text(5),
        Sequence(Discrete(2)),
        Graph(Box(0, 1, (1,)), None),
        Dict({"a": Text(3)}),
        Discrete(10**9),
    ],
)
def test_what_has_no_fixed_length_is_refused_in_words(space: Any) -> None:
    zoo = Zoo(space, Discrete(2), shown=0)
    with pytest.raises(ConfigurationError, match="ape observes"):
        world_of(zoo)


@pytest.mark.parametrize(
    ("space", "action", "move"),
    [
        (Discrete(4, start=3), 2, 5),
        (MultiDiscrete([2, 3]), 0, [0, 0]),
        (MultiDiscrete([2, 3]), 5, [1, 2]),
        (MultiDiscrete([2, 3], start=[1, 1]), 1, [1, 2]),
        (MultiDiscrete([[2, 2], [1, 2]]), 3, [[0, 1], [0, 1]]),
        (MultiBinary(2), 2, [1, 0]),
        (Box(-1, 1, (2,)), [-1, 0.5], [-1, 0.5]),
        (Box(0, 10, (2,)), [-1, 0], [0, 5]),
        (Box(np.array([-2, 0]), np.array([2, 8]), dtype=np.float64), [1, -0.5], [2, 2]),
        (Box(0, 4, (2, 1), np.int32), [0.2, 1], [[2], [4]]),
    ],
)
def test_actions_become_moves_of_the_space(space: Any, action: Any, move: Any) -> None:
    made = mover(space).move(np.array(action))
    assert np.asarray(made).tolist() == move
    assert space.contains(made)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (Box(-np.inf, 1, (1,)), "bounds must be finite"),
        (MultiDiscrete([7, 7, 7]), f"343 combinations, at most {MOST_CHOICES}"),
        (Tuple((Discrete(2),)), "supported are Discrete"),
    ],
)
def test_other_actions_are_refused_in_words(space: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"ape acts in .*{words}"):
        world_of(Zoo(Discrete(2), space))


def test_a_mask_of_several_choices_is_their_product() -> None:
    means = mover(MultiDiscrete([2, 3]))
    allowed = means.mask((np.array([1, 1]), np.array([1, 0, 1])))
    assert allowed.tolist() == [True, False, True, True, False, True]


def test_numbers_reach_the_environment_within_its_bounds() -> None:
    zoo = Zoo(Discrete(2), Box(np.float32([0, -4]), np.float32([2, 4])))
    world = world_of(zoo)
    assert world.spec.continuous
    assert world.spec.action_sizes == (2,)
    assert world.spec.action_counts == (0,)
    assert world.reset(0).action_mask.shape == (1, 1, 0)
    world.step(np.array([[[1, -0.5]]], np.float32))
    assert zoo.moves[-1].tolist() == [2, -2]
    assert zoo.moves[-1].dtype == np.float32
    with pytest.raises(RunError, match="ape in world 0 chose nan as number 1 of its action"):
        world.step(np.array([[[0, np.nan]]], np.float32))


def test_a_picture_world_is_small_enough_for_a_circuit() -> None:
    zoo = Zoo(BYTE, Discrete(2), state=BYTE)
    world = world_of(zoo, resize=(2, 3), grayscale=True)
    view = world.reset(0)
    assert world.spec.observation_sizes == (6,)
    assert world.spec.state_size == 6
    assert 0 < view.observations.min() < view.observations.max() < 1


@pytest.mark.parametrize("settings", [{"resize": (2, 2)}, {"grayscale": True}])
def test_there_must_be_a_picture_to_work_on(settings: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"env.{next(iter(settings))}: no agent"):
        world_of(Zoo(Discrete(2), Discrete(2)), **settings)
