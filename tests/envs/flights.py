"""Flights made up for the tests of pictures: few bodies at known places, in a cube of 20 m."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from envs.bodies import Solids
from envs.flight import Flight


def flight(moments: int = 1, **changes: Any) -> Flight:
    """Two agents in the air that stand still, with nothing around them but what is given."""
    places = np.repeat(np.array([[[-6.0, 0, 2], [6.0, 0, 2]]]), moments, 0)
    still = Flight(
        world="made_up",
        agents=("one", "other"),
        kinds=("drone", "drone"),
        arena=np.array([[-10.0, -10, 0], [10, 10, 20]]),
        time=np.arange(moments) * 0.1,
        positions=places,
        status=np.zeros((moments, 2), np.int8),
        goals=np.full((moments, 2, 3), np.nan),
        solids=Solids.of(1),
        radii=np.array([0.8, 0.8]),
    )
    return replace(still, **changes)
