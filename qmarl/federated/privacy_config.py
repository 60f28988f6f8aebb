"""What a configuration may say about privacy, and what it costs and leaves out."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from qmarl.config import Section
from qmarl.federated.accounting import Accountant, Adjacency, Event, Mechanism
from qmarl.federated.privacy_ledger import Ledger, Spent
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
    sampling: Literal["poisson", "fixed"] = "poisson"
    """How clients are drawn: each independently, or always the same number of them."""
    sampling_rate: float = Field(default=1.0, gt=0, le=1)
    """Probability that a client takes part in a round; at 1 sampling hides nobody."""
    delta: float = Field(default=1e-5, gt=0, lt=1)
    """Probability with which the guarantee may fail; far below one over the number of clients."""
    epsilon: float | None = Field(default=None, gt=0)
    """Budget: the run ends before the round that would exceed it. Unlimited when left out."""
    accountant: Accountant = "pld"
    """``pld`` is tighter and knows Poisson-sampled Laplace noise; ``rdp`` knows fixed samples."""
    secure: bool = False
    """Whether noise and samples come from the system's entropy. The default takes them from the
    run's seed: right for a simulation, which has to repeat itself, and no protection against
    anybody who knows the seed."""

    @model_validator(mode="after")
    def _countable(self) -> Self:
        if self._drawn == "fixed" and (self.accountant, self.mechanism) != ("rdp", "gaussian"):
            raise ValueError(
                "sampling: 'fixed' can only be counted with 'accountant: rdp' and gaussian noise"
            )
        if self._drawn == "poisson" and (self.accountant, self.mechanism) == ("rdp", "laplace"):
            raise ValueError(
                "accountant: 'rdp' cannot count Poisson-sampled laplace noise, 'pld' can"
            )
        return self

    @property
    def adjacency(self) -> Adjacency:
        """Which runs must look alike; of a fixed number of clients none can be taken away."""
        return "replace_one" if self._drawn == "fixed" else "add_remove"

    def event(self, clients: int) -> Event:
        """Returns what one round releases, of so many clients in all.

        Amplification by sampling is only claimed against those who do not see who takes part.
        Where clients add the noise the guarantee is against the server, which does: there a round
        counts for every client as if it had taken part.
        """
        drawn = self._drawn
        rate = 1.0 if drawn == "none" else self.sampling_rate
        population = clients if drawn == "fixed" else 0
        return Event(self.mechanism, self.noise_multiplier, drawn, rate, population)

    def source(self, seed: int) -> NoiseSource:
        """Returns where noise and samples come from in a run with this seed."""
        return NoiseSource(None if self.secure else seed)

    def ledger(self) -> Ledger:
        """Returns an empty ledger."""
        return Ledger(self.delta, self.accountant, self.adjacency, outside(self))

    @property
    def _drawn(self) -> Literal["none", "poisson", "fixed"]:
        hidden = self.noise == "server" and self.sampling_rate < 1
        return self.sampling if hidden else "none"


def forecast(config: PrivacyConfig, clients: int, rounds: int) -> Spent:
    """Returns what ``rounds`` rounds of ``clients`` clients would cost, before any is played.

    Raises:
        ConfigurationError: The package for accounting is not installed.
    """
    ledger = config.ledger()
    ledger.record(config.event(clients), rounds)
    return ledger.spent()


def outside(config: PrivacyConfig) -> tuple[str, ...]:
    """Returns what the guarantee does not cover, one sentence each."""
    told = [
        "Metrics that clients send (rewards, losses, numbers of examples) are in clear.",
        "Who took part, and whether a round was kept for want of clients, is in clear.",
        "What a client's other parameters, its worlds or its evaluation reveal is not counted.",
        "Noise is in float64; the last bits of a number may say more than its distribution.",
    ]
    if not config.secure:
        told.append("Noise comes from the run's seed: it hides nothing from who knows the seed.")
    if config.noise == "server":
        told.append("The server sees the updates, or their sum, before the noise; it is trusted.")
    if config.noise == "distributed":
        told.append("Clients that leave out their part of the noise weaken it for all others.")
        told.append("Rounding to fixed point happens before the sum and is taken to be harmless.")
    return tuple(told)
