import numpy as np
import pytest
from pydantic import ValidationError

from envs.bodies import Bodies
from envs.check import check_env
from envs.scripted import at_random, play
from envs.scripted_vehicles import keep_gap
from envs.tasks.vehicle_platoon import ACTIONS, PEDALS, VehiclePlatoon, make
from envs.tasks.vehicle_platoon_layout import VehiclePlatoonConfig

FIRST = np.array([1])


def staged(
    gaps: list[float], speed: float = 10.0, plan: float = 10.0, **settings: object
) -> tuple[VehiclePlatoon, Bodies]:
    """One world of vehicles at these gaps, whose leader takes on the speed ``plan`` at once."""
    config = VehiclePlatoonConfig(vehicles=len(gaps), **settings)
    task = VehiclePlatoon(config, 1, dt=0.2)
    layout = np.array([[speed, *[plan] * config.changes, *gaps]], np.float32)
    start = task.begin(np.array([0]), layout)
    motion = np.zeros_like(start.position)
    motion[..., 0] = start.speed
    return task, Bodies(start.position, motion, start.heading)


def later(bodies: Bodies, metres: float = 2.0) -> Bodies:
    """A step later, at 10 m/s."""
    return Bodies(bodies.position + np.array([metres, 0, 0]), bodies.velocity, bodies.heading)


def outcome(task: VehiclePlatoon) -> dict[str, float]:
    return {name: float(values[0]) for name, values in task.outcomes().items()}


def test_the_wanted_gap_earns_most_and_a_metre_off_half() -> None:
    task, bodies = staged([13, 14])  # wanted are 3 m and 1 s of 10 m/s
    rewards, done = task.judge(later(bodies), FIRST)
    assert rewards[0] == pytest.approx([0.1, 0.05], abs=1e-5)
    assert not done.any()


def test_difference_of_speed_jerk_and_power_cost() -> None:
    task, bodies = staged([13.3])
    bodies.velocity[..., 0] = 10.2  # sped up by 1 m/s^2
    rewards, _ = task.judge(later(bodies, 2.02), FIRST)
    error = abs(13.3 - 0.02 - 13.2)
    wanted = 0.1 / (1 + error) - 0.01 * 0.2 - 0.005 * 1 - 0.0005 * 1 * 10.2
    assert rewards[0, 0] == pytest.approx(wanted, abs=1e-5)


def test_running_into_the_vehicle_ahead_ends_it_for_all() -> None:
    task, bodies = staged([13, 13, 13])
    bodies.position[0, 1, 0] = bodies.position[0, 0, 0] - 4.4
    rewards, done = task.judge(later(bodies), FIRST)
    assert done.all()
    assert not task.alive.any()
    assert rewards[0, 1] < -4.5
    assert rewards[0, [0, 2]].min() > -0.1
    assert (outcome(task)["collision"], outcome(task)["success"]) == (1, 0)
    assert np.isnan(outcome(task)["gap_error"])


def test_the_leader_takes_on_its_speeds_no_faster_than_it_can() -> None:
    task, bodies = staged([13], plan=11.0)
    places = []
    for step in range(1, 6):
        task.judge(bodies, np.array([step]))
        marks = task.scene(bodies, FIRST).marks
        assert marks is not None
        places.append(float(marks[0, 0, 0]))
    speeds = np.minimum(10 + 0.4 * np.arange(6), 11)
    assert places == pytest.approx(np.cumsum(0.2 * (speeds[:-1] + speeds[1:]) / 2), abs=1e-4)


def test_observation_of_a_hand_made_scene() -> None:
    task, bodies = staged([15, 12], plan=20.0)
    after = later(bodies)
    after.velocity[0, :, 0] = [10.2, 10]
    task.judge(after, FIRST)
    seen = task.view(after).observations[0]
    gap = 15 + 0.2 * 10.2 - 2
    assert seen[0] == pytest.approx(
        [(gap - 13.2) / 10, 0.2 / 5, 10.2 / 30, 1 / 6, 2 / 6, 0.2 / 5, -0.1, 0], abs=1e-4
    )
    assert seen[1] == pytest.approx([-0.1, 0.2 / 5, 1 / 3, 0, 1 / 6, 0.4 / 5, 0, 1], abs=1e-4)


def test_what_is_not_told_is_not_known() -> None:
    task, bodies = staged([15, 12], plan=20.0, broadcast=False)
    after = later(bodies)
    after.velocity[0, :, 0] = [10.2, 10]
    task.judge(after, FIRST)
    silent = Bodies(after.position, after.velocity, after.heading, ~np.ones((1, 2, 2), bool))
    seen = task.view(silent).observations[0]
    assert (seen[:, 4:7] == 0).all()
    assert (seen[:, :2] != 0).all()  # the vehicle ahead is seen nevertheless


