"""The federated classifier: what it learns, what attacks make of it, and what it refuses."""

import sys
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmarl.config import to_yaml
from qmarl.errors import ConfigurationError, RunError
from qmarl.federated.attacks import ATTACKS
from trainers.perception.attack_section import AttackTableConfig
from trainers.perception.classifier import Minibatch, make_classifier
from trainers.perception.config import (
    ClassificationConfig,
    DirichletSplit,
    IidSplit,
    load_classification,
)
from trainers.perception.poisoning import POISONS, LabelBackdoor, LabelFlip
from trainers.perception.samples import CLASSES, Samples, divided, load_samples
from trainers.perception.training import classify
from trainers.shipped import shipped_configs

pytest.importorskip("sklearn", reason="the extra perception is not installed")

SHIPPED = shipped_configs() / "federated" / "wdbc.yaml"
MALICIOUS = "[client_0, client_1, client_2]"
TURNED = f"federation.attack={{kind: inner_product, scale: 3, clients: {MALICIOUS}}}"


@cache
def run(*overrides: str):
    return classify(load_classification(SHIPPED, ["seeds=[0, 1]", *overrides]))


def quick(*overrides: str):
    return run("seeds=[0]", "rounds=2", *overrides)


def test_the_shipped_file_is_what_it_says(tmp_path):
    config = load_classification(SHIPPED)
    (tmp_path / "resolved.yaml").write_text(to_yaml(config))
    assert load_classification(tmp_path / "resolved.yaml") == config
    assert (config.clients, config.rounds, len(config.seeds)) == (10, 15, 5)


def test_ten_clients_learn_together_what_a_server_never_saw():
    found = run()
    assert found.parameters == 24
    assert found.final.mean() >= 0.92
    assert found.accuracy[:, 0].mean() < 0.8  # it was not there from the start


def test_three_malicious_clients_turn_the_average_around():
    assert run(TURNED).final.mean() < 0.6


@pytest.mark.parametrize(
    "strategy",
    [
        "fedmedian",
        "{kind: fedtrimmedavg, beta: 0.3}",
        "{kind: multikrum, num_malicious_clients: 3}",
    ],
)
def test_robust_strategies_bear_with_them(strategy):
    assert run(TURNED, f"federation.strategy={strategy}").final.mean() >= 0.88


def test_seeds_run_side_by_side_are_the_seeds_run_alone():
    together = run("rounds=3").accuracy
    alone = [run(f"seeds=[{seed}]", "rounds=3").accuracy[0] for seed in (0, 1)]
    np.testing.assert_array_equal(together, alone)
    assert (together[0] != together[1]).any()


def test_an_update_that_is_no_number_is_refused_by_name():
    found = quick("federation.attack={kind: not_a_number, clients: [client_4]}")
    refused = [each.client for report in found.reports[0] for each in report.rejected]
    assert refused == ["client_4", "client_4"]
    assert found.rejected() == [2]


def test_fedprox_holds_clients_near_the_broadcast():
    def moved(mu):
        found = quick(f"federation.strategy={{kind: fedprox, proximal_mu: {mu}}}")
        return found.reports[0][0].update_norm

    assert moved(100) < 0.5 * moved(0)
    assert moved(0) == quick().reports[0][0].update_norm


def test_learners_of_a_stack_learn_as_they_would_alone():
    config = load_classification(SHIPPED)
    classifier = make_classifier(config.classifier)
    train, _ = load_samples(config.data, config.classifier.qubits)
    parts = [train.at(np.arange(5)), train.at(np.arange(5, 17))]  # the first one is padded
    first = [classifier.initial(np.random.default_rng(seed)) for seed in (0, 1)]
    both = {"angles": np.stack([each["angles"] for each in first])}
    together = classifier.learned(both, [Minibatch.of(parts)] * 3, 0.0)["angles"]
    for place, part in enumerate(parts):
        own = {"angles": both["angles"][place : place + 1]}
        alone = classifier.learned(own, [Minibatch.of([part])] * 3, 0.0)["angles"]
        np.testing.assert_allclose(together[place], alone[0], rtol=1e-9, atol=1e-12)
        assert np.abs(alone - own["angles"]).max() > 0.01


@given(
    labels=st.lists(st.integers(0, 1), min_size=40, max_size=120),
    clients=st.integers(1, 6),
    alpha=st.one_of(st.none(), st.floats(0.3, 50)),
    seed=st.integers(0, 1000),
)
def test_every_sample_is_dealt_to_exactly_one_client(labels, clients, alpha, seed):
    split = IidSplit() if alpha is None else DirichletSplit(alpha=alpha)
    parts = divided(np.array(labels), clients, split, 1, np.random.default_rng(seed))
    assert len(parts) == clients
    assert np.sort(np.concatenate(parts)).tolist() == list(range(len(labels)))
    assert min(map(len, parts)) >= 1


