import itertools
import math

import numpy as np
import pytest
from pydantic import ValidationError

from envs.bodies import Bodies
from envs.tasks.drone_layout import DroneNavigationConfig, lay_out
from envs.tasks.drone_navigation import ACTIONS, DroneNavigation

STEPS = np.array([7])


def staged(
    positions: list[list[float]],
    goals: list[list[float]],
    obstacles: list[list[float]] | None = None,
) -> DroneNavigation:
    """One world with hand-made positions, as measured before a step."""
    spheres = [[0.0, 0.0, 100.0]] if obstacles is None else obstacles
    config = DroneNavigationConfig(drones=len(positions), obstacles=len(spheres))
    task = DroneNavigation(config, 1, dt=0.1)
    task.begin(np.array([0]), np.array([[*positions, *goals, *spheres]], np.float32))
    return task


def at(positions: list[list[float]], speed: float = 0.0) -> Bodies:
    place = np.array([positions], np.float32)
    return Bodies(place, np.full_like(place, speed), np.zeros(place.shape[:2], np.float32))


def outcome(task: DroneNavigation) -> dict[str, float]:
    return {name: float(values[0]) for name, values in task.outcomes().items()}


FAR = [[-2.0, 0, 1], [2.0, 0, 1]]
GOALS = [[2.0, 0, 1], [-2.0, 0, 1]]


def test_progress_is_paid_by_the_metre_less_the_step() -> None:
    task = staged(FAR, GOALS)
    rewards, done = task.judge(at([[-1.9, 0, 1], [2.1, 0, 1]]), STEPS)
    assert rewards[0] == pytest.approx([2 * 0.1 - 0.02, -2 * 0.1 - 0.02], abs=1e-6)
    assert not done.any()


def test_proximity_costs_linearly_below_half_a_metre() -> None:
    task = staged([[0, 0, 1], [0, 0.45, 1]], [[0, 0, 1.9]] * 2)
    rewards, _ = task.judge(at([[0, 0, 1], [0, 0.45, 1]]), STEPS)
    assert rewards[0] == pytest.approx([-0.02 - 0.5 * (1 - 0.25 / 0.5)] * 2, abs=1e-6)


def test_arrival_is_paid_and_ends_the_drone_alone() -> None:
    task = staged([[1.65, 0, 1], [2.0, 2, 1]], GOALS)
    rewards, done = task.judge(at([[1.75, 0, 1], [2.0, 2, 1]]), STEPS)
    assert done.tolist() == [[True, False]]
    assert rewards[0, 0] == pytest.approx(2 * 0.1 - 0.02 + 5, abs=1e-5)
    assert task.alive.tolist() == [[False, True]]
    assert outcome(task) == {"success": 0, "collision": 0, "time_to_goal": pytest.approx(0.7)}


@pytest.mark.parametrize(("gap", "hit"), [(0.19, True), (0.21, False)])
def test_drones_touch_at_two_radii(gap: float, hit: bool) -> None:
    task = staged(FAR, GOALS)
    rewards, done = task.judge(at([[0, 0, 1], [gap, 0, 1]]), STEPS)
    assert done.tolist() == [[hit, hit]]
    assert bool(outcome(task)["collision"]) == hit
    assert ((rewards[0] - 2 * 2 + (10 if hit else 0)) < 0.5).all()


@pytest.mark.parametrize(("gap", "hit"), [(0.39, True), (0.41, False)])
def test_obstacles_touch_at_the_sum_of_radii(gap: float, hit: bool) -> None:
    task = staged(FAR, GOALS, [[0, 0, 1], [0, 5, 1]])
    _, done = task.judge(at([[gap, 0, 1], [2, 2, 1]]), STEPS)
    assert done.tolist() == [[hit, False]]


def test_contact_comes_before_arrival() -> None:
    task = staged(FAR, GOALS)
    _, done = task.judge(at([[1.9, 0, 1], [1.95, 0, 1]]), STEPS)
    assert done.all()
    assert outcome(task)["collision"] == 1
    assert math.isnan(outcome(task)["time_to_goal"])


def test_a_parked_drone_is_an_obstacle_and_keeps_its_arrival_when_hit() -> None:
    task = staged([[1.65, 0, 1], [2.0, 2, 1]], GOALS)
    task.judge(at([[1.75, 0, 1], [2.0, 2, 1]]), STEPS)
    _, done = task.judge(at([[1.75, 0, 1], [1.75, 0.15, 1]]), STEPS + 1)
    assert done.tolist() == [[False, True]]
    found = outcome(task)
    assert (found["success"], found["collision"]) == (0, 1)
    assert found["time_to_goal"] == pytest.approx(0.7)