def test_outcomes_tell_gap_error_and_amplification() -> None:
    task, bodies = staged([14, 12.5], plan=12.0, settle_steps=1)
    for step in range(1, 4):
        bodies = later(bodies)
        bodies.velocity[0, 1, 0] = 10 + 0.8 * step
        bodies.position[0, :, 0] += [0, 0]
        task.judge(bodies, np.array([step]))
    found = outcome(task)
    assert found["amplification"] == pytest.approx(2.4 / 1.2, rel=1e-4)
    first = [14 + sum(0.2 * (0.4 * n + 0.2) for n in range(s)) - 13 for s in (2, 3)]
    second = [abs(12.5 - 3 - (10 + 0.8 * s)) for s in (2, 3)]
    assert found["gap_error"] == pytest.approx(np.mean(first + second), abs=1e-4)
    assert found["success"] == 0


def test_actions_are_pedals_and_nobody_steers() -> None:
    task, _ = staged([13] * 5)
    found = task.commands(np.arange(5)[None])[0]
    assert len(ACTIONS) == len(PEDALS) == 5
    assert found[:, 0] == pytest.approx([-6, -2.4, 0, 1.2, 3])
    assert (found[:, 1:] == 0).all()
    task, _ = staged([13, 13], actions="continuous")
    found = task.commands(np.array([[[0.5], [-0.5]]], np.float32))[0]
    assert found[:, 0] == pytest.approx([1.5, -3])


@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
def test_starts_are_as_configured(difficulty: str) -> None:
    config = VehiclePlatoonConfig(difficulty=difficulty)
    task = VehiclePlatoon(config, 200, dt=0.2)
    layout = task.lay_out(np.random.default_rng(0).random((200, task.draws)))
    start = task.begin(np.arange(200), layout)
    low, high = config.arena
    assert ((start.position >= low) & (start.position <= high)).all()
    gaps = -np.diff(start.position[..., 0], axis=1) - config.length
    wanted = config.standstill + config.time_gap * start.speed[:, 1:]
    assert np.abs(gaps - wanted).max() <= config.gap_spread + 1e-3
    assert gaps.min() > 0


@pytest.mark.parametrize("time_gap", [0.6, 1.0])
def test_the_scripted_platoon_is_string_stable(time_gap: float) -> None:
    settings = {"vehicles": 8, "gap_spread": 0.0, "time_gap": time_gap, "actions": "continuous"}
    found = play(make(VehiclePlatoonConfig(**settings), 40), keep_gap, 5)
    assert found["amplification"].max() <= 1.01
    assert found["success"].all()


@pytest.mark.parametrize("difficulty", ["medium", "hard"])
@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_keeping_the_gap_succeeds(actions: str, difficulty: str) -> None:
    world = make(VehiclePlatoonConfig(actions=actions, difficulty=difficulty), 40)
    found = play(world, keep_gap, 3)
    assert found["success"].mean() > 0.9
    assert not found["collision"].any()


def test_chance_fails() -> None:
    assert not play(make(VehiclePlatoonConfig(), 60), at_random(0), 3)["success"].any()


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_promises_of_every_world(actions: str) -> None:
    config = VehiclePlatoonConfig(max_steps=40, settle_steps=5, actions=actions)
    assert check_env(make(config, 3)).episodes >= 3


def test_a_world_is_the_same_among_others() -> None:
    config = VehiclePlatoonConfig(max_steps=25, settle_steps=5)
    alone, many = make(config, 1), make(config, 5)
    view, all_views = alone.reset(7, first_env=3), many.reset(7)
    for _ in range(60):
        step, steps = alone.step(keep_gap(view)), many.step(keep_gap(all_views))
        view, all_views = step.view, steps.view
        assert np.array_equal(view.observations[0], all_views.observations[3])
        assert np.array_equal(step.rewards[0], steps.rewards[3])
        assert np.abs(all_views.observations).max() <= 1


def test_the_leader_leads_the_scene() -> None:
    world = make(VehiclePlatoonConfig(), 2)
    world.reset(0)
    scene = world.scene()
    assert scene.marks is not None
    assert (scene.marks[:, 0, 0] > scene.positions[:, 0, 0]).all()
    assert np.abs(scene.goals[..., 0] - scene.positions[..., 0]).max() <= 3.01


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"settle_steps": 200}, "below max_steps"),
        ({"gap_spread": 17.0}, "touch at the start"),
        ({"swing": 14.0}, "allowed are 0 to below limit"),
        ({"rollout_steps": 64}, "max_steps 150"),
    ],
)
def test_what_cannot_be_driven_is_refused(settings: dict[str, float], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        VehiclePlatoonConfig(**settings)
