"""Sites: the same task under conditions that differ from fleet to fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from envs.mobility import MobilitySection
from envs.registry import make
from envs.section import WorldSection
from qmarl.errors import ConfigurationError

if TYPE_CHECKING:
    from envs.world import WorldSpec

AnySection = TypeVar("AnySection", bound=WorldSection)

_SHARED: Final = (
    "agents",
    "observation_sizes",
    "action_counts",
    "action_sizes",
    "state_size",
    "max_steps",
)


def site_config(config: AnySection, site: int) -> AnySection:
    """Returns the section that holds at a site; the same one where sites do not differ.

    Args:
        config: The env section.
        site: Number of the fleet, from 0.
    """
    return config.at_site(site) if isinstance(config, MobilitySection) else config


def site_configs(config: AnySection, fleets: int) -> list[AnySection]:
    """Returns the section of every fleet's site.

    Raises:
        ConfigurationError: There are more sites than fleets, or at one of them agents see or do
            other numbers of things than elsewhere.
    """
    written = len(config.sites) if isinstance(config, MobilitySection) else 0
    if written > fleets:
        raise ConfigurationError(
            f"env.sites: got {written} sites for {fleets} fleets; allowed are at most as many"
        )
    found = [site_config(config, fleet) for fleet in range(fleets)]
    if written:
        common = _spec(config)
        for site, section in enumerate(found[:written]):
            _compare(common, _spec(section), site)
    return found


def refuse_sites(config: WorldSection) -> None:
    """Raises :class:`ConfigurationError` where sites are named and there are no fleets."""
    if isinstance(config, MobilitySection) and config.sites:
        raise ConfigurationError(
            f"env.sites: got {len(config.sites)} sites, which belong to 'federation.client: fleet'"
        )


def _spec(config: WorldSection) -> WorldSpec:
    world = make(config, 1)
    world.close()
    return world.spec


def _compare(common: WorldSpec, own: WorldSpec, site: int) -> None:
    for name in _SHARED:
        here, elsewhere = getattr(own, name), getattr(common, name)
        if here != elsewhere:
            raise ConfigurationError(
                f"env.sites.{site}: {name} would be {here}, and {elsewhere} without what differs "
                "there; it must be the same, since fleets learn together"
            )
