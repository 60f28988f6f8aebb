"""What goes together with sums alone: the rules of privacy and of secure aggregation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from qmarl.federated.adaptive import FedAdagrad, FedAdam, FedYogi
from qmarl.federated.aggregators import FedAvg, FedAvgM, FedNova, FedProx
from qmarl.federated.fisher import FisherAvg
from qmarl.federated.strategies import GeometricMedian

if TYPE_CHECKING:
    from qmarl.federated.config import FederationConfig
    from qmarl.federated.privacy_config import PrivacyConfig
    from qmarl.federated.secagg import SecureAggregationConfig

AVERAGING = (FedAvg, FedAvgM, FedProx, FedAdam, FedYogi, FedAdagrad)
"""Strategies that need nothing but the sum of the updates."""

_AVERAGING = "fedavg, fedavgm, fedprox, fedadam, fedyogi or fedadagrad"


def contradictions(config: FederationConfig) -> Iterator[str]:
    """Yields why privacy or secure aggregation cannot be had with the other settings."""
    if config.secagg is not None:
        yield from _unsummed(config, config.secagg)
    if config.privacy is not None:
        yield from _unprotected(config, config.privacy)
        yield from _uncounted(config, config.privacy)
    for section, there in (("privacy", config.privacy), ("secagg", config.secagg)):
        if there is not None and (config.buffer or config.late.kind != "drop"):
            key = "buffer" if config.buffer else "late"
            reason = "an update counts in its own round's sum or not at all"
            yield f"{key}: has no place with '{section}': {reason}; leave it out"


def _unsummed(config: FederationConfig, secagg: SecureAggregationConfig) -> Iterator[str]:
    kind = config.strategy.kind
    if isinstance(config.strategy, FedNova | FisherAvg):
        needs = "number of steps" if isinstance(config.strategy, FedNova) else "information"
        yield (
            f"strategy: '{kind}' needs each client's own {needs}, which 'secagg' hides; "
            f"use {_AVERAGING}"
        )
    elif secagg.buckets > 1:
        if secagg.buckets < (least := config.aggregator().least()):
            yield f"secagg.buckets: {secagg.buckets} means, but the strategy '{kind}' needs {least}"
    elif config.neighbour_mixing or not isinstance(config.strategy, (*AVERAGING, GeometricMedian)):
        mixed = bool(config.neighbour_mixing)
        key, word = ("neighbour_mixing", "it") if mixed else ("strategy", f"'{kind}'")
        yield (
            f"{key}: {word} has to compare single updates, of which 'secagg' shows only the sum; "
            f"use {_AVERAGING}, or 'geometric_median', which secure averages can find, or "
            "'secagg.buckets', whose means every strategy can compare"
        )
    if config.compression.kind != "none":
        yield (
            f"compression: '{config.compression.kind}' cannot squeeze the masked numbers of "
            "'secagg'; leave it out, or use 'secagg.bits: 32'"
        )


def _unprotected(config: FederationConfig, privacy: PrivacyConfig) -> Iterator[str]:
    if config.neighbour_mixing or not isinstance(config.strategy, AVERAGING):
        key = "neighbour_mixing" if config.neighbour_mixing else "strategy"
        yield (
            f"{key}: under 'privacy' one noisy sum is released, in which all clients weigh the "
            f"same, and there are no single updates to compare; use {_AVERAGING}"
        )
    if privacy.noise == "distributed" and config.secagg is None:
        yield (
            "privacy.noise: 'distributed' noise is too little on any single update, which nobody "
            "may see: it needs 'secagg'; without that use 'client' or 'server'"
        )
    if config.secagg is not None and config.secagg.buckets > 1:
        yield "secagg.buckets: under 'privacy' there is one sum; leave it at 1"


def _uncounted(config: FederationConfig, privacy: PrivacyConfig) -> Iterator[str]:
    if privacy.event(config.participation.chance).sampling == "none":
        return
    if (privacy.accountant, privacy.mechanism) == ("rdp", "laplace"):
        yield "privacy.accountant: 'rdp' cannot count Poisson-sampled laplace noise, 'pld' can"
    if config.min_fit_clients > 1 or config.min_completion_rate_fit:
        key = "min_fit_clients" if config.min_fit_clients > 1 else "min_completion_rate_fit"
        yield (
            f"{key}: whether enough clients came would tell who was drawn, on whose secrecy the "
            "account of 'privacy' with 'participation: poisson' relies; leave it out"
        )
