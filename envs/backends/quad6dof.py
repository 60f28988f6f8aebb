"""Quadrotors with rotors, attitude and a controller of their own: drones with six freedoms."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, final

import numpy as np
from pydantic import Field

from envs.backends.cascade import Cascade, CascadeConfig
from envs.backends.randomisation import CommandDelay, Conditions, RandomisationConfig
from envs.backends.rigid import GRAVITY, RigidBodies
from envs.backends.rotors import Rotors
from envs.backends.wind import Wind, WindConfig
from qmarl.config import Section

if TYPE_CHECKING:
    from envs.bodies import Start
    from qmarl.types import Array

_Positive = Annotated[float, Field(gt=0)]


class Quad6DofConfig(Section):
    """A quadrotor; the defaults are a Crazyflie 2.0.

    Mass, arm, inertia and rotors are those of Luis and Le Ny 2016 (Design of a trajectory tracking
    controller for a nanoquadcopter, arXiv:1608.05786): 3.1582e-10 N/rpm^2 of thrust and
    7.9379e-12 N m/rpm^2 of drag torque, at most 21 667 rpm. Drag is that of Foerster 2015 (System
    identification of the Crazyflie 2.0 nano quadrocopter): 9.1785e-7 kg times the sum of the rotor
    speeds in rad/s, which is taken at its value in hover. Motors settle within 2 % in 0.15 s, four
    time constants (Molchanov et al. 2019, Sim-to-(multi)-real).
    """

    dt: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Seconds per decision."""
    substeps: Annotated[int, Field(ge=1, le=1000)] = 10
    """Steps of physics and control in a decision."""
    mass: _Positive = 0.027
    """Mass, kg."""
    arm: _Positive = 0.0397
    """Distance of the rotors from the centre, m."""
    inertia: Annotated[tuple[_Positive, _Positive, _Positive], Field(strict=False)] = (
        1.395e-5,
        1.395e-5,
        2.173e-5,
    )
    """Moments of inertia about the forward, left and up axis, kg m^2."""
    rotor_thrust: _Positive = 0.1483
    """Greatest thrust of one rotor, N."""
    torque_ratio: _Positive = 0.02513
    """Drag torque of a rotor over its thrust, m."""
    motor_lag: _Positive = 0.0375
    """Time constant of the rotors' speed, s."""
    drag: Annotated[float, Field(ge=0)] = 0.0056
    """Force against the air per speed through it, N s/m."""
    control: CascadeConfig = CascadeConfig()
    """Gains of the controller."""


