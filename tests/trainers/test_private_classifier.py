"""The federated classifier with privacy and secure aggregation."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from qmarl.errors import ConfigurationError
from trainers.cli import app
from trainers.perception.config import load_classification
from trainers.perception.training import classify
from trainers.shipped import shipped_configs

pytest.importorskip("sklearn", reason="needs the extra 'perception' (scikit-learn)")
pytest.importorskip("dp_accounting", reason="needs the extra 'privacy' (dp-accounting)")

CONFIG = shipped_configs() / "federated" / "wdbc.yaml"
SHORT = ("seeds=[0, 1]", "rounds=3")
SECRET = "federation.secagg={signatures: ed25519}"


def trained(*overrides):
    return classify(load_classification(CONFIG, [*SHORT, *overrides]))


def test_secret_sums_learn_what_plain_updates_learn():
    plain, secret = trained(), trained(SECRET)
    np.testing.assert_array_equal(plain.accuracy, secret.accuracy)
    norms = [
        [report.update_norm for reports in found.reports for report in reports]
        for found in (plain, secret)
    ]
    np.testing.assert_allclose(*norms, rtol=1e-9)


def test_a_little_noise_costs_little_and_is_counted():
    found = trained("federation.privacy={noise: distributed}", SECRET, "rounds=8")
    assert found.final.min() > 0.8
    assert found.spent.rounds == 8
    # Ten clients in every round: eight times Gaussian noise of deviation 1.
    assert found.spent.epsilon == pytest.approx(15.456, abs=1e-3)
    assert not found.ended


def test_the_budget_ends_it_and_the_command_says_so():
    asked = [*SHORT, "seeds=[0]", "federation.privacy={epsilon: 7}"]
    told = CliRunner().invoke(app, ["federated", "classify", str(CONFIG), *asked])
    assert "2 rounds, fedavg" in told.output
    assert "ended after 2 of 3 rounds: one more round would exceed the privacy" in told.output
    plain = CliRunner().invoke(app, ["federated", "classify", str(CONFIG), *asked, "--json"])
    found = json.loads(plain.output)
    assert found["privacy"]["rounds"] == 2
    assert len(found["seeds"][0]["accuracy"]) == 2
    with pytest.raises(ConfigurationError, match=r"federation\.privacy\.epsilon"):
        trained("federation.privacy={epsilon: 1}")
