import math

import numpy as np
import pytest
from pydantic import ValidationError

from envs.bodies import Bodies
from envs.tasks.drone_pursuit import DronePursuit
from envs.tasks.drone_pursuit_layout import DronePursuitConfig, flee, lay_out
from envs.world import CRASHED

FIRST = np.array([1])
ROW = np.array([0])
Place = list[float]


def staged(pursuers: list[Place], evaders: list[Place], **settings: object) -> DronePursuit:
    """One world with hand-made places and evaders that stand still."""
    given = {"drones": len(pursuers), "evaders": len(evaders), "evader_speed": 0.0}
    task = DronePursuit(DronePursuitConfig(**(given | settings)), 1, dt=0.1)
    ways = [[0.0, 0, 0]] * len(evaders)
    task.begin(ROW, np.array([[*pursuers, *evaders, *ways]], np.float32))
    return task


def at(*positions: Place, speed: float = 0.0) -> Bodies:
    place = np.array([positions], np.float32)
    return Bodies(place, np.full_like(place, speed), np.zeros(place.shape[:2], np.float32))


def outcome(task: DronePursuit) -> dict[str, float]:
    return {name: float(values[0]) for name, values in task.outcomes().items()}


WEST, EAST = [-2.0, 0, 1.5], [2.0, 0, 1.5]


def test_progress_is_paid_by_the_metre_less_the_step() -> None:
    task = staged([WEST, EAST], [[0, 0, 1.5]])
    rewards, done = task.judge(at([-1.9, 0, 1.5], [2.1, 0, 1.5]), FIRST)
    assert rewards[0] == pytest.approx([0.1 - 0.02, -0.1 - 0.02], abs=1e-6)
    assert not done.any()


def test_a_capture_is_paid_to_the_team_and_the_next_evader_is_no_setback() -> None:
    task = staged([WEST, EAST], [[-1.5, 0, 1.5], [0, 2, 1.5]])
    rewards, done = task.judge(at([-1.8, 0, 1.5], EAST), FIRST)
    assert rewards[0] == pytest.approx([0.2 - 0.02 + 5, -0.02 + 5], abs=1e-5)
    assert not done.any()
    assert outcome(task)["caught"] == 0.5
    assert math.isnan(outcome(task)["time_to_capture"])
    rewards, _ = task.judge(at([-1.8, 0, 1.5], EAST), FIRST + 1)
    assert rewards[0] == pytest.approx(-0.02, abs=1e-6)


def test_the_last_capture_ends_the_episode_for_all() -> None:
    task = staged([WEST, EAST], [[-1.5, 0, 1.5]])
    _, done = task.judge(at([-1.8, 0, 1.5], EAST), np.array([7]))
    assert done.all()
    assert not task.view(at(WEST, EAST)).alive.any()
    assert outcome(task) == {
        "success": 1,
        "collision": 0,
        "caught": 1,
        "time_to_capture": pytest.approx(0.7),
    }


def test_hard_captures_need_several_at_once() -> None:
    task = staged([WEST, EAST], [[0, 0, 1.5]], captors=2)
    task.judge(at([-0.3, 0, 1.5], EAST), FIRST)
    assert outcome(task)["caught"] == 0
    task.judge(at([-0.3, 0, 1.5], [0.3, 0, 1.5]), FIRST + 1)
    assert outcome(task)["caught"] == 1


@pytest.mark.parametrize(("apart", "hit"), [(0.19, True), (0.21, False)])
def test_pursuers_that_touch_are_lost_and_catch_nobody(apart: float, hit: bool) -> None:
    task = staged([WEST, EAST, [0, 2, 1.5]], [[0, 0.2, 1.5]])
    bodies = at([0, 0, 1.5], [apart, 0, 1.5], [0, 2, 1.5])
    rewards, done = task.judge(bodies, FIRST)
    assert (rewards[0, :2] < 0).all() == hit
    assert done.tolist() == [[True] * 2 + [not hit]]
    found = outcome(task)
    assert (found["success"], found["collision"]) == (not hit, hit)
    assert (task.scene(bodies, FIRST).status == CRASHED).tolist() == [[hit, hit, False]]


def test_the_lost_are_neither_met_nor_feared() -> None:
    task = staged([WEST, EAST, [0, 2, 1.5]], [[2, 2, 1.5]])
    task.judge(at([0, 0, 1.5], [0.1, 0, 1.5], [0, 2, 1.5]), FIRST)
    task.judge(at([0, 0, 1.5], [0.1, 0, 1.5], [0.05, 0.1, 1.5]), FIRST + 1)
    assert task.alive.tolist() == [[False, False, True]]


