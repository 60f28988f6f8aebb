import itertools
import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from envs.bodies import Bodies, Solids
from envs.registry import make
from envs.scripted import straight
from envs.sensing.camera import BORDER, MATE, OBSTACLE
from envs.sensing.communication import Radio
from envs.sensing.config import CommunicationConfig, LidarConfig, SensorsConfig
from envs.sensing.lidar import lidar_beams
from envs.sensing.noise import LEVELS, StepDraws, happens, normals
from envs.sensing.suite import SensorSuite, make_sensors
from envs.tasks.drone_layout import DroneNavigationConfig
from envs.world import Step, World

ARENA = np.array([[-3, -2, 0], [3, 2, 4]], np.float32)
EVERYTHING: dict[str, Any] = {
    "position": {"noise": 0.1, "bias": 0.2, "dropout": 0.2},
    "velocity": {"noise": 0.1},
    "heading": {"noise": 0.1, "bias": 0.1},
    "ranger": {"dropout": 0.3},
    "lidar": {"beams": 8, "layers": 2, "dropout": 0.3},
    "camera": {"image": "semantic", "width": 3, "height": 2},
    "communication": {"range": 2.5, "loss": 0.2},
}


def suite(sensors: dict[str, Any], worlds: int = 1, agents: int = 1, seed: int = 0) -> SensorSuite:
    """Sensors at the beginning of episode 0."""
    made = make_sensors(SensorsConfig(**sensors), (worlds, agents), ARENA)
    assert made is not None
    made.start(seed, np.arange(worlds))
    restart(made, worlds, 0, seed)
    return made


def restart(sensors: SensorSuite, worlds: int, episode: int, seed: int = 0) -> None:
    uniform = np.random.default_rng((seed, episode)).random((worlds, sensors.draws))
    sensors.begin(np.arange(worlds), np.full(worlds, episode), uniform)


def standing(worlds: int = 1, agents: int = 1, height: float = 1.0) -> Bodies:
    position = np.zeros((worlds, agents, 3), np.float32)
    position[..., 2] = height
    return Bodies(position, np.zeros_like(position), np.zeros((worlds, agents), np.float32))


def at(step: int, worlds: int = 1) -> np.ndarray:
    return np.full(worlds, step)


def world(num_envs: int, sensors: dict[str, Any] | None = None, **settings: Any) -> World:
    config = DroneNavigationConfig(sensors=SensorsConfig(**(sensors or EVERYTHING)), **settings)
    return make(config, num_envs)


def flat(step: Step) -> dict[str, np.ndarray]:
    """Every array of what a step shows."""
    arrays = {f"view.{f.name}": getattr(step.view, f.name) for f in fields(step.view)}
    return arrays | {f"final.{f.name}": getattr(step.final, f.name) for f in fields(step.final)}


def moves(steps: int, num_envs: int) -> np.ndarray:
    share = [0.3, 0.1, 0.3, 0.1, 0.08, 0.08, 0.04]
    return np.random.default_rng(1).choice(7, (steps, num_envs, 3), p=share)


def test_without_sensors_there_is_no_suite() -> None:
    assert make_sensors(SensorsConfig(), (2, 3), ARENA) is None
    assert make_sensors(SensorsConfig(border=False), (2, 3), ARENA) is None
    plain, explicit = make(DroneNavigationConfig(), 4), world(4, {"border": False})
    assert (plain.reset(0).observations == explicit.reset(0).observations).all()


def test_readings_widen_the_observation() -> None:
    w = world(4)
    assert w.spec.observation_sizes == (12 + 2 + 16 + 6,) * 3
    view = w.reset(0)
    assert view.observations.shape == (4, 3, 36)
    assert view.observations.dtype == np.float32
    assert (view.observations[..., 12:] >= 0).all()
    assert (view.observations[..., 12:] <= 1).all()
    assert (view.observations[..., 14:30] > 0).any()


def test_a_copy_is_the_same_whatever_the_batch_with_all_sensors() -> None:
    # Long enough to run past the steps that are drawn ahead, in episodes of all lengths.
    chosen = moves(150, 6)
    whole, alone, shard = (world(n, max_steps=35) for n in (6, 1, 2))
    for w, first in ((whole, 0), (alone, 3), (shard, 3)):
        w.reset(11, first)
    for t in range(150):
        one = flat(whole.step(chosen[t]))
        for w, rows in ((alone, slice(3, 4)), (shard, slice(3, 5))):
            for name, array in flat(w.step(chosen[t, rows])).items():
                assert (array == one[name][rows]).all(), (t, name)


def test_a_reset_forgets_what_was_sensed() -> None:
    w = world(4, max_steps=20)
    start, played = w.reset(0), [flat(w.step(a)) for a in moves(45, 4)]
    assert (w.reset(0).observations == start.observations).all()
    for before, a in zip(played, moves(45, 4), strict=True):
        for name, array in flat(w.step(a)).items():
            assert (array == before[name]).all()
    assert (w.reset(1).observations != start.observations).any()


