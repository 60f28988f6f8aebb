import math

import numpy as np
import pytest
from pydantic import ValidationError

from envs.bodies import Bodies
from envs.tasks.drone_coverage import DroneCoverage
from envs.tasks.drone_coverage_layout import DroneCoverageConfig, draws, lay_out, users_at
from envs.tasks.drone_energy import (
    HOVER_POWER,
    INDUCED_POWER,
    PROFILE_POWER,
    propulsion_power,
)
from envs.tasks.drone_radio import (
    RadioConfig,
    path_loss,
    serve,
    sight_probability,
    spectral_efficiency,
    utility,
)
from envs.world import ARRIVED, CRASHED, FLYING

FIRST = np.array([1])
ROW = np.array([0])
Place = list[float]


def staged(drones: list[Place], users: list[Place], **settings: object) -> DroneCoverage:
    """One world: drones as x, y, z and charge in kJ; users as x, y, velocity x, y and demand."""
    config = DroneCoverageConfig(drones=len(drones), users=len(users), **settings)
    task = DroneCoverage(config, 1, dt=1.0)
    numbers = np.concatenate([np.ravel(drones), np.ravel(users)])
    task.begin(ROW, numbers[None].astype(np.float32))
    return task


def at(*positions: Place, speed: Place | None = None) -> Bodies:
    place = np.array([positions], np.float32)
    motion = np.zeros_like(place) + np.array(speed or [0, 0, 0], np.float32)
    return Bodies(place, motion, np.zeros(place.shape[:2], np.float32))


def outcome(task: DroneCoverage) -> dict[str, float]:
    return {name: float(values[0]) for name, values in task.outcomes().items()}


WEST, EAST = [-300.0, 0, 100], [300.0, 0, 100]
CHARGED = [[*WEST, 20.0], [*EAST, 20.0]]
BELOW = [[-300.0, 0, 0, 0, 10], [300.0, 0, 0, 0, 10]]  # a user under each drone


def test_constants_of_the_energy_model() -> None:
    assert pytest.approx(79.8563, abs=1e-4) == PROFILE_POWER
    assert pytest.approx(88.6279, abs=1e-4) == INDUCED_POWER


@pytest.mark.parametrize(
    ("velocity", "watts"),
    [
        # P0 (1 + 3 v^2 / 14400) + Pi sqrt(sqrt(1 + v^4 / 1055.05) - v^2 / 32.4818)
        # + 0.00924263 v^3, worked out by hand with v0 = 4.03 m/s.
        ((0, 0, 0), 168.4842),
        ((10, 0, 0), 81.5200 + 35.2634 + 9.2426),
        ((0, 20, 0), 86.5110 + 17.8438 + 73.9410),
        ((6, 8, 0), 126.0260),
        ((0, 0, 3), 168.4842 + 60),
        ((0, 0, -3), 168.4842),
    ],
)
def test_power_against_values_by_hand(velocity: tuple[float, ...], watts: float) -> None:
    assert propulsion_power(np.array(velocity)) == pytest.approx(watts, abs=0.01)


def test_cruising_is_cheaper_than_hovering_and_racing_is_not() -> None:
    speeds = np.stack([np.linspace(0, 60, 601), np.zeros(601), np.zeros(601)], -1)
    power = propulsion_power(speeds)
    assert 9 < np.linspace(0, 60, 601)[power.argmin()] < 11
    assert power[300] > HOVER_POWER > power.min() * 1.3


def test_path_loss_by_hand() -> None:
    # Straight above, the elevation is 90 degrees: line of sight, 79.46 dB of free space, 1 dB.
    above = path_loss(np.array([0.0]), np.array([100.0]), 2.0)
    assert above == pytest.approx(
        20 * math.log10(4 * math.pi * 2e9 * 100 / 299792458) + 1, abs=1e-3
    )
    # At 45 degrees: 1 / (1 + 9.61 exp(-0.16 (45 - 9.61))) = 0.96771.
    assert sight_probability(np.array([100.0]), np.array([100.0])) == pytest.approx(
        0.96771, abs=1e-4
    )
    free = 20 * math.log10(4 * math.pi * 2e9 * math.sqrt(2) * 100 / 299792458)
    slanted = path_loss(np.array([100.0]), np.array([100.0]), 2.0)
    assert slanted == pytest.approx(free + 0.96771 + 0.03229 * 20, abs=1e-3)


def test_spectral_efficiency_by_hand() -> None:
    # 20 dBm - 80.46 dB of loss + 97 dBm of noise (-174 + 70 + 7): 36.54 dB.
    loss = path_loss(np.array([0.0]), np.array([100.0]), 2.0)
    found = spectral_efficiency(np.array([0.0]), np.array([100.0]), RadioConfig())
    assert found == pytest.approx(np.log2(1 + 10 ** ((20 + 97 - loss) / 10)), rel=1e-5)


def test_utility_is_a_sigmoid_around_the_demand() -> None:
    worth = utility(np.array([10.0, 5.0, 20.0, 0.0]), np.array([10.0] * 4), 8.0)
    assert worth == pytest.approx(
        [0.5, 1 / (1 + math.exp(4)), 1 / (1 + math.exp(-8)), 0.000335], abs=1e-5
    )