def test_observation_of_a_hand_made_scene() -> None:
    task = staged([[0, 0, 1.5], [0, 0.7, 1.5]], [[0.6, 0, 1.5], [0, 2.7, 1.5]])
    seen = task.view(at([0, 0, 1.5], [0, 0.7, 2.0], speed=0.5)).observations[0]
    diagonal = math.sqrt(5**2 + 5**2 + 2**2)
    assert seen[0, :3] == pytest.approx([0.6, 0, 0])
    assert seen[0, 3:5] == pytest.approx([0.6 / diagonal, 1])
    assert seen[:, 5:8] == pytest.approx(0.5)
    assert seen[1, 8:11] == pytest.approx([0, 0.28, 0.5])
    gap = math.hypot(0.7, 0.5) - 0.2
    toward = np.array([0, 0.7, 0.5]) / math.hypot(0.7, 0.5) * (1 - gap)
    assert seen[0, 11:] == pytest.approx(toward, abs=1e-6)
    far = task.view(at([-2, 0, 1.5], [0, 0.7, 1.5])).observations[0, 0]
    assert far[:3] == pytest.approx([1, 0, 0])
    assert far[3] == pytest.approx(2.6 / diagonal)


def test_who_is_not_heard_is_not_seen() -> None:
    task, near = staged([WEST, EAST], [[0, 2, 1.5]]), at([0, 0, 1.5], [0.5, 0, 1.5])
    deaf = Bodies(near.position, near.velocity, near.heading, ~np.ones((1, 2, 2), bool))
    assert (task.view(near).observations[0, :, 11:] != 0).any()
    assert (task.view(deaf).observations[0, :, 11:] == 0).all()


def test_state_and_marks_forget_who_is_caught() -> None:
    task = staged([WEST, EAST], [[-1.5, 0, 1.5], [1.25, 2.5, 2.5]])
    bodies = at([-1.8, 0, 1.5], EAST)
    task.judge(bodies, FIRST)
    evaders = task.view(bodies).state[0, 14:].reshape(2, 7)
    assert (evaders[0] == 0).all()
    assert evaders[1] == pytest.approx([0.5, 1, 1, 0, 0, 0, 1])
    marks = task.scene(bodies, FIRST).marks
    assert marks is not None
    assert np.isnan(marks[0]).all(-1).tolist() == [True, False]


ARENA = DronePursuitConfig().arena


def flight(evader: Place, *pursuers: Place, alarm: float = 2.0, dodge: float = 0.0) -> np.ndarray:
    chasing = np.full((1, len(pursuers)), alarm)
    places = np.array([[evader]], np.float32), np.array([pursuers], np.float32)
    return flee(*places, chasing, np.array([[dodge]], np.float32), ARENA)[0, 0]


def test_evaders_flee_from_the_nearest_pursuer() -> None:
    assert flight([0, 0, 1.5], [1, 0, 1.5], [0, -1.5, 1.5]) == pytest.approx([-1, 0, 0])
    assert flight([0, 0, 1.5], [1, 0, 1.5], dodge=math.pi / 2) == pytest.approx(
        [0, -1, 0], abs=1e-6
    )


def test_evaders_shun_walls_and_go_home_when_nobody_is_near() -> None:
    assert flight([-2.4, 0, 1.5], [-1.8, 0, 1.5])[0] > 0  # rather past the pursuer than to the wall
    assert flight([0.5, 0, 1.5], [2.4, 0, 1.5], alarm=1.0) == pytest.approx([-0.5, 0, 0])
    assert flight([0.5, 0, 1.5], [0.6, 0, 1.5], alarm=0.0) == pytest.approx([-0.5, 0, 0])


def test_evaders_move_at_their_share_of_the_speed_and_stay_inside() -> None:
    task = staged([WEST, EAST], [[0.5, 0, 1.5]], evader_speed=0.6, speed=2.0)
    places = []
    for step in range(1, 80):
        task.judge(at(EAST, WEST), np.array([step]))
        marks = task.scene(at(EAST, WEST), FIRST).marks
        assert marks is not None
        places.append(marks[0, 0])
    steps = np.linalg.norm(np.diff(places, axis=0), axis=-1)
    assert 0.5 * 0.12 < steps.max() <= 0.12 + 1e-5
    assert ((places >= ARENA[0]) & (places <= ARENA[1])).all()


@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
def test_layouts_start_clear(difficulty: str) -> None:
    config = DronePursuitConfig(difficulty=difficulty)
    count, evaders = config.drones, config.evaders
    uniform = np.random.default_rng(1).random((400, 1 + count + 4 * evaders))
    layout = lay_out(uniform, config)
    places, prey = layout[:, :count], layout[:, count : count + evaders]
    apart = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1)
    assert (apart + 9 * np.eye(count)).min() > 2 * config.drone_radius
    assert np.linalg.norm(places[:, :, None] - prey[:, None], axis=-1).min() > config.capture_radius
    for points in (places, prey):
        assert ((points >= config.arena[0]) & (points <= config.arena[1])).all()
    assert np.abs(layout[:, count + evaders :, 0]).max() <= config.dodge


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"drones": 32, "start_radius": 1.0}, "do not fit"),
        ({"captors": 4}, "at most drones"),
        ({"captors": 2, "capture_radius": 0.1}, "two captors"),
        ({"capture_radius": 1.0}, "start caught"),
        ({"start_radius": 3.0}, "half_width"),
        ({"ceiling": 0.5}, "above floor"),
        ({"rollout_steps": 64}, "max_steps 150"),
    ],
)
def test_what_cannot_be_hunted_is_refused(settings: dict[str, float], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        DronePursuitConfig(**settings)
