"""What the tests of clusters have in common: a small experiment, its bits, and nodes to lose."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from qmarl import checkpoint
from trainers.logger import read_metrics
from trainers.rundir import RunDirectory

SMALL = """\
name: small
rounds: 5
env: {id: drone_navigation, drones: 2, obstacles: 1, max_steps: 12, num_envs: 4, shards: 2}
actor: {kind: mlp, hidden: [6]}
critic: {hidden: [8]}
algorithm: {epochs: 2, minibatches: 2}
evaluation: {every: 5, episodes: 4, final_episodes: 4, shards: 2}
logging: {tensorboard: false, checkpoint_every: 1}
"""
FLEETS = ("federation.client=fleet", "federation.fleets=4", "env.shards=1")
MODES = {
    "none": ("federation.sharing=none",),
    "shared": ("federation.sharing=shared",),
    "agents": (),
    "circuit": ("actor={kind: vqc, circuit: {qubits: 4, layers: 1, encoding: {rotations: xyz}}}",),
    "central": ("critic.kind=central",),
    "split": ("critic.kind=split",),
    "groups": ('agents={a: "drone_0", b: "drone_1"}',),
    "fleets": FLEETS,
    "delayed": (*FLEETS, "federation.delays={fleet_0: 1}", "federation.late=discount"),
}
SYSTEM = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 4,
}
"""So that a lost node is noticed in seconds; on a real cluster it takes half a minute."""
STORE = 80 * 2**20


def digest(run: Path) -> str:
    """Hash of all parameters, moments and metrics of a run, clock readings apart."""
    directory = RunDirectory.open(run)
    state = checkpoint.load(directory.checkpoints)
    hashed = hashlib.sha256()
    for name, params in sorted(state.arrays.items()):
        for array, values in sorted(params.items()):
            hashed.update(f"{name}/{array}/{values.dtype}{values.shape}".encode())
            hashed.update(values.tobytes())
    lines = read_metrics(directory)
    assert [line["round"] for line in lines] == list(range(len(lines)))
    for line in lines:
        plain = {key: value for key, value in line.items() if not key.startswith("clock/")}
        hashed.update(json.dumps(plain, sort_keys=True).encode())
    for name in ("federation.jsonl", "eval/final.json"):
        told = directory.path / name
        hashed.update(told.read_bytes() if told.exists() else b"")
    return hashed.hexdigest()


def make_cluster() -> Any:
    """A head without cores and two nodes with one each, all on this machine."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args={**head, "_system_config": SYSTEM})
    for _ in range(2):
        add_node(cluster)
    return cluster


def add_node(cluster: Any, **more: Any) -> Any:
    return cluster.add_node(num_cpus=1, object_store_memory=STORE, **more)


def workers_of(cluster: Any) -> list[int]:
    """Processes on the cluster's nodes that do units of work."""
    import psutil

    found = []
    for node in cluster.worker_nodes:
        for children in node.all_processes.values():
            for each in children:
                try:
                    family = psutil.Process(each.process.pid).children(recursive=True)
                    found += [one.pid for one in family if "ray::Worker" in one.cmdline()[0]]
                except (psutil.Error, IndexError):
                    continue
    return found
