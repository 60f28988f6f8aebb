"""Nodes and workers that die and come, as real processes: the run goes on to the same bits."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import closing
from typing import Any

import pytest
from cluster_tools import FLEETS, add_node, digest, workers_of

from qmarl.errors import RunError, UnreachableError
from trainers.distributed import ExecutorConfig, make_executor
from trainers.participation_log import read_script
from trainers.progress import SilentProgress
from trainers.runs import train as start

# Workers that lose their driver log on their way out, and Ray leaves files open; neither is ours.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def on(cluster: Any, **more: Any) -> ExecutorConfig:
    return ExecutorConfig(kind="ray", address=cluster.address, **more)


class Disaster(SilentProgress):
    """Does harm while certain rounds are being played, from another thread; mends between them."""

    def __init__(self, harm: dict[int, Any], mending: dict[int, Any]) -> None:
        self.harm, self.mending, self.under_way = harm, mending, list[threading.Timer]()

    def round(self, metrics: Any) -> None:
        number = int(metrics["round"]) + 1
        if number in self.harm:
            self.under_way.append(threading.Timer(0.05, self.harm[number]))
            self.under_way[-1].start()
        if number in self.mending:
            self.mending[number]()

    def join(self) -> None:
        for each in self.under_way:
            each.join()


def test_a_killed_worker_a_lost_node_and_a_new_one_change_no_bit(
    small: Any, train: Any, cluster: Any
) -> None:
    """Rounds last long enough, some 0.3 s, for the harm to find somebody at work."""
    longer = (*FLEETS, "env.num_envs=48", "env.max_steps=60", "rounds=5")
    quiet = digest(train(small(*longer)))
    done: list[str] = []

    def kill() -> None:
        os.kill(workers_of(cluster)[0], signal.SIGKILL)
        done.append("worker")

    def lose() -> None:
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        done.append("node")

    def add() -> None:
        add_node(cluster)
        done.append("new node")

    address = f"executor={{kind: ray, address: '{cluster.address}', workers: 2}}"
    harm = Disaster({1: kill, 2: lose}, {4: add})
    assert digest(start(small(*longer, address), source="", console=harm)) == quiet
    harm.join()
    assert done == ["worker", "node", "new node"]


def node_of() -> Any:
    """Makes a function that tells its node; a local one travels by value."""

    def tell(_: int) -> str:
        import ray

        time.sleep(0.3)
        return str(ray.get_runtime_context().get_node_id())

    return tell


def test_workers_follow_the_nodes_that_come_and_go(cluster: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("trainers.distributed_pool.COUNT_S", 0.2)
    jobs = [(number,) for number in range(8)]
    with closing(make_executor(on(cluster, workers="auto"))) as executor:
        assert len(set(executor.map(node_of(), jobs))) == 2
        third = add_node(cluster)
        while len(set(nodes := executor.map(node_of(), jobs))) < 3:  # it takes a moment to start
            continue
        assert third.node_id in nodes
        cluster.remove_node(third, allow_graceful=False)
        while third.node_id in executor.map(node_of(), jobs):  # its worker has yet to notice
            continue
        assert len(set(executor.map(node_of(), jobs))) == 2


def test_workers_go_where_their_resources_are(cluster: Any) -> None:
    with_simulator = add_node(cluster, resources={"airsim": 1})
    with closing(make_executor(on(cluster, workers=1, resources={"airsim": 1}))) as executor:
        assert set(executor.map(node_of(), [(0,), (1,)])) == {with_simulator.node_id}
    cluster.remove_node(with_simulator)


def test_a_cluster_without_room_is_told_and_not_waited_for_forever(cluster: Any) -> None:
    config = on(cluster, workers=1, resources={"nowhere": 1}, patience_s=1.0)
    with (
        closing(make_executor(config)) as executor,
        pytest.raises(
            UnreachableError, match=r"no worker could start in 1 s: each needs .*nowhere"
        ),
    ):
        executor.map(pow, [(2, 3)])


def test_work_that_ends_every_worker_ends_the_run_and_not_the_cluster(
    cluster: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("trainers.distributed_ray.LOSSES", 2)

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with closing(make_executor(on(cluster, workers=1))) as executor:
        with pytest.raises(RunError, match="lost with its worker 3 times"):
            executor.map(die, [()])
        assert executor.map(pow, [(2, 3)]) == [8]


def test_what_came_when_on_ray_is_repeated_inline_to_the_same_bits(
    small: Any, train: Any, cluster: Any
) -> None:
    late = (*FLEETS, "federation.round_arrivals=2", "federation.late=discount")
    run = train(small(*late, f"executor={{kind: ray, address: '{cluster.address}', workers: 2}}"))
    script = read_script(run, 5)
    assert any(
        began < number for number, all_of in script.items() for began in all_of.came.values()
    )
    assert digest(train(small(*late, f"federation.replay={run}"))) == digest(run)
