"""Contacts: who touches what, and what obstacles do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, final

import numpy as np

from envs.airsim_server import frames
from envs.airsim_server.scene import GROUND
from envs.airsim_wire.structs import CollisionInfo
from envs.sensing.geometry import surfaces

if TYPE_CHECKING:
    from envs.airsim_server.scene import Scene
    from envs.airsim_server.vehicle import Vehicle
    from qmarl.types import Array

_NEAR: Final = 1e-3  # m, at which something stands on the ground
_IMPACT: Final = 0.5  # m/s downward, above which touching the ground is a collision
_UPRIGHT: Final = 0.7  # part of a normal that points up where something can stand


@final
class Contacts:
    """Watches vehicles while time passes.

    Args:
        scene: What stands in the world.
        stops: Whether obstacles stop vehicles.
    """

    def __init__(self, scene: Scene, stops: bool) -> None:
        self._scene, self._stops = scene, stops
        self._before: Array = np.zeros((0, 3))
        self._falling: list[float] = []

    def begin(self, vehicles: Sequence[Vehicle]) -> None:
        """Takes note of where all are before time passes."""
        if self._scene.names:
            self._before = np.array([vehicle.place for vehicle in vehicles])
        if not self._scene.walled:
            self._falling = [vehicle.sinking for vehicle in vehicles]

    def end(self, vehicles: Sequence[Vehicle], stamp: int) -> None:
        """Finds what has been touched meanwhile.

        Args:
            vehicles: The same ones.
            stamp: Time that collisions carry, ns.
        """
        here = np.array([vehicle.place for vehicle in vehicles])
        for index, place in enumerate(here.tolist()):
            self._ground(vehicles[index], place, index, stamp)
        if self._scene.names:
            self._obstacles(vehicles, here, stamp)
        if len(vehicles) > 1:
            self._mates(vehicles, here, stamp)

    def _ground(self, vehicle: Vehicle, place: list[float], index: int, stamp: int) -> None:
        was = vehicle.resting
        vehicle.resting = place[2] <= self._scene.ground + _NEAR
        if self._scene.walled or was or not vehicle.resting:
            return
        if self._falling[index] > _IMPACT:
            under = np.array([place[0], place[1], self._scene.ground])
            _touch(vehicle, GROUND, np.array([0, 0, 1.0]), under, 0.0, stamp, 0)

    def _obstacles(self, vehicles: Sequence[Vehicle], here: Array, stamp: int) -> None:
        """Looks where vehicles are and where they were halfway."""
        places = np.stack([(self._before + here) / 2, here]).astype(np.float32)
        found = surfaces(places.reshape(1, -1, 3), self._scene.solids())
        count = len(vehicles)
        gaps = found.gap[0].reshape(2, count, -1)
        ways = found.toward[0].reshape(2, count, -1, 3)
        for index, vehicle in enumerate(vehicles):
            own = gaps[:, index] - np.float32(vehicle.radius)
            moment, thing = np.unravel_index(int(own.argmin()), own.shape)
            gap = float(own[moment, thing])
            if gap > _NEAR:
                continue
            name, normal = self._scene.names[thing], -ways[moment, index, thing]
            vehicle.resting = vehicle.resting or (self._stops and bool(normal[2] > _UPRIGHT))
            if gap > 0:
                continue
            point = places[moment, index] - normal * (vehicle.radius + gap)
            _touch(vehicle, name, normal, point, -gap, stamp, self._scene.number(name))
            if self._stops and vehicle.kind != "eye":
                self._stop(vehicle, places[moment, index] - normal * (gap - _NEAR / 2), normal)

    @staticmethod
    def _stop(vehicle: Vehicle, place: Array, normal: Array) -> None:
        """Puts a vehicle in front of what it touches, without its velocity into it."""
        velocity = frames.turned(vehicle.velocity)
        left = velocity - normal * min(0.0, float(velocity @ normal))
        if vehicle.flyers is not None:
            vehicle.flyers.halt(vehicle.index, place, left)
        elif vehicle.car is not None:
            vehicle.car.halt(place, left)

    def _mates(self, vehicles: Sequence[Vehicle], here: Array, stamp: int) -> None:
        """Finds pairs that touch; they pass through each other."""
        radii = np.array([vehicle.radius for vehicle in vehicles])
        apart = here[:, None] - here[None]
        square = np.einsum("ijk,ijk->ij", apart, apart)
        reach = radii[:, None] + radii[None]
        near = square < reach * reach
        if np.count_nonzero(near) == len(vehicles):  # each one to itself
            return
        distance = np.sqrt(square)
        depth = reach - distance
        for one, other in np.argwhere(np.triu(near, 1)).tolist():
            way = apart[one, other] / max(float(distance[one, other]), 1e-6)
            point = here[other] + way * radii[other]
            for mine, theirs, normal in ((one, other, way), (other, one, -way)):
                name = vehicles[theirs].name
                _touch(vehicles[mine], name, normal, point, depth[one, other], stamp, -1)


def _touch(
    vehicle: Vehicle,
    name: str,
    normal: Array,
    point: Array,
    depth: float,
    stamp: int,
    number: int,
) -> None:
    """Has a vehicle remember a collision; places are in its own frame."""
    vehicle.collision = CollisionInfo(
        True,
        float(depth),
        stamp,
        frames.vector(frames.turned(normal)),
        frames.vector(frames.turned(point) - vehicle.spawn),
        frames.vector(vehicle.position),
        name,
        number,
    )
