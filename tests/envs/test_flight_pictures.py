from pathlib import Path

import numpy as np
import pytest
from flights import flight
from PIL import Image

from envs.flight import Flight, record
from envs.registry import make
from envs.render import FlightArtist, save_gif, save_picture
from envs.scripted import Policy, at_random, straight
from envs.scripted_drones import hunt, keep_slot
from envs.tasks import drone_formation, drone_pursuit
from envs.tasks.drone_layout import DroneNavigationConfig
from envs.world import ARRIVED, CRASHED, FLYING, World
from qmarl.errors import RunError

CONFIG = DroneNavigationConfig(max_steps=60)


def flown(world: World, policy: Policy, seed: int, first_env: int = 0, env: int = 0) -> Flight:
    found = record(world, policy, seed, first_env, env)
    assert isinstance(found, Flight)
    return found


def test_a_flight_is_recorded_from_start_to_end() -> None:
    found = flown(make(CONFIG, 1), straight, seed=5)
    assert found.moments == len(found.time) == len(found.positions) == len(found.status)
    assert found.time == pytest.approx(np.arange(found.moments) * 0.1)
    assert (found.status[0] == FLYING).all()
    assert set(found.status[-1]) <= {ARRIVED, CRASHED}
    steps = np.linalg.norm(np.diff(found.positions, axis=0), axis=-1)
    assert steps.max() < 0.1 + 1e-6
    home = np.linalg.norm(found.positions[-1] - found.goals[-1], axis=-1)
    assert (home[found.status[-1] == ARRIVED] < found.goal_radius).all()
    assert found.outcomes["collision"] == (found.status[-1] == CRASHED).any()
    assert found.world == "drone_navigation"


def test_one_copy_of_many_is_the_same_alone() -> None:
    many, one = make(CONFIG, 6), make(CONFIG, 1)
    whole = flown(many, straight, seed=1, env=4)
    alone = flown(one, straight, seed=1, first_env=4)
    assert (whole.positions == alone.positions).all()
    assert (whole.status == alone.status).all()
    assert (whole.goals == alone.goals).all()
    assert (whole.solids.spheres == alone.solids.spheres).all()
    assert whole.outcomes == alone.outcomes


def test_goals_and_marks_that_move_are_recorded_moment_by_moment() -> None:
    formation = drone_formation.make(drone_formation.DroneFormationConfig(max_steps=40), 2)
    found = flown(formation, keep_slot, seed=0, env=1)
    assert found.goals.shape == found.positions.shape
    assert (found.goals[0] != found.goals[-1]).any()
    pursuit = drone_pursuit.make(drone_pursuit.DronePursuitConfig(max_steps=100), 2)
    chase = flown(pursuit, hunt, seed=0, env=1)
    assert chase.marks is not None
    assert chase.marks.shape == (chase.moments, 2, 3)
    assert (chase.marks[0] != chase.marks[1]).any()
    free = np.isfinite(chase.marks[-1]).all(-1).sum()
    assert chase.outcomes["caught"] == (2 - free) / 2
    assert chase.headings is chase.links is chase.lines is None


def test_a_gif_has_a_frame_for_every_moment_and_is_small(tmp_path: Path) -> None:
    found = flown(make(CONFIG, 1), at_random(0), seed=2)
    path = save_gif(found, tmp_path / "flight.gif", title="random")
    assert path.stat().st_size < 10_000 * found.moments
    with Image.open(path) as image:
        assert image.n_frames >= found.moments - 5  # equal neighbours are one frame
        first = np.asarray(image.convert("RGB"))
        image.seek(image.n_frames - 1)
        assert (np.asarray(image.convert("RGB")) != first).any()


def test_a_gif_skips_moments_that_follow_each_other_too_fast(tmp_path: Path) -> None:
    moving = np.zeros((9, 2, 3)) + np.arange(9)[:, None, None]
    brief = flight(9, positions=moving, time=np.arange(9) * 0.01)
    path = save_gif(brief, tmp_path / "brief.gif")  # 5 ms apart; a frame stays for 20 or more
    with Image.open(path) as image:
        assert image.n_frames == 3
        assert image.info["duration"] == 20


def test_a_picture_shows_the_moment_asked_for(tmp_path: Path) -> None:
    found = flown(make(CONFIG, 1), straight, seed=2)
    artist = FlightArtist(found)
    start, end = artist.draw(0), artist.draw(found.moments - 1)
    assert (start != end).any()
    assert (artist.draw(0) == start).all()
    path = save_picture(found, tmp_path / "end.png", title="x")
    with Image.open(path) as image:
        assert image.size == (start.shape[1], start.shape[0])


def test_foreign_worlds_have_no_flights() -> None:
    from envs.pettingzoo_source import PettingZooConfig

    world = make(PettingZooConfig(id="mpe2.simple_spread_v3:parallel_env"), 1)
    with pytest.raises(RunError, match="cannot be drawn"):
        record(world, at_random(0), 0)