def test_what_sensors_see_does_not_change_what_happens() -> None:
    sensing, plain = world(8, max_steps=30), make(DroneNavigationConfig(max_steps=30), 8)
    sensing.reset(0)
    plain.reset(0)
    differ = False
    for a in moves(90, 8):
        one, other = sensing.step(a), plain.step(a)
        assert (one.rewards == other.rewards).all()
        assert (one.ended == other.ended).all()
        assert (sensing.positions() == plain.positions()).all()
        differ |= bool((one.view.observations[..., :12] != other.view.observations).any())
    assert differ


def test_the_dead_sense_nothing_and_nothing_is_nan() -> None:
    w = world(32, {**EVERYTHING, "position": {"noise": 0.5, "bias": 1.0}})
    w.reset(0)
    dead = 0
    for a in moves(120, 32):
        final = w.step(a).final
        assert (final.observations[~final.alive] == 0).all()
        assert np.isfinite(final.observations).all()
        dead += int((~final.alive).sum())
    assert dead > 0


def test_noise_is_normal_and_new_in_every_step() -> None:
    sensors = suite({"position": {"noise": 0.5}, "velocity": {"noise": 2.0}}, 500, 4)
    bodies = standing(500, 4)
    found = [sensors.perceive(bodies, at(step, 500)) for step in range(40)]
    errors = np.stack([one.position - bodies.position for one in found])
    assert errors.mean() == pytest.approx(0, abs=0.01)
    assert errors.std() == pytest.approx(0.5, rel=0.01)
    assert (np.abs(errors) < 0.5).mean() == pytest.approx(0.6827, abs=0.01)
    assert (np.abs(errors) > 1.0).mean() == pytest.approx(0.0455, abs=0.005)
    assert np.stack([one.velocity for one in found]).std() == pytest.approx(2.0, rel=0.01)
    flat_errors = errors.reshape(40, -1)
    assert np.corrcoef(flat_errors[:-1].ravel(), flat_errors[1:].ravel())[0, 1] == pytest.approx(
        0, abs=0.02
    )
    assert np.corrcoef(errors[..., 0, 0].ravel(), errors[..., 1, 2].ravel())[0, 1] == pytest.approx(
        0, abs=0.03
    )
    assert (found[0].heading == bodies.heading).all()


def test_a_bias_stays_for_an_episode() -> None:
    sensors, bodies = suite({"position": {"bias": 0.5}}, 2000, 2), standing(2000, 2)
    first = sensors.perceive(bodies, at(0, 2000)).position
    later = sensors.perceive(bodies, at(7, 2000)).position
    assert (first == later).all()
    assert (first - bodies.position).std() == pytest.approx(0.5, rel=0.03)
    restart(sensors, 2000, 1)
    assert (sensors.perceive(bodies, at(0, 2000)).position != later).all()


def test_headings_stay_within_half_a_turn() -> None:
    sensors = suite({"heading": {"noise": 1.0}}, 200, 2)
    bodies = standing(200, 2)
    bodies.heading[:] = 3.1
    found = sensors.perceive(bodies, at(1, 200)).heading
    assert (np.abs(found) <= np.float32(np.pi)).all()
    assert (found < 0).any()


def test_what_drops_out_holds_its_last_value() -> None:
    sensors = suite({"position": {"dropout": 0.3}}, 300, 2)
    bodies, held, missed = standing(300, 2), np.zeros((300, 2)), 0
    for step in range(60):
        bodies.position[..., 0] = step
        found = sensors.perceive(bodies, at(step, 300)).position[..., 0]
        fresh = found == step
        assert (fresh | (found == held)).all()
        missed += int((~fresh).sum()) if step else 0
        if not step:
            assert fresh.all()
        held = found.copy()
    assert missed / (59 * 600) == pytest.approx(0.3, abs=0.01)


def test_a_lidar_that_always_drops_out_holds_its_first_reading() -> None:
    sensors = suite({"lidar": {"beams": 4, "dropout": 1.0}}, 1, 1)
    bodies, nothing = standing(), Solids.of(1)
    first = sensors.readings(bodies, nothing, at(0), slice(None)).copy()
    bodies.position[..., 0] = 2
    assert (sensors.readings(bodies, nothing, at(1), slice(None)) == first).all()
    restart(sensors, 1, 1)
    assert (sensors.readings(bodies, nothing, at(0), slice(None)) != first).any()


def test_perceiving_again_in_the_same_step_changes_nothing() -> None:
    sensors, bodies = suite({"position": {"noise": 1.0, "dropout": 0.5}}, 20, 2), standing(20, 2)
    for step in range(5):
        once = sensors.perceive(bodies, at(step, 20))
        assert (sensors.perceive(bodies, at(step, 20)).position == once.position).all()


