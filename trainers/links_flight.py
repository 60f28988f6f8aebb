"""Key rates of drones while they fly in the world of a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qmarl.errors import ConfigurationError
from qmarl.secure.links_config import LinkSection
from qmarl.secure.network import team_rates
from qmarl.types import Array

if TYPE_CHECKING:
    from envs.section import WorldSection


@dataclass(frozen=True)
class Flight:
    """Key rates along one flight.

    Attributes:
        world: Name of the world.
        agents: Names of the drones.
        seconds: ``(t,)`` time since its start.
        direct: ``(t, A)`` secret bits a second over each drone's own link.
        best: The same, by a teammate where that is better.
    """

    world: str
    agents: tuple[str, ...]
    seconds: Array
    direct: Array
    best: Array


def fly(env: WorldSection, section: LinkSection, seed: int) -> Flight:
    """Flies one episode at random and works out everyone's key rate at each step.

    Args:
        env: The world.
        section: The link; its sender or satellite is at the other end.
        seed: Seed of the episode and of the moves.

    Raises:
        ConfigurationError: The world has no positions in metres.
    """
    from envs.mobility import MobilitySection
    from envs.registry import make
    from envs.scripted import at_random

    if not isinstance(env, MobilitySection):
        raise ConfigurationError(f"--flight: env.id '{env.id}' has no positions in metres")
    world, interval = make(env, 1), env.dt
    try:
        view, policy = world.reset(seed), at_random(seed, world.spec)
        direct, best = [], []
        for step in range(world.spec.max_steps):
            at = _moved(section, step * interval)
            found = team_rates(at, world.positions()[0], view.alive[0])
            direct.append(found.direct)
            best.append(found.best)
            stepped = world.step(policy(view))
            view = stepped.view
            if stepped.ended.any():
                break
        agents, name = world.spec.agents, world.spec.name
    finally:
        world.close()
    seconds = interval * np.arange(len(direct))
    return Flight(name, agents, seconds, np.array(direct), np.array(best))


def _moved(section: LinkSection, seconds: float) -> LinkSection:
    """The link so many seconds later, where a satellite carries one end of it."""
    if section.satellite is None:
        return section
    later = section.satellite.model_copy(update={"first": section.satellite.first + seconds})
    return section.model_copy(update={"satellite": later})
