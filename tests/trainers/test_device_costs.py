"""A run on a PennyLane device logs what its circuits cost."""

import pytest

from qmarl.circuits.ledger import Counts
from trainers.costs import metered
from trainers.logger import read_metrics
from trainers.rundir import RunDirectory

TINY = ("rounds=1", "evaluation.every=0", "algorithm.epochs=1")
DEVICE = "actor.backend=pennylane:default.qubit"


def logged(run):
    (round_metrics,) = read_metrics(RunDirectory.open(run))
    return {
        name.removeprefix("device/"): value
        for name, value in round_metrics.items()
        if name.startswith("device/")
    }


@pytest.mark.parametrize(
    "sharing", ["federation.client=agent", "federation={client: fleet, fleets: 2}"]
)
def test_every_sample_of_acting_and_learning_is_counted(small, train, sharing):
    fleets = 2 if "fleet, " in sharing else 1
    costs = logged(train(small(*TINY, DEVICE, sharing, "env.shards=1")))
    samples = 12 * 4 * 2 * fleets  # steps, worlds, drones
    assert costs == {"executions": 2 * samples, "shots": 0, "shifted": 0}


def test_shots_and_shifted_circuits_are_counted(small, train):
    options = "actor.device_options={shots: 5, seed: 1}"
    few = (
        "env.num_envs=1",
        "env.shards=1",
        "algorithm.minibatches=1",
        "env.max_steps=3",
        "env.rollout_steps=3",
    )
    costs = logged(train(small(*TINY, DEVICE, options, *few)))
    samples, angles = 3 * 2, 4 * 1 * 3
    assert costs["executions"] >= 2 * samples + costs["shifted"]
    assert 0 < costs["shifted"] <= samples * 2 * angles
    assert costs["shots"] == 5 * costs["executions"]


def test_programs_log_no_cost(small, train):
    assert logged(train(small(*TINY))) == {}
    assert metered([], lambda: 7) == (7, Counts())
