import os
import signal
import time
from contextlib import closing

import numpy as np
import pytest
import ray
from test_runs import MODES, digest

from qmarl.errors import RunError, UnreachableError
from trainers.build import build, make_rounds
from trainers.distributed import ExecutorConfig, InlineExecutor, make_executor
from trainers.distributed_connection import knock
from trainers.distributed_ray import RayExecutor

# Workers that lose their driver log on their way out, and Ray leaves files open; neither is ours.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def cluster():
    """One small Ray for the whole module; executors join it and must not end it."""
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100 * 2**20,
    )
    yield
    ray.shutdown()


def test_ray_gives_the_bits_of_inline_with_continuous_actions(small, cluster):
    results = []
    for overrides in ((), ("executor.kind=ray", "executor.workers=2")):
        parts = build(small("env.actions=continuous", *overrides))
        with closing(make_executor(parts.config.executor)) as executor:
            rounds = make_rounds(parts, executor)
            results.append(rounds.play(parts.start.params, parts.start.moments, 0, 0.0))
    inline, ray_made = (outcome.learned["all"] for outcome in results)
    assert inline.metrics == ray_made.metrics
    for name, array in inline.params.items():
        np.testing.assert_array_equal(array, ray_made.params[name])
    assert (inline.params["actor.log_std"] != -0.5).all()


def test_results_come_back_in_the_jobs_order(cluster):
    def slow_then_quick(number):  # a local function travels by value: workers lack the tests
        time.sleep(0.2 if number == 0 else 0.0)
        return number

    executor = RayExecutor(ExecutorConfig(kind="ray", workers=2))
    assert executor.map(slow_then_quick, [(n,) for n in range(5)]) == list(range(5))
    assert InlineExecutor().map(pow, [(n, 2) for n in range(5)]) == [0, 1, 4, 9, 16]
    executor.close()


def test_the_seconds_of_workers_are_told_apart(cluster):
    def nap(seconds):
        time.sleep(seconds)

    executor = RayExecutor(ExecutorConfig(kind="ray", workers=2))
    executor.map(nap, [(0.0,), (0.0,), (0.0,)])
    executor.overheads()
    executor.map(nap, [(0.5,)])
    spent = executor.overheads()
    assert spent["waiting"] > 0  # the other worker, or both while one was on its way
    assert spent["communication"] > 0
    assert executor.overheads() == {"communication": 0.0, "waiting": 0.0}
    assert InlineExecutor().overheads() == {"communication": 0.0, "waiting": 0.0}
    executor.close()


def test_work_that_is_not_waited_for_goes_on(cluster):
    def nap(number, seconds):
        time.sleep(seconds)
        return number

    executor = RayExecutor(ExecutorConfig(kind="ray", workers=2))
    executor.map(nap, [(0, 0.0), (1, 0.0)])
    tickets = [executor.begin(nap, (number, 0.5 * number)) for number in range(3)]
    first = executor.finished(tickets, 1, None)
    assert first[tickets[0]] == 0
    left = [ticket for ticket in tickets if ticket not in first]
    assert executor.map(nap, [(7, 0.0)]) == [7]  # others' work is done in between
    assert [*executor.finished(left, 9, None).values()] == [1, 2][-len(left) :]
    stuck = executor.begin(nap, (3, 600.0))
    assert executor.finished([stuck], 1, 0.2) == {}
    executor.give_up([stuck])
    assert executor.map(nap, [(8, 0.0), (9, 0.0)]) == [8, 9]
    executor.close()


def test_a_sentence_from_a_worker_reaches_the_user_unchanged(cluster):
    def refuse(reason):
        raise RunError(reason)

    executor = RayExecutor(ExecutorConfig(kind="ray", workers=1))
    with pytest.raises(RunError, match=r"^no luck$"):
        executor.map(refuse, [("no luck",)])
    executor.close()


