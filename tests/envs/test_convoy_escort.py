from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from envs.bodies import Bodies
from envs.check import check_env
from envs.scripted import at_random, play
from envs.scripted_vehicles import escort
from envs.tasks.convoy_escort import DRONE_ACTIONS, VEHICLE_ACTIONS, ConvoyEscort, make
from envs.tasks.convoy_escort_layout import APART, CLEAR, ConvoyEscortConfig, lay_out
from envs.world import ARRIVED, CRASHED, View

FIRST = np.array([1])
RIGHT, LEFT = -1, 1


def staged(
    drones: list[list[float]],
    vehicles: list[list[float]],
    hazards: list[list[float]],
    **settings: Any,
) -> tuple[ConvoyEscort, Bodies]:
    """One world; drones and vehicles at (x, y), hazards in (cell, lane); the convoy keeps right."""
    config = ConvoyEscortConfig(
        drones=len(drones), vehicles=len(vehicles), hazards=len(hazards), **settings
    )
    task = ConvoyEscort(config, 1, dt=0.2)
    layout = np.array([[[RIGHT, 0], *hazards, *drones]], np.float32)
    start = task.begin(np.array([0]), layout)
    place = start.position.copy()
    place[0, len(drones) :, :2] = vehicles
    bodies = Bodies(place, np.zeros_like(place), start.heading)
    task.judge(bodies, np.array([0]))
    return task, bodies


def outcome(task: ConvoyEscort) -> dict[str, float]:
    return {name: float(values[0]) for name, values in task.outcomes().items()}


def parked(view: View) -> np.ndarray:
    """Vehicles drive as told by drones that stay where they are."""
    actions = escort(view).copy()
    drones = np.abs(view.observations[..., 3]) != 1
    actions[drones] = DRONE_ACTIONS.index("hover")
    return actions


def reckless(view: View) -> np.ndarray:
    """Vehicles drive on, whatever lies ahead."""
    actions = np.full(view.alive.shape, DRONE_ACTIONS.index("hover"))
    actions[np.abs(view.observations[..., 3]) == 1] = VEHICLE_ACTIONS.index("accelerate")
    return actions


def test_a_hazard_that_a_drone_sees_is_known_to_vehicles_within_radio_range() -> None:
    # The hazard lies at (22, -1.75); the second vehicle is 26 m from the drone.
    task, bodies = staged([[20, 0]], [[4, -1.75], [-8, -1.75]], [[5, RIGHT]])
    seen = task.view(bodies).observations[0]
    assert seen[1, 6] == pytest.approx(1 - 18 / 30, abs=1e-5)
    assert seen[1, 7] == 0  # the left lane is free, as far as anyone knows
    assert seen[2, 6] == 0
    task.judge(bodies, FIRST)  # a step later the first vehicle has told the second one
    assert task.view(bodies).observations[0, 2, 6] == pytest.approx(0)  # 30 m ahead: out of sight
    bodies.position[0, 2, 0] = -4
    task.judge(bodies, FIRST + 1)
    assert task.view(bodies).observations[0, 2, 6] == pytest.approx(1 - 26 / 30, abs=1e-5)


def test_out_of_reach_nobody_is_told() -> None:
    task, bodies = staged([[40, 0]], [[4, -1.75]], [[10, RIGHT]])
    seen = task.view(bodies).observations[0]
    assert seen[0, 11] == 1  # the drone has news
    assert seen[0, 5] == 0  # and nobody to tell
    assert seen[1, 6] == 0
    bodies.position[0, 0, 0] = 20
    task.judge(bodies, FIRST)
    assert task.view(bodies).observations[0, 0, 11] == 0
    bodies.position[0, 1, 0] = 30
    task.judge(bodies, FIRST + 1)
    assert task.view(bodies).observations[0, 1, 6] == pytest.approx(1 - 12 / 30, abs=1e-5)


def test_links_that_the_radio_lost_do_not_carry() -> None:
    task, bodies = staged([[-20, 0]], [[4, -1.75]], [])
    cut = np.eye(2, dtype=bool)[None]
    task.view(Bodies(bodies.position, bodies.velocity, bodies.heading, cut))
    bodies.position[0, 0, 0] = 10
    task.judge(bodies, FIRST)
    assert outcome(task)["told"] == 0
    task.view(bodies)
    task.judge(bodies, FIRST + 1)
    assert outcome(task)["told"] > 0


