"""Quadrotors of the simulator: the parts of ``quad6dof``, each flown in a mode of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from envs.airsim_server.flyers import ATTITUDE, MOTORS, OFF, PARKED, SECOND, VELOCITY, Flyers
from envs.backends.cascade import Cascade
from envs.backends.rigid import GRAVITY, RigidBodies
from envs.backends.rotors import Rotors

if TYPE_CHECKING:
    from envs.backends.quad6dof import Quad6DofConfig
    from qmarl.types import Array

_MOST_STEPS = 10  # of physics between two looks at the walls


@final
class Quadrotors(Flyers):
    """``N`` quadrotors.

    It takes the steps of :class:`envs.backends.quad6dof.Quad6Dof` with the same parts in the same
    order, so that the numbers are the same bits; but any time may pass in a call, and one may be
    commanded by velocity while another one's rotors are.

    Args:
        config: Body and controller.
        count: ``N``.
        box: ``(2, 3)`` lower and upper corner of where they can be, m.
    """

    def __init__(self, config: Quad6DofConfig, count: int, box: Array) -> None:
        super().__init__(count, box)
        self._config = config
        self.bodies = RigidBodies(config.inertia, count)
        self._rotors = Rotors(config.arm, config.rotor_thrust, config.torque_ratio, count)
        self._cascade = Cascade(
            config.control, self.bodies, self._rotors, config.mass, config.inertia
        )
        self._low, self._high = self.box[..., None]
        self._tick = round(config.dt * SECOND) // config.substeps
        self._seconds = config.dt / config.substeps
        self.longest = _MOST_STEPS * self._tick
        ones = np.ones(count, np.float32)
        self._lag: Array = config.motor_lag * ones
        self._lightness: Array = 1 / (config.mass * ones)
        self._agility: Array = 1 / (np.array(config.inertia, np.float32)[:, None] * ones)
        self._drag: Array = config.drag * ones * self._lightness
        self._share = self._spin_up(self._seconds)
        self._acceleration: Array = np.zeros((3, count), np.float32)

    @property
    def position(self) -> Array:
        """Positions; see :class:`Flyers`."""
        return self.bodies.position.T

    @property
    def velocity(self) -> Array:
        """Velocities; see :class:`Flyers`."""
        return self.bodies.velocity.T

    @property
    def quaternion(self) -> Array:
        """Attitudes; see :class:`Flyers`."""
        return self.bodies.quaternion.T

    @property
    def rates(self) -> Array:
        """Body rates; see :class:`Flyers`."""
        return self.bodies.rates.T

    @property
    def acceleration(self) -> Array:
        """Accelerations; see :class:`Flyers`."""
        return self._acceleration.T

    def advance(self, nanoseconds: int) -> None:
        """Moves all; see :class:`Flyers`."""
        seconds, before = nanoseconds / SECOND, self.bodies.velocity.copy()
        parked = np.flatnonzero(self.mode == PARKED)
        stands = self.bodies.position[:, parked]
        self._turn(seconds)
        whole, rest = divmod(nanoseconds, self._tick)
        for _ in range(whole):
            self._step(self._seconds, self._share)
        if rest:
            self._step(rest / SECOND, self._spin_up(rest / SECOND))
        if parked.size:
            self._stand(parked, stands)
        self._stop_at_walls()
        np.subtract(self.bodies.velocity, before, out=self._acceleration)
        self._acceleration /= np.float32(seconds)

    def place(self, index: int, position: Array, turn: Array) -> None:
        """Puts one somewhere; see :class:`Flyers`."""
        columns = np.array([index])
        self.bodies.position[:, index] = position
        self.bodies.velocity[:, index] = 0
        self._acceleration[:, index] = 0
        self._rest(columns, self._heading(turn))
        self.bodies.quaternion[:, index] = turn
        self._cascade.heading[index] = self._heading(turn)[0]

    def halt(self, index: int, position: Array, velocity: Array) -> None:
        """Stops one; see :class:`Flyers`."""
        self.bodies.position[:, index] = position
        self.bodies.velocity[:, index] = velocity
        self._cascade.forget(slice(None), np.array([index]))

    def rotors(self, index: int) -> list[tuple[float, float, float]]:
        """The rotors of one; see :class:`Flyers`."""
        speeds, most = self._rotors.speed[:, index].tolist(), self._config.rotor_thrust
        thrusts = [most * speed * speed for speed in speeds]
        ratio = self._config.torque_ratio
        return [
            (thrust, ratio * thrust, speed) for thrust, speed in zip(thrusts, speeds, strict=True)
        ]

    def take_over(self, other: Flyers) -> None:
        """Goes on with a smaller batch; see :class:`Flyers`."""
        assert isinstance(other, Quadrotors)
        self._copy_commands(other)
        known, pairs = slice(other.count), ((self.bodies, other.bodies),)
        for mine, theirs in pairs:
            mine.position[:, known] = theirs.position
            mine.velocity[:, known] = theirs.velocity
            mine.quaternion[:, known] = theirs.quaternion
            mine.rates[:, known] = theirs.rates
        self._rotors.speed[:, known] = other._rotors.speed
        self._rotors.wanted[:, known] = other._rotors.wanted
        self._rotors.lift[known] = other._rotors.lift
        self._cascade.heading[known] = other._cascade.heading
        self._cascade.forget(slice(None), np.arange(other.count))

    def refusal(self, mode: int) -> str:
        """Nothing is refused; see :class:`Flyers`."""
        del mode
        return ""

    def hover_share(self) -> float:
        """Share of the greatest lift that carries the weight."""
        return self._config.mass * GRAVITY / (4 * self._config.rotor_thrust)

    def _step(self, seconds: float, share: Array) -> None:
        """One step of controller, rotors and rigid bodies."""
        bodies = self.bodies
        bodies.orient()
        self._control(seconds)
        self._rotors.spin(share)
        bodies.turn(self._rotors.torque * self._agility, seconds)
        bodies.move(self._pull(), seconds)

    def _control(self, seconds: float) -> None:
        """Wants the rotor speeds that each one's mode asks for."""
        rotors, mode = self._rotors, self.mode
        followed = mode == VELOCITY
        if followed.any():
            self._cascade.follow(self.velocity_command.T, seconds)
            if followed.all():
                return
        self._hold_attitudes(np.flatnonzero(mode == ATTITUDE))
        driven = np.flatnonzero(mode == MOTORS)
        if driven.size:
            shares = np.clip(self.motor_command[driven].T, 0, 1)
            rotors.wanted[:, driven] = np.sqrt(shares)
        rotors.wanted[:, mode == OFF] = 0

    def _hold_attitudes(self, columns: Array) -> None:
        if not columns.size:
            return
        kept = self._rotors.wanted.copy()
        roll, pitch, _, share = self.attitude_command.T
        self._cascade.aim(roll, pitch, share * (4 * self._config.rotor_thrust))
        self._cascade.hold()
        kept[:, columns] = self._rotors.wanted[:, columns]
        self._rotors.wanted[...] = kept

    def _turn(self, seconds: float) -> None:
        """Turns the headings that are to be held."""
        if self.turning.any():
            self._cascade.heading += seconds * self.turning * (self.mode == VELOCITY)
        turned = self.mode == ATTITUDE
        if turned.any():
            self._cascade.heading += seconds * (self.attitude_command[:, 2] * turned)
        self._cascade.face()

    def _pull(self) -> Array:
        """Accelerations ``(3, N)`` m/s^2 by lift, drag and gravity."""
        found = self.air - self.bodies.velocity
        found *= self._drag
        found += self.bodies.axes[2] * (self._rotors.lift * self._lightness)
        found[2] -= GRAVITY
        return found

    def _stop_at_walls(self) -> None:
        bodies = self.bodies
        inside = np.minimum(np.maximum(bodies.position, self._low), self._high)
        touched = inside != bodies.position
        if touched.any():
            bodies.position[...] = inside
            bodies.velocity[touched] = 0
            self._cascade.forget(*np.nonzero(touched))

    def _stand(self, columns: Array, position: Array) -> None:
        """Puts back those that stand; their rotors stand, too."""
        headings = np.concatenate([self._heading(self.quaternion[index]) for index in columns])
        self.bodies.position[:, columns] = position
        self.bodies.velocity[:, columns] = 0
        self._rest(columns, headings)
        self._cascade.heading[columns] = headings
        self._rotors.speed[:, columns] = self._rotors.wanted[:, columns] = 0
        self._rotors.lift[columns] = 0

    def _rest(self, columns: Array, heading: Array) -> None:
        """Levels some with their rotors in hover; velocities are set before."""
        weight = np.ones(len(columns), np.float32) * (self._config.mass * GRAVITY)
        hover = np.sqrt(np.minimum(weight * np.float32(0.25 / self._config.rotor_thrust), 1))
        self.bodies.level(columns, heading)
        self._rotors.speed[:, columns] = self._rotors.wanted[:, columns] = hover
        self._rotors.lift[columns] = weight
        self._cascade.forget(slice(None), columns)

    def _spin_up(self, seconds: float) -> Array:
        share: Array = -np.expm1(-seconds / self._lag)
        return share

    @staticmethod
    def _heading(turn: Array) -> Array:
        w, x, y, z = turn
        found: Array = np.atleast_1d(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))
        return found.astype(np.float32)
