"""``mpe2`` ``simple_spread_v3``, a world that no one here wrote, trained from end to end."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.scripted import at_random
from qmarl import checkpoint
from trainers.config import ExperimentConfig, load_experiment
from trainers.evaluate import held_out
from trainers.logger import read_metrics
from trainers.progress import SilentProgress
from trainers.rundir import RunDirectory
from trainers.runs import evaluate, train
from trainers.statistics import bootstrap

QUANTUM = """\
name: tiny
rounds: 2
env: {id: "mpe2.simple_spread_v3:parallel_env", num_envs: 2, kwargs: {max_cycles: 5}}
agents: {leader: agent_0, others: "agent_[12]"}
actor: {kind: vqc, circuit: {qubits: 6, layers: 1, encoding: {rotations: xyz}}}
critic: {kind: central, hidden: [8]}
algorithm: {epochs: 1, minibatches: 2}
evaluation: {every: 0, final_episodes: 4}
logging: {directory: RUNS, tensorboard: false}
"""
LEARNING = """\
name: tiny
rounds: 18
env: {id: "mpe2.simple_spread_v3:parallel_env", num_envs: 16, kwargs: {N: 2, max_cycles: 25}}
actor: {kind: mlp, hidden: [32]}
critic: {hidden: [32]}
algorithm: {gamma: 0.85, minibatches: 4, learning_rate: {critic: 0.01, weights: 0.006}}
evaluation: {every: 0, final_episodes: 4}
logging: {directory: RUNS, tensorboard: false}
"""
EPISODES, SEED = 80, 5


def run_of(path: Path) -> RunDirectory:
    return RunDirectory.open(train(load_experiment(path), source="", console=SilentProgress()))


def test_quantum_groups_with_a_central_critic_federated_and_repeatable(
    config: Any, bits: Any
) -> None:
    path = config(text=QUANTUM)
    run = run_of(path)
    lines = read_metrics(run)
    for line in lines:
        assert {key for key, value in line.items() if value is None} == set()
        assert all(math.isfinite(value) for value in line.values())
        assert line["federation/leader/participants"] == 1
        assert line["federation/others/participants"] == 2
    arrays = checkpoint.load(run.checkpoints).arrays
    leader, others = arrays["params.leader"], arrays["params.others"]
    assert leader["actor.readout.weight"].shape == (1, 6, 5)
    assert others["actor.readout.weight"].shape == (2, 6, 5)
    assert (others["actor.angles"][0] == others["actor.angles"][1]).all()
    assert (others["actor.angles"][0] != leader["actor.angles"][0]).any()
    inputs = 18 + 3 * 18  # a central critic sees the joint state beside the observation
    assert leader["critic.w0"].shape == others["critic.w0"].shape == (1, inputs, 8)
    assert bits(run_of(path)) == bits(run)


def test_a_world_with_continuous_actions_trains(here: Any, config: Any) -> None:
    code, *_ = here("train", config(text=QUANTUM), "env.kwargs={continuous_actions: true}")
    assert code == 0


@pytest.fixture
def by_chance(config: Any) -> dict[str, float]:
    """Return of the random policy on the held-out episodes, with its interval."""
    from envs.registry import make

    settings: ExperimentConfig = load_experiment(config(text=LEARNING))
    world = make(settings.env, EPISODES)
    policy, view = at_random(0), world.reset(held_out(SEED))
    returns = np.zeros(view.alive.shape)
    for _ in range(world.spec.max_steps):
        step = world.step(policy(view))
        returns += step.rewards
        view = step.view
    assert step.ended.all()
    return dict(bootstrap(returns.mean(1)))


def test_a_federated_team_learns_it(config: Any, by_chance: dict[str, float]) -> None:
    run = run_of(config(text=LEARNING))
    learned = evaluate(run.path, episodes=EPISODES, seed=SEED, greedy=False)["return"]
    assert learned["mean"] > by_chance["mean"] + 3
    assert learned["low"] > by_chance["high"]
