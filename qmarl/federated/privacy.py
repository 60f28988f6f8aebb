"""Differential privacy of clients: updates clipped as one vector, noise on their sum.

The guarantee is for a client and all that it ever sends (McMahan et al. 2018, arXiv:1710.06963).
Every client's whole update is one vector, clipped to norm ``C`` (L2 for Gaussian noise, L1 for
Laplace), all weigh the same, noise of ``z * C`` is added to the sum, and the sum is divided by the
*expected* number of clients, which is known beforehand, and not by the number that came.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from qmarl.errors import ConfigurationError, RunError
from qmarl.federated.accounting import Mechanism
from qmarl.federated.privacy_config import PrivacyConfig
from qmarl.federated.privacy_noise import NoiseSource
from qmarl.types import Array, Layout, Params


def poisson_sample(
    clients: Iterable[str], rate: float, source: NoiseSource, round_number: int
) -> tuple[str, ...]:
    """Returns the clients of a round, sorted, each in it independently with probability ``rate``.

    Whether a client is drawn depends on seed, round and its name alone, not on who else there is.
    The sample may be empty; a private round without clients releases noise, and counts.
    """
    drawn = [
        name
        for name in sorted(clients)
        if source.uniform(1, "participation", round_number, name)[0] < rate
    ]
    return tuple(drawn)


def to_vector(arrays: Params, layout: Layout) -> Array:
    """Returns ``(d,)`` float64: all arrays of ``layout`` one after the other, in its order."""
    return np.concatenate([np.ravel(arrays[name]).astype(np.float64) for name in layout])


def from_vector(vector: Array, layout: Layout) -> Params:
    """Returns the arrays that :func:`to_vector` put together.

    Raises:
        ValueError: The vector has another length than the layout.
    """
    sizes = [spec.size for spec in layout.values()]
    if vector.shape != (sum(sizes),):
        raise ValueError(f"a vector of shape {vector.shape} is no {sum(sizes)} parameters")
    pieces = np.split(vector, np.cumsum(sizes)[:-1])
    return {
        name: piece.reshape(spec.shape)
        for (name, spec), piece in zip(layout.items(), pieces, strict=True)
    }


def clipped(vector: Array, clipping_norm: float, mechanism: Mechanism) -> tuple[Array, bool]:
    """Returns ``vector`` within the norm, and whether it was there before.

    Args:
        vector: ``(d,)`` float64; one that is not finite becomes zeros, so that it cannot undo the
            guarantee.
        clipping_norm: The greatest norm.
        mechanism: ``gaussian`` means the L2 norm, ``laplace`` the L1 norm.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        norm = float(np.linalg.norm(vector, 2 if mechanism == "gaussian" else 1))
    if not np.isfinite(norm):
        return np.zeros_like(vector), False
    return (vector, True) if norm <= clipping_norm else (vector * (clipping_norm / norm), False)


@dataclass(frozen=True)
class Noise:
    """How much noise a round has, and where.

    Attributes:
        config: The section.
        expected: Expected number of clients in a round, which every sum is divided by: known
            beforehand, whoever comes.
        parts: How many clients add a part each, with ``noise: distributed``: as many as are sure to
            be in a sum, so the threshold of secure aggregation; more of them only add noise.

    Raises:
        ConfigurationError: The noise on the count alone would cost more than the multiplier allows.
    """

    config: PrivacyConfig
    expected: float
    parts: int = 1

    def __post_init__(self) -> None:
        """Refuses what cannot be."""
        adaptive, multiplier = self.config.adaptive, self.config.noise_multiplier
        if adaptive and 2 * self.count_noise <= multiplier:
            raise ConfigurationError(
                "federation.privacy.adaptive.clipped_count_stddev: must be more than half of"
                f" noise_multiplier {multiplier:g}, got {self.count_noise:g}"
            )

    @property
    def count_noise(self) -> float:
        """Noise on the number of clients below the norm."""
        adaptive, multiplier = self.config.adaptive, self.config.noise_multiplier
        if adaptive and adaptive.clipped_count_stddev is not None:
            return adaptive.clipped_count_stddev
        return max(
            self.expected / 20, multiplier * (1 if self.config.mechanism == "gaussian" else 5)
        )

    @property
    def update_noise(self) -> float:
        """Noise on the updates divided by the clipping norm.

        With adaptive clipping it makes up for the count: ``z^-p = update^-p + (2 count)^-p`` with p
        of 2 for Gaussian noise (Andrew et al. 2021, Theorem 1), 1 for Laplace noise, whose shifts
        add up. A client moves the count, of bits less one half, by one half.
        """
        multiplier = self.config.noise_multiplier
        if self.config.adaptive is None or multiplier == 0:
            return multiplier
        power = 2 if self.config.mechanism == "gaussian" else 1
        rest: float = multiplier**-power - (2 * self.count_noise) ** -power
        return float(rest ** (-1 / power))

    def units(self, size: int, clipping_norm: float) -> Array:
        """Returns the ``(d,)`` or ``(d + 1,)`` sizes that a contribution's numbers are of.

        Divided by them, all numbers of a client without noise are within -1 and 1.

        Args:
            size: ``d``, the number of parameters.
            clipping_norm: The round's.
        """
        norms = np.full(size, clipping_norm)
        return np.append(norms, 1.0) if self.config.adaptive else norms

    @property
    def span(self) -> float:
        """Power of two that no number of a client passes, in :meth:`units`, noise included.

        Numbers of 52 random bits end at 8.6 deviations, or at 37 scales of Laplace noise.
        """
        loudest = max(self.update_noise, self.count_noise if self.config.adaptive else 0.0)
        if self.config.noise == "server":
            loudest = 0.0
        tail = 9.0 if self.config.mechanism == "gaussian" else 40.0
        return float(2.0 ** np.ceil(np.log2(1 + tail * loudest)))

    def contribution(self, vector: Array, clipping_norm: float) -> Array:
        """Returns the clipped vector, and behind it, where clipping is adaptive, a bit less 1/2."""
        inside, below = clipped(vector, clipping_norm, self.config.mechanism)
        return np.append(inside, below - 0.5) if self.config.adaptive else inside

    def drawn(
        self, size: int, clipping_norm: float, source: NoiseSource, round_number: int, who: str
    ) -> Array:
        """Returns the noise of one party on a contribution of ``size`` numbers."""
        scale = np.full(size, self.update_noise * clipping_norm)
        if self.config.adaptive:
            scale[-1] = self.count_noise if self.config.noise_multiplier else 0.0
        name = ("noise", round_number, who)
        whole = self.config.noise != "distributed"
        if self.config.mechanism == "gaussian":
            return scale * source.gaussian(size, *name) / (1 if whole else self.parts**0.5)
        if whole:
            return scale * source.laplace(size, *name)
        return scale * source.laplace_part(size, self.parts, *name)


