"""The simulator: vehicles, obstacles and a clock of whole nanoseconds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, final

import numpy as np

from envs.airsim_server import frames
from envs.airsim_server.call_table import Deferred
from envs.airsim_server.car import Car
from envs.airsim_server.contacts import Contacts
from envs.airsim_server.errors import CallError
from envs.airsim_server.flyers import OFF, PARKED, SECOND, VELOCITY, Flyers
from envs.airsim_server.masses import Masses
from envs.airsim_server.moves import Hover, Move
from envs.airsim_server.quadrotors import Quadrotors
from envs.airsim_server.scene import Scene
from envs.airsim_server.settings import Settings, VehicleSettings
from envs.airsim_server.snapshot import Snapshot
from envs.airsim_server.vehicle import Vehicle
from envs.airsim_wire.structs import YawMode

if TYPE_CHECKING:
    from envs.airsim_wire.codec import Version
    from qmarl.types import Array

TICK: Final = SECOND // 100
"""Nanoseconds in which time passes while nobody counts it."""
FRAME: Final = SECOND // 50
"""Simulated nanoseconds that stand for a rendered frame."""
MOST_VEHICLES: Final = 64
"""Vehicles beyond this are refused."""

_MOMENT: Final = 0.05  # s of work after which others are listened to


@final
class Simulator:
    """A world whose time passes when :meth:`advance` is called, and by as much.

    Args:
        settings: What there is.
        version: Whose protocol it speaks: 1 AirSim, 4 Cosys-AirSim.

    Attributes:
        now: Nanoseconds of simulated time since it began.
        paused: Whether time stands still.
        scene: The obstacles.
        weather: What scripts have set, by its number.
    """

    def __init__(self, settings: Settings, version: Version = 1) -> None:
        self.settings, self.version = settings, version
        self.now, self._epoch = 0, time.time_ns()
        self.paused, self.recording = False, False
        self.scene = Scene(settings.own)
        self.weather: dict[int, float] = {}
        self._contacts = Contacts(self.scene, settings.own.contact == "stop")
        self._vehicles: dict[str, Vehicle] = {}
        self._flyers: Flyers | None = None
        self._wind: Array = np.zeros(3)
        self._run: tuple[int, Deferred] | None = None
        self._snapshot: Snapshot | None = None
        for given in settings.vehicles:
            self.add(given)
        self.blow(np.array(settings.wind))

    @property
    def stamp(self) -> int:
        """The time that states carry, ns since 1970."""
        return self._epoch + self.now

    @property
    def vehicles(self) -> list[Vehicle]:
        """All vehicles in their order."""
        return list(self._vehicles.values())

    def vehicle(self, name: str) -> Vehicle | None:
        """A vehicle by name; the first one for an empty name."""
        if not name and self._vehicles:
            return next(iter(self._vehicles.values()))
        return self._vehicles.get(name)

    def add(self, given: VehicleSettings) -> Vehicle:
        """Adds a vehicle at rest.

        Raises:
            CallError: There are too many, or one has this name.
        """
        if len(self._vehicles) >= MOST_VEHICLES or given.name in self._vehicles:
            raise CallError(f"vehicle '{given.name}' cannot be added")
        own = self.settings.own
        car = given.kind == "car"
        vehicle = Vehicle(given, own.car_radius if car else own.multirotor_radius)
        if given.kind == "multirotor":
            self._enlarge(vehicle)
        elif car:
            vehicle.car = Car(own.bicycle, self.scene.box)
        self._vehicles[given.name] = vehicle
        vehicle.restart()
        self._settle([vehicle])
        self._snapshot = None
        return vehicle

    def blow(self, wind: Array) -> None:
        """Sets the wind, ``(3,)`` m/s in AirSim's axes."""
        self._wind = wind
        if self._flyers is not None:
            self._flyers.air[...] = frames.turned(wind)[:, None]

    def reset(self) -> None:
        """Puts all vehicles and obstacles back to how they were at first; time goes on."""
        for vehicle in self.vehicles:
            self._end(vehicle, False)
            vehicle.restart()
        self.scene.reset()
        self._settle(self.vehicles)
        self._snapshot = None

    def begin(self, vehicle: Vehicle, move: Move) -> None:
        """Has a multirotor do something; what it did before is over."""
        self._end(vehicle, False)
        vehicle.move = move
        if move.left <= 0 or move.reached(vehicle):
            self._finish(vehicle, move.left > 0 or move.expired)
        elif not move.period:
            self._command(vehicle, move, 0.0)

    def cancel(self, vehicle: Vehicle) -> None:
        """Ends what a multirotor does; it hovers."""
        self._end(vehicle, False)
        self._idle(vehicle)

    def advance(self, nanoseconds: int) -> None:
        """Lets exactly this time pass."""
        end, self._snapshot = self.now + nanoseconds, None
        while self.now < end:
            vehicles = self.vehicles
            stride = self._stride(vehicles, end - self.now)
            self._steer(vehicles, stride)
            self._contacts.begin(vehicles)
            if self._flyers is not None:
                self._flyers.advance(stride)
            for vehicle in vehicles:
                if vehicle.car is not None:
                    vehicle.car.advance(stride, vehicle.driven)
            self.now += stride
            self._contacts.end(vehicles, self.stamp)
            self._tell(vehicles, stride)

    def run(self, nanoseconds: int) -> Deferred:
        """Lets time pass and then stand still; what comes after waits for it.

        A short time passes at once; a longer one while :meth:`work` is called.
        """
        self.end_run()
        self.paused, answer = False, Deferred(holds=True)
        self._run = nanoseconds, answer
        self.work()
        return answer

    @property
    def running(self) -> bool:
        """Whether a time is passing that :meth:`run` was asked for."""
        return self._run is not None

    def work(self) -> None:
        """Goes on with what :meth:`run` was asked for, for a moment."""
        if self._run is None:
            return
        left, answer = self._run
        until = time.perf_counter() + _MOMENT
        while left > 0:
            part = min(left, SECOND)
            self.advance(part)
            left -= part
            if time.perf_counter() > until:
                break
        self._run = left, answer
        if left <= 0:
            self.paused = True
            self.end_run()

    def end_run(self) -> None:
        """Answers whoever waits for :meth:`run`."""
        if self._run is not None:
            _, answer = self._run
            self._run = None
            answer.set(None)

    def snapshot(self) -> Snapshot:
        """The multirotors as they are now."""
        if self._snapshot is None:
            assert self._flyers is not None
            own = [vehicle for vehicle in self.vehicles if vehicle.flyers is not None]
            self._snapshot = Snapshot.of(self._flyers, own)
        return self._snapshot

    def set_velocity(self, vehicle: Vehicle, velocity: Array) -> None:
        """Has a vehicle move at ``(3,)`` m/s."""
        vehicle.set_velocity(velocity)
        self._snapshot = None

    def teleport(self, vehicle: Vehicle, position: Array, turn: Array) -> None:
        """Puts a vehicle at rest at ``(3,)`` m of its own frame with the attitude ``(4,)``."""
        vehicle.put(position, turn)
        self._settle([vehicle])
        self._snapshot = None
        if isinstance(vehicle.move, Hover):
            self._idle(vehicle)

    def _stride(self, vehicles: list[Vehicle], rest: int) -> int:
        """Nanoseconds until something has to be looked at."""
        if self._flyers is not None:
            rest = min(rest, self._flyers.longest)
        for vehicle in vehicles:
            if vehicle.car is not None:
                rest = min(rest, vehicle.car.longest)
            move = vehicle.move
            if move is not None:
                rest = min(rest, move.left, move.period or rest)
        return rest

    def _steer(self, vehicles: list[Vehicle], stride: int) -> None:
        """Has everyone commanded for the next stride."""
        for vehicle in vehicles:
            flyers, move = vehicle.flyers, vehicle.move
            if flyers is None:
                continue
            if move is not None and vehicle.driven:
                self._command(vehicle, move, stride / SECOND)
            elif vehicle.resting:
                flyers.mode[vehicle.index] = PARKED
            elif vehicle.driven:
                self._idle(vehicle)
                self._command(vehicle, vehicle.move, stride / SECOND)
            else:
                flyers.mode[vehicle.index] = OFF

    @staticmethod
    def _command(vehicle: Vehicle, move: Move | None, seconds: float) -> None:
        """Lets a move steer, where it may and has anything new to say."""
        assert vehicle.flyers is not None
        if move is None or not vehicle.driven:
            return
        if move.period or not seconds or vehicle.flyers.mode[vehicle.index] in (OFF, PARKED):
            move.steer(vehicle, seconds)

    def _tell(self, vehicles: list[Vehicle], stride: int) -> None:
        """Ends the moves that are over."""
        for vehicle in vehicles:
            move = vehicle.move
            if move is None:
                continue
            move.left -= stride
            if move.period and vehicle.driven and move.reached(vehicle):
                self._finish(vehicle, True)
            elif move.left <= 0:
                self._finish(vehicle, move.expired and vehicle.driven)

    def _finish(self, vehicle: Vehicle, outcome: bool) -> None:
        self._end(vehicle, outcome)
        if vehicle.resting:
            return
        self._idle(vehicle)

    @staticmethod
    def _end(vehicle: Vehicle, outcome: bool) -> None:
        move, vehicle.move = vehicle.move, None
        if move is not None:
            move.finish(outcome)

    @staticmethod
    def _idle(vehicle: Vehicle) -> None:
        """Has a drone hover where it is."""
        if vehicle.flyers is not None and vehicle.driven:
            vehicle.move = Hover(vehicle.position, YawMode())
            vehicle.flyers.mode[vehicle.index] = VELOCITY
            vehicle.flyers.turning[vehicle.index] = 0

    def _settle(self, vehicles: list[Vehicle]) -> None:
        """Says who stands on the ground."""
        for vehicle in vehicles:
            vehicle.resting = bool(vehicle.place[2] <= self.scene.ground + 1e-3)

    def _enlarge(self, vehicle: Vehicle) -> None:
        """Makes room among the flyers for one more."""
        own, old = self.settings.own, self._flyers
        count = 1 if old is None else old.count + 1
        flyers: Flyers
        if own.physics == "point":
            flyers = Masses(own.point, count, self.scene.box)
        else:
            flyers = Quadrotors(own.quad6dof, count, self.scene.box)
        if old is not None:
            flyers.take_over(old)
        for each in self.vehicles:
            if each.flyers is not None:
                each.flyers = flyers
        vehicle.flyers, vehicle.index, self._flyers = flyers, count - 1, flyers
        flyers.air[...] = frames.turned(self._wind)[:, None]
