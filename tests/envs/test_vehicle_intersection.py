import math

import numpy as np
import pytest
from pydantic import ValidationError

from envs.bodies import Bodies
from envs.check import check_env
from envs.scripted import at_random, play
from envs.scripted_vehicles import cross
from envs.tasks.vehicle_common import gaps, pedals, towards
from envs.tasks.vehicle_crossing import Crossing
from envs.tasks.vehicle_intersection import ACTIONS, VehicleIntersection, make
from envs.tasks.vehicle_intersection_layout import VehicleIntersectionConfig, lay_out

FIRST = np.array([1])
ROADS = Crossing(10.0, 3.5, 12.0)


def staged(*vehicles: tuple[float, float, float, float]) -> tuple[VehicleIntersection, Bodies]:
    """One world of vehicles (arm, turn, metres along the way, speed), and where they stand."""
    config = VehicleIntersectionConfig(vehicles=len(vehicles))
    task = VehicleIntersection(config, 1, dt=0.2)
    start = task.begin(np.array([0]), np.array([vehicles], np.float32))
    return task, moved(start.position, start.heading, start.speed)


def moved(position: np.ndarray, heading: np.ndarray, speed: np.ndarray) -> Bodies:
    ahead = np.stack([np.cos(heading), np.sin(heading), 0 * heading], -1)
    return Bodies(position, (speed[..., None] * ahead).astype(np.float32), heading)


def outcome(task: VehicleIntersection) -> dict[str, float]:
    return {name: float(values[0]) for name, values in task.outcomes().items()}


@pytest.mark.parametrize("turn", [-1, 0, 1])
@pytest.mark.parametrize("arm", [0, 1, 2, 3])
def test_ways_are_located_where_they_lie(arm: int, turn: int) -> None:
    along = np.linspace(-20, float(ROADS.end(np.array(turn))), 97)
    arms, turns = np.full(97, arm), np.full(97, turn)
    places = ROADS.point(arms, turns, along)
    found, aside = ROADS.locate(arms, turns, places)
    assert found == pytest.approx(along, abs=1e-4)
    assert aside == pytest.approx(0, abs=1e-4)
    heading = ROADS.direction(arms, turns, along)
    left = places + 0.5 * np.stack([-np.sin(heading), np.cos(heading)], -1)
    again, aside = ROADS.locate(arms, turns, left)
    assert aside == pytest.approx(0.5, abs=1e-4)
    assert again == pytest.approx(along, abs=1e-3)


@pytest.mark.parametrize(("turn", "end"), [(0, [22, -1.75]), (1, [1.75, 22]), (-1, [-1.75, -22])])
def test_ways_keep_to_the_right(turn: int, end: list[float]) -> None:
    arm, turned = np.array(0), np.array(turn)
    assert ROADS.point(arm, turned, np.array(-5.0)) == pytest.approx([-15, -1.75])
    assert ROADS.point(arm, turned, ROADS.end(turned)) == pytest.approx(end, abs=1e-4)


def test_ways_conflict_where_they_cross_merge_or_begin_together() -> None:
    table = ROADS.conflicts(2.4, 4.5)
    left, right, straight = 2, 0, 1  # indices of turns
    opposite = table[2, straight, straight]
    assert opposite[0] > opposite[1]  # opposite lanes never meet
    begin, end = table[1, straight, straight]
    assert 0 < begin < end < 20
    assert table[3, straight, right][0] > table[3, straight, right][1]
    assert (
        table[1, straight, right][1] == table[3, straight, left][1] == np.inf
    )  # both leave in the same lane
    assert table[0, straight, straight].tolist() == [-np.inf, np.inf]
    assert table[0, straight, left][0] == -np.inf
    assert table[0, straight, left][1] < 20