def test_a_killed_workers_job_runs_again(cluster, tmp_path):
    def die_once(path):
        """Kills its own process the first time, as a crash would."""
        if not path.exists():
            path.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "survived"

    executor = RayExecutor(ExecutorConfig(kind="ray", workers=2))
    marks = [(tmp_path / name,) for name in "ab"]
    assert executor.map(die_once, marks) == ["survived", "survived"]
    executor.close()


def test_what_is_late_is_given_up_and_the_worker_serves_again(cluster, tmp_path):
    def sleep_at_first(number, path):
        """The first job hangs, but only the first time."""
        if number == 0 and not path.exists():
            path.touch()
            time.sleep(600)
        return number

    executor = RayExecutor(ExecutorConfig(kind="ray", workers=2))
    warm = [(number, tmp_path) for number in range(1, 5)]  # a path that exists: nobody sleeps
    assert executor.map_within(sleep_at_first, warm, 300.0) == [1, 2, 3, 4]
    jobs = [(number, tmp_path / "mark") for number in range(3)]
    assert executor.map_within(sleep_at_first, jobs, 8.0) == [None, 1, 2]
    assert executor.map(sleep_at_first, jobs) == [0, 1, 2]
    executor.close()
    assert InlineExecutor().map_within(pow, [(n, 2) for n in range(3)], 0.0) == [0, 1, 4]


def test_a_worker_that_dies_again_and_again_is_missing_at_the_deadline(cluster):
    def die(number):
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    executor = RayExecutor(ExecutorConfig(kind="ray", workers=2))
    assert executor.map_within(die, [(n,) for n in range(3)], 8.0) == [0, None, 2]
    executor.close()


class Deadline:
    """Gives up some jobs, as an executor does whose workers are late."""

    def __init__(self, late):
        self.late = late

    def map_within(self, function, jobs, seconds):
        kept = zip(InlineExecutor().map(function, jobs), range(len(jobs)), strict=True)
        return [None if place in self.late else result for result, place in kept]

    def overheads(self):
        return {}


def test_a_fleet_that_misses_the_deadline_counts_as_missing(small):
    parts = build(small(*MODES["fleets"], "federation.round_timeout_s=5"))
    layer, start = parts.federations["all"], parts.start
    params = {"all": layer.broadcast(start.params["all"], 0)}
    outcome = make_rounds(parts, Deadline({1})).play(params, start.moments, 0, 0.0)
    learned = outcome.learned["all"]
    assert outcome.missed == {"fleet_1"}
    assert learned.examples[1] == 0
    report = layer.gather(learned.params, learned.examples, 0, missed=outcome.missed)
    assert (report.participants, report.missing) == (("fleet_0", "fleet_2"), ("fleet_1",))
    for name, array in learned.params.items():
        assert (array[1] == params["all"][name][1]).all(), name


def test_nothing_late_means_the_same_bits_with_a_deadline(small, train, cluster):
    on_ray = ("executor.kind=ray", "executor.workers=2", "actor.kind=mlp")
    plain = digest(train(small(*MODES["fleets"], *on_ray)))
    timed = digest(train(small(*MODES["fleets"], *on_ray, "federation.round_timeout_s=500")))
    assert plain == timed


def test_code_that_workers_cannot_load_is_told_and_not_tried_again(cluster):
    executor = RayExecutor(ExecutorConfig(kind="ray", workers=1))
    with pytest.raises(RunError, match="cannot run our code"):
        executor.map(digest, [("nowhere",)])  # lives in a module of the tests
    executor.close()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nonsense"])
def test_a_dead_address_is_told_at_once(address):
    started = time.monotonic()
    with pytest.raises(UnreachableError) as error:
        make_executor(ExecutorConfig(kind="ray", address=address))
    assert error.value.exit_code == 3
    assert "127.0.0.1:1" in str(error.value) or "host:port" in str(error.value)
    assert time.monotonic() - started < 60  # not Ray's own minutes


def test_an_address_that_listens_is_let_through():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        knock(f"127.0.0.1:{server.getsockname()[1]}")
