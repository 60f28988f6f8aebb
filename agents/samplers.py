"""Samplers: the acting halves of heads, from all agents' outputs to actions, NumPy alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, final

import numpy as np

from agents.heads import HALF_LOG_TWO_PI, MASKED, gumbel, log_prob, masked

if TYPE_CHECKING:
    from qmarl.types import Array


class Sampler(Protocol):
    """The acting half of a team's heads: from all agents' outputs ``(E, A, N)`` to actions."""

    @property
    def blank(self) -> np.float32:
        """What stands in outputs where an agent has none."""
        ...

    def allowed(self, action_mask: Array) -> Array:
        """Outputs that count, bool, broadcasting to ``(E, A, N)``, given a view's mask."""
        ...

    def masked(self, outputs: Array, action_mask: Array) -> Array:
        """The outputs with :attr:`blank` wherever they do not count."""
        ...

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Randomness for outputs of ``shape``, float32."""
        ...

    def draw(self, outputs: Array, noise: Array) -> Array:
        """Draws actions, as they are learned from."""
        ...

    def mode(self, outputs: Array) -> Array:
        """The likeliest actions."""
        ...

    def performed(self, actions: Array) -> Array:
        """What the world is given for ``actions``."""
        ...

    def log_prob(self, outputs: Array, actions: Array) -> Array:
        """Log-probabilities ``(...)`` of ``actions`` under ``outputs (..., N)``."""
        ...


@final
class CategoricalSampler:
    """Draws choices ``(E, A)`` from logits; a view's mask says which are allowed."""

    blank: Final = MASKED

    def allowed(self, action_mask: Array) -> Array:
        """The view's own mask."""
        return action_mask

    def masked(self, outputs: Array, action_mask: Array) -> Array:
        """Puts forbidden actions out of reach; see :func:`masked`."""
        return masked(outputs, action_mask)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Gumbel noise; see :func:`gumbel`."""
        return gumbel(rng, shape)

    def draw(self, outputs: Array, noise: Array) -> Array:
        """Choices ``(..., )`` int64 with the probabilities of the softmax."""
        return np.asarray((outputs + noise).argmax(-1))

    def mode(self, outputs: Array) -> Array:
        """The choices with the largest logits."""
        return np.asarray(outputs.argmax(-1))

    def performed(self, actions: Array) -> Array:
        """The choices as they are."""
        return actions

    def log_prob(self, outputs: Array, actions: Array) -> Array:
        """Log-probabilities; see :func:`log_prob`."""
        return log_prob(outputs, actions)


@final
class GaussianSampler:
    """Draws numbers ``(E, A, C)`` around means; those that an agent does not have are 0.

    The log-probability is that of the number drawn, before the world is given it clipped to
    [-1, 1]: what lies outside teaches as what was drawn, and the density needs no correction.

    Args:
        log_std: ``(A, C)`` logarithms of the standard deviations.
        counts: ``(A, C)`` bool, the numbers that each agent has.
    """

    blank: Final = np.float32(0)

    def __init__(self, log_std: Array, counts: Array) -> None:
        self._counts = counts
        self._log_std = np.where(counts, log_std, 0.0)
        self._std = np.where(counts, np.exp(log_std), 0.0).astype(np.float32)

    def allowed(self, action_mask: Array) -> Array:  # noqa: ARG002 - a view's mask has no columns
        """The numbers ``(A, C)`` that each agent has."""
        return self._counts

    def masked(self, outputs: Array, action_mask: Array) -> Array:  # noqa: ARG002 - likewise
        """Sets the means of numbers that an agent does not have to 0."""
        return np.where(self._counts, outputs, self.blank)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Standard normal noise."""
        return rng.standard_normal(shape, np.float32)

    def draw(self, outputs: Array, noise: Array) -> Array:
        """Numbers ``(..., A, C)`` float32, not clipped."""
        return np.asarray(outputs + self._std * noise, np.float32)

    def mode(self, outputs: Array) -> Array:
        """The means."""
        return outputs

    def performed(self, actions: Array) -> Array:
        """The numbers clipped to [-1, 1], float32."""
        return np.clip(actions, -1.0, 1.0).astype(np.float32, copy=False)

    def log_prob(self, outputs: Array, actions: Array) -> Array:
        """Sum of the log-densities of an agent's own numbers."""
        distance = (actions - outputs) * np.exp(-self._log_std)
        each = -0.5 * distance**2 - self._log_std - HALF_LOG_TWO_PI
        summed: Array = np.where(self._counts, each, 0.0).sum(-1)
        return summed
