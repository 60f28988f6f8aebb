import numpy as np
import pytest

from envs.backends.point import PointBackend, PointConfig
from envs.bodies import Start

ARENA = np.array([[-2.5, -2.5, 0.5], [2.5, 2.5, 2.5]], np.float32)
HERE = np.array([[[0, 0, 1.5], [1, 1, 1]]], np.float32)
NONE = np.zeros((3, 0))
MOVING = np.ones((1, 2), bool)


def placed(**settings: float) -> PointBackend:
    backend = PointBackend(PointConfig(**settings), (1, 2), ARENA)
    backend.place(np.array([0]), Start.resting(HERE), NONE[:1])
    return backend


def command(*velocity: float) -> np.ndarray:
    return np.broadcast_to(np.array(velocity, np.float32), (1, 2, 3))


def test_velocity_closes_half_the_gap_and_moves_the_body() -> None:
    backend = placed()
    for speed, travelled in ((0.5, 0.05), (0.75, 0.125), (0.875, 0.2125)):
        backend.advance(command(1, 0, 0), MOVING)
        assert backend.velocity[0, 0] == pytest.approx([speed, 0, 0])
        assert backend.position[0, 0] == pytest.approx([travelled, 0, 1.5])


def test_speed_never_exceeds_what_was_commanded() -> None:
    backend, generator = placed(), np.random.default_rng(0)
    axes = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)
    for _ in range(300):
        backend.advance(axes[generator.integers(0, 6, (1, 2))], MOVING)
        assert np.abs(backend.velocity).max() <= 1


def test_a_wall_stops_the_component_across_it_alone() -> None:
    backend = placed()
    for _ in range(60):
        backend.advance(command(1, 0.1, 0), MOVING)
    assert backend.position[0, 0, 0] == ARENA[1, 0]
    assert backend.velocity[0, 0, 0] == 0
    assert backend.velocity[0, 0, 1] == pytest.approx(0.1)


def test_who_does_not_move_stands_still() -> None:
    backend = placed()
    backend.advance(command(1, 1, 1), MOVING)
    stopped = backend.position[0, 1].copy()
    backend.advance(command(1, 1, 1), np.array([[True, False]]))
    assert (backend.position[0, 1] == stopped).all()
    assert (backend.velocity[0, 1] == 0).all()
    assert (backend.position[0, 0] > HERE[0, 0]).all()


def test_placing_leaves_other_worlds_alone_and_stops_bodies() -> None:
    backend = PointBackend(PointConfig(), (3, 2), ARENA)
    backend.place(np.arange(3), Start.resting(np.repeat(HERE, 3, 0)), NONE)
    backend.advance(np.ones((3, 2, 3), np.float32), np.ones((3, 2), bool))
    before = backend.position.copy()
    backend.place(np.array([1]), Start.resting(HERE), NONE[:1])
    assert (backend.position[1] == HERE[0]).all()
    assert (backend.velocity[1] == 0).all()
    assert (backend.position[[0, 2]] == before[[0, 2]]).all()
    assert (backend.velocity[[0, 2]] > 0).all()


def test_time_step_and_response_are_settings() -> None:
    backend = placed(dt=0.2, response=1.0)
    backend.advance(command(0, 0, 1), MOVING)
    assert backend.position[0, 0] == pytest.approx([0, 0, 1.7])
