"""AirSim as a backend: every copy of a world is flown by a simulator of its own, in lockstep."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

import numpy as np

from envs.airsim_wire.connection import LostError, RefusedError
from envs.backends.airsim_commands import Drive, Manner
from envs.backends.airsim_fleet import Berth, fleet_of
from envs.backends.airsim_settings import settings_text
from envs.backends.airsim_simulator import Plan, Sight, Simulator
from envs.backends.randomisation import CommandDelay, Conditions, RandomisationConfig
from envs.backends.wind import Wind, WindConfig
from qmarl.errors import ConfigurationError, RunError, UnreachableError

if TYPE_CHECKING:
    from envs.backends.airsim_config import AirsimConfig
    from envs.bodies import Start
    from qmarl.types import Array

_Result = TypeVar("_Result")
_BETWEEN: Final = 0.2  # s between two tries to reach a simulator
_MOST_LOSSES: Final = 5  # episodes in a row that a simulator may lose
_Job = Callable[[int], _Result]


@dataclass(frozen=True)
class Crew:
    """Who flies in every simulator.

    Attributes:
        names: The agents' names, which are the vehicles' unless the section names others.
        kinds: ``drone`` or ``vehicle`` for each of them.
        dt: Seconds per decision.
        drive: What pedals and wheel do.
        own: What our own simulator is told, where we start it: the key ``Qmarl`` of its settings.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    dt: float
    drive: Drive
    own: Mapping[str, Any] = field(default_factory=dict)