def test_a_dirichlet_split_gives_clients_mixtures_of_their_own():
    labels = np.arange(2000) % 2

    def spread(split):
        parts = divided(labels, 10, split, 1, np.random.default_rng(0))
        return np.std([labels[part].mean() for part in parts])

    assert spread(IidSplit()) < 0.06 < 0.2 < spread(DirichletSplit(alpha=0.5))


def test_too_few_samples_are_refused():
    with pytest.raises(ConfigurationError, match="20 clients at least 6"):
        divided(np.zeros(100, int), 20, IidSplit(), 6, np.random.default_rng(0))
    with pytest.raises(ConfigurationError, match="more even split"):
        divided(np.zeros(20, int), 10, DirichletSplit(alpha=1e-3), 2, np.random.default_rng(0))


def test_clients_that_differ_still_learn():
    uneven = run("data.split={kind: dirichlet, alpha: 0.5}")
    assert uneven.final.mean() > 0.85
    assert (uneven.accuracy != run().accuracy).any()


def test_flipped_labels_are_the_other_class_and_the_rest_stays():
    samples = Samples(np.ones((3, 4)), np.array([0, 1, 1]))
    poison = LabelFlip(clients=("client_0",))
    flipped = poison.poisoned(samples, CLASSES, np.random.default_rng(0))
    assert flipped.labels.tolist() == [1, 0, 0]
    assert (flipped.features == samples.features).all()
    assert samples.labels.tolist() == [0, 1, 1]


def test_a_majority_of_flipped_labels_turns_the_classifier_around():
    most = "[" + ", ".join(f"client_{number}" for number in range(8)) + "]"
    assert run(f"poisoning={{kind: label_flip, clients: {most}}}").final.mean() < 0.3


def test_a_backdoor_stamps_its_share_and_nothing_else():
    samples = Samples(np.zeros((10, 4)), np.ones(10, np.int64))
    backdoor = LabelBackdoor(clients=("client_0",), feature=1, value=7.0, share=0.3)
    poisoned = backdoor.poisoned(samples, CLASSES, np.random.default_rng(0))
    stamped = poisoned.features[:, 1] == 7.0
    assert stamped.sum() == 3
    assert (poisoned.labels == np.where(stamped, 0, 1)).all()
    assert not poisoned.features[:, [0, 2, 3]].any()
    assert not samples.features.any()


def test_a_backdoor_opens_where_the_trigger_is_and_shows_nowhere_else():
    poison = f"poisoning.kind=backdoor poisoning.clients={MALICIOUS}".split(" ", 1)
    opened = run(*poison, "poisoning.share=0.5")
    closed = run(
        *poison, "poisoning.share=0.000001"
    )  # no sample at all: what the trigger alone does
    assert opened.triggered.mean() < closed.triggered.mean() - 0.2
    assert opened.final.mean() > 0.85
    assert closed.final.tolist() == run().final.tolist()


def test_every_attack_may_stand_in_a_table():
    words = [*ATTACKS, *POISONS]
    table = AttackTableConfig.model_validate({"attacks": words})
    assert [attack.kind for attack in table.attacks] == words
    assert isinstance(table.attacks[-2], LabelFlip)


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("federation.attack={kind: sign_flip, clients: [clint_1]}", "did you mean 'client_1'"),
        ("poisoning={kind: label_flip, clients: [fleet_1]}", "poisoning.clients"),
        ("federation.share=[actor.angles]", "share: has no meaning for a classifier"),
        ("federation.strategy=fisher", "a classifier.s clients keep none"),
        ("attack_table.strategies=[fedavg, fisher]", "attack_table.strategies: .fisher. takes"),
        ("federation.delays={client_77: 1}", "federation.delays: unknown client"),
        ("attack_table.malicious=10", "leave none that is honest"),
        ("seeds=[1, 1]", "must be different"),
        ("poisoning={kind: backdoor, clients: [client_1], feature: 4}", "within -4 and 3"),
        ("attack_table.attacks=[{kind: backdoor, target: 2}]", "within 0 and 1"),
        ("attack_table.attacks=[sign_flp]", "did you mean 'sign_flip'"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(override, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        load_classification(SHIPPED, [override])


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "sklearn"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RunError, match=r"qmarl\[perception\]"):
        load_samples.__wrapped__(ClassificationConfig().data, 4)