def test_telling_news_is_paid_once() -> None:
    task, bodies = staged([[-30, 0]], [[0, -1.75]], [])
    bodies.position[0, 0, 0] = 10
    rewards, _ = task.judge(bodies, FIRST)
    cells = 2 * 3  # middles at 6, 10 and 14 m of both lanes
    assert rewards[0] == pytest.approx([cells * 0.05 - 0.02, -0.02], abs=1e-5)
    rewards, _ = task.judge(bodies, FIRST + 1)
    assert rewards[0] == pytest.approx([-0.02, -0.02], abs=1e-5)


def test_a_vehicle_strikes_a_hazard_in_its_lane_alone() -> None:
    task, bodies = staged([[0, 0]], [[18, -1.75], [18, 1.75]], [[5, RIGHT]])
    bodies.position[0, 1:, 0] = 19.5  # its front is 21.75 m along, the hazard begins at 21.2 m
    rewards, done = task.judge(bodies, FIRST)
    assert done.tolist() == [[False, True, False]]
    assert rewards[0, 1] == pytest.approx(1.5 * 0.05 - 0.02 - 5, abs=1e-5)
    assert rewards[0, 0] < -2  # drones share what vehicles earn
    assert outcome(task)["collision"] == 1


def test_vehicles_and_drones_that_touch_are_removed_and_who_strays_is_told_apart() -> None:
    task, bodies = staged(
        [[0, 0], [5, 0], [8, 0]], [[0, -1.75], [10, -1.75], [20, -1.75]], [], cells=20
    )
    bodies.position[0, 1, 0] = 7.5
    bodies.position[0, 3, 0] = 6
    bodies.position[0, 5, 1] = -3.6
    _, done = task.judge(bodies, FIRST)
    assert done[0].all()  # for the untouched drone with the last vehicle
    assert task.scene(bodies, FIRST).status[0].tolist() == [ARRIVED] + [CRASHED] * 5
    found = outcome(task)
    assert (found["collision"], found["off_road"], found["success"]) == (1, 1, 0)


def test_arriving_is_paid_and_the_last_vehicle_ends_it() -> None:
    task, bodies = staged([[70, 0]], [[79, -1.75], [60, -1.75]], [], cells=20)
    bodies.position[0, 1, 0] = 80.5
    rewards, done = task.judge(bodies, FIRST)
    assert done.tolist() == [[False, True, False]]
    assert rewards[0, 1] == pytest.approx(5 + 1.5 * 0.05 - 0.02, abs=1e-4)
    bodies.position[0, 2, 0] = 80.5
    _, done = task.judge(bodies, FIRST + 2)
    assert done.tolist() == [[True, False, True]]
    found = outcome(task)
    assert (found["success"], found["arrived"]) == (1, 1)
    assert found["time_to_goal"] == pytest.approx(0.4)


def test_observation_of_a_hand_made_scene() -> None:
    task, bodies = staged([[12, 3], [12, 0]], [[0, -1.75], [-12, 1.75]], [])
    bodies.velocity[0, 0, :2] = [5, -2]
    bodies.velocity[0, 2, 0] = 3.5
    drone, other, first, second = task.view(bodies).observations[0]
    assert drone[:6] == pytest.approx([0.5, -0.2, -12 / 30, -4.75 / 30, 0.5, 1], abs=1e-5)
    assert drone[6] == pytest.approx(3 / 7)
    assert drone[7:9] == pytest.approx(4 / 30, abs=1e-5)  # cells from 16 m on are unknown
    assert drone[9:11] == pytest.approx([0, -(1 - 2.4 / 5)], abs=1e-5)
    assert other[10] == pytest.approx(1 - 2.4 / 5, abs=1e-5)
    assert first[:4] == pytest.approx([0.5, -1, -0.5, -1])
    assert first[4] == pytest.approx(0, abs=1e-6)
    assert first[5] > 0.1  # the way to the left lane
    assert first[8:10] == pytest.approx(1)  # it is on cells that nobody has seen
    assert (first[10:] == 0).all()  # the other vehicle is well behind
    assert second[10] == pytest.approx(1 - (12 - 4.508) / 30, abs=1e-5)


def test_actions_move_drones_and_drive_vehicles() -> None:
    task, _ = staged([[0, 0], [5, 0]], [[0, -1.75], [-12, -1.75]], [])
    found = task.commands(np.array([[0, 3, 2, 3]]))[0]
    assert found[:2].tolist() == [[10, 0, 0], [0, -10, 0]]
    assert found[2] == pytest.approx([2.5, 0, 0])
    assert found[3, 0] == 0
    assert found[3, 1] > 0.1
    again = task.commands(np.array([[4, 4, 0, 1]]))[0]
    assert again[3, 1] == found[3, 1]  # it goes on to the left lane
    assert again[2, 0] == -5