@final
class AirsimBackend:
    """``E`` simulators that move ``A`` bodies each; implements :class:`envs.batch.Backend`.

    A simulator is reached when an episode first needs it. One that is lost in the middle of an
    episode leaves its bodies where they were last seen, and :attr:`lost` says so; it is waited for,
    or started again, before the next episode begins. The simulator's own physics moves the bodies:
    of ``randomisation`` only ``latency`` acts here, and ``wind`` blows decision by decision as it
    does in our own backends.

    Implements :class:`envs.batch.Watch` too: an episode's ``lost`` says that its simulator failed,
    ``contact`` that the simulator saw a collision (with whatever stands in it, too), and ``clock``
    how much time passed over what was asked for.

    Args:
        config: The simulators.
        shape: ``(E, A)``.
        crew: Who flies.
        wind: The wind; the simulator's own when its speed is 0.
        randomisation: What differs from episode to episode.

    Attributes:
        dt: Seconds per decision.
        draws: Uniform numbers that an episode needs.
        position: ``(E, A, 3)`` float32 m.
        velocity: ``(E, A, 3)`` float32 m/s.
        heading: ``(E, A)`` float32 rad.
        lost: ``(E,)`` bool, whose simulator was lost in this episode.
        elapsed: ``(E,)`` seconds of the last decision, by the simulators' clocks.

    Raises:
        ConfigurationError: There are fewer simulators than copies, or names than agents.
    """

    names: tuple[str, ...] = ("lost", "contact", "clock")

    def __init__(
        self,
        config: AirsimConfig,
        shape: tuple[int, int],
        crew: Crew,
        wind: WindConfig | None = None,
        randomisation: RandomisationConfig | None = None,
    ) -> None:
        spread = randomisation or RandomisationConfig()
        self._config, self._plan = config, _plan(config, crew)
        self._own = crew.own
        if shape[0] > config.simulators:
            raise ConfigurationError(
                f"env.num_envs: {shape[0]} copies of a world need as many simulators, and "
                f"env.airsim has {config.simulators}: set env.num_envs={config.simulators}, name "
                "more in env.airsim.addresses, or set env.airsim.launch.simulators"
            )
        self.dt = self._plan.dt
        self._conditions = Conditions(spread, shape)
        self._delay = CommandDelay(spread.latency, shape)
        self._wind = Wind(wind or WindConfig(), shape[0], self.dt)
        self.draws = self._conditions.draws + self._wind.draws
        self.position: Array = np.zeros((*shape, 3), np.float32)
        self.velocity: Array = np.zeros((*shape, 3), np.float32)
        self.heading: Array = np.zeros(shape, np.float32)
        self.lost: Array = np.zeros(shape[0], bool)
        self.elapsed: Array = np.zeros(shape[0])
        self._contact, self._steps = np.zeros(shape[0], bool), np.zeros(shape[0], np.int64)
        self._time: Array = np.zeros(shape[0])
        self._losses: list[list[str]] = [[] for _ in range(shape[0])]  # in a row, and why
        self._drones: Array = np.array([kind == "drone" for kind in crew.kinds])
        self._berths: list[Berth] = []
        self._simulators: list[Simulator] = []
        # A simulator stays with one thread: packages' clients cannot be handed on.
        count = shape[0] if shape[0] > 1 else 0
        self._threads = [ThreadPoolExecutor(1) for _ in range(count)]

    def place(self, rows: Array, start: Start, uniform: Array) -> None:
        """Puts the bodies of some worlds at their start; see :class:`envs.batch.Backend`.

        Raises:
            UnreachableError: A simulator does not come back.
            RunError: A simulator does not do what it is asked.
        """
        conditions = self._conditions
        conditions.begin(rows, uniform[:, : conditions.draws])
        self._wind.begin(rows, uniform[:, conditions.draws :], conditions.wind[rows])
        self._board()
        ahead = np.stack([np.cos(start.heading), np.sin(start.heading), 0 * start.heading], -1)
        speeds = start.speed[..., None] * ahead
        self._delay.fill(rows, (speeds * self._drones[:, None]).astype(np.float32))
        where = zip(start.position, start.heading, speeds, strict=True)
        places = dict(zip(rows.tolist(), where, strict=True))

        def put(row: int) -> Sight:
            position, heading, velocity = places[row]
            return self._patiently(row, lambda: self._placed(row, position, heading, velocity))

        for row, sight in zip(places, self._each(list(places), put), strict=True):
            self._see(row, sight)
            self._judge(row)
        self.lost[rows], self._contact[rows] = False, False
        self._steps[rows], self._time[rows] = 0, 0.0

    def advance(self, command: Array, moving: Array) -> None:
        """Moves the bodies by one decision: velocities ``(E, A, 3)``, or pedals and wheels.

        Args:
            command: As :class:`envs.batch.Backend` says.
            moving: ``(E, A)`` bool; the others are told to stand still.
        """
        self._advance(self._delay.pass_on(command, self._conditions.latency), moving, "velocity")

    def advance_attitude(self, command: Array, moving: Array) -> None:
        """Moves drones by one decision at attitudes ``(E, A, 4)``.

        The numbers are those of :meth:`envs.backends.quad6dof.Quad6Dof.advance_attitude`.
        """
        self._advance(command, moving, "attitude")

    def advance_motors(self, command: Array, moving: Array) -> None:
        """Moves drones by one decision at shares ``(E, A, 4)`` of their rotors' thrust.

        The numbers are those of :meth:`envs.backends.quad6dof.Quad6Dof.advance_motors`.
        """
        self._advance(command, moving, "motors")

    def _advance(self, command: Array, moving: Array, manner: Manner) -> None:
        wind = self._wind.blow().T if self._wind.draws else None
        if not all(berth.owner is self for berth in self._berths):
            raise RunError("env.airsim: another world of this process took the simulator over")

        def go(row: int) -> Sight | None:
            air = None if wind is None else wind[row]
            return self._stepped(row, command[row], moving[row], manner, air)

        rows = np.flatnonzero(~self.lost).tolist()
        for row, sight in zip(rows, self._each(rows, go), strict=True):
            if sight is None:
                self.lost[row] = True
                self.velocity[row] = 0
            else:
                self._see(row, sight)
                self._contact[row] |= bool((sight.contact & moving[row]).any())
                self._steps[row] += 1
                self._time[row] += sight.seconds

    def outcomes(self) -> dict[str, Array]:
        """Outcomes ``(E,)`` of the episodes as they stand; see :class:`envs.batch.Watch`."""
        asked = np.maximum(self._steps, 1) * self.dt
        found = (self.lost, self._contact, np.where(self._steps > 0, self._time / asked, 1.0))
        arrays = (each.astype(np.float32) for each in found)
        return dict(zip(self.names, arrays, strict=True))

    def close(self) -> None:
        """Lets the simulators run free and hands them on."""
        for berth, simulator in zip(self._berths, self._simulators, strict=False):
            if berth.owner is self:
                simulator.release()
            else:
                simulator.drop()
        fleet_of(self._config).give_back(self._berths, self)
        self._berths, self._simulators = [], []
        for thread in self._threads:
            thread.shutdown()

    def _board(self) -> None:
        """Takes the simulators over, unless they are ours already."""
        if self._berths and all(berth.owner is self for berth in self._berths):
            return
        for simulator in self._simulators:
            simulator.drop()
        self._simulators = []
        self._berths = fleet_of(self._config).take(len(self.lost), self)
        self._simulators = [Simulator(self._plan, berth.address) for berth in self._berths]

    def _placed(self, row: int, position: Array, heading: Array, velocity: Array) -> Sight:
        simulator = self._simulators[row]
        if not simulator.is_open:
            self._berths[row].start(self._settings)
            simulator.open()
        return simulator.place(position, heading, velocity)

    def _settings(self, port: int) -> str:
        vehicles = dict(zip(self._plan.vehicles, self._plan.kinds, strict=True))
        return settings_text(self._config.launch.settings, vehicles, port, self._own)

    def _patiently(self, row: int, work: Callable[[], Sight]) -> Sight:
        """Tries until it works or the simulator is given up."""
        deadline = time.monotonic() + self._config.patience_s
        while True:
            try:
                return work()
            except (LostError, RefusedError) as error:
                self._simulators[row].drop()
                if time.monotonic() > deadline:
                    raise self._given_up(error) from None
                if self._berths[row].started_by_us:
                    self._berths[row].end()
                time.sleep(_BETWEEN)

    def _given_up(self, error: Exception) -> UnreachableError:
        waited = f"{self._config.patience_s:g} s (env.airsim.patience_s)"
        return UnreachableError(f"{error}; gave up after {waited}")

    def _stepped(
        self, row: int, command: Array, moving: Array, manner: Manner, wind: Array | None
    ) -> Sight | None:
        """One decision of one simulator; None when it was lost."""
        simulator = self._simulators[row]
        try:
            return simulator.step(command, moving, manner, wind)
        except (LostError, RefusedError) as error:
            simulator.release()  # so that it is not left paused, should it be there
            self._losses[row].append(str(error))
            return None

    def _judge(self, row: int) -> None:
        """Ends the run where a simulator is lost again and again."""
        losses = self._losses[row]
        if not self.lost[row]:
            losses.clear()
        if len(losses) >= _MOST_LOSSES:
            raise UnreachableError(
                f"a simulator was lost in {len(losses)} episodes in a row, at last because: "
                f"{losses[-1]}"
            )

    def _see(self, row: int, sight: Sight) -> None:
        self.position[row], self.velocity[row] = sight.position, sight.velocity
        self.heading[row], self.elapsed[row] = sight.heading, sight.seconds

    def _each(self, rows: Sequence[int], job: _Job[_Result]) -> list[_Result]:
        """Does a job for every simulator at the same time."""
        if not self._threads:
            return [job(row) for row in rows]
        waiting = [self._threads[row].submit(job, row) for row in rows]
        return [each.result() for each in waiting]


def _plan(config: AirsimConfig, crew: Crew) -> Plan:
    vehicles = config.vehicles or crew.names
    if len(vehicles) != len(crew.names) or len(set(vehicles)) < len(vehicles):
        raise ConfigurationError(
            f"env.airsim.vehicles: got {list(vehicles)} for {len(crew.names)} agents; allowed is "
            "one name of its own for each"
        )
    return Plan(
        vehicles=tuple(vehicles),
        kinds=crew.kinds,
        dt=crew.dt,
        frames=config.frames,
        origin=config.origin,
        drive=crew.drive,
        client=config.client,
        timeout_s=config.timeout_s,
    )
