"""Key rates of a whole team from where everyone is, with teammates as trusted relays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qmarl.secure.links import DroneDroneLink, FibreLink
from qmarl.secure.links_config import LinkSection
from qmarl.types import Array


@dataclass(frozen=True)
class TeamRates:
    """Secret bits a second of each drone, in the limit of endless sessions; ``(..., A)`` each.

    Attributes:
        direct: Over its own link to the station or satellite.
        best: The same, or by one teammate that makes a key with both and knows both.
        relay: The teammate's index, -1 where the own link is better.
    """

    direct: Array
    best: Array
    relay: Array


def station_rates(section: LinkSection, positions: Array, round_number: int = 0) -> Array:
    """Returns the key rate of each drone with the section's sender.

    A pure function of the positions: a world that flies has rates that change as it does.

    Args:
        section: The link; its sender or satellite is at the other end, its receiver is not used.
        positions: ``(..., A, 3)`` metres.
        round_number: Says where a satellite is, which flies over the origin.

    Returns:
        ``(..., A)`` secret bits a second; see :meth:`qmarl.secure.links.Budget.key_rate`.
    """
    there: Array = np.asarray(section.sender, float)
    if section.satellite is not None:
        there = section.satellite.position(round_number)
    return section.link.budget(there, positions, section.detector).key_rate()


def team_rates(
    section: LinkSection,
    positions: Array,
    alive: Array | None = None,
    between: DroneDroneLink | None = None,
    round_number: int = 0,
) -> TeamRates:
    """Returns the key rate of each drone, by the best of its own link and of each teammate.

    Args:
        section: The link to the station or satellite.
        positions: ``(..., A, 3)`` metres.
        alive: ``(..., A)`` bool; who is lost has no rate and relays nothing. All, if not given.
        between: The link between teammates; by default the usual one, in the same weather.
        round_number: Says where a satellite is.
    """
    up = np.ones(positions.shape[:-1], bool) if alive is None else alive
    direct = station_rates(section, positions, round_number) * up
    mates = (between or _among(section)).pairs(positions, section.detector).key_rate()
    through = np.minimum(mates, direct[..., None, :]) * up[..., None]
    relay = through.argmax(-1)
    best = np.take_along_axis(through, relay[..., None], -1)[..., 0]
    better = best > direct
    return TeamRates(direct, np.where(better, best, direct), np.where(better, relay, -1))


def _among(section: LinkSection) -> DroneDroneLink:
    """The usual link between teammates, in the air of the section's link."""
    link = section.link
    if isinstance(link, FibreLink):
        return DroneDroneLink()
    return DroneDroneLink(
        weather=link.weather,
        rain_rate=link.rain_rate,
        haze_height=link.haze_height,
        turbulence=link.turbulence,
        high_wind=link.high_wind,
        sky=link.sky,
    )
