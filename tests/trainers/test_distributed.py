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
from trainers.distributed import (
    ExecutorConfig,
    InlineExecutor,
    RayExecutor,
    knock,
    make_executor,
)

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


@pytest.mark.parametrize(
    ("mode", "kind", "workers"), [("agents", "vqc", 1), ("agents", "vqc", 2), ("fleets", "mlp", 2)]
)
def test_ray_gives_the_bits_of_inline(small, train, cluster, mode, kind, workers):
    overrides = (*MODES[mode], f"actor.kind={kind}")
    ray_overrides = ("executor.kind=ray", f"executor.workers={workers}")
    assert digest(train(small(*overrides, *ray_overrides))) == digest(train(small(*overrides)))


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
