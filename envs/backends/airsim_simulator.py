"""One AirSim simulator as one copy of a world: taken over, placed, stepped in lockstep, read."""

from __future__ import annotations

import json
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from envs.airsim_wire import calls
from envs.airsim_wire.client import Client, ClientName, make_connection
from envs.airsim_wire.codec import WireError
from envs.airsim_wire.connection import LostError, RefusedError, Request
from envs.backends.airsim_commands import Drive, Manner, move_of, places_of
from envs.backends.airsim_frames import flipped, motions, vector_map
from qmarl.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envs.airsim_wire.address import Address
    from qmarl.types import Array

_NEAR: Final = 1.0  # m from where a vehicle was put
_PAUSED: Final = "simIsPaused"
_PAUSE: Final = 0.002  # s between two questions
_EXACT: Final = 1000  # ns
_FAREWELL: Final = 1.0  # s for the last words to a simulator that may be gone
_FOREIGN: Final = 1.75  # times the step that was asked for: somebody else moves the clock
_WINDOW: Final = 8  # steps over which the clock is judged


@dataclass(frozen=True)
class Plan:
    """What is asked of every simulator.

    Attributes:
        vehicles: Names of the vehicles, agent by agent.
        kinds: ``drone`` or ``vehicle`` for each of them.
        dt: Seconds per decision.
        frames: Frames per decision in place of time; 0 goes by time.
        origin: ``(3,)`` of the arena in the simulator's world, north, east and down, m.
        drive: What pedals and wheel do.
        client: Which connection.
        timeout_s: Seconds that a call may take.
    """

    vehicles: tuple[str, ...]
    kinds: tuple[str, ...]
    dt: float
    frames: int
    origin: tuple[float, float, float]
    drive: Drive
    client: ClientName
    timeout_s: float


@dataclass(frozen=True)
class Sight:
    """What a simulator shows after a step, in our axes.

    Attributes:
        position: ``(A, 3)`` float64 m.
        velocity: ``(A, 3)`` float64 m/s.
        heading: ``(A,)`` float64 rad.
        contact: ``(A,)`` bool, whom the simulator saw collide since the last step.
        seconds: Simulated time since the last step.
    """

    position: Array
    velocity: Array
    heading: Array
    contact: Array
    seconds: float


