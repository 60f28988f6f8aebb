"""A vehicle of the simulator: who controls it, what it does, and what it has touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from envs.airsim_server import frames
from envs.airsim_server.flyers import OFF
from envs.airsim_wire.structs import CollisionInfo, RCData

if TYPE_CHECKING:
    from envs.airsim_server.car import Car
    from envs.airsim_server.detections import Watch
    from envs.airsim_server.flyers import Flyers
    from envs.airsim_server.moves import Move
    from envs.airsim_server.settings import CameraSettings, Kind, SensorSettings, VehicleSettings
    from qmarl.types import Array


@final
class Vehicle:
    """One vehicle. Everything that it tells is in AirSim's axes.

    Args:
        settings: Its name, kind and start.
        radius: Radius at which it touches things, m.

    Attributes:
        spawn: ``(3,)`` float64 m, where its own frame begins in the world.
        api: Whether scripts may command it.
        armed: Whether its rotors may turn.
        collision: The last one, until it is asked for.
        move: What it is doing; None where it does nothing.
        resting: Whether it stands on something.
        watches: What its cameras look for, by name and image type.
        index: Its column among the flyers; -1 for the other kinds.
    """

    def __init__(self, settings: VehicleSettings, radius: float) -> None:
        self.settings, self.radius = settings, radius
        self.spawn: Array = np.array(settings.position)
        self.api = self.armed = self.resting = False
        self.collision, self.rc = CollisionInfo(), RCData()
        self.move: Move | None = None
        self.cameras: dict[str, CameraSettings] = dict(settings.cameras)
        self.sensors: dict[str, SensorSettings] = {each.name: each for each in settings.sensors}
        self.watches: dict[tuple[str, int], Watch] = {}
        self.index = -1
        self.flyers: Flyers | None = None
        self.car: Car | None = None
        self._eye_position: Array = np.zeros(3)
        self._eye_turn: Array = np.array([1.0, 0, 0, 0])

    @property
    def name(self) -> str:
        """Its name."""
        return self.settings.name

    @property
    def kind(self) -> Kind:
        """What it is."""
        return self.settings.kind

    @property
    def place(self) -> Array:
        """``(3,)`` float64 m in our frame of the world."""
        if self.flyers is not None:
            flown: Array = self.flyers.position[self.index].astype(np.float64)
            return flown
        if self.car is not None:
            return self.car.position.astype(np.float64)
        return self._eye_position

    @property
    def position(self) -> Array:
        """``(3,)`` float64 m from where it was spawned."""
        return frames.turned(self.place) - self.spawn

    @property
    def velocity(self) -> Array:
        """``(3,)`` float64 m/s."""
        if self.flyers is not None:
            return frames.turned(self.flyers.velocity[self.index])
        return np.zeros(3) if self.car is None else frames.turned(self.car.velocity)

    @property
    def sinking(self) -> float:
        """m/s downward."""
        if self.flyers is None:
            return 0.0
        return -float(self.flyers.velocity[self.index, 2])

    @property
    def acceleration(self) -> Array:
        """``(3,)`` float64 m/s^2."""
        if self.flyers is not None:
            return frames.turned(self.flyers.acceleration[self.index])
        return np.zeros(3) if self.car is None else frames.turned(self.car.acceleration)

    @property
    def turn(self) -> Array:
        """Its attitude ``(4,)`` float64, scalar first."""
        if self.flyers is not None:
            return frames.turned_attitude(self.flyers.quaternion[self.index])
        if self.car is not None:
            return frames.from_euler(0.0, 0.0, -self.car.heading)
        return frames.turned_attitude(self._eye_turn)

    @property
    def rates(self) -> Array:
        """``(3,)`` float64 rad/s about its forward, right and down axes."""
        if self.flyers is not None:
            return frames.turned(self.flyers.rates[self.index])
        return np.array([0.0, 0.0, 0.0 if self.car is None else -self.car.yaw_rate])

    @property
    def yaw(self) -> float:
        """Its heading, rad, clockwise from north."""
        return frames.to_euler(self.turn)[2]

    @property
    def driven(self) -> bool:
        """Whether its commands count: scripts control it, and a multirotor is armed."""
        return self.api and (self.armed or self.kind != "multirotor")

    def put(self, position: Array, turn: Array) -> None:
        """Puts it at rest.

        Args:
            position: ``(3,)`` m from where it was spawned.
            turn: ``(4,)`` attitude.
        """
        place = frames.turned(position + self.spawn)
        own = frames.turned_attitude(turn)
        if self.flyers is not None:
            self.flyers.place(self.index, place, own)
            self.resting = False
        elif self.car is not None:
            self.car.place(place, -frames.to_euler(turn)[2])
        else:
            self._eye_position, self._eye_turn = place, own

    def set_velocity(self, velocity: Array) -> None:
        """Has it move at ``(3,)`` m/s; a car along its heading."""
        moving = frames.turned(velocity)
        if self.flyers is not None:
            self.flyers.halt(self.index, self.place, moving)
        elif self.car is not None:
            self.car.set_velocity(moving)

    def restart(self) -> None:
        """Puts it back to where it was spawned, disarmed, out of control, without a collision."""
        self.api = self.armed = False
        self.collision, self.rc, self.move = CollisionInfo(), RCData(), None
        self.put(np.zeros(3), frames.from_euler(0.0, 0.0, np.radians(self.settings.yaw)))
        if self.flyers is not None:
            self.flyers.mode[self.index] = OFF
            self.flyers.turning[self.index] = 0
        if self.car is not None:
            self.car.controls = type(self.car.controls)()