def test_numbers_are_velocities_pedals_and_steering() -> None:
    task, bodies = staged([[0, 0]], [[0, -1.75]], [], actions="continuous")
    bodies.position[0, 0, 2] = 5.0
    task.judge(bodies, FIRST)
    found = task.commands(np.array([[[1, -0.5], [-1, 0.4]]], np.float32))[0]
    assert found[0] == pytest.approx([10, -5, 1])  # and back up to its height
    assert found[1] == pytest.approx([-5, 0.2, 0])


@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
def test_hazards_are_apart_and_starts_inside(difficulty: str) -> None:
    config = ConvoyEscortConfig(difficulty=difficulty)
    task = ConvoyEscort(config, 300, dt=0.2)
    layout = lay_out(np.random.default_rng(0).random((300, task.draws)), config)
    cells = layout[:, 1 : 1 + config.hazards, 0]
    assert cells.min() >= CLEAR
    assert cells.max() == config.cells - APART
    assert np.diff(cells, axis=1).min() >= APART
    place = task.begin(np.arange(300), layout).position
    low, high = config.arena
    assert ((place >= low) & (place <= high)).all()
    drones = place[:, : config.drones]
    apart = np.linalg.norm(drones[:, :, None] - drones[:, None], axis=-1)
    assert (apart + 9 * np.eye(config.drones)).min() > 2 * config.drone_radius


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_scouting_succeeds(actions: str) -> None:
    world = make(ConvoyEscortConfig(actions=actions), 40)
    assert play(world, escort, 3)["success"].mean() > 0.95


def test_nobody_arrives_without_the_other_kind() -> None:
    world = make(ConvoyEscortConfig(), 40)
    assert play(world, parked, 3)["arrived"].max() == 0
    assert play(world, reckless, 3)["success"].mean() < 0.3  # in the free lane by luck
    assert not play(world, at_random(0), 3)["success"].any()


def test_it_flies_with_quadrotors_and_a_poor_radio() -> None:
    radio = {"range": 30.0, "loss": 0.2}
    sensors = {"communication": radio, "position": {"noise": 0.05}}
    config = ConvoyEscortConfig(backend="quad6dof", difficulty="easy", sensors=sensors)
    found = play(make(config, 8), escort, 2)
    assert found["success"].mean() > 0.7


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_promises_of_every_world(actions: str) -> None:
    config = ConvoyEscortConfig(difficulty="easy", max_steps=90, actions=actions)
    assert check_env(make(config, 3)).episodes >= 3


def test_a_world_is_the_same_among_others() -> None:
    config = ConvoyEscortConfig(difficulty="easy", max_steps=85)
    alone, many = make(config, 1), make(config, 5)
    view, all_views = alone.reset(7, first_env=3), many.reset(7)
    for _ in range(120):
        step, steps = alone.step(escort(view)), many.step(escort(all_views))
        view, all_views = step.view, steps.view
        assert np.array_equal(view.observations[0], all_views.observations[3])
        assert np.array_equal(step.rewards[0], steps.rewards[3])
        assert np.array_equal(view.state[0], all_views.state[3])
        assert np.abs(all_views.observations).max() <= 1


def test_scene_shows_hazards_and_links() -> None:
    task, bodies = staged([[20, 0]], [[4, -1.75], [-28, -1.75]], [[5, RIGHT], [12, LEFT]])
    scene = task.scene(bodies, FIRST)
    assert scene.solids.cylinders[0, :, :2].tolist() == [[22, -1.75], [50, 1.75]]
    assert scene.marks is not None
    assert np.isfinite(scene.marks[0, :, 0]).sum() == 1  # the one that the convoy knows of
    assert scene.links is not None
    assert scene.links[0].tolist() == [
        [True, True, False],
        [True, True, False],
        [False] * 2 + [True],
    ]
    assert np.isnan(scene.goals[0, 0]).all()


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"hazards": 5}, "need 34 cells"),
        ({"spacing": 4.0}, "touch as they start"),
        ({"hazard_radius": 3.0}, "no way past"),
        ({"bicycle": {"dt": 0.1}}, "must be the drones' 0.2 s"),
        ({"max_steps": 50}, "nobody can drive"),
        ({"backend": "bicycle"}, "backend"),
    ],
)
def test_what_cannot_be_driven_is_refused(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        ConvoyEscortConfig(**settings)
