"""Heads: what an actor's outputs mean, as a distribution over choices or over numbers.

A categorical head reads them as the logits of choices, a Gaussian one as the means of numbers whose
deviations are parameters of their own. :mod:`agents.samplers` holds their acting halves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, final

import numpy as np

from qmarl.types import Array, Layout, ParameterSpec, Params

if TYPE_CHECKING:
    import torch

MASKED = np.float32(-1e9)
"""Logit of a forbidden action: finite, so that no arithmetic turns it into NaN."""

LOG_STD: Final = "log_std"
"""Name of a Gaussian head's parameter: the logarithms of the actions' standard deviations."""

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def masked(logits: Array, action_mask: Array) -> Array:
    """Puts forbidden actions out of reach.

    Args:
        logits: ``(..., N)``.
        action_mask: ``(..., N)`` bool, true where allowed.
    """
    return logits if action_mask.all() else np.where(action_mask, logits, MASKED)


def log_softmax(logits: Array) -> Array:
    """Normalised log-probabilities over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    normalised: Array = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return normalised


def log_prob(logits: Array, actions: Array) -> Array:
    """Log-probability ``(...)`` of ``actions (...)`` under ``logits (..., N)``."""
    return np.take_along_axis(log_softmax(logits), actions[..., None], -1)[..., 0]


def gumbel(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Standard Gumbel noise, float32: ``argmax(logits + noise)`` draws from the softmax."""
    noise = rng.random(shape, np.float32)
    np.maximum(noise, np.float32(1e-12), out=noise)
    return -np.log(-np.log(noise))


class Head(Protocol):
    """The learning half: own parameters, and how likely actions are, differentiably."""

    @property
    def usual_spread(self) -> float:
        """Spread of a circuit's first readout weights where the configuration gives none."""
        ...

    @property
    def layout(self) -> Layout:
        """Declaration of the head's own parameters."""
        ...

    def initial(self) -> Params:
        """First values of the head's own parameters."""
        ...

    def score(
        self,
        params: Mapping[str, torch.Tensor],
        outputs: torch.Tensor,
        actions: torch.Tensor,
        forbidden: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities of actions, and the entropies of what they were drawn from.

        Args:
            params: The actor's parameters, ``(S, ...)``.
            outputs: The actor's outputs ``(S, B, N)``.
            actions: ``(S, B)`` choices, or ``(S, B, N)`` numbers.
            forbidden: ``(S, B, N)`` bool, outputs that do not count; ``None`` when all do.

        Returns:
            Two tensors ``(S, B)``.
        """
        ...


@final
@dataclass(frozen=True)
class CategoricalHead:
    """Choices with the softmax of the outputs as their probabilities."""

    @property
    def usual_spread(self) -> float:
        """Wide: a circuit learns by what its readout lets through."""
        return 1.5

    @property
    def layout(self) -> Layout:
        """None: the outputs say it all."""
        return {}

    def initial(self) -> Params:
        """Nothing."""
        return {}

    def score(
        self,
        params: Mapping[str, torch.Tensor],  # noqa: ARG002 - the outputs say it all
        outputs: torch.Tensor,
        actions: torch.Tensor,
        forbidden: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities and entropies of the softmax; see :meth:`Head.score`."""
        import torch

        if forbidden is not None:
            outputs = outputs.masked_fill(forbidden, float(MASKED))
        log_probs = torch.log_softmax(outputs, -1)
        entropy = -(log_probs.exp() * log_probs).sum(-1)
        return log_probs.gather(-1, actions.unsqueeze(-1)).squeeze(-1), entropy


CATEGORICAL: Final = CategoricalHead()
"""The head of choices; there is nothing to set."""


@final
@dataclass(frozen=True)
class GaussianHead:
    """Independent normal numbers: the outputs are their means, ``log_std`` their deviations.

    The deviations are learned and do not depend on what is seen, as in Schulman et al. 2017
    (arXiv 1707.06347), section 6.1.

    Attributes:
        size: Numbers ``N`` of the agent with the most.
        start: First value of every ``log_std``.
    """

    size: int
    start: float

    @property
    def usual_spread(self) -> float:
        """Narrow: means far from 0 are clipped, and what is clipped teaches little."""
        return 0.15

    @property
    def layout(self) -> Layout:
        """One logarithm of a standard deviation for each number."""
        return {LOG_STD: ParameterSpec((self.size,), None, "log_std")}

    def initial(self) -> Params:
        """All alike."""
        return {LOG_STD: np.full(self.size, self.start)}

    def score(
        self,
        params: Mapping[str, torch.Tensor],
        outputs: torch.Tensor,
        actions: torch.Tensor,
        forbidden: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums over an agent's own numbers; see :meth:`Head.score`."""
        log_std = params[LOG_STD].unsqueeze(-2)
        distance = (actions - outputs) * (-log_std).exp()
        log_probs = -0.5 * distance.square() - log_std - HALF_LOG_TWO_PI
        entropy = (log_std + (0.5 + HALF_LOG_TWO_PI)).expand_as(outputs)
        if forbidden is not None:
            log_probs = log_probs.masked_fill(forbidden, 0.0)
            entropy = entropy.masked_fill(forbidden, 0.0)
        return log_probs.sum(-1), entropy.sum(-1)
