from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from qmarl.federated.config import FederationConfig

KRUM = {"kind": "krum", "num_malicious_clients": 1}
AVERAGING = "use fedavg, fedavgm, fedprox, fedadam, fedyogi or fedadagrad"
POISSON = {"kind": "poisson", "rate": 0.5}


@pytest.mark.parametrize(
    "values",
    [
        {"secagg": {}},
        {"secagg": {}, "strategy": "fedyogi"},
        {"secagg": {}, "strategy": "geometric_median"},
        {"secagg": {"buckets": 5}, "strategy": KRUM, "neighbour_mixing": 1},
        {"secagg": {"buckets": 3}, "strategy": "fedmedian"},
        {"secagg": {}, "privacy": {"noise": "distributed"}, "participation": POISSON},
        {"privacy": {"noise": "client"}, "strategy": "fedadam", "min_fit_clients": 2},
        {"privacy": {}, "participation": POISSON, "compression": "quantise"},
        {"privacy": {"accountant": "rdp", "mechanism": "laplace"}},
    ],
)
def test_what_goes_together_loads_and_loads_again(values: dict[str, Any]) -> None:
    config = FederationConfig.model_validate(values)
    assert FederationConfig.model_validate(config.model_dump()) == config


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"secagg": {}, "strategy": KRUM}, "strategy: 'krum' has to compare single updates"),
        ({"secagg": {}, "strategy": KRUM}, AVERAGING),
        ({"secagg": {}, "strategy": "fedmedian"}, "'geometric_median', which secure averages can"),
        ({"secagg": {}, "strategy": "bulyan"}, "'secagg.buckets', whose means every strategy can"),
        ({"secagg": {}, "strategy": "fedtrimmedavg"}, "'fedtrimmedavg' has to compare"),
        ({"secagg": {}, "strategy": "multikrum"}, "'multikrum' has to compare"),
        ({"secagg": {}, "strategy": "centred_clipping"}, "'centred_clipping' has to compare"),
        ({"secagg": {}, "neighbour_mixing": 1}, "neighbour_mixing: it has to compare"),
        ({"secagg": {}, "strategy": "fednova"}, "needs each client's own number of steps"),
        ({"secagg": {"buckets": 4}, "strategy": "fisher"}, "needs each client's own information"),
        ({"secagg": {"buckets": 4}, "strategy": KRUM}, "4 means, but the strategy 'krum' needs 5"),
        ({"secagg": {}, "compression": "top_k"}, "'top_k' cannot squeeze the masked numbers"),
        ({"secagg": {}, "compression": "quantise"}, "or use 'secagg.bits: 32'"),
        ({"secagg": {}, "buffer": 2}, "buffer: has no place with 'secagg'"),
        ({"secagg": {}, "late": "discount"}, "late: has no place with 'secagg'"),
        ({"secagg": {}, "sharing": "shared"}, "secagg: has no meaning with 'sharing: shared'"),
        ({"privacy": {}, "late": "discount"}, "late: has no place with 'privacy'"),
        ({"privacy": {}, "strategy": "fedmedian"}, "strategy: under 'privacy' one noisy sum"),
        ({"privacy": {}, "strategy": "geometric_median"}, AVERAGING),
        ({"privacy": {}, "neighbour_mixing": 1}, "neighbour_mixing: under 'privacy'"),
        ({"privacy": {"noise": "distributed"}}, "it needs 'secagg'; without that use 'client' or"),
        ({"privacy": {}, "secagg": {"buckets": 2}}, "there is one sum; leave it at 1"),
        ({"privacy": {}, "sharing": "none"}, "privacy: has no meaning with 'sharing: none'"),
        (
            {"privacy": {"accountant": "rdp", "mechanism": "laplace"}, "participation": POISSON},
            "'rdp' cannot count Poisson-sampled laplace noise, 'pld' can",
        ),
        (
            {"privacy": {}, "participation": POISSON, "min_fit_clients": 2},
            "min_fit_clients: whether enough clients came would tell who was drawn",
        ),
        (
            {"privacy": {}, "participation": POISSON, "min_completion_rate_fit": 0.5},
            "min_completion_rate_fit: whether enough",
        ),
        (
            {"privacy": {}, "share_schedule": [{"names": ["*"], "every": 2}]},
            "leave out privacy",
        ),
    ],
)
def test_what_contradicts_itself_is_refused_with_the_alternatives(
    values: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason):
        FederationConfig.model_validate(values)
