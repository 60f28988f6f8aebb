"""Bodies for the tests of what moves: put somewhere, and flown under one command."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.backends.quad6dof import Quad6Dof, Quad6DofConfig
from envs.batch import Backend
from envs.bodies import Start

WIDE = np.array([[-5000, -5000, -5000], [5000, 5000, 5000]], np.float32)


def quads(worlds: int = 1, agents: int = 1, **settings: Any) -> Quad6Dof:
    """Quadrotors at rest in the origin of a space without walls."""
    arguments = {key: settings.pop(key) for key in ("wind", "randomisation") if key in settings}
    arena = settings.pop("arena", WIDE)
    backend = Quad6Dof(Quad6DofConfig(**settings), (worlds, agents), arena, **arguments)
    rest(backend)
    return backend


def rest(backend: Backend, height: float = 0.0, seed: int = 0) -> None:
    """Puts all bodies at rest at ``(0, 0, height)``."""
    worlds, agents = backend.heading.shape
    at = np.zeros((worlds, agents, 3), np.float32)
    at[..., 2] = height
    uniform = np.random.default_rng(seed).random((worlds, backend.draws))
    backend.place(np.arange(worlds), Start.resting(at), uniform)


def fly(backend: Backend, command: tuple[float, ...], steps: int) -> np.ndarray:
    """Velocities ``(steps, E, A, 3)`` under one command for everyone."""
    every = np.broadcast_to(np.array(command, np.float32), (*backend.heading.shape, 3))
    moving = np.ones(backend.heading.shape, bool)
    seen = []
    for _ in range(steps):
        backend.advance(every, moving)
        seen.append(backend.velocity.copy())
    return np.array(seen)