def test_rectangles_touch_at_their_sides_and_corners() -> None:
    def apart(x: float, y: float, heading: float) -> float:
        place = np.array([[[0, 0, 0], [x, y, 0]]], np.float32)
        found = gaps(place, np.array([[0, heading]], np.float32), (4, 2), np.ones((1, 2), bool))
        return float(found[0, 0, 1])

    assert apart(4.5, 0, 0) == pytest.approx(0.5)
    assert apart(0, 1.9, 0) == pytest.approx(-0.1)
    assert apart(0, 3.1, math.pi / 2) == pytest.approx(0.1, abs=1e-6)
    corner = 2 + math.sqrt(5) * math.cos(math.pi / 4 - math.atan(0.5))  # the other's corner leads
    assert apart(corner + 0.1, 0, math.pi / 4) == pytest.approx(0.1, abs=1e-5)


def test_who_is_gone_cannot_be_touched() -> None:
    here = np.zeros((1, 2, 3), np.float32)
    present = np.array([[True, False]])
    assert (gaps(here, here[..., 0], (4, 2), present) > 0).all()


def test_pursuit_steers_on_the_arc_through_the_target() -> None:
    radius, wheelbase = 12.0, 2.5
    target = np.array([radius * math.sin(0.4), radius * (1 - math.cos(0.4))])
    middle = np.array([wheelbase / 2, 0.0])  # so that the rear axle is in the origin
    found = towards(middle, np.array(0.0), target, wheelbase)
    assert found == pytest.approx(math.atan(wheelbase / radius), rel=1e-5)


def test_pedals_keep_the_speed_limit() -> None:
    found = pedals(np.array([1.0, 1.0, -0.5]), np.array([0, 7.9, 8]), (2.5, 5, 8), 0.2)
    assert found == pytest.approx([2.5, 0.5, -2.5], abs=1e-4)


def test_progress_is_paid_by_the_metre_less_the_step() -> None:
    task, bodies = staged((0, 0, -20, 5), (2, 0, -20, 5))
    bodies.position[0, 0, 0] += 1
    rewards, done = task.judge(bodies, FIRST)
    assert rewards[0] == pytest.approx([0.05 - 0.02, -0.02], abs=1e-6)
    assert not done.any()


def test_vehicles_that_touch_are_removed() -> None:
    task, bodies = staged((0, 0, 11, 5), (1, 0, 8, 5), (2, 0, -20, 5))
    rewards, done = task.judge(bodies, FIRST)
    assert done.tolist() == [[True, True, False]]
    assert rewards[0, 0] == pytest.approx(-5.02, abs=1e-5)
    assert outcome(task)["collision"] == 1
    _, done = task.judge(bodies, FIRST + 1)
    assert not done.any()


def test_who_leaves_the_lane_is_removed_and_touched_nobody() -> None:
    task, bodies = staged((0, 0, -20, 5), (2, 0, -20, 5))
    bodies.position[0, 0, 1] += 1.8
    _, done = task.judge(bodies, FIRST)
    assert done.tolist() == [[True, False]]
    found = outcome(task)
    assert (found["off_road"], found["collision"], found["success"]) == (1, 0, 0)


def test_having_crossed_is_paid_and_success_needs_all() -> None:
    task, bodies = staged((0, 1, 27, 5), (2, 0, 31, 5))
    bodies.position[0, 1, 0] -= 2
    rewards, done = task.judge(bodies, FIRST)
    assert done.tolist() == [[False, True]]
    assert rewards[0, 1] == pytest.approx(5 + 0.1 - 0.02, abs=1e-4)
    bodies.position[0, 0, 1] += 6
    _, done = task.judge(bodies, FIRST + 4)
    assert done.tolist() == [[True, False]]
    found = outcome(task)
    assert (found["success"], found["crossed"]) == (1, 1)
    assert found["time_to_goal"] == pytest.approx(0.2 * (1 + 5) / 2)


def test_observation_of_a_hand_made_scene() -> None:
    task, bodies = staged((0, 0, -10, 4), (1, 0, -5, 8))
    seen = task.view(bodies).observations[0]
    assert seen[0, :5] == pytest.approx([0.5, -1, 0, 0, 0], abs=1e-5)
    own, other = task._zones[0, 0, 1, 0] + 10, task._zones[0, 1, 0, 0] + 5
    assert seen[0, 5:8] == pytest.approx([1 - own / 25, 1 - other / 25, 5 / 25], abs=1e-5)
    assert seen[1, 5:8] == pytest.approx([1 - other / 25, 1 - own / 25, -5 / 25], abs=1e-5)
    assert (seen[:, 8:] == 0).all()


