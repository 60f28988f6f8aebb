"""Attack tables: their numbers, what they refuse, and how they are printed."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from qmarl.errors import ConfigurationError
from qmarl.federated.attacks import ALittle, Gaussian, InnerProduct, NotANumber, SignFlip
from qmarl.federated.config import FederationConfig
from qmarl.types import ParameterSpec
from trainers.attack_judges import DrawnUpdates
from trainers.attack_table import (
    NO_ATTACK,
    classifier_table,
    update_table,
    usual_strategies,
)
from trainers.cli_federated import federated_app
from trainers.perception.config import load_classification
from trainers.shipped import shipped_configs

CLIENTS = tuple(f"client_{number}" for number in range(15))
BAD = CLIENTS[:3]
LAYOUT = {"actor.angles": ParameterSpec((40, 3), 2 * np.pi, "angles")}
FLEETS = ("federation.client=fleet", "federation.fleets=8", "env.shards=1")
CONFIGS = shipped_configs() / "federated"
TINY = ("seeds=[0]", "rounds=1", "attack_table.strategies=[fedavg, bulyan]")


def miss(attack, strategy, mixing=0, draws=9):
    judge = DrawnUpdates(CLIENTS, LAYOUT, draws)
    config = FederationConfig.model_validate(
        {"strategy": strategy, "neighbour_mixing": mixing, "attack": attack}
    )
    return judge(config, attack)


def test_averaging_is_off_by_what_arithmetic_says():
    # n - f honest means and f of -2 of them: the step is (n - 3 f) / n of the honest mean.
    np.testing.assert_allclose(miss(InnerProduct(clients=BAD), "fedavg"), 3 * 3 / 15)
    np.testing.assert_allclose(miss(None, "fedavg"), 0, atol=1e-12)


@pytest.mark.parametrize(
    "attack",
    [
        SignFlip(clients=BAD),
        InnerProduct(clients=BAD),
        ALittle(clients=BAD, deviations=1.5),
        Gaussian(clients=BAD),
    ],
    ids=lambda attack: attack.kind,
)
def test_multikrum_and_mixing_find_the_honest_mean(attack):
    krum = {"kind": "multikrum", "num_malicious_clients": 3}
    assert np.median(miss(attack, krum)) < 1e-3
    assert np.median(miss(attack, {"kind": "fedtrimmedavg", "beta": 0.2}, mixing=3)) < 1e-3
    assert np.median(miss(attack, "fedavg")) > 0.02


def test_what_is_no_number_never_arrives():
    for strategy in usual_strategies(15, 3):
        missed = miss(NotANumber(clients=BAD), strategy, draws=2)
        assert np.isfinite(missed).all()


def test_an_experiments_table_has_its_own_strategy_first(small):
    table = update_table(small(*FLEETS, "federation.strategy=fedavgm"), draws=2)
    assert (table.clients, table.malicious) == (8, 1)
    assert table.strategies[:2] == ("fedavgm", "fedavg")
    assert table.attacks[0] == NO_ATTACK
    assert len(table.cells) == len(table.strategies) * len(table.attacks)
    off = table.cell("fedavg", "inner_product").interval["mean"]
    robust = table.cell("multikrum", "inner_product").interval["mean"]
    assert off == pytest.approx(3 / 8)
    assert robust < 1e-9


def test_strategies_with_too_few_clients_are_refused_one_by_one(small):
    table = update_table(small(*FLEETS), malicious=3, draws=1)
    assert (
        table.cell("bulyan (num_malicious_clients 3)", NO_ATTACK).refused == "it needs 15 clients"
    )
    assert table.cell("krum (num_malicious_clients 3)", "sign_flip").refused == "it needs 9 clients"
    assert not table.cell("fedmedian", "sign_flip").refused
    plain = {(c["strategy"], c["attack"]): c for c in table.plain()["cells"]}
    assert plain["bulyan (num_malicious_clients 3)", "sign_flip"]["refused"]
    assert plain["fedmedian", "sign_flip"]["mean"] >= 0


def test_a_strategy_that_needs_more_than_updates_is_refused(small):
    table = update_table(small(*FLEETS, "federation.strategy=fisher"), draws=1)
    assert "Fisher information" in table.cell("fisher", NO_ATTACK).refused


@pytest.mark.parametrize(
    ("overrides", "malicious", "group", "complaint"),
    [
        (("federation.sharing=none",), None, None, "'none' has no clients"),
        (FLEETS, 8, None, "got 8 of 8 clients"),
        (FLEETS, None, "al", "did you mean 'all'"),
    ],
)
def test_what_cannot_be_compared_is_refused(small, overrides, malicious, group, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        update_table(small(*overrides), malicious, 1, group)


def test_a_classifiers_table_trains_every_cell():
    pytest.importorskip("sklearn", reason="the extra perception is not installed")
    attacks = "attack_table.attacks=[{kind: inner_product, scale: 3}, label_flip, backdoor]"
    table = classifier_table(load_classification(CONFIGS / "wdbc.yaml", [*TINY, attacks]))
    assert table.attacks == (NO_ATTACK, "inner_product (scale 3)", "label_flip", "backdoor")
    shown = [table.cell("fedavg", attack).scores.tolist() for attack in table.attacks]
    assert all(0 <= scores[0] <= 1 for scores in shown)
    assert len({tuple(scores) for scores in shown}) > 2
    assert not table.cell("bulyan", NO_ATTACK).refused  # told of one, it needs 7 of the 10


def test_the_commands_print_and_write_json():
    pytest.importorskip("sklearn", reason="the extra perception is not installed")
    path = str(CONFIGS / "wdbc.yaml")
    only = ("attack_table.attacks=[sign_flip]", "attack_table.mixing=true")
    text = call("attack-table", path, *TINY, *only, "--malicious", "2")
    assert "fedavg after mixing" in text
    assert "accuracy; 2 of 10 clients are malicious" in text
    told = json.loads(call("attack-table", path, *TINY, *only, "--json"))
    assert (told["malicious"], len(told["cells"])) == (3, 8)
    text = call("classify", path, "seeds=[0]", "rounds=2")
    assert "24 parameters, 10 clients, 2 rounds, fedavg" in text
    told = json.loads(call("classify", path, "seeds=[0]", "rounds=2", "--json"))
    assert len(told["seeds"][0]["accuracy"]) == 2
    assert told["seeds"][0]["rejected"] == [[], []]
    assert {"mean", "low", "high"} <= told["accuracy"].keys()


def test_a_file_with_a_world_is_an_experiment(tmp_path, small):
    small()  # writes the file
    text = call("attack-table", str(tmp_path / "small.yaml"), *FLEETS, "--draws", "1")
    assert "distance of the step from the honest mean" in text
    assert "multikrum" in text


def call(*arguments):
    """What a command prints."""
    done = CliRunner().invoke(federated_app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout
