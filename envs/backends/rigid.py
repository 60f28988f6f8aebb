"""Rigid bodies in flight: position, velocity, attitude and body rates of ``N`` bodies at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import numpy as np

if TYPE_CHECKING:
    from qmarl.types import Array

GRAVITY: Final = 9.80665
"""m/s^2."""
MAX_RATE: Final = 35.0
"""Body rates are held within this, rad/s: 2000 degrees per second, what gyros of this size read."""


@final
class RigidBodies:
    """State of ``N`` rigid bodies, component by component, and how forces change it.

    The world's z axis points up; body axes are forward, left and up. Positions follow the mean of
    the velocities before and after a step, so a constant force is integrated exactly. Body rates
    follow Euler's equations by Heun's rule; attitudes turn by the mean rate through Cayley's map,
    and are normalised in every step.

    Args:
        inertia: Moments of inertia about the body axes, kg m^2.
        count: ``N``.

    Attributes:
        position: ``(3, N)`` float32 m.
        velocity: ``(3, N)`` float32 m/s.
        quaternion: ``(4, N)`` float32, scalar first, from body to world.
        rates: ``(3, N)`` float32 rad/s about the body axes.
        axes: ``(3, 3, N)`` float32, the forward, left and up axis in the world, as of
            :meth:`orient`.
    """

    def __init__(self, inertia: tuple[float, float, float], count: int) -> None:
        self.position: Array = np.zeros((3, count), np.float32)
        self.velocity: Array = np.zeros((3, count), np.float32)
        self.quaternion: Array = np.zeros((4, count), np.float32)
        self.rates: Array = np.zeros((3, count), np.float32)
        self.axes: Array = np.zeros((3, 3, count), np.float32)
        self.quaternion[0] = 1
        self.orient()
        x, y, z = inertia
        self._coupling = (y - z) / x, (z - x) / y, (x - y) / z

    def level(self, columns: Array, heading: Array) -> None:
        """Stops the rotation of bodies ``columns`` ``(k,)`` level, at ``heading`` ``(k,)`` rad."""
        self.rates[:, columns] = 0
        self.quaternion[:, columns] = 0
        self.quaternion[0, columns] = np.cos(heading / 2)
        self.quaternion[3, columns] = np.sin(heading / 2)

    def orient(self) -> None:
        """Brings :attr:`axes` up to date."""
        w, x, y, z = self.quaternion
        twice = 2 * self.quaternion
        wx, wy, wz = w * twice[1], w * twice[2], w * twice[3]
        xx, xy, xz = x * twice[1], x * twice[2], x * twice[3]
        yy, yz, zz = y * twice[2], y * twice[3], z * twice[3]
        forward, left, up = self.axes
        np.subtract(1 - yy, zz, out=forward[0])
        np.add(xy, wz, out=forward[1])
        np.subtract(xz, wy, out=forward[2])
        np.subtract(xy, wz, out=left[0])
        np.subtract(1 - xx, zz, out=left[1])
        np.add(yz, wx, out=left[2])
        np.add(xz, wy, out=up[0])
        np.subtract(yz, wx, out=up[1])
        np.subtract(1 - xx, yy, out=up[2])

    def move(self, acceleration: Array, seconds: float) -> None:
        """Moves all bodies under ``(3, N)`` m/s^2, which is spent in the call."""
        acceleration *= seconds
        self.position += seconds * self.velocity
        self.velocity += acceleration
        acceleration *= seconds / 2
        self.position += acceleration

    def turn(self, acceleration: Array, seconds: float) -> None:
        """Turns all bodies under ``(3, N)`` rad/s^2, torques over moments of inertia."""
        rates = self.rates
        before = acceleration + self._gyroscopic(rates)
        after = acceleration + self._gyroscopic(rates + seconds * before)
        before += after
        before *= seconds / 2
        mean = rates + before / 2
        rates += before
        np.clip(rates, -MAX_RATE, MAX_RATE, out=rates)
        self._rotate(mean, seconds)

    def _gyroscopic(self, rates: Array) -> Array:
        """Angular accelerations without torque, by Euler's equations."""
        x, y, z = rates
        a, b, c = self._coupling
        found = np.empty_like(rates)
        np.multiply(a * y, z, out=found[0])
        np.multiply(b * z, x, out=found[1])
        np.multiply(c * x, y, out=found[2])
        return found

    def _rotate(self, rates: Array, seconds: float) -> None:
        w, x, y, z = self.quaternion
        p, q, r = rates * np.float32(seconds / 2)
        turned = np.empty_like(self.quaternion)
        np.subtract(w - x * p, y * q + z * r, out=turned[0])
        np.add(x + w * p, y * r - z * q, out=turned[1])
        np.add(y + w * q, z * p - x * r, out=turned[2])
        np.add(z + w * r, x * q - y * p, out=turned[3])
        w, x, y, z = turned
        turned *= 1 / np.sqrt(w * w + x * x + (y * y + z * z))
        self.quaternion[...] = turned