def test_who_follows_sees_the_gap_and_who_leads_sees_nobody() -> None:
    task, bodies = staged((0, 0, -10, 4), (0, 1, -25, 4))
    seen = task.view(bodies).observations[0]
    assert (seen[0, 5:] == 0).all()
    assert seen[1, 5:8] == pytest.approx([1 - (15 - 4.508) / 25, 1, 15 / 25], abs=1e-5)


def test_who_is_not_heard_is_not_seen() -> None:
    task, bodies = staged((0, 0, -10, 4), (1, 0, -5, 8))
    deaf = Bodies(bodies.position, bodies.velocity, bodies.heading, ~np.ones((1, 2, 2), bool))
    assert (task.view(deaf).observations[0, :, 5:] == 0).all()


def test_actions_are_pedals_and_the_lane_is_kept() -> None:
    task, bodies = staged((0, 1, -20, 4), (1, 0, -20, 4), (2, 0, -20, 8))
    bodies.position[0, 0, 1] -= 0.5
    task.judge(bodies, FIRST)
    found = task.commands(np.array([[0, 1, 2]]))[0]
    assert ACTIONS == ("brake", "coast", "accelerate")
    assert found[:, 0] == pytest.approx([-5, 0, 0], abs=1e-4)  # the last one is at the limit
    assert found[0, 1] > 0.05
    assert found[1:, 1] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
def test_starts_are_apart_and_inside(difficulty: str) -> None:
    config = VehicleIntersectionConfig(difficulty=difficulty)
    task = VehicleIntersection(config, 200, dt=0.2)
    layout = lay_out(np.random.default_rng(0).random((200, task.draws)), config)
    start = task.begin(np.arange(200), layout)
    sides, everyone = (config.length, config.width), np.ones(start.heading.shape, bool)
    assert gaps(start.position, start.heading, sides, everyone).min() > 0
    low, high = config.arena
    assert ((start.position >= low) & (start.position <= high)).all()
    assert config.turns == (set(np.unique(layout[..., 1])) == {-1, 0, 1})


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_giving_way_crosses_and_chance_does_not(actions: str) -> None:
    world = make(VehicleIntersectionConfig(actions=actions), 60)
    found = play(world, cross, 3)
    assert found["success"].mean() > 0.95
    if actions == "discrete":
        assert play(world, at_random(0), 3)["success"].mean() < 0.1


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_promises_of_every_world(actions: str) -> None:
    report = check_env(make(VehicleIntersectionConfig(max_steps=60, actions=actions), 3))
    assert report.episodes >= 3


def test_a_world_is_the_same_among_others() -> None:
    config = VehicleIntersectionConfig(difficulty="hard")
    alone, many = make(config, 1), make(config, 5)
    view, all_views = alone.reset(7, first_env=3), many.reset(7)
    for _ in range(60):
        step, steps = alone.step(cross(view)), many.step(cross(all_views))
        view, all_views = step.view, steps.view
        assert np.array_equal(view.observations[0], all_views.observations[3])
        assert np.array_equal(step.rewards[0], steps.rewards[3])
        assert np.abs(all_views.observations).max() <= 1


def test_scene_shows_lanes_and_ends() -> None:
    world = make(VehicleIntersectionConfig(), 2)
    world.reset(0)
    scene = world.scene()
    assert scene.lines is not None
    assert scene.lines.shape == (12, 2, 3)
    assert np.isfinite(scene.goals).all()
    assert scene.headings is not None


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"crossing": 4.0}, "turn right"),
        ({"spacing": 4.0}, "touch as they start"),
        ({"width": 3.6}, "below the lane"),
        ({"max_steps": 20}, "nobody can cross"),
        ({"rollout_steps": 50}, "max_steps 100"),
        ({"backend": "point"}, "bicycle"),
    ],
)
def test_what_cannot_be_driven_is_refused(settings: dict[str, float], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        VehicleIntersectionConfig(**settings)
