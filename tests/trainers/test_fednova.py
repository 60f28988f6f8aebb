"""FedNova's client term: how many optimiser steps each client really took."""

import json

import numpy as np
import pytest
from test_federation_stack import SHARED, Wiretap, federation, stack
from test_ppo import drawn, generators, random_trajectory

from agents.critic import CriticConfig, make_critic
from agents.mlp_actor import MLPActor
from qmarl.federated.messages import decode
from trainers.algorithms.batch import experience
from trainers.algorithms.learner import Learner, PPOConfig
from trainers.algorithms.ppo import update


def metrics_of(channel):
    told = []
    keep = channel.change
    channel.change = lambda payload, link: (told.append(decode(payload)), keep(payload, link))[1]
    return told


def test_the_server_divides_by_the_steps_that_clients_took():
    start, trained = stack(0), stack(1)
    layer = federation(start=start, strategy={"kind": "fednova", "weighted": False})
    before = layer.broadcast(start, 0)
    steps = np.array([1, 4, 10])
    layer.gather(trained, np.ones(3, int), 0, steps=steps)
    for name in SHARED:
        each = trained[name] - before[name]
        per_step = each / steps.reshape(3, *[1] * (each.ndim - 1))
        expected = before[name][0] + steps.mean() * per_step.mean(0)
        np.testing.assert_allclose(layer.joined(trained)[name][0], expected)


@pytest.mark.parametrize(("strategy", "told"), [("fednova", {"steps": 4.0}), ("fedavg", {})])
def test_steps_travel_where_they_are_needed(strategy, told):
    channel = Wiretap()
    sent = metrics_of(channel)
    layer = federation(channel, strategy=strategy)
    layer.broadcast(stack(0), 0)
    layer.gather(stack(1), np.ones(3, int), 0, steps=np.full(3, 4))
    assert [one.metrics for one in sent if one.kind == "update"] == [told] * 3


def test_a_step_with_nothing_to_learn_from_is_none():
    critic = make_critic(CriticConfig(hidden=(5,)), 6, 0)
    config = PPOConfig(epochs=2, minibatches=5)
    one = Learner(MLPActor((6, 5, 4), "float64"), critic, config, "float64")
    share = experience(random_trajectory(), (0, 1, 2), 3, "own")
    share.alive[1] = False
    share.alive[1, 0, :2] = True  # two steps, dealt to five minibatches
    learned = update(one, drawn(one, 3), one.initial_moments(3, 3), share, generators(1, 2, 3), 0.5)
    assert learned.steps.tolist() == [10, 4, 10]


@pytest.mark.parametrize(
    "mode", [(), ("federation.client=fleet", "federation.fleets=2", "env.shards=1")]
)
def test_a_run_tells_fednova_its_steps(small, train, mode, monkeypatch):
    from qmarl.federated.aggregators import FedNova

    seen = []
    whole = FedNova.aggregate

    def watched(self, updates, state):
        seen.extend(one.steps for one in updates)
        return whole(self, updates, state)

    monkeypatch.setattr(FedNova, "aggregate", watched)
    settings = ("algorithm.epochs=2", "algorithm.minibatches=3", "actor.kind=mlp")
    run = train(small("federation.strategy=fednova", *settings, *mode))
    lines = (run / "federation.jsonl").read_text().splitlines()
    assert seen == [6] * 2 * len(lines)
    assert not any(json.loads(line)["groups"]["all"]["rejected"] for line in lines)
