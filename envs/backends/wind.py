"""Wind: a mean wind with gusts whose spectrum is Dryden's, one for each world."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Final, final

import numpy as np
from pydantic import Field

from qmarl.config import Section

if TYPE_CHECKING:
    from qmarl.types import Array

_FOOT: Final = 0.3048  # m
_LINES: Final = 6  # sinusoids on each axis
_GRID: Final = np.geomspace(0.02, 20, 512)  # wave numbers of gusts times their length scale


class WindConfig(Section):
    """A level mean wind and gusts around it, the same everywhere in a world."""

    speed: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Mean speed, m/s; 0 for still air."""
    direction: Annotated[float, Field(ge=-math.pi, le=math.pi)] | None = None
    """Where it blows to, radians from the x axis, counter-clockwise; drawn in every episode when
    left out."""
    turbulence: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Standard deviation of the vertical gusts as a share of ``speed``; level gusts follow."""
    height: Annotated[float, Field(ge=3.048, le=304.8)] = 3.048
    """Height above ground that settles the gusts' lengths, m."""

    @property
    def lengths(self) -> tuple[float, float, float]:
        """Length scales of gusts along the wind, across it and vertical, m."""
        feet = self.height / _FOOT
        level = float(feet / self._share**1.2 * _FOOT)
        return level, level, self.height

    @property
    def deviations(self) -> tuple[float, float, float]:
        """Standard deviations of gusts along the wind, across it and vertical, over ``speed``."""
        level = self.turbulence / self._share**0.4
        return level, level, self.turbulence

    @property
    def _share(self) -> float:
        return 0.177 + 0.000823 * self.height / _FOOT


@final
class Wind:
    """The wind in ``E`` worlds, decision by decision.

    Gusts are sums of six sinusoids on each axis. Each stands for a sixth of the energy and has a
    frequency drawn from its part of the spectrum, an even phase and a Rayleigh-distributed
    amplitude, so that over many episodes the gusts are normally distributed with just this spectrum
    (Shinozuka and Jan 1972, Digital simulation of random processes and its applications), and an
    episode's wind follows from its numbers alone. Spectra, length scales and intensities are those
    of MIL-F-8785C, 3.7.1.2 and 3.7.3, for low altitudes, between 0.02 and 20 over the length scale;
    the speed at which gusts pass is the mean wind's, as for a body that hovers.

    Args:
        config: Strength and direction.
        num_envs: Number ``E`` of worlds.
        dt: Seconds per decision.

    Attributes:
        draws: Uniform numbers that an episode needs; 0 in still air.
        velocity: ``(3, E)`` float32 m/s, as of the last :meth:`blow`.
    """

    def __init__(self, config: WindConfig, num_envs: int, dt: float) -> None:
        self._config, self._dt, self._scales = config, dt, (config.deviations, config.lengths)
        self.draws = 1 + 9 * _LINES if config.speed else 0
        self.velocity: Array = np.zeros((3, num_envs), np.float32)
        self._mean, self._cos, self._sin = np.zeros((3, num_envs), np.float32)
        self._amplitude, self._phase, self._turn = np.zeros((3, 3, _LINES, num_envs), np.float32)

    def begin(self, rows: Array, uniform: Array, factor: Array) -> None:
        """Draws the wind of the episodes that begin in some worlds.

        Args:
            rows: ``(k,)`` positions in the batch.
            uniform: ``(k, draws)`` numbers in [0, 1).
            factor: ``(k,)`` factors on the mean speed.
        """
        if not self.draws:
            return
        speed = self._config.speed * factor.astype(np.float64)
        away = self._config.direction
        angle = 2 * np.pi * uniform[:, 0] if away is None else np.full(len(rows), away)
        self._mean[rows], self._cos[rows], self._sin[rows] = speed, np.cos(angle), np.sin(angle)
        height, phase, part = np.moveaxis(uniform[:, 1:].reshape(len(rows), 3, 3, -1), 0, -1)
        self._phase[..., rows] = 2 * np.pi * phase
        share = (np.arange(_LINES)[:, None] + part) / _LINES
        size = speed * np.sqrt(-2 / _LINES * np.log1p(-height))
        for axis, (deviation, length) in enumerate(zip(*self._scales, strict=True)):
            self._amplitude[axis][:, rows] = deviation * size[axis]
            number = np.interp(share[axis], _energy(_GRID, across=axis > 0), _GRID) / length
            self._turn[axis][:, rows] = number * speed * self._dt

    def blow(self) -> Array:
        """Moves on by one decision and returns the wind during it, ``(3, E)`` m/s."""
        if not self.draws:
            return self.velocity
        waves = self._amplitude * np.cos(self._phase)
        gust = waves[:, 0].copy()
        for line in range(1, waves.shape[1]):  # in this order whatever E is
            gust += waves[:, line]
        self._phase += self._turn
        along, across = self._mean + gust[0], gust[1]
        self.velocity[0] = along * self._cos - across * self._sin
        self.velocity[1] = along * self._sin + across * self._cos
        self.velocity[2] = gust[2]
        return self.velocity


def _energy(numbers: Array, across: bool) -> Array:
    """Share of the variance below wave numbers, which are given over the length scale.

    Along the wind the density is ``2 / pi / (1 + x^2)``, across it ``(1 + 3 x^2) / pi /
    (1 + x^2)^2``; both are integrated exactly.
    """
    below = 2 * np.arctan(numbers) - (numbers / (1 + numbers**2) if across else 0.0)
    shares: Array = (below - below[0]) / (below[-1] - below[0])
    return shares
