import sys

import numpy as np
import pytest
from pydantic import TypeAdapter

from agents.mlp_actor import MLPActor
from envs.registry import EnvConfig
from envs.world import View
from trainers.rollout import Seat, Shard, Team, collect, join

ENV = TypeAdapter(EnvConfig)


def drones(**settings):
    return ENV.validate_python({"id": "drone_navigation", "num_envs": 4, **settings})


def stacked(actor, stacks):
    each = [actor.initial(np.random.default_rng(seed)) for seed in range(stacks)]
    return {name: np.stack([params[name] for params in each]) for name in each[0]}


ACTOR = MLPActor((12, 5, 7), "float32")


def shard(env, first=0, count=4, members=(0, 1, 2), **changes):
    seats = {"all": Seat(members, ACTOR.policy, 12, 7)}
    fields = {"steps": 110, "clock_round": 0, "seed": 3, **changes}
    return Shard(env, count, first, seats=seats, **fields)


def fields_of(trajectory):
    return {name: value for name, value in vars(trajectory).items() if name != "episodes"}


def test_a_rollout_is_a_pure_function():
    env, params = drones(), {"all": stacked(ACTOR, 3)}
    once, again = (collect(shard(env), params) for _ in range(2))
    for name, value in fields_of(once).items():
        assert (value == fields_of(again)[name]).all(), name
    other = collect(shard(env, clock_round=1), params)
    assert (other.observations != once.observations).any()


def test_worlds_start_alike_in_whatever_shard_they_are():
    env, params = drones(), {"all": stacked(ACTOR, 3)}
    whole = collect(shard(env), params)
    parts = [collect(shard(env, first, 2), params) for first in (0, 2)]
    joined = join(parts)
    assert joined.observations.shape == whole.observations.shape
    assert (joined.observations[0] == whole.observations[0]).all()
    assert set(joined.cut_envs) <= set(range(4))
    assert len(joined.episodes["return"]) == sum(len(p.episodes["return"]) for p in parts)


def test_rewards_are_counted_once_and_ends_are_consistent():
    trajectory = collect(shard(drones()), {"all": stacked(ACTOR, 3)})
    both = trajectory.terminated & trajectory.truncated
    assert not both.any()
    assert (trajectory.rewards[~trajectory.alive] == 0).all()
    assert (trajectory.alive[-1] == (trajectory.terminated[-1] | trajectory.truncated[-1])).all()
    marked = np.zeros(trajectory.rewards.shape[:2], bool)
    marked[trajectory.cut_steps, trajectory.cut_envs] = True
    assert (marked == trajectory.truncated.any(2)).all()
    assert len(trajectory.episodes["success"]) >= 4  # 110 steps hold at least one episode each


def test_log_probs_are_those_of_the_actions_that_were_drawn():
    params = {"all": stacked(ACTOR, 3)}
    trajectory = collect(shard(drones()), params)
    act = ACTOR.policy.bind(params["all"])
    logits = act(trajectory.observations[:, :, 1].reshape(1, -1, 12).repeat(3, 0))[1]
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    actions = trajectory.actions[:, :, 1].reshape(-1)
    expected = np.log(probabilities[np.arange(len(actions)), actions])
    got = trajectory.log_probs[:, :, 1].reshape(-1)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_groups_with_different_numbers_of_actions_sit_at_one_table():
    wide, narrow = MLPActor((6, 4), "float32"), MLPActor((5, 2), "float32")
    seats = {"a": Seat((0, 2), wide.policy, 6, 4), "b": Seat((1,), narrow.policy, 5, 2)}
    team = Team(seats, {"a": stacked(wide, 2), "b": stacked(narrow, 1)})
    everything = np.ones((3, 3, 4), bool)
    seen = np.ones((3, 3, 6), np.float32)
    logits = team.outputs(View(seen, np.zeros((3, 0)), np.ones((3, 3), bool), everything))
    assert logits.shape == (3, 3, 4)
    assert (logits[:, 1, 2:] < -1e8).all()
    assert (logits[:, [0, 2]] > -1e8).all()
    assert (logits[0, 0] != logits[0, 2]).any()  # each its own parameters


@pytest.mark.parametrize("module", ["torch", "pennylane", "ray", "matplotlib"])
def test_collecting_with_perceptrons_needs_numpy_alone(module):
    import subprocess

    code = (
        "import sys, trainers.rollout, agents.mlp_actor\n"
        f"assert {module!r} not in sys.modules, 'imported {module}'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
