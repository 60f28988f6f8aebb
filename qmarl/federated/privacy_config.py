"""What a configuration may say about privacy, and what it costs and leaves out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qmarl.config import Section
from qmarl.federated.accounting import Accountant, Event, Mechanism
from qmarl.federated.privacy_ledger import Ledger
from qmarl.federated.privacy_noise import NoiseSource


class AdaptiveClipping(Section):
    """A clipping norm that follows a quantile of the updates' norms (Andrew et al. 2021).

    Each client also says, by one bit, whether its norm was below ``C``. The bits are summed with
    noise of their own, and ``C`` is multiplied by ``exp(-rate * (share below - quantile))``. Their
    cost is within the one noise multiplier of the section: the update's noise grows a little.
    """

    target_clipped_quantile: float = Field(default=0.5, gt=0, lt=1)
    """Share of the clients whose norm is to be below the clipping norm."""
    clip_norm_lr: float = Field(default=0.2, gt=0)
    """How quickly the clipping norm moves."""
    clipped_count_stddev: float | None = Field(default=None, gt=0)
    """Noise on the number of clients below the norm: a standard deviation, or a Laplace scale. When
    left out, a twentieth of the expected clients, but at least the noise multiplier (five times
    that for Laplace)."""


class PrivacyConfig(Section):
    """What hides one client's contribution in the shared model, and how that is counted."""

    mechanism: Mechanism = "gaussian"
    """``gaussian`` noise with L2 clipping, or ``laplace`` noise with L1 clipping."""
    noise_multiplier: float = Field(default=1.0, ge=0)
    """Noise on the sum divided by the clipping norm: a standard deviation, or a Laplace scale."""
    clipping_norm: float = Field(default=0.5, gt=0)
    """Greatest norm of one client's whole update; the first one, where it is adaptive."""
    adaptive: AdaptiveClipping | None = None
    """Lets the clipping norm follow the updates."""
    noise: Literal["server", "client", "distributed"] = "server"
    """Who adds it. ``server``: the server, which is trusted. ``client``: each client all of it, so
    that nobody is trusted. ``distributed``: each client its part, under secure aggregation."""
    delta: float = Field(default=1e-5, gt=0, lt=1)
    """Probability with which the guarantee may fail; far below one over the number of clients."""
    epsilon: float | None = Field(default=None, gt=0)
    """Budget: the run ends before the round that would exceed it. Unlimited when left out."""
    accountant: Accountant = "pld"
    """``pld`` (privacy loss distributions) is tighter; ``rdp`` (Rényi divergences) is what others
    often quote, and cannot count Poisson-sampled Laplace noise."""
    noise_seed: Literal["run", "system"] = "run"
    """Where noise and samples come from. ``run``: from the run's seed, right for a simulation,
    which has to repeat itself, and no protection against anybody who knows the seed. ``system``:
    from the system's entropy, so that the noise is secret and no run is ever repeated."""

    def event(self, rate: float, groups: int = 1) -> Event:
        """Returns what one round releases.

        Amplification by sampling is only claimed against those who do not see who takes part.
        Where clients add the noise the guarantee is against the server, which does: there a round
        counts for every client as if it had taken part.

        Args:
            rate: Probability with which each client, independently, takes part; 1 where clients
                are not drawn that way.
            groups: Groups of agents that each client has a model of. It is in all or none of their
                sums, so they are one release, in which its vector is as much longer.
        """
        claimed = rate if self.noise == "server" else 1.0
        power = 2 if self.mechanism == "gaussian" else 1
        multiplier = self.noise_multiplier / groups ** (1 / power)
        return Event(self.mechanism, multiplier, "poisson" if claimed < 1 else "none", claimed)

    def source(self, seed: int) -> NoiseSource:
        """Returns where noise and samples come from, in a run with this seed."""
        return NoiseSource.secret() if self.noise_seed == "system" else NoiseSource(seed)

    def ledger(self) -> Ledger:
        """Returns an empty ledger."""
        return Ledger(self.delta, self.accountant, outside=outside(self))


def outside(config: PrivacyConfig) -> tuple[str, ...]:
    """Returns what the guarantee does not cover, one sentence each."""
    told = [
        "The guarantee is about the server's parameters, for those who see nothing else.",
        "Metrics (rewards, losses, steps, refusals) are in clear; some tell how many took part.",
        "Whether a round was kept, because clients were missing, is in clear.",
        "What clients' other parameters, checkpoints or evaluations reveal is not counted.",
        "Where agents share their worlds, one also shows in what the others learn.",
        "Noise is in float64; the last bits of a number may say more than its distribution.",
    ]
    if config.noise_seed == "run":
        told.append("Noise comes from the run's seed: it hides nothing from who knows the seed.")
    if config.noise == "server":
        told.append("The server sees the updates, or their sum, before the noise; it is trusted.")
    if config.noise == "distributed":
        told.append("Clients that leave out their part of the noise weaken it for all others.")
        told.append("Rounding to fixed point happens before the sum and is taken to be harmless.")
    return tuple(told)
