import math

import numpy as np
import pytest
from pydantic import ValidationError

from envs.bodies import Bodies
from envs.tasks.drone_formation import DroneFormation, leader_at
from envs.tasks.drone_formation_layout import (
    SHAPES,
    DroneFormationConfig,
    formation_offsets,
    lay_out,
    turned,
)
from envs.world import CRASHED

FIRST = np.array([1])
ROW = np.array([0])


def staged(**settings: object) -> DroneFormation:
    """Two drones abreast, 1 m apart, around a leader that stands at (0, 0, 1.5)."""
    given = {"drones": 2, "formation": "line", "spacing": 1.0, "leader_speed": 0.0, "waypoints": 2}
    config = DroneFormationConfig(**(given | settings))
    task = DroneFormation(config, 1, dt=0.1)
    starts = [[0, -0.5, 1.5], [0, 0.5, 1.5]]
    path = [[0, 0, 1.5], [2, 0, 1.5]]
    task.begin(ROW, np.array([[*starts, *path, [0, 0, 0]]], np.float32))
    return task


def at(*positions: list[float], speed: float = 0.0) -> Bodies:
    place = np.array([positions], np.float32)
    return Bodies(place, np.full_like(place, speed), np.zeros(place.shape[:2], np.float32))


PERFECT = ([0, -0.5, 1.5], [0, 0.5, 1.5])


def test_a_perfect_formation_earns_both_rewards() -> None:
    rewards, done = staged().judge(at(*PERFECT), FIRST)
    assert rewards[0] == pytest.approx([0.2, 0.2])
    assert not done.any()


def test_closeness_falls_with_the_error_and_the_formation_is_the_teams() -> None:
    rewards, _ = staged().judge(at([0, -0.5, 1.5], [0, 1.0, 1.5]), FIRST)
    assert rewards[0] == pytest.approx([0.1, 0.05])  # mean error 0.25 is not below the tolerance
    rewards, _ = staged().judge(at([0, -0.5, 1.5], [0, 0.9, 1.5]), FIRST)
    assert rewards[0] == pytest.approx([0.2, 0.1 / 1.8 + 0.1])


def test_proximity_costs_below_its_range() -> None:
    near = at([0, -0.15, 1.5], [0, 0.2, 1.5])  # a gap of 0.15 m
    rewards, _ = staged().judge(near, FIRST)
    assert rewards[0] == pytest.approx([0.1 / 1.7 - 0.05, 0.1 / 1.6 - 0.05])


@pytest.mark.parametrize(("apart", "hit"), [(0.19, True), (0.21, False)])
def test_a_contact_ends_the_teams_episode(apart: float, hit: bool) -> None:
    task = staged(drones=3, waypoints=2)
    starts = [[0, -1, 1.5], [0, 0, 1.5], [0, 1, 1.5]]
    task.begin(ROW, np.array([[*starts, [0, 0, 1.5], [2, 0, 1.5], [0, 0, 0]]], np.float32))
    bodies = at([0, 0, 1.5], [0, apart, 1.5], [0, 1, 1.5])
    rewards, done = task.judge(bodies, FIRST)
    assert done.tolist() == [[hit] * 3]
    assert (rewards[0] < -4).tolist() == [hit, hit, False]
    assert task.outcomes()["collision"][0] == hit
    assert (task.scene(bodies, FIRST).status == CRASHED).tolist() == [[hit, hit, False]]
    assert task.view(bodies).alive.any() != hit


def test_success_is_judged_over_the_last_steps() -> None:
    far = ([0, -0.5, 1.5], [0, 1.5, 1.5])  # a mean error of 0.5 m
    for good, success, error in ((3, 1, 0.0), (2, 1, 0.5 / 3), (1, 0, 1.0 / 3)):
        task = staged(max_steps=5, hold_steps=3)
        for step in range(1, 6):
            task.judge(at(*(PERFECT if step > 5 - good else far)), np.array([step]))
        found = task.outcomes()
        assert found["success"][0] == success
        assert found["formation_error"][0] == pytest.approx(error, abs=1e-6)


