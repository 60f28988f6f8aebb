"""A measured quantity: the truth, with noise, with a bias, and late where the sensor drops out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, final

import numpy as np

from envs.sensing.config import NoiseConfig
from envs.sensing.noise import LEVELS, happens, normals

if TYPE_CHECKING:
    from qmarl.types import Array


@final
class Quantity:
    """What sensors say of one quantity of ``A`` agents in ``E`` worlds.

    Args:
        config: How good they are; exact when left out.
        shape: ``(E, A)`` or ``(E, A, 3)`` of the quantity.
        angle: Whether it is an angle, which stays within -pi and pi.

    Attributes:
        exact: Whether the truth is measured.
        biases: Uniform numbers that an episode needs.
        draws: Draws that a world needs in a step.
    """

    def __init__(
        self, config: NoiseConfig | None, shape: tuple[int, ...], angle: bool = False
    ) -> None:
        self._config, self._angle = config or NoiseConfig(), angle
        numbers = math.prod(shape[1:])
        self._noisy = numbers if self._config.noise else 0
        self.biases = numbers if self._config.bias else 0
        self.draws = self._noisy + (shape[1] if self._config.dropout else 0)
        self.exact = not (self.biases or self.draws)
        self._bias: Array = np.zeros(shape, np.float32)
        self._held: Array = np.zeros(shape, np.float32)

    def begin(self, rows: Array, uniform: Array) -> None:
        """Draws the biases of some worlds from ``(k, biases)`` numbers in [0, 1)."""
        if self.biases:
            deviates = normals((uniform * LEVELS).astype(np.int64))
            bias = np.float32(self._config.bias) * deviates
            self._bias[rows] = bias.reshape(-1, *self._bias.shape[1:])

    def measure(self, truth: Array, rows: Array, first: Array, draws: Array) -> Array:
        """Measures in some worlds; the others keep what was measured last.

        Args:
            truth: ``(E, A)`` or ``(E, A, 3)``.
            rows: ``(k,)`` positions in the batch.
            first: ``(k,)`` bool, whose episode begins: nothing can be held there.
            draws: ``(k, draws)`` uint16.

        Returns:
            An array like ``truth``.
        """
        if self.exact:
            return truth
        found = truth[rows] + self._bias[rows]
        if self._noisy:
            errors = normals(draws[:, : self._noisy]).reshape(found.shape)
            found += np.float32(self._config.noise) * errors
        if self._angle:
            found = (found + np.float32(np.pi)) % np.float32(2 * np.pi) - np.float32(np.pi)
        if self._config.dropout:
            missed = happens(draws[:, self._noisy :], self._config.dropout) & ~first[:, None]
            missed = missed.reshape(*missed.shape, *[1] * (found.ndim - 2))
            found = np.where(missed, self._held[rows], found)
        self._held = self._held.copy()  # what was handed out stays as it is
        self._held[rows] = found
        return self._held
