"""What a world refuses before it moves: actions of wrong form, kind or range, each by name."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from envs import make
from envs.guard import check_actions, check_finite
from envs.world import View, WorldSpec
from qmarl.errors import RunError

SPEC = WorldSpec("farm", ("ant", "bee"), (2, 2), (2, 3), 1, 5)
FREE = replace(SPEC, action_counts=(0, 0), action_sizes=(1, 2))
ALIVE = np.array([[True, True], [True, False]])
MASK = np.array([[[1, 1, 0], [1, 1, 1]], [[1, 1, 0], [1, 1, 1]]], bool)
NONE = np.zeros((2, 2, 0), bool)


def test_choices_come_back_with_zero_where_nobody_is() -> None:
    chosen = check_actions(np.array([[1, 2], [0, 77]], np.int32), ALIVE, MASK, SPEC)
    assert chosen.tolist() == [[1, 2], [0, 0]]
    assert chosen.dtype == np.int64


def test_numbers_come_back_with_zero_in_the_padding() -> None:
    given = np.array([[[0.5, np.nan], [1, -1]], [[-1, 9], [np.nan, 9]]])
    chosen = check_actions(given, ALIVE, NONE, FREE)
    assert chosen.tolist() == [[[0.5, 0], [1, -1]], [[-1, 0], [0, 0]]]
    assert chosen.dtype == np.float32


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ([[1, 3], [0, 0]], r"bee in world 10 chose action 3, allowed are \[0, 1, 2\]"),
        ([[0, 0], [2, 0]], r"ant in world 11 chose action 2, allowed are \[0, 1\]"),
        ([[0, -1], [0, 0]], "bee in world 10 chose action -1"),
        ([[0, 0]], r"integers of shape \(2, 2\), got int64 of shape \(1, 2\)"),
        ([[0, 0, 0]] * 2, r"of shape \(2, 3\)"),
        ([[0, np.nan], [0, 0]], "got float64"),
        ([[True, False]] * 2, "got bool"),
        ([[None, 0], [0, 0]], "got object"),
    ],
)
def test_choices_that_are_refused(actions: Any, words: str) -> None:
    with pytest.raises(RunError, match=f"^farm: .*{words}"):
        check_actions(np.array(actions), ALIVE, MASK, SPEC, first_env=10)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ((0, 1, 1), np.nan, "bee in world 0 chose nan as number 1 of its action"),
        ((1, 0, 0), 1.5, r"ant in world 1 chose 1.5 as number 0 .* within \[-1, 1\]"),
        ((0, 0, 0), -np.inf, "ant in world 0 chose -inf"),
    ],
)
def test_numbers_that_are_refused(place: tuple[int, ...], value: float, words: str) -> None:
    actions = np.zeros((2, 2, 2), np.float32)
    actions[place] = value
    with pytest.raises(RunError, match=words):
        check_actions(actions, ALIVE, NONE, FREE)


@pytest.mark.parametrize("actions", [np.zeros((2, 2)), np.zeros((2, 2, 2), int)])
def test_numbers_of_the_wrong_form_are_refused(actions: Any) -> None:
    with pytest.raises(RunError, match=r"floating-point numbers of shape \(2, 2, 2\)"):
        check_actions(actions, ALIVE, NONE, FREE)


@pytest.mark.parametrize("name", ["observations", "state", "rewards"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found(name: str, value: float) -> None:
    view = View(np.zeros((2, 2, 2), np.float32), np.zeros((2, 1), np.float32), ALIVE, MASK)
    rewards = np.zeros((2, 2), np.float32)
    check_finite(view, rewards, SPEC)
    array = rewards if name == "rewards" else getattr(view, name)
    array[(1,) + (0,) * (array.ndim - 1)] = value
    who = "" if name == "state" else " of ant"
    with pytest.raises(RunError, match=rf"farm: .*{who} in world 8 is {value}"):
        check_finite(view, rewards, SPEC, first_env=7)


def test_large_but_finite_numbers_pass() -> None:
    large = np.full((2, 2, 2), 3e38, np.float32)
    check_finite(View(large, np.zeros((2, 1), np.float32), ALIVE, MASK), np.zeros((2, 2)), SPEC)


@pytest.mark.parametrize("name", ["drone_navigation", "mpe2.simple_spread_v3:parallel_env"])
def test_step_comes_after_reset(name: str) -> None:
    world = make(name, 2)
    with pytest.raises(RunError, match="reset"):
        world.step(np.zeros((2, len(world.spec.agents)), int))


def test_refused_actions_leave_the_world_as_it_was() -> None:
    world, twin = (make("mpe2.simple_spread_v3:parallel_env", 2) for _ in range(2))
    good = np.ones((2, 3), int)
    for each in (world, twin):
        each.reset(0)
    with pytest.raises(RunError, match="agent_2 in world 1 chose action 5"):
        world.step(np.array([[0, 0, 0], [0, 0, 5]]))
    assert (world.step(good).view.observations == twin.step(good).view.observations).all()