@final
class Simulator:
    """A session with one simulator; every method may raise :class:`LostError`.

    Time stands still but during :meth:`step`. Whatever was left by a run that crashed (a simulator
    that is paused, a latched collision, commands under way) is cleared when a session begins.

    Args:
        plan: What is asked of it.
        address: Where it listens.
    """

    def __init__(self, plan: Plan, address: Address) -> None:
        self._plan, self.address = plan, address
        self._client = Client(make_connection(plan.client, address, plan.timeout_s))
        self._in_order = True  # until it is seen not to be
        self._reads, self._guards = self._questions(), self._watch()
        self._offset: Array = np.zeros((len(plan.vehicles), 3))
        self._clock, self._asked, self._recent = 0, 0, [plan.dt] * _WINDOW
        self.is_open = False
        # Also for worlds that nobody closes: at the latest when the process ends.
        weakref.finalize(self, _part, self._client, plan.vehicles)

    def open(self) -> None:
        """Takes the simulator over.

        Raises:
            ConfigurationError: It has not the vehicles that agents need.
        """
        client, plan = self._client, self._plan
        client.open()
        client.call(calls.pause(False))
        client.call(calls.reset())
        client.call(calls.pause(True))
        there = client.call(calls.list_vehicles())
        self._check_vehicles(there)
        self._offset = self._homes() - np.array(plan.origin)
        self.is_open = True

    def place(self, position: Array, heading: Array, velocity: Array) -> Sight:
        """Puts the vehicles somewhere: ``(A, 3)`` m, ``(A,)`` rad and ``(A, 3)`` m/s, our axes."""
        client, plan = self._client, self._plan
        version = client.version
        control = [
            call.request(version)
            for name in plan.vehicles
            for call in (calls.enable_api_control(True, name), calls.arm_disarm(True, name))
        ]
        local = flipped(position) - self._offset
        client.ask([calls.pause(True).request(version), *control])
        client.ask(places_of(plan.vehicles, local, heading))
        self._set_moving(local, heading, velocity)
        client.ask(self._reads[len(plan.vehicles) :])  # to ask for collisions is to forget them
        self._clock, self._recent = 0, [plan.dt] * _WINDOW
        found = self._read()
        apart = np.linalg.norm(found.position - position, axis=-1)
        if apart.max() > _NEAR:
            who = int(apart.argmax())
            raise LostError(
                f"the simulator at {self.address} put '{plan.vehicles[who]}' {apart[who]:.1f} m "
                "away from where it should start; something may stand there"
            )
        return found

    def step(self, command: Array, moving: Array, manner: Manner, wind: Array | None) -> Sight:
        """Commands all vehicles, lets time run for one decision and looks.

        Args:
            command: ``(A, C)`` as :func:`envs.backends.airsim_commands.move_of` reads it.
            moving: ``(A,)`` bool; the others are told to stand still.
            manner: What drones are commanded by.
            wind: ``(3,)`` m/s in our axes; left as it is when None.
        """
        plan = self._plan
        own = zip(command.tolist(), moving.tolist(), strict=True)
        rows = zip(plan.kinds, plan.vehicles, own, strict=True)
        made = [move_of(kind, name, mine, manner, plan.drive) for kind, name, mine in rows]
        if wind is not None:
            made.append(Request("simSetWind", (vector_map(flipped(wind).tolist()),)))
        found = self._read([*made, self._go()])
        self._check_clock(found.seconds)
        return found

    def release(self) -> None:
        """Lets the simulator run free and closes the session; never fails."""
        if self.is_open:
            _set_free(self._client, self._plan.vehicles)
        self.drop()

    def drop(self) -> None:
        """Closes the session without a word."""
        self.is_open = False
        self._client.close()

    def _questions(self) -> list[Request]:
        """What is asked after every step: states, then collisions."""
        plan = self._plan
        words = {"drone": "getMultirotorState", "vehicle": "getCarState"}
        pairs = zip(plan.kinds, plan.vehicles, strict=True)
        states = [Request(words[kind], (name,)) for kind, name in pairs]
        return [*states, *(Request("simGetCollisionInfo", (name,)) for name in plan.vehicles)]

    def _watch(self) -> list[Request]:
        """What is asked in turns: whether time stands still, and who listens to us."""
        names = self._plan.vehicles
        return [Request(_PAUSED), *(Request("isApiControlEnabled", (name,)) for name in names)]

    def _await_stop(self) -> None:
        """Waits until time stands still: with cars, the call that lets it run does not."""
        deadline = time.monotonic() + self._plan.dt + self._plan.timeout_s
        while self._client.ask([Request(_PAUSED)]) != [True]:
            if time.monotonic() > deadline:
                raise self._late(paused=False)
            time.sleep(_PAUSE)

    def _go(self) -> Request:
        plan = self._plan
        if plan.frames:
            return Request("simContinueForFrames", (plan.frames,))
        return Request("simContinueForTime", (plan.dt,))

    def _check_vehicles(self, there: Sequence[str]) -> None:
        missing = [name for name in self._plan.vehicles if name not in there]
        if missing:
            raise ConfigurationError(
                f"the simulator at {self.address} has no vehicle {', '.join(map(repr, missing))}; "
                f"it has {', '.join(map(repr, there)) or 'none'}. Name them in env.airsim.vehicles,"
                " or write its settings.json with 'qmarl sim settings'"
            )

    def _homes(self) -> Array:
        """Where the vehicles were spawned ``(A, 3)``, in the simulator's world."""
        known = _spawns(self._client.call(calls.settings_string()))
        rows = [known.get(name) or self._seen_home(name) for name in self._plan.vehicles]
        return np.array(rows, np.float64)

    def _seen_home(self, name: str) -> tuple[float, float, float]:
        """The spawn of a vehicle that the settings do not tell of."""
        at, moved = self._client.batch([calls.object_pose(name), calls.vehicle_pose(name)])
        pairs = zip(vars(at.position).values(), vars(moved.position).values(), strict=True)
        x, y, z = (there - here for there, here in pairs)
        return x, y, z

    def _set_moving(self, local: Array, heading: Array, velocity: Array) -> None:
        """Gives a speed to those that start with one."""
        plan, requests = self._plan, []
        for at in np.flatnonzero(velocity.any(-1)).tolist():
            state = places_of(plan.vehicles[at : at + 1], local[at : at + 1], heading[at : at + 1])
            still = vector_map((0.0, 0.0, 0.0))
            kinematics = {
                **state[0].params[0],
                "linear_velocity": vector_map(flipped(velocity[at]).tolist()),
                "angular_velocity": still,
                "linear_acceleration": still,
                "angular_acceleration": still,
            }
            requests.append(Request("simSetKinematics", (kinematics, True, plan.vehicles[at])))
        if requests:
            self._client.ask(requests)

    def _read(self, first: Sequence[Request] = ()) -> Sight:
        """Asks for ``first``, waits until time stands still, and reads states that are new.

        A simulator that answers one call after the other can be asked for all of it at once. Not
        all do; that states are older by exactly one decision proves it, step by step.
        """
        self._asked = (self._asked + 1) % len(self._guards)
        asked = [*self._reads, self._guards[self._asked]]
        seconds = self._plan.timeout_s + self._plan.dt
        contact, deadline = np.zeros(len(self._plan.vehicles), bool), time.monotonic() + seconds
        if first and not self._in_order:
            self._run(first, seconds)
            first = ()
        while True:
            found = self._client.ask([*first, *asked], seconds)[-len(asked) :]
            states, watched = found[: len(contact)], found[-1]
            now = self._glance(states, found[len(contact) : -1], contact)
            if first and not self._exact(now):
                self._in_order, first = False, ()
                self._await_stop()
                continue
            paused = watched is True or self._guards[self._asked].method != _PAUSED
            if now > self._clock and paused:
                break
            if time.monotonic() > deadline:
                raise self._late(paused)
            first = ()
            time.sleep(_PAUSE)
        if watched is not True:
            who = self._guards[self._asked].params[0]
            raise LostError(f"somebody took API control of '{who}' away at {self.address}")
        return self._sight(states, contact, now)

    def _run(self, first: Sequence[Request], seconds: float) -> None:
        """Lets time run, and waits until it stands still."""
        self._client.ask(first, seconds)
        if "vehicle" in self._plan.kinds:
            self._await_stop()

    def _exact(self, now: int) -> bool:
        """Whether exactly one decision has passed, to the microsecond."""
        passed = now - self._clock
        return not self._plan.frames and abs(passed - round(self._plan.dt * 1e9)) < _EXACT

    def _glance(self, states: Sequence[Any], collisions: Sequence[Any], contact: Array) -> int:
        """Notes who collided in ``contact``; returns the oldest state's time, ns."""
        try:
            contact |= [bool(each["has_collided"]) for each in collisions]
            return min(int(state["timestamp"]) for state in states)
        except (KeyError, TypeError, ValueError) as error:
            raise self._broken(error) from None

    def _sight(self, states: Sequence[Mapping[str, Any]], contact: Array, now: int) -> Sight:
        try:
            position, velocity, heading = motions(states)
        except WireError as error:
            raise self._broken(error) from None
        seconds = (now - self._clock) * 1e-9 if self._clock else 0.0
        self._clock = now
        place = flipped(position + self._offset)
        return Sight(place, flipped(velocity), heading, contact, seconds)

    def _check_clock(self, seconds: float) -> None:
        """Sees whether somebody else moves the simulator's clock too."""
        self._recent = [*self._recent[1:], seconds]
        if not self._plan.frames and sum(self._recent) > _FOREIGN * _WINDOW * self._plan.dt:
            raise LostError(
                f"the clock of the simulator at {self.address} runs {seconds:g} s in a step of "
                f"{self._plan.dt:g} s: another program steps it too"
            )

    def _broken(self, error: Exception) -> LostError:
        return LostError(f"the simulator at {self.address} sent what no simulator sends: {error}")

    def _late(self, paused: bool) -> LostError:
        what = "sends states that are old" if paused else "does not stop when it should"
        return LostError(f"the simulator at {self.address} {what}")


def _set_free(client: Client, vehicles: Sequence[str]) -> None:
    """Gives vehicles back and lets time run; a simulator that is gone keeps nothing."""
    free = [Request("enableApiControl", (False, name)) for name in vehicles]
    with suppress(LostError, RefusedError):
        client.ask([*free, Request("simPause", (False,))], _FAREWELL)


def _part(client: Client, vehicles: Sequence[str]) -> None:
    if client.connection.connected:
        _set_free(client, vehicles)
        client.close()


def _spawns(text: str) -> dict[str, tuple[float, float, float]]:
    """Spawn places by name, of vehicles whose settings tell them; X, Y and Z are 0 or all told."""
    try:
        vehicles = json.loads(text).get("Vehicles", {})
        return {
            str(name): (float(own.get("X", 0)), float(own.get("Y", 0)), float(own.get("Z", 0)))
            for name, own in vehicles.items()
        }
    except (ValueError, AttributeError, TypeError):
        return {}
