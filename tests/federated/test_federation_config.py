from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from qmarl.federated.adaptive import FedAdam
from qmarl.federated.aggregators import FedAvg
from qmarl.federated.config import FederationConfig


def test_defaults_are_federated_averaging_of_the_actors() -> None:
    config = FederationConfig()
    assert (config.sharing, config.client, config.strategy) == ("federated", "agent", FedAvg())
    assert config.share == ("actor.*",)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"sharing": "none"},
        {"sharing": "shared", "share": ["*"]},
        {"client": "fleet", "fleets": 4, "min_fit_clients": 3, "strategy": "fedavgm"},
        {"strategy": {"kind": "fedadam", "eta": 0.05}},
    ],
)
def test_a_resolved_configuration_loads_again(values: dict[str, Any]) -> None:
    config = FederationConfig.model_validate(values)
    assert FederationConfig.model_validate(config.model_dump()) == config
    assert FederationConfig.model_validate_json(config.model_dump_json()) == config


def test_yaml_lists_and_bare_words_are_enough() -> None:
    config = FederationConfig.model_validate({"share": ["*.angles"], "strategy": "fedadam"})
    assert config.share == ("*.angles",)
    assert config.strategy == FedAdam()


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"sharing": "none", "share": ["*"]}, "share: has no meaning"),
        ({"sharing": "none", "min_fit_clients": 2}, "min_fit_clients: has no meaning"),
        ({"sharing": "none", "client": "fleet", "fleets": 2}, "client: has no meaning"),
        ({"sharing": "shared", "client": "fleet", "fleets": 2}, "client: has no meaning"),
        ({"fleets": 3}, "fleets: belongs to"),
        ({"client": "fleet"}, "fleets: belongs to"),
        ({"client": "fleet", "fleets": 2, "min_fit_clients": 3}, "can never be"),
        ({"client": "fleet", "fleets": 0}, "greater than or equal to 1"),
        ({"share": []}, "at least 1 item"),
        ({"strategy": "fedprex"}, "fedprex"),
        ({"sharing": "all"}, "'none', 'shared' or 'federated'"),
        ({"stategy": "fedavg"}, "stategy"),
    ],
)
def test_impossible_combinations_are_refused(values: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError, match=where):
        FederationConfig.model_validate(values)
