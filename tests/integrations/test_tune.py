"""Ray Tune chooses settings; where its extra is missing, the trial alone is tried."""

import importlib.util
import json
from pathlib import Path

import pytest

from qmarl.errors import ConfigurationError
from trainers.integrations import tune
from trainers.logger import read_metrics
from trainers.rundir import RunDirectory

SMALL = """\
name: tuned
rounds: 2
env: {id: drone_navigation, drones: 2, obstacles: 1, max_steps: 12, num_envs: 4}
actor: {kind: mlp, hidden: [4]}
critic: {hidden: [8]}
evaluation: {every: 0, episodes: 4, final_episodes: 4}
logging: {tensorboard: false, checkpoint_every: 1}
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    return file


def trial(home, choices, reports):
    home.mkdir(exist_ok=True)
    tune._train(SMALL, ["seed=3"], choices, home, reports.append)
    (run,) = (home / "runs" / "tuned").glob("2*")
    return run


def test_a_trial_reports_every_round_and_its_final_scores(tmp_path):
    reports = []
    run = trial(tmp_path / "trial", {"algorithm.epochs": 1}, reports)
    config = json.loads((run / "config.resolved.json").read_text())
    assert (config["seed"], config["algorithm"]["epochs"]) == (3, 1)
    logged = read_metrics(RunDirectory(run))
    assert [one["round"] for one in reports] == [0, 1, 1]
    assert [one["episode/return"] for one in reports[:2]] == [r["episode/return"] for r in logged]
    final = json.loads((run / "eval" / "final.json").read_text())
    assert reports[-1]["final/return"] == final["return"]["mean"]
    assert "final/return" not in reports[1]


def test_a_trial_that_was_cut_goes_on(tmp_path):
    class Cut(Exception):
        pass

    class Reports(list):
        def append(self, one):
            super().append(one)
            if len(self) == 2:
                raise Cut

    home = tmp_path / "trial"
    with pytest.raises(Cut):
        trial(home, {}, Reports())
    again, whole = [], []
    cut = trial(home, {}, again)
    quiet = trial(tmp_path / "quiet", {}, whole)
    assert [one["round"] for one in again][-1] == 1
    assert again[-1]["final/return"] == whole[-1]["final/return"]
    assert len(read_metrics(RunDirectory(cut))) == len(read_metrics(RunDirectory(quiet))) == 2


def test_nested_choices_and_bad_files_are_refused(path):
    with pytest.raises(ConfigurationError, match=r"write 'actor\.kind' instead"):
        tune.chosen({"actor": {"kind": "mlp"}})
    with pytest.raises(ConfigurationError, match="roundz"):
        tune.trainable(path, ["roundz=1"])


@pytest.mark.filterwarnings("ignore")
def test_tune_runs_trials_for_real(path, tmp_path, monkeypatch):
    if importlib.util.find_spec("pyarrow") is None:
        pytest.skip("needs qmarl[tune]")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    import ray
    from ray import tune as real

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        tuner = real.Tuner(
            tune.trainable(path),
            param_space={"seed": real.grid_search([0, 1])},
            run_config=real.RunConfig(storage_path=str(tmp_path / "tune"), verbose=0),
        )
        results = tuner.fit()
    finally:
        ray.shutdown()
    assert not results.errors
    assert sorted(one.config["seed"] for one in results) == [0, 1]
    assert all(one.metrics["training_iteration"] == 3 for one in results)
    best = results.get_best_result("final/return", "max")
    assert best.metrics["final/return"] == max(one.metrics["final/return"] for one in results)
