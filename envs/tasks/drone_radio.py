"""The air-to-ground link of a flying base station: path loss, signal-to-noise ratio, rate.

Path loss is the probabilistic line-of-sight model of Al-Hourani, Kandeepan and Lardner, "Optimal
LAP altitude for maximum coverage", IEEE Wireless Communications Letters 3(6), 2014, with the
constants of its urban environment; noise is thermal, -174 dBm/Hz at 290 K.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
from pydantic import Field

from qmarl.config import Section

if TYPE_CHECKING:
    from qmarl.types import Array

SIGHT_A: Final = 9.61
"""First constant of the line-of-sight probability, urban."""
SIGHT_B: Final = 0.16
"""Second constant of the line-of-sight probability, per degree, urban."""
SIGHT_LOSS: Final = 1.0
"""Loss beyond free space with line of sight, dB, urban."""
SHADOW_LOSS: Final = 20.0
"""Loss beyond free space without line of sight, dB, urban."""
LIGHT: Final = 299_792_458.0
"""Speed of light, m/s."""
NOISE_DENSITY: Final = -174.0
"""Thermal noise, dBm/Hz."""


class RadioConfig(Section):
    """A base station's transmitter, and its users' receivers."""

    carrier_ghz: Annotated[float, Field(gt=0, le=1000)] = 2.0
    """Carrier frequency, GHz."""
    bandwidth_mhz: Annotated[float, Field(gt=0, le=10_000)] = 10.0
    """Bandwidth of each station, shared equally among its users, MHz; stations use bands of their
    own, so they do not disturb each other."""
    power_dbm: Annotated[float, Field(ge=-50, le=80)] = 20.0
    """Transmitted power, dBm."""
    noise_figure_db: Annotated[float, Field(ge=0, le=50)] = 7.0
    """Noise that a receiver adds, dB."""


@dataclass(frozen=True)
class Service:
    """How users are served.

    Attributes:
        station: ``(k, N)`` int64, the station that serves each user.
        rate: ``(k, N)`` float32 Mbit/s; 0 where no station is on air.
    """

    station: Array
    rate: Array


def sight_probability(level: Array, height: Array) -> Array:
    """Probability of a line of sight (Al-Hourani et al. 2014).

    Args:
        level: Level distances ``(...)``, m.
        height: Heights of the stations above the users ``(...)``, m.
    """
    elevation = np.arctan2(height, level) * np.float32(180 / math.pi)
    odds = np.exp(np.float32(-SIGHT_B) * (elevation - np.float32(SIGHT_A)))
    probability: Array = 1 / (1 + np.float32(SIGHT_A) * odds)
    return probability


def path_loss(level: Array, height: Array, carrier_ghz: float) -> Array:
    """Mean path loss in dB: free space, and what buildings add on average.

    Args:
        level: Level distances ``(...)``, m.
        height: Heights of the stations above the users ``(...)``, m, more than 0.
        carrier_ghz: Carrier frequency, GHz.
    """
    square = level * level + height * height
    free = 10 * np.log10(square) + 20 * math.log10(4 * math.pi * carrier_ghz * 1e9 / LIGHT)
    seen = sight_probability(level, height)
    loss: Array = free + seen * SIGHT_LOSS + (1 - seen) * SHADOW_LOSS
    return loss


def spectral_efficiency(level: Array, height: Array, radio: RadioConfig) -> Array:
    """Shannon's bits per second and hertz, ``log2(1 + signal / noise)``.

    Args:
        level: Level distances ``(...)``, m.
        height: Heights of the stations above the users ``(...)``, m, more than 0.
        radio: Transmitter and receivers.
    """
    noise = NOISE_DENSITY + 10 * math.log10(radio.bandwidth_mhz * 1e6) + radio.noise_figure_db
    decibel = radio.power_dbm - noise - path_loss(level, height, radio.carrier_ghz)
    ratio = np.exp(decibel * np.float32(math.log(10) / 10))
    efficiency: Array = np.log2(1 + ratio)
    return efficiency


def utility(rate: Array, demand: Array, steepness: float) -> Array:
    """What a rate is worth: a sigmoid within (0, 1), 0.5 at the demanded rate.

    Sigmoid utilities stand for inelastic traffic, such as voice and video (Lee, Mazumdar and
    Shroff, "Downlink power allocation for multi-class wireless systems", IEEE/ACM Transactions on
    Networking 13(4), 2005).

    Args:
        rate: ``(...)`` Mbit/s.
        demand: ``(...)`` Mbit/s, more than 0.
        steepness: Slope of the exponent per demanded rate.
    """
    worth: Array = 1 / (1 + np.exp(np.float32(steepness) * (1 - rate / demand)))
    return worth


def serve(stations: Array, on_air: Array, users: Array, radio: RadioConfig) -> Service:
    """Gives every user to the station with the best link, and its bandwidth equally to its users.

    Args:
        stations: ``(k, A, 3)`` float32 m, above the ground.
        on_air: ``(k, A)`` bool, stations that serve at all.
        users: ``(k, N, 2)`` float32 places on the ground, m.
        radio: Transmitters and receivers.
    """
    offset = users[:, None] - stations[:, :, None, :2]
    level = np.sqrt(offset[..., 0] * offset[..., 0] + offset[..., 1] * offset[..., 1])
    efficiency = spectral_efficiency(level, stations[..., 2:], radio) * on_air[..., None]
    station = efficiency.argmax(1)
    load = (station[:, None] == np.arange(stations.shape[1])[:, None]).sum(-1)
    best = np.take_along_axis(efficiency, station[:, None], 1)[:, 0]
    sharing = np.take_along_axis(load, station, 1).astype(np.float32)
    return Service(station, np.float32(radio.bandwidth_mhz) * best / sharing)
