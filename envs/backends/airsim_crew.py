"""From a world's section to the AirSim backend that flies it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.backends.airsim import AirsimBackend, Crew
from envs.backends.airsim_commands import Drive
from envs.backends.airsim_frames import flipped

if TYPE_CHECKING:
    from envs.mobility import MobilitySection


def make_airsim(
    config: MobilitySection, shape: tuple[int, int], names: Sequence[str], kinds: Sequence[str]
) -> AirsimBackend:
    """Makes the backend of ``E`` simulators.

    Args:
        config: The world's section. Full pedals and a full turn of the wheel are taken to do what
            they do to the section's ``bicycle``.
        shape: ``(E, A)``.
        names: The agents.
        kinds: ``drone`` or ``vehicle`` for each of them.

    Raises:
        ConfigurationError: There are fewer simulators than copies, or names than agents.
    """
    car = config.bicycle
    crew = Crew(
        names=tuple(names),
        kinds=tuple(kinds),
        dt=config.dt,
        drive=Drive(car.acceleration, car.brake, car.max_steer),
        own=_own(config),
    )
    wind = config.wind if "drone" in kinds else None
    return AirsimBackend(config.simulators, shape, crew, wind, config.randomisation)


def _own(config: MobilitySection) -> dict[str, Any]:
    """What our own simulator is told: the section's bodies, and its arena as walls."""
    corners = flipped(config.arena) + np.array(config.airsim.origin)
    return {
        "physics": config.airsim.launch.physics,
        "point": config.point.model_dump(mode="json"),
        "quad6dof": config.quad6dof.model_dump(mode="json"),
        "bicycle": config.bicycle.model_dump(mode="json"),
        "arena": corners.tolist(),
    }