def test_users_take_the_best_link_and_share_its_band() -> None:
    stations = np.array([[WEST, EAST]], np.float32)
    users = np.array([[[-300.0, 0], [-290, 0], [250, 0]]], np.float32)
    radio = RadioConfig()
    found = serve(stations, np.ones((1, 2), bool), users, radio)
    assert found.station.tolist() == [[0, 0, 1]]
    alone = spectral_efficiency(np.array([0.0, 10.0, 50.0]), np.full(3, 100.0), radio) * 10
    assert found.rate[0] == pytest.approx(alone / [2, 2, 1], rel=1e-5)
    last = serve(stations, np.array([[False, True]]), users, radio)
    assert last.station.tolist() == [[1, 1, 1]]
    nobody = serve(stations, np.array([[False, False]]), users, radio)
    assert (nobody.rate == 0).all()


def test_reward_of_a_hand_made_step() -> None:
    task = staged(CHARGED, BELOW)
    rewards, done = task.judge(at(WEST, EAST, speed=[10, 0, 0]), FIRST)
    rate = 10 * spectral_efficiency(np.array([0.0]), np.array([100.0]), RadioConfig())
    worth = float(utility(rate, np.array([10.0]), 8.0)[0])
    expected = 0.3 * worth - 0.05 * 126.026 / 168.4842
    assert rewards[0] == pytest.approx([expected] * 2, abs=1e-5)
    assert not done.any()
    found = outcome(task)
    assert found["energy"] == pytest.approx(0.126026, abs=1e-5)
    assert (found["success"], found["served"], found["fairness"]) == (1, 1, pytest.approx(1))


def test_overlap_costs_linearly_below_its_range() -> None:
    apart, near = [0, -100.0, 100], [0, -44.0, 100]  # a gap of 50 m from the drone at 12 m
    here = [0, 12.0, 100]
    users = [[0, 0, 0, 0, 1.0]] * 2
    far, _ = staged([[*apart, 20], [*here, 20]], users).judge(at(apart, here), FIRST)
    close, _ = staged([[*near, 20], [*here, 20]], users).judge(at(near, here), FIRST)
    assert far[0, 1] - close[0, 1] == pytest.approx(0.05 * 0.5, abs=2e-4)


def test_the_unserved_lower_the_share_and_fairness() -> None:
    task = staged(CHARGED, [*BELOW, [0, 480.0, 0, 0, 12], [0, -480.0, 0, 0, 12]])
    for step in (1, 2):
        task.judge(at(WEST, EAST), np.array([step]))
    found = outcome(task)
    assert found["served"] == 0.5
    assert found["success"] == 0
    assert found["fairness"] == pytest.approx(0.5, abs=0.05)


def test_the_share_is_a_mean_over_the_episode() -> None:
    greedy = [[*user[:4], 100.0] for user in BELOW]  # Mbit/s, served from near alone
    task = staged(CHARGED, greedy, served_threshold=0.75)
    for step in (1, 2, 3):
        task.judge(at(WEST, EAST), np.array([step]))
    far = [[-400.0, 499, 140], [400.0, 499, 140]]
    task.judge(at(*far), np.array([4]))
    assert outcome(task)["served"] == 0.75
    assert outcome(task)["success"] == 1


@pytest.mark.parametrize(("offset", "hit"), [(5.0, True), (7.0, False)])
def test_drones_that_pass_too_near_within_a_step_are_lost(offset: float, hit: bool) -> None:
    swapped = [[15.0, offset, 100], [-15.0, 0, 100]]
    task = staged([[-15.0, offset, 100, 20], [15.0, 0, 100, 20]], BELOW)
    rewards, done = task.judge(at(*swapped), FIRST)
    assert done.tolist() == [[hit, hit]]
    assert (rewards[0] < -9).all() == hit
    assert outcome(task)["collision"] == hit
    status = task.scene(at(*swapped), FIRST).status
    assert (status == (CRASHED if hit else FLYING)).all()


def test_an_empty_battery_ends_the_flight_and_the_service() -> None:
    task = staged([[*WEST, 0.3], [*EAST, 20.0]], BELOW)
    here = at(WEST, EAST)
    assert not task.judge(here, FIRST)[1].any()
    _, done = task.judge(here, FIRST + 1)  # 0.337 kJ are spent in two seconds of hovering
    assert done.tolist() == [[True, False]]
    view = task.view(here)
    assert view.alive.tolist() == [[False, True]]
    assert (view.observations[0, 0] == 0).all()
    assert view.observations[0, 1, 15] == 0.5  # the other's user gets too little from afar
    assert task.scene(here, FIRST).status.tolist() == [[ARRIVED, FLYING]]
    assert outcome(task)["collision"] == 0
    spent = outcome(task)["energy"]
    task.judge(here, FIRST + 2)
    assert outcome(task)["energy"] == pytest.approx(spent + HOVER_POWER / 2000, rel=1e-5)


