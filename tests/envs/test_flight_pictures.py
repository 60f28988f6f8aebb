from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from envs.flight import record
from envs.registry import make
from envs.render import FlightArtist, save_gif, save_picture
from envs.scripted import at_random, straight
from envs.tasks.drone_layout import DroneNavigationConfig
from envs.world import ARRIVED, CRASHED, FLYING
from qmarl.errors import RunError

CONFIG = DroneNavigationConfig(max_steps=60)


def test_a_flight_is_recorded_from_start_to_end() -> None:
    world = make(CONFIG, 1)
    flight = record(world, straight, seed=5)
    assert len(flight.time) == len(flight.positions) == len(flight.status)
    assert flight.time == pytest.approx(np.arange(len(flight.time)) * 0.1)
    assert (flight.status[0] == FLYING).all()
    assert set(flight.status[-1]) <= {ARRIVED, CRASHED}
    steps = np.linalg.norm(np.diff(flight.positions, axis=0), axis=-1)
    assert steps.max() < 0.1 + 1e-6
    home = np.linalg.norm(flight.positions[-1] - flight.goals, axis=-1)
    assert (home[flight.status[-1] == ARRIVED] < flight.goal_radius).all()


def test_one_copy_of_many_is_the_same_alone() -> None:
    many, one = make(CONFIG, 6), make(CONFIG, 1)
    whole = record(many, straight, seed=1, env=4)
    alone = record(one, straight, seed=1, first_env=4)
    assert (whole.positions == alone.positions).all()
    assert (whole.status == alone.status).all()
    assert (whole.goals == alone.goals).all()
    assert (whole.solids.spheres == alone.solids.spheres).all()


def test_a_gif_has_a_frame_for_every_moment_and_is_small(tmp_path: Path) -> None:
    flight = record(make(CONFIG, 1), at_random(0), seed=2)
    path = save_gif(flight, tmp_path / "flight.gif", title="random")
    assert path.stat().st_size < 1_000_000
    with Image.open(path) as image:
        assert image.n_frames >= len(flight.time) - 5  # equal neighbours are one frame
        first = np.asarray(image.convert("RGB"))
        image.seek(image.n_frames - 1)
        assert (np.asarray(image.convert("RGB")) != first).any()


def test_a_picture_shows_the_moment_asked_for(tmp_path: Path) -> None:
    flight = record(make(CONFIG, 1), straight, seed=2)
    artist = FlightArtist(flight)
    start, end = artist.draw(0), artist.draw(len(flight.time) - 1)
    assert (start != end).any()
    assert (artist.draw(0) == start).all()
    path = save_picture(flight, tmp_path / "end.png", title="x")
    with Image.open(path) as image:
        assert image.size == (start.shape[1], start.shape[0])


def test_foreign_worlds_have_no_flights() -> None:
    from envs.pettingzoo_source import PettingZooConfig

    world = make(PettingZooConfig(id="mpe2.simple_spread_v3:parallel_env"), 1)
    with pytest.raises(RunError, match="cannot be drawn"):
        record(world, at_random(0), 0)