def test_a_crashed_drone_is_gone() -> None:
    crash = at([[0, 0, 1], [2, 2, 1]])
    task = staged(FAR, GOALS, [[0, 0, 1]])
    task.judge(crash, STEPS)
    view = task.view(crash)
    assert view.alive.tolist() == [[False, True]]
    assert (view.observations[0, 0] == 0).all()
    _, done = task.judge(at([[0, 0, 1], [0.5, 0, 1]]), STEPS + 1)
    _, done = task.judge(at([[0.55, 0, 1], [0.6, 0, 1]]), STEPS + 2)
    assert not done.any()


def test_range_sensors_meet_the_parked_and_not_the_crashed() -> None:
    task = staged([[1.65, 0, 1], [2.0, 2, 1]], GOALS, [[2.0, 2, 1]])
    assert task.solids().radii == pytest.approx(np.full((1, 2), 0.1))
    task.judge(at([[1.75, 0, 1], [2.0, 2, 1]]), STEPS)
    assert task.solids().radii == pytest.approx(np.array([[0.1, 0]]))
    task.begin(np.array([0]), task.lay_out(np.full((1, task.draws), 0.5)))
    assert task.solids().radii == pytest.approx(np.full((1, 2), 0.1))


def test_a_drone_that_crashes_is_out_of_sight_at_once() -> None:
    crash = at([[0, 0, 1], [0.4, 0, 1]])
    task = staged(FAR, GOALS, [[-0.3, 0, 1]])
    beside = task.view(crash).observations[0, 1, 6:9]
    task.judge(crash, STEPS)
    after = task.view(crash).observations[0, 1, 6:9]
    assert beside == pytest.approx([-0.8, 0, 0])
    assert (after == 0).all()


def test_success_needs_all_to_arrive() -> None:
    task = staged([[1.6, 0, 1], [-1.6, 0, 1]], GOALS)
    task.judge(at([[1.75, 0, 1], [-1.6, 0, 1]]), STEPS)
    assert outcome(task)["success"] == 0
    task.judge(at([[1.75, 0, 1], [-1.75, 0, 1]]), STEPS + 2)
    assert outcome(task) == {"success": 1, "collision": 0, "time_to_goal": pytest.approx(0.8)}


def test_the_dead_are_not_rewarded() -> None:
    task = staged([[1.65, 0, 1], [2.0, 2, 1]], GOALS)
    task.judge(at([[1.75, 0, 1], [2.0, 2, 1]]), STEPS)
    rewards, _ = task.judge(at([[1.75, 0, 1], [2.0, 2, 1]]), STEPS + 1)
    assert rewards[0, 0] == 0
    assert rewards[0, 1] != 0


def test_observation_of_a_hand_made_scene() -> None:
    here = at([[0, 0, 1], [0, 0.7, 1]], speed=0.5)
    task = staged([[0, 0, 1], [0, 0.7, 1]], [[2, 0, 1], [0.3, 0.7, 1.4]], [[-0.9, 0, 1]])
    seen = task.view(here).observations[0]
    assert seen[0, :3] == pytest.approx([1, 0, 0])  # farther than a metre: the direction
    assert seen[1, :3] == pytest.approx([0.3, 0, 0.4])  # nearer: the vector itself
    assert seen[:, 3:6] == pytest.approx(0.5)
    assert seen[0, 6:9] == pytest.approx([0, 1 - 0.5, 0])  # gap 0.5 m of 1 m sensing range
    assert seen[1, 6:9] == pytest.approx([0, -0.5, 0])
    assert seen[0, 9:] == pytest.approx([-(1 - 0.5), 0, 0], abs=1e-6)
    distance = math.hypot(0.9, 0.7)
    nearness = 1 - (distance - 0.4)
    assert seen[1, 9:] == pytest.approx(
        [-0.9 / distance * nearness, -0.7 / distance * nearness, 0], abs=1e-6
    )


def test_nothing_is_seen_where_nothing_is() -> None:
    config = DroneNavigationConfig(drones=1, obstacles=0)
    task = DroneNavigation(config, 1, dt=0.1)
    start = task.begin(np.array([0]), task.lay_out(np.full((1, task.draws), 0.5)))
    here = at(start.position[0].tolist())
    view = task.view(here)
    assert (view.observations[0, 0, 6:] == 0).all()
    assert view.state.shape == (1, 11)
    rewards, done = task.judge(here, STEPS)
    assert not done.any()
    assert rewards[0, 0] == pytest.approx(-0.02)


