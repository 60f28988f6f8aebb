"""What ``qmarl cluster check`` looks at: every node's versions, size, a unit of work, its bits."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any, Literal

from qmarl import __version__
from qmarl.errors import UnreachableError
from trainers.config import ExperimentConfig
from trainers.distributed import ExecutorConfig
from trainers.distributed_connection import connect, last_line
from trainers.rollout import Shard
from trainers.work import Site, client_round, lesson_for

State = Literal["ok", "note", "bad"]

PACKAGES = ("ray", "numpy", "torch")
"""Packages whose versions have to agree with the driver's, beside Python and qmarl."""
ANSWER_S = 120.0
"""Seconds that nodes have for their answers; the first import of PyTorch takes its time."""

_TINY = {
    "env": {"id": "drone_navigation", "drones": 2, "obstacles": 1, "max_steps": 20, "num_envs": 4},
    "actor": {"circuit": {"qubits": 4, "layers": 1, "encoding": {"rotations": "xyz"}}},
    "critic": {"hidden": [8]},
    "algorithm": {"epochs": 2, "minibatches": 2},
    "federation": {"sharing": "shared"},
}


@dataclass(frozen=True)
class Answer:
    """What a process says of itself and of a unit of work.

    Attributes:
        versions: Of Python, qmarl and the packages that matter.
        cores: Processor cores that it may use.
        seconds: How long the unit of work took, when all was loaded.
        digest: Hash of what it computed.
    """

    versions: dict[str, str]
    cores: int
    seconds: float
    digest: str


@dataclass(frozen=True)
class NodeReport:
    """One node of a cluster.

    Attributes:
        node: Its address, and the first letters of its name.
        resources: What Ray may hand out there: ``CPU``, ``GPU`` and custom ones.
        state: ``ok``, ``note`` (works, but know it) or ``bad`` (will fail).
        detail: What was found, and how to mend it.
        seconds: How long a unit of work took; ``None`` where it could not be done.
    """

    node: str
    resources: dict[str, float]
    state: State
    detail: str
    seconds: float | None

    def __str__(self) -> str:
        """Returns the line that people see."""
        has = ", ".join(f"{name} {amount:g}" for name, amount in self.resources.items())
        return f"{self.state:<4}  {self.node:<24}  {has or 'no resources'}; {self.detail}"


def check(address: str | None, working_dir: str | None = None) -> list[NodeReport]:
    """Has every node of a cluster do a unit of work, and compares what it says with this process.

    Args:
        address: As in ``executor.address``; by default ``RAY_ADDRESS``, else a cluster of our own.
        working_dir: As in ``executor.working_dir``.

    Raises:
        UnreachableError: The cluster does not answer, refuses us, or has no nodes.
    """
    ray, ours = connect(ExecutorConfig(kind="ray", address=address, working_dir=working_dir))
    try:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        site = sample()
        references = {node["NodeID"]: _sent(ray, node["NodeID"], site) for node in nodes}
        own = examine(site)
        ray.wait([*references.values()], num_returns=len(references), timeout=ANSWER_S)
        reports = [_report(ray, node, references[node["NodeID"]], own) for node in nodes]
    finally:
        if ours:
            ray.shutdown()
    if not reports:
        raise UnreachableError("the cluster has no living node")
    return sorted(reports, key=lambda report: report.node)


def verdict(reports: Sequence[NodeReport]) -> int:
    """Returns the exit code: 3 when a node is bad, 0 otherwise."""
    return 3 if any(report.state == "bad" for report in reports) else 0


def plain(reports: Sequence[NodeReport]) -> list[dict[str, Any]]:
    """The reports as plain data."""
    return [asdict(report) for report in reports]


def sample() -> Site:
    """A small unit of work: two drones, a circuit of four qubits, one update."""
    from trainers.build import build

    config = ExperimentConfig.model_validate_json(json.dumps(_TINY))
    parts = build(config)
    env, group, start = config.env, parts.groups["all"], parts.start
    shard = Shard(env, env.num_envs, 0, parts.rollout_steps, parts.seats, 0, 0)
    lesson = lesson_for(group, start.params["all"], start.moments["all"], 0.0, 0, 0)
    return Site(shard, {"all": lesson})


def examine(site: Site) -> Answer:
    """Does a unit of work twice, once to load what it needs, and says what came out."""
    client_round(site)
    started = time.monotonic()
    learned = client_round(site).learned
    seconds = time.monotonic() - started
    hashed = hashlib.sha256()
    for group in learned.values():
        for name, array in sorted(group.params.items()):
            hashed.update(name.encode() + array.tobytes())
    return Answer(_versions(), len(os.sched_getaffinity(0)), seconds, hashed.hexdigest())


def compared(answer: Answer, own: Answer) -> tuple[State, str]:
    """What a node's answer means beside our own."""
    other = {
        name: version for name, version in answer.versions.items() if own.versions[name] != version
    }
    if other:
        differences = ", ".join(f"{n} {v} (here {own.versions[n]})" for n, v in other.items())
        return "bad", f"other versions than here: {differences}"
    done = f"{answer.cores} cores, a unit of work took {answer.seconds:.2f} s"
    if answer.digest != own.digest:
        return "note", f"{done}, and its bits are not those of this machine: another processor"
    return "ok", f"{done}, bits as here"


def _sent(ray: Any, node: str, site: Site) -> Any:
    """Sends the unit of work to one node, whatever room there is."""
    pinned = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
    task = ray.remote(examine).options(num_cpus=0, max_retries=0, scheduling_strategy=pinned)
    return task.remote(site)


def _report(ray: Any, node: Mapping[str, Any], reference: Any, own: Answer) -> NodeReport:
    name = f"{node['NodeManagerAddress']} ({node['NodeID'][:8]})"
    hidden = ("node:", "memory", "object_store_memory", "accelerator_type:")
    has = {k: float(v) for k, v in node["Resources"].items() if not k.startswith(hidden)}
    try:
        answer: Answer = ray.get(reference, timeout=0.1)
    except ray.exceptions.GetTimeoutError:
        return NodeReport(name, has, "bad", f"no answer within {ANSWER_S:g} s", None)
    except Exception as error:
        return NodeReport(name, has, "bad", _trouble(error), None)
    state, detail = compared(answer, own)
    return NodeReport(name, has, state, detail, answer.seconds)


def _trouble(error: Exception) -> str:
    text = str(error)
    if "No module named" in text:
        module = text.rpartition("No module named")[2].split()[0].strip("'\"")
        return (
            f"there is no '{module}' on this node: install qmarl there, or send it with "
            "executor.working_dir"
        )
    return f"it cannot do our work: {last_line(error)}"


def _versions() -> dict[str, str]:
    packages = {name: metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "qmarl": __version__, **packages}