@final
class Quad6Dof:
    """``E`` worlds of ``A`` quadrotors in a box; implements :class:`envs.batch.Backend`.

    A decision is ``substeps`` steps of controller, rotors and rigid body. Velocity commands pass
    through the whole cascade (:meth:`advance`); attitudes (:meth:`advance_attitude`) and rotors
    (:meth:`advance_motors`) can be commanded too. Who reaches a wall stays on it and loses the
    velocity's component across it; the ground is such a wall. The rotors' own angular momentum,
    their wash and the ground effect are left out.

    Args:
        config: Body and controller.
        shape: ``(E, A)``.
        arena: ``(2, 3)`` lower and upper corner in metres.
        wind: The wind; still air when left out.
        randomisation: What differs from episode to episode; nothing when left out.

    Attributes:
        dt: Seconds per decision.
        draws: Uniform numbers that an episode needs.
        position: ``(E, A, 3)`` float32 m.
        velocity: ``(E, A, 3)`` float32 m/s.
        heading: ``(E, A)`` float32 rad.
        bodies: The ``N = E A`` bodies, world after world, with attitudes and body rates.
        rotors: Their rotors.
    """

    def __init__(
        self,
        config: Quad6DofConfig,
        shape: tuple[int, int],
        arena: Array,
        wind: WindConfig | None = None,
        randomisation: RandomisationConfig | None = None,
    ) -> None:
        count = shape[0] * shape[1]
        spread = randomisation or RandomisationConfig()
        self._config, self._shape, self._box = config, shape, arena.astype(np.float32)[..., None]
        self.bodies = RigidBodies(config.inertia, count)
        self.rotors = Rotors(config.arm, config.rotor_thrust, config.torque_ratio, count)
        self._cascade = Cascade(
            config.control, self.bodies, self.rotors, config.mass, config.inertia
        )
        self._conditions = Conditions(spread, shape)
        self._wind = Wind(wind or WindConfig(), shape[0], config.dt)
        self._delay = CommandDelay(spread.latency, shape)
        self.dt, self._seconds = config.dt, config.dt / config.substeps
        self.draws = self._conditions.draws + self._wind.draws
        self.position: Array = np.moveaxis(self.bodies.position.reshape(3, *shape), 0, -1)
        self.velocity: Array = np.moveaxis(self.bodies.velocity.reshape(3, *shape), 0, -1)
        self.heading: Array = np.zeros(shape, np.float32)
        self._inertia: Array = np.array(config.inertia, np.float32)[:, None]
        self._air: Array = np.zeros((3, count), np.float32)
        self._command: Array = np.zeros((3, count), np.float32)
        self._numbers: Array = np.arange(count).reshape(shape)
        self._settle()

    def place(self, rows: Array, start: Start, uniform: Array) -> None:
        """Puts bodies at their start, level and flying; see :class:`envs.batch.Backend`."""
        conditions = self._conditions
        conditions.begin(rows, uniform[:, : conditions.draws])
        self._wind.begin(rows, uniform[:, conditions.draws :], conditions.wind[rows])
        if conditions.draws:
            self._settle()
        ahead = np.stack([np.cos(start.heading), np.sin(start.heading), 0 * start.heading], -1)
        self.position[rows] = start.position
        self.velocity[rows] = start.speed[..., None] * ahead
        self.heading[rows] = start.heading
        self._delay.fill(rows, self.velocity[rows])
        columns = self._numbers[rows].ravel()
        self._rest(columns, start.heading.ravel())
        self._cascade.heading[columns] = start.heading.ravel()

    def advance(self, command: Array, moving: Array) -> None:
        """Moves the bodies by one decision, headings held.

        Args:
            command: ``(E, A, 3)`` velocities in m/s.
            moving: ``(E, A)`` bool; the others stand still in the air.
        """
        due = self._delay.pass_on(command, self._conditions.latency)
        self._command.reshape(3, *self._shape)[...] = np.moveaxis(due, -1, 0)
        self._fly(self._follow, moving)

    def advance_attitude(self, command: Array, moving: Array) -> None:
        """Moves the bodies by one decision at commanded attitudes.

        Args:
            command: ``(E, A, 4)``: roll about the forward and pitch about the left axis in rad
                (positive rolls to the right and bows down), yaw rate in rad/s, and the lift as
                a share of the greatest, 0 to 1.
            moving: ``(E, A)`` bool; the others stand still in the air.
        """
        roll, pitch, yaw, share = np.moveaxis(command, -1, 0).reshape(4, -1)
        self._cascade.heading += self.dt * yaw
        self._cascade.aim(roll, pitch, share * (4 * self._config.rotor_thrust))
        self._fly(self._cascade.hold, moving)

    def advance_motors(self, command: Array, moving: Array) -> None:
        """Moves the bodies by one decision at commanded rotors, without any control.

        Args:
            command: ``(E, A, 4)`` shares of the rotors' greatest thrust, 0 to 1: front right, rear
                left, front left, rear right.
            moving: ``(E, A)`` bool; the others stand still in the air.
        """
        self.rotors.want_thrust(np.moveaxis(command, -1, 0).reshape(4, -1))
        self._fly(_uncontrolled, moving)

    def turn_to(self, heading: Array) -> None:
        """Has the bodies turn to ``(E, A)`` rad while they follow velocity commands."""
        self._cascade.heading[...] = heading.ravel()

    def close(self) -> None:
        """Lets go of nothing: the backend lives in this process."""

    def _fly(self, control: Callable[[], None], moving: Array) -> None:
        """One decision under a control law; who does not move is put back and levelled."""
        bodies, seconds = self.bodies, self._seconds
        self._air.reshape(3, *self._shape)[...] = self._wind.blow()[..., None]
        self._cascade.face()
        still = np.flatnonzero(~moving)
        parked = bodies.position[:, still], self.heading.ravel()[still]
        for _ in range(self._config.substeps):
            bodies.orient()
            control()
            self.rotors.spin(self._share)
            bodies.turn(self.rotors.torque * self._agility, seconds)
            bodies.move(self._pull(), seconds)
        self._stop_at_walls()
        bodies.orient()
        forward = bodies.axes[0].reshape(3, *self._shape)
        np.arctan2(forward[1], forward[0], out=self.heading)
        if still.size:
            bodies.position[:, still], self.heading.reshape(-1)[still] = parked
            bodies.velocity[:, still] = 0
            self._rest(still, parked[1])

    def _follow(self) -> None:
        self._cascade.follow(self._command, self._seconds)

    def _pull(self) -> Array:
        """Accelerations ``(3, N)`` m/s^2 by lift, drag and gravity."""
        found = self._air - self.bodies.velocity
        found *= self._drag
        found += self.bodies.axes[2] * (self.rotors.lift * self._lightness)
        found[2] -= GRAVITY
        return found

    def _stop_at_walls(self) -> None:
        bodies = self.bodies
        low, high = self._box
        inside = np.clip(bodies.position, low, high)
        touched = inside != bodies.position
        if touched.any():
            bodies.position[...] = inside
            bodies.velocity[touched] = 0
            self._cascade.forget(*np.nonzero(touched))

    def _rest(self, columns: Array, heading: Array) -> None:
        """Levels bodies with their rotors in hover; velocities are set before."""
        weight = self._conditions.mass.ravel()[columns] * (self._config.mass * GRAVITY)
        hover = np.sqrt(np.minimum(weight * np.float32(0.25 / self._config.rotor_thrust), 1))
        self.bodies.level(columns, heading)
        self.rotors.speed[:, columns] = self.rotors.wanted[:, columns] = hover
        self.rotors.lift[columns] = weight
        self._cascade.forget(slice(None), columns)

    def _settle(self) -> None:
        """Works out what follows from the conditions."""
        config, conditions = self._config, self._conditions
        mass = conditions.mass.ravel()
        self._lightness: Array = 1 / (config.mass * mass)
        self._agility: Array = 1 / (self._inertia * mass)
        self._drag: Array = config.drag * conditions.drag.ravel() * self._lightness
        lag = config.motor_lag * conditions.lag.ravel()
        self._share: Array = -np.expm1(-self._seconds / lag)


def _uncontrolled() -> None:
    """The law of rotors that are commanded one by one."""