@dataclass(frozen=True)
class ClientPrivacy:
    """The client's side: clips what it learned, and adds its noise where that is its task.

    Attributes:
        noise: How much, and where.
        source: Where it comes from.
        name: Names the client's noise; no other party of the run may have the same.
    """

    noise: Noise
    source: NoiseSource
    name: str

    def protect(self, vector: Array, clipping_norm: float, round_number: int) -> Array:
        """Returns what this client contributes to a round's sum.

        Args:
            vector: ``(d,)`` its whole update.
            clipping_norm: The server's, for this round.
            round_number: The round; no round may be protected twice with the same noise.

        Returns:
            ``(d,)``, or ``(d + 1,)`` with adaptive clipping.
        """
        own = self.noise.contribution(vector, clipping_norm)
        if self.noise.config.noise == "server":
            return own
        return own + self.noise.drawn(own.size, clipping_norm, self.source, round_number, self.name)


class ServerPrivacy:
    """The server's side: makes of the contributions' sum a step, and moves the clipping norm.

    Args:
        noise: How much, and where.
        source: Where it comes from.
        name: Names the server's noise; no other party of the run may have the same.

    Attributes:
        clipping_norm: The norm for the next round.
    """

    def __init__(self, noise: Noise, source: NoiseSource, name: str = "server") -> None:
        self.noise = noise
        self.source = source
        self.name = name
        self.clipping_norm = noise.config.clipping_norm

    def release(self, total: Array, round_number: int) -> Array:
        """Returns the step of a round.

        Args:
            total: Sum of what the clients' ``protect`` gave, in the order of their names or out of
                secure aggregation; zeros where no client was drawn.
            round_number: The round.

        Returns:
            ``(d,)`` the noisy sum divided by the expected number of clients.
        """
        if self.noise.config.noise == "server":
            total = total + self.noise.drawn(
                total.size, self.clipping_norm, self.source, round_number, self.name
            )
        mean = total / self.noise.expected
        adaptive = self.noise.config.adaptive
        if adaptive is None:
            return np.asarray(mean)
        below = float(np.clip(mean[-1] + 0.5, 0, 1))
        excess = below - adaptive.target_clipped_quantile
        self.clipping_norm *= float(np.exp(-adaptive.clip_norm_lr * excess))
        return np.asarray(mean[:-1])

    def state(self) -> Params:
        """Returns all that a checkpoint needs."""
        return {"clipping_norm": np.array(self.clipping_norm)}

    def load_state(self, state: Params) -> None:
        """Continues from what :meth:`state` returned.

        Raises:
            RunError: It is not the state of a private server.
        """
        norm = state.get("clipping_norm", np.array(np.nan))
        if norm.shape != () or not 0 < norm < np.inf:
            raise RunError(f"the checkpoint's clipping norm does not fit: {norm}")
        self.clipping_norm = float(norm)


def summed(contributions: Sequence[Array], size: int) -> Array:
    """Returns the ``(size,)`` sum of contributions in the order given, zeros if there are none."""
    total = np.zeros(size)
    for contribution in contributions:
        total += contribution
    return total
