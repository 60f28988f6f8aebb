"""What holds for every drone task alike."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from envs.mobility import MobilitySection
from envs.scripted import at_random, play
from envs.scripted_drones import hunt, keep_slot, serve_users, steer
from envs.tasks import drone_coverage, drone_formation, drone_pursuit
from envs.tasks.drone_common import ACTIONS, closest, mates, velocities
from envs.tasks.drone_coverage import DroneCoverageConfig
from envs.tasks.drone_formation import DroneFormationConfig
from envs.tasks.drone_pursuit import DronePursuitConfig
from envs.world import Step, View, World

Policy = Callable[[View], np.ndarray]
Section = type[MobilitySection]

TASKS: dict[str, tuple[Section, Callable[[Any, int], World], Policy]] = {
    "formation": (DroneFormationConfig, drone_formation.make, keep_slot),
    "coverage": (DroneCoverageConfig, drone_coverage.make, serve_users),
    "pursuit": (DronePursuitConfig, drone_pursuit.make, hunt),
}

each = pytest.mark.parametrize("name", TASKS)
both = pytest.mark.parametrize("actions", ["discrete", "continuous"])


def world(name: str, num_envs: int, **settings: object) -> World:
    config, make, _ = TASKS[name]
    return make(config(**settings), num_envs)


def drawn(rng: np.random.Generator, spec_world: World) -> np.ndarray:
    spec, shape = spec_world.spec, (spec_world.num_envs, len(spec_world.spec.agents))
    if spec.continuous:
        return rng.uniform(-1, 1, (*shape, 3)).astype(np.float32)
    return rng.integers(0, len(ACTIONS), shape)


def flat(step: Step) -> dict[str, np.ndarray]:
    """Every array of a step, by name."""
    arrays = {f"view.{f.name}": getattr(step.view, f.name) for f in fields(step.view)}
    arrays |= {f"final.{f.name}": getattr(step.final, f.name) for f in fields(step.final)}
    names = ("rewards", "terminated", "truncated", "ended")
    return arrays | {name: getattr(step, name) for name in names}


def assert_same(whole: Step, part: Step, rows: slice) -> None:
    expected = flat(whole)
    for key, array in flat(part).items():
        assert (array == expected[key][rows]).all(), key
    for key, values in part.outcomes.items():
        ended = part.ended
        assert np.array_equal(values[ended], whole.outcomes[key][rows][ended], equal_nan=True), key


@each
@both
@pytest.mark.parametrize("difficulty", ["medium", "hard"])
def test_a_copy_is_the_same_whatever_the_batch(name: str, actions: str, difficulty: str) -> None:
    settings = {"actions": actions, "difficulty": difficulty, "max_steps": 31}
    whole, alone, shard = (world(name, count, **settings) for count in (5, 1, 2))
    for w, first in ((whole, 0), (alone, 3), (shard, 3)):
        w.reset(11, first)
    rng, episodes = np.random.default_rng(0), 0
    for _ in range(130):
        chosen = drawn(rng, whole)
        one = whole.step(chosen)
        assert_same(one, alone.step(chosen[3:4]), slice(3, 4))
        assert_same(one, shard.step(chosen[3:5]), slice(3, 5))
        episodes += one.ended[3]
    assert episodes >= 4


@each
@both
def test_observations_and_state_stay_within_bounds(name: str, actions: str) -> None:
    for difficulty in ("easy", "medium", "hard"):
        w = world(name, 20, actions=actions, difficulty=difficulty)
        view, rng = w.reset(1), np.random.default_rng(2)
        chosen = drawn(rng, w)
        for t in range(220):
            if t % 40 < 20:  # then long ways in one direction, which reach the walls
                chosen = drawn(rng, w)
            view = w.step(chosen).view
            assert np.abs(view.observations).max() <= 1
            assert np.abs(view.state).max() <= 1 + 1e-5
        assert view.observations.dtype == view.state.dtype == np.float32
        assert view.observations.shape[2] == w.spec.observation_sizes[0] <= 16
        assert view.state.shape == (20, w.spec.state_size)


@each
def test_the_same_seed_is_the_same_world_and_another_is_not(name: str) -> None:
    first, second = world(name, 4), world(name, 4)
    assert (first.reset(3).state == second.reset(3).state).all()
    assert (first.reset(4).state != second.reset(3).state).any()


@each
def test_a_new_episode_begins_in_the_step_that_ended_one(name: str) -> None:
    w, fresh = world(name, 3, max_steps=30), world(name, 3, max_steps=30)
    view = w.reset(0)
    policy = TASKS[name][2]
    for _ in range(30):
        step = w.step(policy(view))
        view = step.view
        if step.ended.any():
            break
    env = int(step.ended.argmax())
    assert step.view.alive[env].all()
    assert (step.view.state[env] != step.final.state[env]).any()
    assert (step.view.state[env] != fresh.reset(0).state[env]).any()
    assert set(step.outcomes) == set(w.spec.outcomes)
    assert w.scene().time[env] == 0
    assert w.scene(final=True).time[env] > 0


@each
def test_a_rung_lies_below_what_is_written(name: str) -> None:
    section = TASKS[name][0]
    assert section() == section(difficulty="medium")
    assert section.LADDER["hard"]["drones"] == len(world(name, 1, difficulty="hard").spec.agents)
    assert world(name, 1, difficulty="hard", max_steps=40).spec.max_steps == 40


@each
@both
def test_the_scripted_flight_beats_a_random_one(name: str, actions: str) -> None:
    for difficulty in ("easy", "medium", "hard"):
        w = world(name, 60, actions=actions, difficulty=difficulty)
        rng = np.random.default_rng(0)
        chance = at_random(0) if actions == "discrete" else lambda _: drawn(rng, w)  # noqa: B023
        ours, theirs = play(w, TASKS[name][2], 5), play(w, chance, 5)
        assert ours["success"].mean() > theirs["success"].mean() + 0.2
        assert ours["return"].mean() > theirs["return"].mean() + 2 * ours["return"].std() / 60**0.5


@each
def test_easy_is_solved_by_the_scripted_flight(name: str) -> None:
    assert play(world(name, 100, difficulty="easy"), TASKS[name][2], 2)["success"].mean() >= 0.8


def test_discrete_commands_and_numbers_command_velocities() -> None:
    limits = np.array([2, 2, 1], np.float32)
    found = velocities(np.array([[0, 3, 4, 6]]), limits)
    assert found[0].tolist() == [[2, 0, 0], [0, -2, 0], [0, 0, 1], [0, 0, 0]]
    numbers = velocities(np.array([[[0.5, 0, -1], [0, 0.5, 0]]], np.float32), limits)
    assert numbers[0, 1].tolist() == [0, 1, 0]
    assert np.linalg.norm(numbers[0, 0] / limits) == pytest.approx(1)


def test_mates_finds_the_nearest_that_is_there_and_heard() -> None:
    here = np.array([[[0, 0, 0], [1, 0, 0], [0, 2, 0]]], np.float32)
    there = np.ones((1, 3), bool)
    gap, toward = mates(here, there, None, 0.5, 1.0)
    assert gap[0] == pytest.approx([0.5, 0.5, 1.5])
    assert toward[0] == pytest.approx(np.array([[0.5, 0, 0], [-0.5, 0, 0], [0, 0, 0]]))
    gone = mates(here, np.array([[True, False, True]]), None, 0.5, 4.0)[1]
    assert gone[0, 0] == pytest.approx([0, 1 - 1.5 / 4, 0])
    heard = np.ones((1, 3, 3), bool)
    heard[0, 0, 1] = False
    deaf = mates(here, there, heard, 0.5, 4.0)[1]
    assert deaf[0, 0] == pytest.approx([0, 1 - 1.5 / 4, 0])
    assert deaf[0, 1] == pytest.approx([-(1 - 0.5 / 4), 0, 0])
    alone = mates(here[:, :1], there[:, :1], None, 0.5, 4.0)
    assert alone[0][0, 0] > 1e5
    assert (alone[1] == 0).all()


def test_closest_is_measured_along_the_way() -> None:
    before = np.array([[[-1, 0.3, 0], [1, 0, 0]]], np.float32)
    there = np.ones((1, 2), bool)
    assert closest(before, before[:, ::-1], there) == pytest.approx(np.zeros((1, 2)), abs=1e-3)
    past = np.array([[[1, 0.3, 0], [-1, 0, 0]]], np.float32)
    assert closest(before, past, there) == pytest.approx(np.full((1, 2), 0.3))
    assert closest(before, before, there) == pytest.approx(np.full((1, 2), np.hypot(2, 0.3)))


def test_steering_makes_up_for_the_lag() -> None:
    mask = np.ones((1, 1, 7), bool)
    view = View(np.zeros((1, 1, 1)), np.zeros((1, 0)), np.ones((1, 1), bool), mask)
    wanted, still = np.array([[[0.3, 0, 0]]]), np.zeros((1, 1, 3))
    assert steer(wanted, still, view)[0, 0] == 0
    assert steer(wanted, np.array([[[0.6, 0, 0]]]), view)[0, 0] == 6
    free = View(view.observations, view.state, view.alive, mask[..., :0])
    assert steer(10 * wanted, still, free)[0, 0].tolist() == [1, 0, 0]
