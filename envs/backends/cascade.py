"""A quadrotor's controller: velocity over attitude over body rates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, final

import numpy as np
from pydantic import Field

from envs.backends.rigid import GRAVITY, RigidBodies
from qmarl.config import Section

if TYPE_CHECKING:
    from envs.backends.rotors import Rotors
    from qmarl.types import Array

_Gain = Annotated[float, Field(gt=0, le=100)]


class CascadeConfig(Section):
    """Gains of the controller, each the rate in 1/s at which an error dies away."""

    velocity: _Gain = 2.5
    """Gain of the velocity loop, 1/s."""
    disturbance: Annotated[float, Field(ge=0, le=100)] = 1.5
    """Rate at which unknown forces (wind, drag, surplus mass) are learned and met, 1/s."""
    attitude: _Gain = 5.0
    """Gain of the tilt loop, 1/s."""
    yaw: _Gain = 2.0
    """Gain of the heading loop, 1/s."""
    rate: _Gain = 15.0
    """Gain of the body rates, 1/s."""
    max_tilt: Annotated[float, Field(gt=0, le=1.2)] = 0.6
    """Tilt that level acceleration may ask for, rad."""
    max_climb: Annotated[float, Field(gt=0, le=9)] = 5.0
    """Greatest vertical acceleration that is asked for, m/s^2."""


@final
class Cascade:
    """Flies ``N`` quadrotors; knows their nominal mass and inertia, and no more.

    The velocity loop asks for the acceleration ``velocity * (command - v) - d``, within limits. The
    unknown acceleration ``d`` comes from a disturbance observer of first order (Chen et al. 2016,
    Disturbance-observer-based control and related methods), which compares the change of velocity
    with what the rotors' lift explains; so there is no steady error in wind, and limits wind
    nothing up. The lift's direction is reached by turning about the axis between it and the body's
    own (Lee et al. 2010, Geometric tracking control of a quadrotor UAV on SE(3)).

    Args:
        config: Gains.
        bodies: The bodies, as the gyros and the navigation know them.
        rotors: What turns wishes into forces.
        mass: Nominal mass, kg.
        inertia: Nominal moments of inertia, kg m^2.

    Attributes:
        heading: ``(N,)`` float32 rad, the heading to hold.
    """

    def __init__(
        self,
        config: CascadeConfig,
        bodies: RigidBodies,
        rotors: Rotors,
        mass: float,
        inertia: tuple[float, float, float],
    ) -> None:
        count = bodies.position.shape[1]
        self._config, self._bodies, self._rotors, self._mass = config, bodies, rotors, mass
        self._torques: Array = config.rate * np.array(inertia, np.float32)[:, None]
        self._level = GRAVITY * math.tan(config.max_tilt)
        self.heading: Array = np.zeros(count, np.float32)
        self._memory: Array = np.zeros((3, count), np.float32)
        self._wish: Array = np.zeros((3, count), np.float32)  # lift over mass, m/s^2
        self._lift: Array = np.zeros(count, np.float32)
        self._rates: Array = np.zeros((3, count), np.float32)
        self._gravity: Array = np.array([[0], [0], [GRAVITY]], np.float32)

    def forget(self, axes: Array | slice, columns: Array) -> None:
        """Takes unknown forces along ``axes`` on bodies ``columns`` to be 0."""
        self._memory[axes, columns] = (
            -self._config.disturbance * self._bodies.velocity[axes, columns]
        )

    def follow(self, velocity: Array, seconds: float) -> None:
        """Wants the rotor speeds that lead to ``(3, N)`` m/s in the world; then observes.

        Args:
            velocity: What is commanded.
            seconds: Time since the last call.
        """
        bodies, config = self._bodies, self._config
        unknown = config.disturbance * bodies.velocity
        unknown += self._memory
        lifted = self._rotors.lift * np.float32(1 / self._mass)
        drift = bodies.axes[2] * lifted
        drift -= self._gravity
        drift += unknown
        drift *= config.disturbance * seconds
        self._memory -= drift
        wish = np.subtract(velocity, bodies.velocity, out=self._wish)
        wish *= config.velocity
        wish -= unknown
        self._limit(wish)
        wish += self._gravity
        x, y, z = bodies.axes[2] * wish
        np.multiply(x + y + z, self._mass, out=self._lift)
        x, y, z = wish
        wish *= 1 / np.sqrt(x * x + y * y + z * z)
        self.hold()

    def aim(self, roll: Array, pitch: Array, lift: Array) -> None:
        """Sets roll and pitch ``(N,)`` rad and lift ``(N,)`` N for calls of :meth:`hold`."""
        upright = np.cos(roll)
        ahead, aside = np.sin(pitch) * upright, -np.sin(roll)
        cos, sin = np.cos(self.heading), np.sin(self.heading)
        self._wish[0] = ahead * cos - aside * sin
        self._wish[1] = ahead * sin + aside * cos
        self._wish[2] = np.cos(pitch) * upright
        self._lift[...] = lift

    def hold(self) -> None:
        """Wants the rotor speeds that turn the bodies towards the wish."""
        bodies, config, rates = self._bodies, self._config, self._rates
        forward, left, _ = bodies.axes
        x, y, z = self._wish
        np.multiply(left[0] * x + left[1] * y + left[2] * z, -config.attitude, out=rates[0])
        np.multiply(forward[0] * x + forward[1] * y + forward[2] * z, config.attitude, out=rates[1])
        cos, sin = self._facing
        np.multiply(forward[0] * sin - forward[1] * cos, config.yaw, out=rates[2])
        rates -= bodies.rates
        rates *= self._torques
        self._rotors.want(self._lift, rates)

    def face(self) -> None:
        """Takes note of :attr:`heading`; to be called when it has changed."""
        self._facing: tuple[Array, Array] = np.cos(self.heading), np.sin(self.heading)

    def _limit(self, wish: Array) -> None:
        """Keeps the level part within the tilt and the vertical one within the climb."""
        x, y, z = wish
        size = np.sqrt(x * x + y * y)
        np.maximum(size, self._level, out=size)
        wish[:2] *= self._level / size
        np.clip(z, -self._config.max_climb, self._config.max_climb, out=z)