def test_draws_depend_on_world_episode_and_step_alone() -> None:
    many, one = StepDraws(3, np.arange(5), 11), StepDraws(3, np.array([2]), 11)
    rows, seen = np.arange(5), {}
    many.begin(rows, np.zeros(5, int))
    one.begin(np.array([0]), np.zeros(1, int))
    steps = np.zeros(5, np.int64)
    for tick in range(50):
        found = many.take(rows, steps)
        assert found.dtype == np.uint16
        if tick < 20:
            assert (one.take(np.array([0]), steps[2:3]) == found[2]).all()
            seen[tick] = found[2].copy()
        steps += 1
        if tick in (6, 20):  # the next episode begins: elsewhere first, then in world 2
            row = np.array([1 if tick == 6 else 2])
            many.begin(row, np.ones(1, int))
            steps[row] = 0
    assert len({bytes(draws) for draws in seen.values()}) == 20
    again = StepDraws(3, np.array([1, 2]), 11)
    again.begin(np.arange(2), np.ones(2, int))
    fresh = StepDraws(3, np.array([2]), 11)
    fresh.begin(np.array([0]), np.ones(1, int))
    ahead = np.full(2, 29)
    assert (again.take(np.array([1]), ahead) == fresh.take(np.array([0]), ahead[:1])).all()


def test_deviates_and_events_have_their_statistics() -> None:
    levels = np.arange(LEVELS)
    deviates = normals(levels).astype(np.float64)
    assert deviates.mean() == pytest.approx(0, abs=1e-6)
    assert deviates.std() == pytest.approx(1, abs=1e-3)
    assert (deviates**4).mean() == pytest.approx(3, abs=0.02)
    assert (np.diff(deviates) > 0).all()
    assert happens(levels, 0.25).mean() == pytest.approx(0.25)
    assert not happens(levels, 0.0).any()
    assert happens(levels, 1.0).all()


def test_links_carry_both_ways_within_range() -> None:
    sensors = suite({"communication": {"range": 1.5}}, 1, 3)
    bodies = standing(1, 3)
    bodies.position[0, :, 0] = (0, 1, 2)
    heard = sensors.perceive(bodies, at(0)).heard
    assert heard is not None
    assert heard[0].astype(int).tolist() == [[1, 1, 0], [1, 1, 1], [0, 1, 1]]


def test_lost_links_are_lost_both_ways_as_often_as_configured() -> None:
    sensors, bodies = suite({"communication": {"loss": 0.3}}, 500, 4), standing(500, 4)
    lost = 0.0
    for step in range(20):
        heard = sensors.perceive(bodies, at(step, 500)).heard
        assert heard is not None
        assert (heard == heard.swapaxes(1, 2)).all()
        assert heard[:, range(4), range(4)].all()
        lost += (~heard).mean() * 16 / 12 / 20
    assert lost == pytest.approx(0.3, abs=0.01)


def test_a_lone_agent_needs_no_links() -> None:
    radio = Radio(CommunicationConfig(loss=0.5), (2, 1))
    heard = radio.heard(np.zeros((2, 1, 3)), np.arange(2), np.zeros((2, 0), np.uint16))
    assert radio.draws == 0
    assert heard.all()


def test_unheard_mates_are_not_seen_but_the_lidar_meets_them() -> None:
    unheard = {"communication": {"loss": 1.0}, "lidar": {"beams": 36}, "border": False}
    flat_world = {"obstacles": 0, "lowest_start": 1.5, "highest_start": 1.5}
    deaf = world(16, unheard, **flat_world)
    plain = make(DroneNavigationConfig(**flat_world), 16)
    deaf.reset(0)
    view, met = plain.reset(0), 0
    for _ in range(40):
        chosen = straight(view)
        dim, view = deaf.step(chosen).view, plain.step(chosen).view
        assert (dim.observations[..., 6:9] == 0).all()
        near = (view.observations[..., 6:9] != 0).any(-1)
        assert (near <= (dim.observations[..., 12:] > 0).any(-1)).mean() > 0.95  # between beams
        met += int(near.sum())
    assert met > 50


def test_a_lidar_sees_mates_walls_and_obstacles() -> None:
    sensors = suite({"lidar": {"beams": 4, "range": 4.0}}, 1, 2)
    bodies = standing(1, 2)
    bodies.position[0, 1, 0] = 1.0
    solids = Solids.of(
        1, np.array([[[0, 1.5, 1, 0.5]]], np.float32), radii=np.full((1, 2), 0.2, np.float32)
    )
    found = sensors.readings(bodies, solids, at(0), slice(None))[0]
    # ahead, left, back, right: the mate, the sphere, the far wall, the near wall
    assert found[0] == pytest.approx([1 - 0.8 / 4, 1 - 1 / 4, 1 - 3 / 4, 1 - 2 / 4], abs=1e-4)
    assert found[1] == pytest.approx([1 - 2 / 4, 1 - 2 / 4, 1 - 0.8 / 4, 1 - 2 / 4], abs=1e-4)


