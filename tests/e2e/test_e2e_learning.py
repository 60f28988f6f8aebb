"""The main job in small: drones with quantum actors learn, federated."""

from __future__ import annotations

from typing import Any

from qmarl import checkpoint
from trainers.config import load_experiment
from trainers.progress import SilentProgress
from trainers.rundir import RunDirectory
from trainers.runs import evaluate, train

DRONES = """\
name: tiny
rounds: 34
env:
  {id: drone_navigation, drones: 2, obstacles: 0, max_steps: 24, num_envs: 32, speed: 1.5,
   ring_radius: 0.7, goal_radius: 0.5}
actor:
  kind: vqc
  circuit:
    qubits: 4
    layers: 2
    reupload: true
    encoding: {rotations: xyz, scales: true, initial_scale: 1.5, initial_spread: 0.2}
    readout: {kind: z_pairs}
critic: {hidden: [32]}
algorithm:
  gamma: 0.95
  learning_rate: {angles: 0.03, scales: 0.02, readout: 0.05, critic: 0.005}
evaluation: {every: 0, final_episodes: 4}
logging: {directory: RUNS, tensorboard: false, checkpoint_every: 1, keep: 40}
"""


def test_two_quantum_drones_learn_to_cross_each_other_federated(config: Any) -> None:
    settings = load_experiment(config(text=DRONES))
    run = RunDirectory.open(train(settings, source="", console=SilentProgress()))
    params = checkpoint.load(run.checkpoints).arrays["params.all"]
    assert all((a[0] == a[1]).all() for name, a in params.items() if name.startswith("actor."))
    assert any((a[0] != a[1]).any() for name, a in params.items() if name.startswith("critic."))
    first, last = (
        evaluate(run.path, episodes=100, checkpoint=which, greedy=True) for which in ("1", "latest")
    )
    assert (first["round"], last["round"]) == (1, 34)
    assert first["success"]["mean"] < 0.1
    assert last["success"]["mean"] > 0.7
    assert last["collision"]["mean"] < 0.2