def test_state_tells_the_parked_from_the_crashed() -> None:
    task = staged([[1.65, 0, 1], [-1, 0, 1]], GOALS, [[-0.9, 0, 1]])
    here = at([[1.75, 0, 1], [-1, 0, 1]])
    task.judge(here, STEPS)
    drones = task.view(here).state[0, :22].reshape(2, 11)
    assert drones[:, 9:].tolist() == [[0, 0], [0, 1]]
    assert drones[0, :3] == pytest.approx([0.7, 0, -0.5])
    assert drones[0, 6:9] == pytest.approx([0.8, 0, -0.5])


def test_actions_are_the_six_directions_and_hover() -> None:
    task = staged(FAR, GOALS)
    commands = task.commands(np.arange(len(ACTIONS)))
    assert ACTIONS[-1] == "hover"
    assert (commands[-1] == 0).all()
    for name, velocity in zip(ACTIONS[:-1], commands[:-1], strict=True):
        sign, axis = name
        assert velocity["xyz".index(axis)] == (1 if sign == "+" else -1)
        assert np.abs(velocity).sum() == 1


def test_numbers_command_a_velocity_no_faster_than_speed() -> None:
    config = DroneNavigationConfig(drones=2, actions="continuous", speed=3.0)
    task = DroneNavigation(config, 1, dt=0.1)
    commands = task.commands(np.array([[[0.5, 0, 0], [1, 1, 1]]], np.float32))
    assert commands[0, 0] == pytest.approx([1.5, 0, 0])
    assert np.linalg.norm(commands[0, 1]) == pytest.approx(3.0)
    assert task.spec.continuous


def test_who_is_not_heard_is_not_seen() -> None:
    task = staged(FAR, GOALS)
    near = at([[0, 0, 1], [0.5, 0, 1]])
    deaf = Bodies(near.position, near.velocity, near.heading, ~np.ones((1, 2, 2), bool))
    assert (task.view(near).observations[0, 0, 6:9] != 0).any()
    assert (task.view(deaf).observations[0, 0, 6:9] == 0).all()


@pytest.mark.parametrize("drones", [1, 2, 3, 4, 6, 8, 12])
def test_layouts_start_clear_and_can_be_solved(drones: int) -> None:
    config = DroneNavigationConfig(drones=drones, obstacles=3)
    uniform = np.random.default_rng(drones).random((400, 1 + 4 * drones + 9))
    starts, goals, obstacles = np.split(lay_out(uniform, config), [drones, 2 * drones], 1)
    low, high = config.arena
    for points in (starts, goals, obstacles):
        assert ((points >= low) & (points <= high)).all()
    for points, one, other in ((p, *pair) for p in (starts, goals) for pair in _pairs(drones)):
        apart = np.linalg.norm(points[:, one] - points[:, other], axis=-1)
        assert apart.min() > 2 * config.drone_radius
    reach = np.linalg.norm(starts[:, :, None] - obstacles[:, None], axis=-1)
    assert reach.min() > config.drone_radius + config.obstacle_radius
    assert np.linalg.norm(starts - goals, axis=-1).min() > config.goal_radius


def test_obstacles_cover_their_disc_evenly() -> None:
    config = DroneNavigationConfig(obstacles=4)
    uniform = np.random.default_rng(0).random((2000, 1 + 12 + 12))
    centres = lay_out(uniform, config)[:, 6:]
    inner = np.hypot(centres[..., 0], centres[..., 1]) < config.obstacle_spread / 2
    assert inner.mean() == pytest.approx(0.25, abs=0.02)


def shaped(shape: str, centres: list[list[float]]) -> DroneNavigation:
    config = DroneNavigationConfig(drones=2, obstacles=len(centres), obstacle_shape=shape)
    task = DroneNavigation(config, 1, dt=0.1)
    task.begin(np.array([0]), np.array([[*FAR, *GOALS, *centres]], np.float32))
    return task


@pytest.mark.parametrize("shape", ["box", "cylinder"])
@pytest.mark.parametrize(("gap", "hit"), [(-0.01, True), (0.01, False)])
def test_pillars_are_touched_at_any_height(shape: str, gap: float, hit: bool) -> None:
    for height in (0.6, 1.5, 2.4):
        task = shaped(shape, [[0, 0, 1.5]])
        _, done = task.judge(at([[0.4 + gap, 0, height], [2, 2, 1]]), STEPS)
        assert done.tolist() == [[hit, False]]


