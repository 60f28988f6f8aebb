"""Four rotors in X configuration: from the thrust that is wanted to forces and torques."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import numpy as np

if TYPE_CHECKING:
    from qmarl.types import Array


@final
class Rotors:
    """Rotors of ``N`` quadrotors; a rotor's speed follows what is wanted with a first-order lag.

    Rotors stand in the order front right, rear left, front left, rear right. Seen from above the
    first two turn counter-clockwise, so their drag turns the body clockwise. Thrust and drag torque
    grow with the square of the speed.

    Args:
        arm: Distance of the rotors from the centre, m.
        thrust: Greatest thrust of one rotor, N.
        ratio: Drag torque over thrust, m.
        count: ``N``.

    Attributes:
        speed: ``(4, N)`` float32 shares of the greatest speed.
        wanted: ``(4, N)`` float32 shares of the greatest speed.
        lift: ``(N,)`` float32 N along the body's up axis, as of :meth:`spin`.
        torque: ``(3, N)`` float32 N m about the body axes, as of :meth:`spin`.
    """

    def __init__(self, arm: float, thrust: float, ratio: float, count: int) -> None:
        self.speed: Array = np.zeros((4, count), np.float32)
        self.wanted: Array = np.zeros((4, count), np.float32)
        self.lift: Array = np.zeros(count, np.float32)
        self.torque: Array = np.zeros((3, count), np.float32)
        self._arm, self._ratio, self._thrust = arm / math.sqrt(2), ratio, thrust

    def spin(self, share: Array) -> None:
        """Lets speeds come nearer by ``share`` ``(N,)`` of the gap; finds lift and torques."""
        self.speed += share * (self.wanted - self.speed)
        force = self.speed * self.speed
        force *= self._thrust
        front_right, rear_left, front_left, rear_right = force
        right_left, left_right = front_right + rear_left, front_left + rear_right
        np.add(right_left, left_right, out=self.lift)
        roll, pitch = rear_left - front_right, front_left - rear_right
        np.add(roll, pitch, out=self.torque[0])
        np.subtract(roll, pitch, out=self.torque[1])
        self.torque[:2] *= self._arm
        np.subtract(left_right, right_left, out=self.torque[2])
        self.torque[2] *= self._ratio

    def want(self, lift: Array, torque: Array) -> None:
        """Sets the wanted speeds for a lift ``(N,)`` N and torques ``(3, N)`` N m.

        Where the rotors cannot do both, torques come before lift.
        """
        roll, pitch = torque[:2] * np.float32(0.25 / (self._arm * self._thrust))
        yaw = torque[2] * np.float32(0.25 / (self._ratio * self._thrust))
        one, other = roll + pitch, roll - pitch
        apart = self.wanted
        np.add(one, yaw, out=apart[0])
        np.negative(apart[0], out=apart[0])
        np.subtract(one, yaw, out=apart[1])
        np.add(other, yaw, out=apart[2])
        np.subtract(yaw, other, out=apart[3])
        first, second = np.maximum(apart[0], apart[1]), np.maximum(apart[2], apart[3])
        room = 1 - np.maximum(first, second)
        first, second = np.minimum(apart[0], apart[1]), np.minimum(apart[2], apart[3])
        least = -np.minimum(first, second)
        share = np.minimum(lift * np.float32(0.25 / self._thrust), room)
        apart += np.maximum(share, least)
        self.want_thrust(apart)

    def want_thrust(self, shares: Array) -> None:
        """Sets the wanted speeds for ``(4, N)`` shares of the rotors' greatest thrust."""
        np.clip(shares, 0, 1, out=self.wanted)
        np.sqrt(self.wanted, out=self.wanted)
