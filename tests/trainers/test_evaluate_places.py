"""Where evaluations are played: in shards, on an executor, never on a cluster that a run names."""

import json

import numpy as np
import pytest
from test_runs import FLEETS

from qmarl.errors import UnreachableError
from trainers.build import build
from trainers.distributed import InlineExecutor
from trainers.evaluate import play
from trainers.runs import evaluate


class Counting:
    """Runs everything here, and counts."""

    def __init__(self):
        self.jobs = 0

    def map(self, function, jobs):
        self.jobs += len(jobs)
        return InlineExecutor().map(function, jobs)


@pytest.mark.parametrize(("words", "jobs"), [((), 3), (FLEETS, 7)])
def test_episodes_are_units_of_work_in_the_worlds_order(small, words, jobs):
    parts = build(small(*words))
    teams = parts.sites(parts.start.params)
    common = (parts.config.env, parts.seats, teams, 7, 0, True)
    counting = Counting()
    cut = play(*common, executor=counting, shards=3)
    assert counting.jobs == jobs  # an empty part is no work
    whole = play(*common)
    for name, values in whole.items():
        np.testing.assert_allclose(cut[name], values, rtol=1e-5, err_msg=name)


def test_a_run_does_not_say_which_cluster_we_join(small, train):
    run = train(small("actor.kind=mlp", "rounds=1", "evaluation.every=1"))
    settings = json.loads((run / "config.resolved.json").read_text())
    settings["executor"] |= {"kind": "ray", "address": "127.0.0.1:1"}
    (run / "config.resolved.json").write_text(json.dumps(settings))
    assert evaluate(run, episodes=2)["episodes"] == 2
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:1"):
        evaluate(run, episodes=2, overrides=["executor.kind=ray"])
