"""What moves multirotors: the commands that they follow, and what every physics must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from qmarl.types import Array

OFF: Final = 0
"""Rotors stand still."""
VELOCITY: Final = 1
"""A velocity is followed."""
ATTITUDE: Final = 2
"""Roll, pitch, yaw rate and lift are followed."""
MOTORS: Final = 3
"""Rotors are commanded one by one."""
PARKED: Final = 4
"""It stands where it is."""

SECOND: Final = 1_000_000_000
"""Nanoseconds."""


class Flyers(ABC):
    """``N`` multirotors, in our own frame: x and y level, z up.

    Args:
        count: ``N``.
        box: ``(2, 3)`` lower and upper corner of where they can be, m.

    Attributes:
        mode: ``(N,)`` what each follows.
        velocity_command: ``(N, 3)`` float32 m/s.
        attitude_command: ``(N, 4)`` float32 roll, pitch, yaw rate and share of lift, as
            :meth:`envs.backends.quad6dof.Quad6Dof.advance_attitude` reads them.
        motor_command: ``(N, 4)`` float32 shares of the rotors' greatest thrust.
        turning: ``(N,)`` float32 rad/s at which headings are turned in the mode ``VELOCITY``.
        air: ``(3, 1)`` float32 m/s, the wind.
        longest: Nanoseconds that may pass in one call of :meth:`advance`.
    """

    longest: int

    def __init__(self, count: int, box: Array) -> None:
        self.count, self.box = count, box.astype(np.float32)
        self.mode: Array = np.full(count, OFF)
        self.velocity_command: Array = np.zeros((count, 3), np.float32)
        self.attitude_command: Array = np.zeros((count, 4), np.float32)
        self.motor_command: Array = np.zeros((count, 4), np.float32)
        self.turning: Array = np.zeros(count, np.float32)
        self.air: Array = np.zeros((3, 1), np.float32)

    @property
    @abstractmethod
    def position(self) -> Array:
        """``(N, 3)`` float32 m, as it is kept: writing to it moves them."""

    @property
    @abstractmethod
    def velocity(self) -> Array:
        """``(N, 3)`` float32 m/s, as it is kept."""

    @property
    @abstractmethod
    def quaternion(self) -> Array:
        """``(N, 4)`` float32 attitudes, scalar first."""

    @property
    @abstractmethod
    def rates(self) -> Array:
        """``(N, 3)`` float32 rad/s about the body's axes."""

    @property
    @abstractmethod
    def acceleration(self) -> Array:
        """``(N, 3)`` float32 m/s^2, the mean of the last advance."""

    @abstractmethod
    def advance(self, nanoseconds: int) -> None:
        """Moves all by at most :attr:`longest`."""

    @abstractmethod
    def place(self, index: int, position: Array, turn: Array) -> None:
        """Puts one at rest at ``(3,)`` m with the attitude ``(4,)``, its rotors in hover."""

    @abstractmethod
    def halt(self, index: int, position: Array, velocity: Array) -> None:
        """Puts one where something stopped it, with what is left of its velocity, ``(3,)`` each."""

    @abstractmethod
    def rotors(self, index: int) -> list[tuple[float, float, float]]:
        """Thrust in N, drag torque in N m and speed as a share of the greatest, of each rotor."""

    @abstractmethod
    def take_over(self, other: Flyers) -> None:
        """Goes on with the state of a smaller batch of the same kind."""

    @abstractmethod
    def refusal(self, mode: int) -> str:
        """Why a mode cannot be flown; empty if it can."""

    def hover_share(self) -> float:
        """Share of the greatest lift that carries the weight."""
        return 0.5

    def _copy_commands(self, other: Flyers) -> None:
        for mine, theirs in (
            (self.mode, other.mode),
            (self.velocity_command, other.velocity_command),
            (self.attitude_command, other.attitude_command),
            (self.motor_command, other.motor_command),
            (self.turning, other.turning),
        ):
            mine[: other.count] = theirs
        self.air[...] = other.air