def test_range_finders_look_where_they_point() -> None:
    directions = ["forward", "left", "back", "right", "up", "down"]
    sensors = suite({"ranger": {"directions": directions, "range": 8.0}})
    bodies = standing()
    bodies.position[0, 0] = (1, 0.5, 1)
    for heading, level in ((0.0, [2, 1.5, 4, 2.5]), (math.pi / 2, [1.5, 4, 2.5, 2])):
        bodies.heading[:] = heading
        found = sensors.readings(bodies, Solids.of(1), at(0), slice(None))[0, 0]
        assert 8 * (1 - found) == pytest.approx([*level, 3, 1], abs=1e-3)


def test_a_semantic_image_of_a_known_scene() -> None:
    camera = {"image": "semantic", "width": 5, "height": 3, "field_of_view": 1.2, "range": 2.5}
    sensors = suite({"camera": camera}, 1, 2)
    bodies = standing(1, 2)
    bodies.position[0, 1] = (1.0, 0.28, 1)  # on the left of the first one's image
    radii = np.full((1, 2), 0.1, np.float32)
    box = np.array([[[1.2, -0.35, 1.0, 0.1, 0.05, 0.1]]], np.float32)
    solids = Solids.of(1, boxes=box, radii=radii)
    image = sensors.readings(bodies, solids, at(0), slice(None))[0, 0].reshape(3, 5)
    assert image[1] == pytest.approx([0, MATE, 0, OBSTACLE, 0])
    assert image[0] == pytest.approx([0] * 5)
    bodies.position[0, 0, 2] = 0.3
    low = sensors.readings(bodies, solids, at(0), slice(None))[0, 0].reshape(3, 5)
    assert low[2] == pytest.approx([BORDER] * 5)  # the floor


def test_a_depth_image_looks_up_with_its_pitch() -> None:
    camera = {"width": 3, "height": 3, "field_of_view": 0.5, "range": 10.0}
    bodies = standing()
    level = suite({"camera": camera}).readings(bodies, Solids.of(1), at(0), slice(None))
    raised = suite({"camera": {**camera, "pitch": math.pi / 2}})
    up = raised.readings(bodies, Solids.of(1), at(0), slice(None))
    assert 10 * (1 - level[0, 0, 4]) == pytest.approx(3, abs=1e-3)
    assert 10 * (1 - up[0, 0, 4]) == pytest.approx(3, abs=1e-3)
    pixel = math.tan(0.25) * 2 / 3
    assert 10 * (1 - level[0, 0, 3]) == pytest.approx(3 * math.hypot(1, pixel), abs=1e-3)


def test_lidar_beams_lie_as_documented() -> None:
    full = lidar_beams(LidarConfig(beams=4))
    assert full == pytest.approx(np.array([[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]]), abs=1e-9)
    part = lidar_beams(LidarConfig(beams=3, field_of_view=math.pi, layers=2, vertical_view=1.0))
    assert part[:3, 1] == pytest.approx(math.cos(0.5) * np.array([-1, 0, 1]), abs=1e-9)
    assert part[:, 2] == pytest.approx(np.repeat([-math.sin(0.5), math.sin(0.5)], 3))
    assert np.linalg.norm(part, axis=1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("sensors", "word"),
    [
        ({"lidar": {"beams": 0}}, "beams"),
        ({"lidar": {"range": 0}}, "range"),
        ({"ranger": {"directions": []}}, "at least one"),
        ({"ranger": {"directions": ["up", "up"]}}, "once"),
        ({"position": {"dropout": 1.5}}, "dropout"),
        ({"camera": {"field_of_view": 3.2}}, "field_of_view"),
        ({"radar": {}}, "radar"),
    ],
)
def test_impossible_sensors_are_refused(sensors: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        SensorsConfig(**sensors)


def test_every_pair_of_sensors_reads_what_each_reads_alone() -> None:
    bodies, solids = standing(), Solids.of(1, np.array([[[1, 0.2, 1, 0.5]]], np.float32))
    parts: dict[str, Any] = {"ranger": {}, "lidar": {"beams": 5}, "camera": {}}
    alone = {
        name: suite({name: given}).readings(bodies, solids, at(0), slice(None))
        for name, given in parts.items()
    }
    for one, other in itertools.combinations(parts, 2):
        both = suite({one: parts[one], other: parts[other]})
        found = both.readings(bodies, solids, at(0), slice(None))
        assert (found == np.concatenate([alone[one], alone[other]], -1)).all()