@pytest.mark.parametrize("shape", ["box", "cylinder"])
def test_the_nearest_pillar_is_seen_at_its_nearest_point(shape: str) -> None:
    task = shaped(shape, [[0, 0, 1.5], [0, 1.5, 1.5]])
    seen = task.view(at([[0.8, 0.1, 1], [-2, 2, 1]])).observations[0]
    away = math.hypot(0.8, 0.1)
    gap = 0.8 - 0.3 - 0.1 if shape == "box" else away - 0.3 - 0.1
    toward = [-1, 0, 0] if shape == "box" else [-0.8 / away, -0.1 / away, 0]
    assert seen[0, 9:] == pytest.approx((1 - gap) * np.array(toward), abs=1e-5)
    assert (seen[1, 9:] == 0).all()


def test_mixed_obstacles_are_all_there() -> None:
    config = DroneNavigationConfig(drones=2, obstacles=4, obstacle_shape="mixed")
    assert config.shapes == ("sphere", "box", "cylinder", "sphere")
    task = shaped("mixed", [[0, 0, 1], [1, 0, 1.5], [0, 1, 1.5], [-1, 0, 1]])
    found = task.solids()
    assert found.spheres[0] == pytest.approx(np.array([[0, 0, 1, 0.3], [-1, 0, 1, 0.3]]))
    assert found.boxes[0] == pytest.approx(np.array([[1, 0, 1.5, 0.3, 0.3, 1]]))
    assert found.cylinders[0] == pytest.approx(np.array([[0, 1, 1.5, 0.3, 1]]))
    for place in ([0, 0, 1], [1, 0, 2], [0, 1, 0.7], [-1, 0, 1]):
        _, done = task.judge(at([place, [2, 2, 1]]), STEPS)
        assert done[0, 0]
        task.begin(np.array([0]), task.lay_out(np.full((1, task.draws), 0.5)))
        task = shaped("mixed", [[0, 0, 1], [1, 0, 1.5], [0, 1, 1.5], [-1, 0, 1]])


def test_what_the_scene_shows_stays_as_it_was() -> None:
    task = shaped("mixed", [[0, 0, 1], [1, 0, 1.5], [0, 1, 1.5]])
    scene = task.scene(at(FAR), STEPS)
    before = scene.solids.boxes.copy()
    task.begin(np.array([0]), task.lay_out(np.full((1, task.draws), 0.5)))
    assert (scene.solids.boxes == before).all()
    assert (task.solids().boxes != before).any()


def test_slots_widen_the_state_alone() -> None:
    narrow, wide = DroneNavigationConfig(), DroneNavigationConfig(obstacle_slots=5)
    one, other = DroneNavigation(narrow, 1, 0.1), DroneNavigation(wide, 1, 0.1)
    assert other.spec.state_size == one.spec.state_size + 9
    assert other.draws == one.draws


def test_the_ladder_lies_below_what_is_written() -> None:
    easy, hard = (DroneNavigationConfig(difficulty=rung) for rung in ("easy", "hard"))
    assert easy.obstacles < DroneNavigationConfig().obstacles < hard.obstacles
    assert easy.goal_radius > DroneNavigationConfig().goal_radius > hard.goal_radius
    assert hard.wind.speed > 0
    assert DroneNavigationConfig(difficulty="hard", obstacles=0).obstacles == 0


def _pairs(count: int) -> list[tuple[int, int]]:
    return list(itertools.combinations(range(count), 2))


def test_jitter_is_as_configured_where_there_is_room() -> None:
    assert [DroneNavigationConfig(drones=n).jitter for n in (1, 3, 4)] == [0.3] * 3
    assert 0 < DroneNavigationConfig(drones=8).jitter < 0.3


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"drones": 60}, "do not fit"),
        ({"drones": 0}, "greater than or equal to 1"),
        ({"lowest_start": 2.0, "highest_start": 1.0}, "heights"),
        ({"ring_radius": 3.0}, "half_width"),
        ({"obstacle_spread": 1.7}, "obstacles reach"),
        ({"goal_radius": 2.5}, "goal_radius"),
        ({"rollout_steps": 64}, "max_steps 100"),
        ({"num_envs": 8, "shards": 3}, "must divide"),
        ({"dorne": 3}, "dorne"),
        ({"obstacle_slots": 1}, "do not hold"),
        ({"obstacle_shape": "box", "obstacle_spread": 1.5}, "obstacles reach"),
        ({"obstacle_shape": "cone"}, "obstacle_shape"),
    ],
)
def test_what_cannot_be_flown_is_refused(settings: dict[str, float], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        DroneNavigationConfig(**settings)


def test_obstacles_may_spread_where_there_are_none() -> None:
    assert DroneNavigationConfig(obstacles=0, obstacle_spread=5.0).obstacles == 0