def test_observation_of_a_hand_made_scene() -> None:
    users = [[-350.0, 50, 0, 0, 10], [-250.0, 50, 0, 0, 10], [0, 450.0, 0, 0, 12]]
    task = staged([[*WEST, 12.0], [-300.0, -206.0, 100, 24.0]], users)
    seen = task.view(at(WEST, [-300.0, -206.0, 100], speed=[7.5, 0, -1.5])).observations[0]
    assert seen[0, :3] == pytest.approx([-0.6, 0, 0])
    assert seen[0, 3:6] == pytest.approx([0.5, 0, -0.5])
    assert seen[:, 6] == pytest.approx([0.5, 1])
    assert seen[0, 7:10] == pytest.approx([0, -(1 - 200 / 300), 0], abs=1e-6)
    middle = [(-350 - 250 + 0) / 3 + 300, (50 + 50 + 450) / 3]
    assert seen[0, 10:13] == pytest.approx([middle[0] / 500, middle[1] / 500, 1], abs=1e-6)
    assert (seen[1, 10:13] == 0).all()
    assert seen[0, 13:] == pytest.approx([300 / 500, 450 / 500, 1 / 3])


def test_nobody_unserved_is_nobody_to_fly_to() -> None:
    view = staged(CHARGED, BELOW).view(at(WEST, EAST))
    assert (view.observations[0, :, 13:] == 0).all()
    ground = view.state[0, 16:].reshape(2, 4)
    assert ground == pytest.approx(np.array([[-0.6, 0, 10 / 12, 1], [0.6, 0, 10 / 12, 1]]))


def test_who_is_not_heard_is_not_seen() -> None:
    task, near = staged(CHARGED, BELOW), at([0, 0, 100], [50, 0, 100])
    deaf = Bodies(near.position, near.velocity, near.heading, ~np.ones((1, 2, 2), bool))
    assert (task.view(near).observations[0, :, 7:10] != 0).any()
    assert (task.view(deaf).observations[0, :, 7:10] == 0).all()


def test_users_walk_and_turn_round_at_the_edge() -> None:
    users = np.array([[[450, 0, 10, -1, 5], [-450, 20, -10, 0, 5]]], np.float32)
    found = [users_at(users, np.array([t]), 500.0)[0] for t in (0.0, 5.0, 10.0, 110.0)]
    assert [point[0].tolist() for point in found] == [[450, 0], [500, -5], [450, -10], [-450, -110]]
    assert found[2][1].tolist() == [-450, 20]


def test_users_are_marks_on_the_ground() -> None:
    task = staged(CHARGED, [[0, 0, 2.0, 1.0, 5]] * 2)
    task.judge(at(WEST, EAST), np.array([10]))
    scene = task.scene(at(WEST, EAST), np.array([10]))
    assert scene.marks is not None
    assert scene.marks[0, 0] == pytest.approx([20, 10, 0])
    assert np.isnan(scene.goals).all()


def test_commands_are_slower_up_than_along() -> None:
    found = staged(CHARGED, BELOW).commands(np.array([[0, 4]]))
    assert found[0].tolist() == [[15, 0, 0], [0, 0, 3]]


@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
def test_layouts_are_inside_and_apart(difficulty: str) -> None:
    config = DroneCoverageConfig(difficulty=difficulty)
    layout = lay_out(np.random.default_rng(0).random((300, draws(config))), config)
    stations = layout[:, : 4 * config.drones].reshape(300, -1, 4)
    users = layout[:, 4 * config.drones :].reshape(300, -1, 5)
    low, high = config.arena
    assert ((stations[..., :3] >= low) & (stations[..., :3] <= high)).all()
    assert stations[..., 3].max() <= config.battery
    assert stations[..., 3].min() >= config.battery * config.least_charge - 1e-4
    assert np.abs(users[..., :2]).max() <= config.half_width
    assert users[..., 4].min() >= config.least_demand
    assert users[..., 4].max() <= config.most_demand
    assert np.hypot(users[..., 2], users[..., 3]) == pytest.approx(config.user_speed, abs=1e-5)
    first = users[:, :: config.clusters, :2]
    assert np.linalg.norm(first[:, :1] - first, axis=-1).max() <= 2 * config.cluster_radius
    apart = np.linalg.norm(stations[:, :, None, :3] - stations[:, None, :, :3], axis=-1)
    assert (apart + 999 * np.eye(config.drones)).min() > 2 * config.drone_radius


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"start_radius": 2.0}, "start_radius"),
        ({"start_radius": 600.0}, "half_width"),
        ({"ceiling": 50.0}, "above floor"),
        ({"cluster_radius": 500.0}, "cluster_radius"),
        ({"most_demand": 5.0}, "at least least_demand"),
        ({"rollout_steps": 64}, "max_steps 100"),
        ({"radio": {"carier_ghz": 2.0}}, "carier_ghz"),
    ],
)
def test_what_cannot_be_served_is_refused(settings: dict[str, object], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        DroneCoverageConfig(**settings)