def test_an_episode_that_was_not_flown_to_its_end_has_no_error() -> None:
    task = staged()
    task.judge(at(*PERFECT), FIRST)
    assert math.isnan(task.outcomes()["formation_error"][0])
    assert task.outcomes()["success"][0] == 0


def test_observation_of_a_hand_made_scene() -> None:
    task = staged(leader_speed=0.5)
    task.judge(at(*PERFECT), np.array([10]))  # a second later the leader is at x = 0.5
    seen = task.view(at([0.5, -0.5, 1.2], [0.5, 0.2, 1.2], speed=0.25)).observations[0]
    assert seen[0, :3] == pytest.approx([0, 0, 0.3], abs=1e-6)
    assert seen[1, :3] == pytest.approx([0, 0.3, 0.3], abs=1e-6)
    assert seen[:, 3:6] == pytest.approx(0.25)
    assert seen[:, 6:8] == pytest.approx(np.array([[0.5, 0]] * 2))
    assert seen[0, 8:] == pytest.approx([0, 0.5, 0], abs=1e-6)  # a gap of 0.5 m of 1 m range
    far = task.view(at([0.5, -3, 1.5], [0.5, 0.5, 1.5])).observations[0, 0]
    assert far[:3] == pytest.approx([0, 1, 0])  # farther than a metre: the direction


def test_who_is_not_heard_is_not_seen() -> None:
    task, near = staged(), at([0, -0.2, 1.5], [0, 0.2, 1.5])
    deaf = Bodies(near.position, near.velocity, near.heading, ~np.ones((1, 2, 2), bool))
    assert (task.view(near).observations[0, :, 8:] != 0).any()
    assert (task.view(deaf).observations[0, :, 8:] == 0).all()


def test_the_leader_goes_round_its_corners() -> None:
    config = DroneFormationConfig(leader_speed=0.5, waypoints=3, speed=1.0)
    path = np.tile(np.array([[0.0, 0, 1], [1, 0, 1], [1, 1, 1]]), (5, 1, 1))
    home = 2 + math.sqrt(2)
    found = leader_at(path, np.array([0, 1, 3, 2 * home - 0.2, 2 * home + 1]), config)
    assert found[:3, 0] == pytest.approx(np.array([[0, 0, 1], [0.5, 0, 1], [1, 0.5, 1]]))
    assert found[3, 0] == pytest.approx([0.1 / math.sqrt(2)] * 2 + [1])
    assert found[4, 0] == pytest.approx([0.5, 0, 1])  # once round
    assert found[2, 1] == pytest.approx([0, 0.5, 0])
    assert np.linalg.norm(found[:, 1], axis=-1) == pytest.approx(0.5)


