"""A range sensor that an agent carries: rays, what they meet, and drop-out."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from envs.sensing.camera import camera_beams, semantic_image
from envs.sensing.config import CameraConfig, LidarConfig, RangerConfig
from envs.sensing.lidar import lidar_beams, ranger_beams
from envs.sensing.noise import happens
from envs.sensing.rays import RayCaster

if TYPE_CHECKING:
    from envs.bodies import Bodies, Solids
    from qmarl.types import Array


@final
class Scanner:
    """Range-finders, a lidar or a camera of ``A`` agents in ``E`` worlds.

    Args:
        config: Which of them.
        shape: ``(E, A)``.
        arena: ``(2, 3)`` lower and upper corner in metres; None where its border is not seen.

    Attributes:
        size: Readings of each agent.
        draws: Draws that a world needs in a step.
    """

    def __init__(
        self,
        config: RangerConfig | LidarConfig | CameraConfig,
        shape: tuple[int, int],
        arena: Array | None,
    ) -> None:
        self._config, beams = config, _beams(config)
        self._caster = RayCaster(beams, shape[1], arena, config.range)
        self.size, self.draws = len(beams), shape[1] if config.dropout else 0
        self._held: Array = np.zeros((*shape, self.size if self.draws else 0), np.float32)

    def read(
        self, bodies: Bodies, solids: Solids, rows: Array, first: Array, draws: Array
    ) -> Array:
        """Readings ``(k, A, size)`` float32 within [0, 1].

        Args:
            bodies: The bodies of worlds ``rows`` as they are.
            solids: What stands in these worlds.
            rows: ``(k,)`` positions in the batch.
            first: ``(k,)`` bool, whose episode begins: nothing can be held there.
            draws: ``(k, draws)`` uint16.
        """
        found = self._scan(bodies, solids)
        if self.draws:
            missed = happens(draws, self._config.dropout) & ~first[:, None]
            found = np.where(missed[..., None], self._held[rows], found)
            self._held[rows] = found
        return found

    def _scan(self, bodies: Bodies, solids: Solids) -> Array:
        config = self._config
        if isinstance(config, CameraConfig) and config.image == "semantic":
            return semantic_image(self._caster.cast(bodies, solids), config.range)
        found = self._caster.nearest(bodies, solids)
        found /= np.float32(config.range)
        return np.subtract(1, found, out=found)


def _beams(config: RangerConfig | LidarConfig | CameraConfig) -> Array:
    if isinstance(config, RangerConfig):
        return ranger_beams(config)
    return lidar_beams(config) if isinstance(config, LidarConfig) else camera_beams(config)
