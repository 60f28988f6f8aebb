"""Vehicle platoon: vehicles keep their gaps behind a leader whose speed changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import numpy as np

from envs.bodies import Bodies, Solids, Start
from envs.mobility import join
from envs.tasks.drone_common import total
from envs.tasks.vehicle_common import pedals
from envs.tasks.vehicle_platoon_layout import VehiclePlatoonConfig, lay_out
from envs.world import CRASHED, FLYING, Scene, View, World, WorldSpec

if TYPE_CHECKING:
    from qmarl.types import Array

__all__ = ["ACTIONS", "VehiclePlatoon", "VehiclePlatoonConfig", "make"]

ACTIONS: Final = ("brake hard", "brake", "roll", "speed up", "speed up hard")
"""The discrete actions, in order."""

PEDALS: Final = (-1.0, -0.4, 0.0, 0.4, 1.0)
"""The same as continuous actions: shares of ``brake`` below 0, of ``gas`` above."""

GAP_RANGE: Final = 10.0
"""Deviation from the wanted gap that an observation shows as 1, m."""
SPEED_RANGE: Final = 5.0
"""Difference of speeds that it shows as 1, m/s."""

_SEEN = 8  # numbers in an observation
_LEAST = 0.1  # m/s: a leader that deviates less than that has no peak to amplify
_ALL = slice(None)


@final
class VehiclePlatoon:
    """The task's state in ``E`` worlds and its rules, as array code.

    A leader that nobody drives goes ahead on a straight lane: every ``hold_steps`` it takes on
    another speed. Vehicle ``i`` follows the vehicle before it, the first one the leader, and wants
    a gap from bumper to bumper of ``standstill + time_gap * speed``. An episode ends for all when
    one runs into the vehicle ahead.

    Discrete actions are five pedals (:data:`ACTIONS`); a continuous one is a single number, the
    pedal (the brake below 0). Vehicles do not steer, and nobody is faster than ``limit``.

    An observation has 8 numbers within [-1, 1]: the gap less the wanted one over
    :data:`GAP_RANGE`, how much faster the vehicle ahead is over :data:`SPEED_RANGE`, the own
    speed over ``limit``, the own acceleration over ``brake``, that of the vehicle ahead, how much
    faster the leader is, the deviation from the wanted gap of the vehicle behind, and the place in
    the platoon (0 first, 1 last). What is told by radio is 0 where it is not heard: the
    acceleration of the vehicle ahead, the deviation of the one behind, and with ``broadcast`` off
    all that the leader tells. Accelerations are known without error.

    A step's reward is ``gap_reward / (1 + deviation / gap_scale)``, minus ``speed_penalty`` per m/s
    of difference to the vehicle ahead, of which no more than :data:`SPEED_RANGE` count, minus
    ``jerk_penalty`` per m/s^2 by which the acceleration changed, minus ``energy_penalty`` per W/kg
    of driving power, minus ``collision_penalty`` for who runs into the vehicle ahead.

    The joint state holds for every vehicle the deviation, the difference of speeds, the speed and
    the acceleration as above, then the leader's speed and acceleration: ``4 A + 2`` numbers.

    Outcomes: ``success`` (no collision, and the ``gap_error`` is below ``tolerance``),
    ``collision``, ``gap_error`` (mean deviation in m over the team and the steps after
    ``settle_steps``, nan where it did not get that far), and ``amplification``: the largest of the
    vehicles' peak deviations from the first speed over that of the leader, nan where the leader did
    not deviate. At most 1 is string stable (Ploeg et al. 2011, Design and experimental evaluation
    of cooperative adaptive cruise control).

    Args:
        config: Sizes, weights and team.
        num_envs: Number ``E`` of worlds.
        dt: Seconds per step, of the backend.

    Attributes:
        spec: What is fixed about the world.
        draws: How many random numbers an episode needs.
        alive: ``(E, A)`` bool, vehicles that drive.
    """

    def __init__(self, config: VehiclePlatoonConfig, num_envs: int, dt: float) -> None:
        self._config, self._dt = config, dt
        self.spec = _spec(config)
        self.draws = 1 + config.changes + config.vehicles
        shape = (num_envs, config.vehicles)
        self.alive, self._crashed = np.zeros((2, *shape), bool)
        self._lead: Array = np.zeros((num_envs, 3), np.float32)  # m, m/s, m/s^2
        self._plan: Array = np.zeros((num_envs, config.changes), np.float32)
        self._first: Array = np.zeros(num_envs, np.float32)
        self._speed, self._acceleration = np.zeros((2, *shape), np.float32)
        self._peak: Array = np.zeros((num_envs, config.vehicles + 1), np.float32)
        self._error: Array = np.zeros((2, num_envs))  # sum of the team's errors, and how many
        self._mask: Array = np.ones((*shape, self.spec.action_counts[0]), bool)
        self._mask.flags.writeable = False

    def lay_out(self, uniform: Array) -> Array:
        """Lays out episodes; see :func:`envs.tasks.vehicle_platoon_layout.lay_out`."""
        return lay_out(uniform, self._config)

    def begin(self, rows: Array, layout: Array) -> Start:
        """Starts an episode in some worlds.

        Args:
            rows: ``(k,)`` positions in the batch.
            layout: ``(k, 1 + changes + A)`` from :meth:`lay_out`.

        Returns:
            Where the vehicles start, and how fast.
        """
        config = self._config
        speed, plan, gaps = np.split(layout, [1, 1 + config.changes], 1)
        self._first[rows], self._plan[rows] = speed[:, 0], plan
        self._lead[rows] = 0
        self._lead[rows, 1] = speed[:, 0]
        self.alive[rows], self._crashed[rows] = True, False
        self._speed[rows], self._acceleration[rows] = speed, 0
        self._peak[rows], self._error[:, rows] = 0, 0
        place = np.zeros((*gaps.shape, 3), np.float32)
        place[..., 0] = -np.cumsum(gaps + np.float32(config.length), 1)
        still = np.zeros(gaps.shape, np.float32)
        return Start(place, still, still + speed)

    def commands(self, actions: Array) -> Array:
        """Turns actions into ``(E, A, 3)`` accelerations in m/s^2; nobody steers."""
        config, command = self._config, np.zeros((*self.alive.shape, 3), np.float32)
        table = np.array(PEDALS, np.float32)
        pedal = actions[..., 0] if self.spec.continuous else np.take(table, actions)
        limits = config.gas, config.brake, config.limit
        command[..., 0] = pedals(pedal, self._speed, limits, self._dt)
        return command

    def judge(self, bodies: Bodies, steps: Array) -> tuple[Array, Array]:
        """Moves the leader, rewards a step and finds who ran into the vehicle ahead.

        Args:
            bodies: Where the step brought the vehicles.
            steps: ``(E,)`` steps of each world's episode, this one included.

        Returns:
            Rewards ``(E, A)`` float32, and ``(E, A)`` bool whose episode ended.
        """
        config = self._config
        self._move_leader(steps)
        gap, faster, speed = self._measure(bodies, _ALL)
        before, self._acceleration = self._acceleration, (speed - self._speed) / self._dt
        self._speed = speed.copy()
        error = np.abs(gap - self._wanted(speed))
        hit = self.alive & (gap < 0)
        power = np.maximum(self._acceleration, 0) * speed
        rewards = config.gap_reward / (1 + error / np.float32(config.gap_scale))
        missed = np.minimum(np.abs(faster), np.float32(SPEED_RANGE))
        rewards -= config.speed_penalty * missed + config.energy_penalty * power
        rewards -= config.jerk_penalty * np.abs(self._acceleration - before)
        rewards -= config.collision_penalty * hit
        rewards *= self.alive
        everyone = np.concatenate([self._lead[:, 1:2], speed], 1)
        self._peak = np.maximum(self._peak, np.abs(everyone - self._first[:, None]))
        mean = total(error) / np.float32(config.vehicles)
        self._error += (steps > config.settle_steps) * np.stack([mean, np.ones_like(mean)])
        done = self.alive & np.any(hit, 1)[:, None]
        self.alive &= ~done
        self._crashed |= hit
        return rewards.astype(np.float32, copy=False), done

    def _move_leader(self, steps: Array) -> None:
        """Brings leaders to where they are at the end of step ``steps`` of their episodes."""
        config, dt = self._config, np.float32(self._dt)
        turn = np.minimum((steps - 1) // config.hold_steps, config.changes - 1)
        wanted = self._plan[np.arange(len(steps)), turn]
        most = np.float32(config.leader_acceleration)
        pull = np.clip((wanted - self._lead[:, 1]) / dt, -most, most)
        self._lead[:, 0] += dt * (self._lead[:, 1] + pull * dt / 2)
        self._lead[:, 1] += dt * pull
        self._lead[:, 2] = pull

    def _wanted(self, speed: Array) -> Array:
        config = self._config
        return np.float32(config.standstill) + np.float32(config.time_gap) * speed

    def _measure(self, bodies: Bodies, rows: Array | slice) -> tuple[Array, Array, Array]:
        """Gaps to the vehicles ahead in m, how much faster those are, and speeds in m/s."""
        lead, place = self._lead[rows], bodies.position[rows, :, 0]
        speed = bodies.velocity[rows, :, 0]
        ahead = np.concatenate([lead[:, :1], place[:, :-1]], 1)
        faster = np.concatenate([lead[:, 1:2], speed[:, :-1]], 1) - speed
        return ahead - place - np.float32(self._config.length), faster, speed

    def view(self, bodies: Bodies, rows: Array | slice = _ALL) -> View:
        """What vehicles of some worlds see of where they perceive the bodies to be."""
        config, alive, lead = self._config, self.alive[rows].copy(), self._lead[rows]
        gap, faster, speed = self._measure(bodies, rows)
        own = self._acceleration[rows] / np.float32(config.brake)
        error = (gap - self._wanted(speed)) / np.float32(GAP_RANGE)
        told = np.float32(config.broadcast)
        heard = _neighbours(bodies, rows, alive.shape)
        seen = np.zeros((*alive.shape, _SEEN), np.float32)
        seen[..., 0], seen[..., 1] = error, faster / np.float32(SPEED_RANGE)
        seen[..., 2], seen[..., 3] = speed / np.float32(config.limit), own
        seen[:, 0, 4] = told * lead[:, 2] / np.float32(config.brake)
        seen[:, 1:, 4] = own[:, :-1] * heard
        seen[..., 5] = told * (lead[:, 1:2] - speed) / np.float32(SPEED_RANGE)
        seen[:, :-1, 6] = error[:, 1:] * heard
        seen[..., 7] = np.arange(config.vehicles) / max(config.vehicles - 1, 1)
        np.clip(seen, -1, 1, out=seen)
        ends = [lead[:, 1:2] / config.limit, np.clip(lead[:, 2:] / config.brake, -1, 1)]
        state = np.concatenate([seen[..., :4].reshape(len(alive), -1), *ends], 1)
        seen *= alive[..., None]
        return View(seen, state.astype(np.float32, copy=False), alive, self._mask[rows])

    def outcomes(self) -> dict[str, Array]:
        """Outcomes ``(E,)`` by name, float32, as they stand now."""
        collided, (summed, count) = self._crashed.any(1), self._error
        moved = self._peak[:, 0] >= _LEAST
        error = np.where(count > 0, summed / np.maximum(count, 1), np.nan)
        ratio = self._peak[:, 1:].max(1) / np.maximum(self._peak[:, 0], np.float32(_LEAST))
        good = ~collided & (error < self._config.tolerance)
        found = [good, collided, error, np.where(moved, ratio, np.nan)]
        return dict(zip(self.spec.outcomes, np.stack(found).astype(np.float32), strict=True))

    def solids(self) -> Solids:
        """Nothing stands on the lane but the vehicles, which range sensors meet as discs."""
        radii = np.full(self.alive.shape, self._config.bicycle.wheelbase / 2, np.float32)
        return Solids.of(len(self.alive), radii=radii)

    def scene(self, bodies: Bodies, steps: Array) -> Scene:
        """A copy of what a spectator sees: the leader as a mark, wanted places as goals."""
        config = self._config
        gap, _, speed = self._measure(bodies, _ALL)
        goals, marks = bodies.position.copy(), np.zeros((len(self.alive), 1, 3), np.float32)
        goals[..., 0] += gap - self._wanted(speed)
        marks[:, 0, 0] = self._lead[:, 0]
        low, high = config.arena
        sides = [[[low[0], y, 0], [high[0], y, 0]] for y in (-1.75, 1.75)]
        return Scene(
            time=steps * self._dt,
            positions=bodies.position.copy(),
            status=np.where(self._crashed, CRASHED, FLYING).astype(np.int8),
            solids=Solids.of(len(self.alive)),
            goals=goals,
            radii=np.full(config.vehicles, config.length / 2),
            goal_radius=config.tolerance,
            headings=bodies.heading.copy(),
            marks=marks,
            lines=np.array(sides, np.float32),
        )


def make(config: VehiclePlatoonConfig, num_envs: int) -> World:
    """Makes the world."""
    return join(VehiclePlatoon(config, num_envs, config.dt), config, num_envs)


def _neighbours(bodies: Bodies, rows: Array | slice, shape: tuple[int, ...]) -> Array:
    """Whether each vehicle ``(k, A - 1)`` hears the one behind it, and that one it."""
    if bodies.heard is None:
        return np.ones((shape[0], shape[1] - 1), bool)
    order = np.arange(shape[1] - 1)
    found: Array = bodies.heard[rows][:, order, order + 1]
    return found


def _spec(config: VehiclePlatoonConfig) -> WorldSpec:
    agents, numbers = config.vehicles, config.actions == "continuous"
    return WorldSpec(
        name=config.id,
        agents=tuple(f"vehicle_{i}" for i in range(agents)),
        observation_sizes=(_SEEN,) * agents,
        action_counts=(0 if numbers else len(ACTIONS),) * agents,
        state_size=4 * agents + 2,
        max_steps=config.max_steps,
        outcomes=("success", "collision", "gap_error", "amplification"),
        arena=config.arena,
        action_sizes=(1 if numbers else 0,) * agents,
        kinds=("vehicle",) * agents,
    )
