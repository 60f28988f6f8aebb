"""Attacks on whole runs: what the malicious send reaches the server, and the strategy decides."""

import json

import pytest

from qmarl.errors import ConfigurationError

FLEETS = ("federation.client=fleet", "federation.fleets=5", "env.num_envs=2", "env.shards=1")


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_nonsense_is_refused_by_name_and_training_goes_on(small, train):
    attack = "federation.attack={kind: not_a_number, clients: [drone_1]}"
    rounds = lines(train(small(attack)))
    assert [each["federation/all/rejected"] for each in rounds] == [1, 1, 1]
    assert [each["federation/all/participants"] for each in rounds] == [1, 1, 1]


@pytest.mark.parametrize("strategy", ["fedmedian", "{kind: multikrum, num_malicious_clients: 1}"])
def test_a_robust_strategy_keeps_the_step_small_where_the_average_does_not(small, train, strategy):
    attack = "federation.attack={kind: gaussian, clients: [fleet_0], deviation: 100}"
    robust = lines(train(small(*FLEETS, attack, f"federation.strategy={strategy}")))
    naive = lines(train(small(*FLEETS, attack, "name=naive")))
    assert max(each["federation/all/update_norm"] for each in robust) < 5
    assert min(each["federation/all/update_norm"] for each in naive) > 50


def test_poisoned_experience_changes_what_the_poisoned_learn_and_resumes_exactly(small, train):
    poison = "poisoning={kind: reward_poisoning, clients: [drone_0]}"
    clean, poisoned, again = (
        lines(train(small(*more))) for more in ((), (poison, "name=bad"), (poison, "name=again"))
    )
    norms = [
        [each["federation/all/update_norm"] for each in run] for run in (clean, poisoned, again)
    ]
    assert norms[0] != norms[1]
    assert norms[1] == norms[2]


def test_poisoning_needs_clients(small, train):
    with pytest.raises(ConfigurationError, match="poisoning: malicious clients need"):
        small("poisoning={kind: reward_poisoning, clients: [drone_0]}", "federation.sharing=none")
    with pytest.raises(ConfigurationError, match=r"poisoning\.clients: .*did you mean 'drone_1'"):
        train(small("poisoning={kind: reward_poisoning, clients: [dron_1]}"))


def test_an_attacker_who_is_no_client_is_refused_with_the_nearest_name(small, train):
    with pytest.raises(ConfigurationError, match="did you mean 'drone_1'"):
        train(small("federation.attack={kind: sign_flip, clients: [dron_1]}"))


def test_a_strategy_that_needs_more_clients_is_refused_before_round_0(small, train):
    with pytest.raises(ConfigurationError, match="needs 5 clients or more"):
        train(small("federation.strategy=krum"))
