"""Radio: who hears whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from envs.sensing.noise import happens

if TYPE_CHECKING:
    from envs.sensing.config import CommunicationConfig
    from qmarl.types import Array


@final
class Radio:
    """Links between ``A`` agents; each carries both ways or not at all, and all hear themselves.

    Args:
        config: Range and loss.
        shape: ``(E, A)``.

    Attributes:
        draws: Draws that a world needs in a step: one for each pair where links can be lost.
    """

    def __init__(self, config: CommunicationConfig, shape: tuple[int, int]) -> None:
        self._config = config
        self._one, self._other = np.triu_indices(shape[1], 1)
        self._heard: Array = np.ones((*shape, shape[1]), bool)
        self.draws = len(self._one) if config.loss else 0

    def heard(self, position: Array, rows: Array, draws: Array) -> Array:
        """Whether agent ``i`` hears agent ``j``.

        Args:
            position: ``(E, A, 3)`` m, where they truly are.
            rows: ``(k,)`` worlds in which links are made anew.
            draws: ``(k, draws)`` uint16.

        Returns:
            ``(E, A, A)`` bool, symmetric.
        """
        linked = np.ones((len(rows), len(self._one)), bool)
        if self._config.range is not None:
            here = position[rows]
            apart = here[:, self._one] - here[:, self._other]
            x, y, z = apart[..., 0], apart[..., 1], apart[..., 2]
            linked &= x * x + y * y + z * z <= np.float32(self._config.range) ** 2
        if self.draws:
            linked &= ~happens(draws, self._config.loss)
        self._heard = self._heard.copy()  # what was handed out stays as it is
        self._heard[rows[:, None], self._one, self._other] = linked
        self._heard[rows[:, None], self._other, self._one] = linked
        return self._heard
