"""Many groups: own stacks, own federations, unlike spaces, and agents that die."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e_configs import RELAY

from qmarl import checkpoint
from trainers.config import load_experiment
from trainers.logger import read_metrics
from trainers.progress import SilentProgress
from trainers.rundir import RunDirectory
from trainers.runs import train

QUANTUM = "actor={kind: vqc, circuit: {qubits: 2, layers: 1, encoding: {rotations: xyz}}}"


def run_of(path: Path, *overrides: str) -> RunDirectory:
    experiment = load_experiment(path, overrides)
    return RunDirectory.open(train(experiment, source="", console=SilentProgress()))


def test_two_groups_of_drones_are_two_stacks_and_two_federations(config: Any) -> None:
    groups = "agents={scouts: 'drone_0', rest: 'drone_[12]'}"
    run = run_of(config(), "env.drones=3", groups)
    arrays = checkpoint.load(run.checkpoints).arrays
    scouts, rest = arrays["params.scouts"], arrays["params.rest"]
    for name in scouts:
        assert (len(scouts[name]), len(rest[name])) == (1, 2)
        if name.startswith("actor."):
            assert (rest[name][0] == rest[name][1]).all()
            assert (rest[name][0] == arrays["server.rest"][f"params/{name}"]).all()
            assert (scouts[name][0] == arrays["server.scouts"][f"params/{name}"]).all()
    assert (scouts["actor.w0"][0] != rest["actor.w0"][0]).any()
    assert (rest["critic.w0"][0] != rest["critic.w0"][1]).any()
    for line in read_metrics(run):
        assert line["federation/scouts/participants"] == 1
        assert line["federation/rest/participants"] == 2
        assert line["federation/rest/bytes_up"] > 1.9 * line["federation/scouts/bytes_up"]
        assert np.isfinite(line["learn/scouts/entropy"] + line["learn/rest/entropy"])


def test_what_one_group_learns_does_not_touch_the_other(config: Any) -> None:
    groups = ["env.drones=3", "agents={scouts: 'drone_0', rest: 'drone_[12]'}", "rounds=1"]
    federated = checkpoint.load(run_of(config(), *groups).checkpoints).arrays
    alone = checkpoint.load(run_of(config(), *groups, "federation.sharing=none").checkpoints).arrays
    # A group of one has nobody to share with: sharing changes it by rounding alone.
    for name, array in alone["params.scouts"].items():
        np.testing.assert_allclose(federated["params.scouts"][name], array, rtol=0, atol=1e-6)
    assert (federated["params.rest"]["actor.w0"] != alone["params.rest"]["actor.w0"]).any()


@pytest.mark.parametrize(
    ("actor", "logits"), [("rounds=3", "actor.b1"), (QUANTUM, "actor.readout.bias")]
)
def test_unlike_agents_that_die_are_trained_in_groups(
    config: Any, bits: Any, actor: str, logits: str
) -> None:
    path = config(RELAY % "")
    more = [actor, "agents={early: ant, late: '[bc]*'}", "env.num_envs=4"]
    run = run_of(path, *more)
    arrays = checkpoint.load(run.checkpoints).arrays
    assert arrays["params.early"][logits].shape == (1, 2)  # the ant has two actions
    assert arrays["params.late"][logits].shape == (2, 4)  # bee and cow have up to four
    assert arrays["params.early"]["critic.w0"].shape == (1, 3, 4)
    assert arrays["params.late"]["critic.w0"].shape == (2, 5, 4)
    lines = read_metrics(run)
    assert [line["episode/length"] for line in lines] == [4.0] * 3
    assert all(line["federation/late/participants"] == 2 for line in lines)
    assert bits(run_of(path, *more)) == bits(run)


def test_a_step_after_death_counts_for_nothing(config: Any) -> None:
    run = run_of(config(RELAY % ""), "agents={early: ant, late: '[bc]*'}", "env.num_envs=4")
    moments = checkpoint.load(run.checkpoints)
    assert moments.meta["env_steps"] == 3 * 4 * 4
    # A mean over the team of 2 steps of 0 or 1, 3 of up to 2, and 4 of up to 3.
    for line in read_metrics(run):
        assert 0 < line["episode/return"] < (2 * 1 + 3 * 2 + 4 * 3) / 3