def test_a_path_of_one_point_is_stood_on() -> None:
    found = leader_at(np.zeros((1, 3, 3)), np.array([7.0]), DroneFormationConfig(waypoints=3))
    assert found[0, 0] == pytest.approx(0, abs=1e-5)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("drones", [2, 3, 5, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_neighbouring_slots_are_a_spacing_apart(shape: str, drones: int) -> None:
    slots = formation_offsets(shape, drones, 0.8)
    apart = np.linalg.norm(slots[:, None] - slots, axis=-1) + np.eye(drones) * 9
    assert apart.min() == pytest.approx(0.8)
    assert slots.mean(0) == pytest.approx(0, abs=1e-12)


def test_the_shapes_are_what_they_are_called() -> None:
    line, wedge, ring = (formation_offsets(shape, 5, 1.0) for shape in SHAPES)
    assert np.ptp(line[:, 0]) == 0
    assert wedge[0, 0] == wedge[:, 0].max()
    assert wedge[1, 1] == pytest.approx(-wedge[2, 1])
    assert np.ptp(np.hypot(ring[:, 0], ring[:, 1])) == pytest.approx(0, abs=1e-12)


def test_a_formation_turns_no_faster_than_it_may() -> None:
    task = staged(leader_speed=0.5, turn_rate=0.4, formation="line")
    corner = [[0, 0, 1.5], [0, 2, 1.5]]  # the leader flies along y
    task.begin(ROW, np.array([[*PERFECT, *corner, [0, 0, 0]]], np.float32))
    slots = task.scene(at(*PERFECT), FIRST).goals[0]
    assert slots == pytest.approx(np.array([[0.5, 0, 1.5], [-0.5, 0, 1.5]]), abs=1e-6)
    for step in range(1, 51):  # 4 s there, then back: from the 41st step on it turns round
        task.judge(at([2, 2, 1], [-2, -2, 1]), np.array([step]))
    arm = task.scene(at(*PERFECT), FIRST).goals[0, 0] - [0, 1.5, 1.5]
    angle = abs(math.atan2(arm[1], arm[0]))
    assert 0.39 <= angle <= 0.45  # ten or eleven steps of 0.04 rad


def test_turned_goes_counter_clockwise() -> None:
    found = turned(np.array([[[1.0, 0, 0.3]]]), np.array([math.pi / 2]))
    assert found[0, 0] == pytest.approx([0, 1, 0.3])


def test_a_formation_changes_half_way() -> None:
    config = DroneFormationConfig(drones=4, changes=True, max_steps=10, hold_steps=2)
    shapes = lay_out(np.random.default_rng(0).random((300, 23)), config)[:, -1, :2]
    assert (shapes[:, 0] != shapes[:, 1]).all()
    assert set(np.unique(shapes)) == {0, 1, 2}
    task = DroneFormation(config, 1, dt=0.1)
    start = task.begin(ROW, task.lay_out(np.full((1, task.draws), 0.5)))
    bodies = Bodies(start.position, 0 * start.position, start.heading)
    slots = []
    for step in (4, 5):
        task.judge(bodies, np.array([step]))
        slots.append(task.scene(bodies, FIRST).goals[0])
    assert np.abs(slots[1] - slots[0]).max() > 0.3


@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
def test_starts_are_apart_and_slots_stay_inside(difficulty: str) -> None:
    config = DroneFormationConfig(difficulty=difficulty)
    task = DroneFormation(config, 300, dt=0.1)
    layout = task.lay_out(np.random.default_rng(2).random((300, task.draws)))
    places = task.begin(np.arange(300), layout).position
    apart = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1)
    assert (apart + 9 * np.eye(config.drones)).min() > 2 * config.drone_radius
    low, high = config.arena
    bodies = Bodies(places, 0 * places, places[..., 0])
    for step in (0, 40, 90):
        task.judge(bodies, np.full(300, step))
        slots = task.scene(bodies, FIRST).goals
        for points in (places, slots):
            assert ((points >= low) & (points <= high)).all()


def test_near_starts_are_near() -> None:
    task = DroneFormation(DroneFormationConfig(start="near", turn_rate=0.3), 50, dt=0.1)
    layout = task.lay_out(np.random.default_rng(3).random((50, task.draws)))
    places = task.begin(np.arange(50), layout).position
    bodies = Bodies(places, 0 * places, places[..., 0])
    assert np.abs(task.scene(bodies, FIRST).goals - places).max() <= 0.2 + 1e-6


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"drones": 12}, "no room"),
        ({"spacing": 0.15}, "touch in their slots"),
        ({"start_jitter": 0.3}, "may touch"),
        ({"height": 2.4}, "heights"),
        ({"leader_speed": 1.0}, "below speed"),
        ({"hold_steps": 200}, "within max_steps"),
        ({"rollout_steps": 64}, "max_steps 150"),
    ],
)
def test_what_cannot_be_flown_is_refused(settings: dict[str, float], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        DroneFormationConfig(**settings)
