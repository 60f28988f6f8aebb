"""States of all multirotors at once, in AirSim's axes, as plain numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from envs.airsim_server import frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envs.airsim_server.flyers import Flyers
    from envs.airsim_server.vehicle import Vehicle


class Snapshot(NamedTuple):
    """What moves how, multirotor by multirotor; positions from where each was spawned.

    Attributes:
        position: m.
        turn: Attitudes, scalar first.
        velocity: m/s.
        rates: rad/s about the body's axes.
        acceleration: m/s^2.
    """

    position: list[list[float]]
    turn: list[list[float]]
    velocity: list[list[float]]
    rates: list[list[float]]
    acceleration: list[list[float]]

    @classmethod
    def of(cls, flyers: Flyers, vehicles: Sequence[Vehicle]) -> Snapshot:
        """Takes one of all; ``vehicles`` are those that the flyers move, in their order."""
        spawns = np.array([vehicle.spawn for vehicle in vehicles])
        return cls(
            (frames.turned(flyers.position) - spawns).tolist(),
            frames.turned_attitude(flyers.quaternion).tolist(),
            frames.turned(flyers.velocity).tolist(),
            frames.turned(flyers.rates).tolist(),
            frames.turned(flyers.acceleration).tolist(),
        )
