"""Other places for the metrics: named or not imported at all, and never in a run's way."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from qmarl.errors import ConfigurationError
from trainers import runs
from trainers.integrations.ray_metrics import GAUGES, RaySink
from trainers.logger import read_metrics
from trainers.progress import SilentProgress
from trainers.rundir import RunDirectory
from trainers.sinks import SINKS, Sinks

QUICK = ("rounds=2", "evaluation.every=0", "evaluation.final_episodes=2")
CONFIG = {"env": {"id": "chsh"}, "seed": 1}


class FakeRun:
    """What wandb.init and trackio.init return, as far as we use it."""

    def __init__(self, options):
        self.options, self.steps, self.closed = options, {}, False

    def log(self, metrics, step):
        self.steps[step] = metrics

    def finish(self):
        self.closed = True


class FakeSink:
    def __init__(self, works=True):
        self.works, self.steps, self.closed = works, {}, False

    def log(self, round_number, numbers):
        if not self.works:
            raise ConnectionError("the line is dead")
        self.steps[round_number] = numbers

    def close(self):
        self.closed = True


@pytest.fixture
def fake(monkeypatch):
    """Puts a package of wandb's kind in place and gives the runs that were begun with it."""
    made = []

    def install(name):
        package = ModuleType(name)

        def init(**options):
            print("hello from the package")
            made.append(FakeRun(options))
            return made[-1]

        package.init = init
        monkeypatch.setitem(sys.modules, name, package)
        return made

    return install


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_every_round_of_a_run_goes_to_the_sink(small, train, fake, name, capsys):
    made = fake(name)
    run = train(small(*QUICK, f"logging.sinks=[{name}]"))
    (one,) = made
    logged = {line.pop("round"): line for line in read_metrics(RunDirectory(run))}
    finite = {r: {k: v for k, v in line.items() if v is not None} for r, line in logged.items()}
    assert one.steps == finite
    assert one.closed
    assert one.options["project"] == "small"
    assert one.options["name"] == run.name
    assert one.options["config"]["rounds"] == 2
    assert one.options["resume"] == "allow"
    assert "hello" not in capsys.readouterr().out


def test_the_run_is_the_same_with_a_sink_and_without(small, train, fake):
    fake("wandb")
    lines = []
    for overrides in ((), ("logging.sinks=[wandb]",)):
        rounds = read_metrics(RunDirectory(train(small(*QUICK, *overrides))))
        lines.append([{k: v for k, v in r.items() if k[:6] != "clock/"} for r in rounds])
    assert lines[0] == lines[1]


def test_a_resumed_run_goes_on_in_the_same_place(small, train, fake):
    made = fake("wandb")
    run = train(small(*QUICK, "logging.sinks=[wandb]"))
    directory = RunDirectory(run)
    config = json.loads(directory.resolved_config.read_text()) | {"rounds": 3}
    directory.write("config.resolved.json", json.dumps(config))
    runs.resume(run, SilentProgress())
    assert made[0].options["id"] == made[1].options["id"]
    assert list(made[1].steps) == [2]


def test_a_missing_package_is_told_before_the_run_begins(small, train, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"'mlflow' is not installed; install qmarl\[ml"):
        train(small(*QUICK, "logging.sinks=[mlflow]"))
    assert not (tmp_path / "runs").exists()


def test_a_sink_that_does_not_open_ends_the_run_in_a_sentence(small, train, monkeypatch, tmp_path):
    package = ModuleType("wandb")

    def init(**options):
        raise RuntimeError("no key;\nlog in first")

    package.init = init
    monkeypatch.setitem(sys.modules, "wandb", package)
    with pytest.raises(ConfigurationError, match="'wandb' cannot be opened: no key; log in first"):
        train(small(*QUICK, "logging.sinks=[wandb]"))
    (run,) = (tmp_path / "runs" / "small").glob("2*")
    assert RunDirectory.open(run).status.state == "failed"


def test_a_sink_that_fails_is_left_out_and_the_others_go_on():
    kept, lost, notes = FakeSink(), FakeSink(works=False), []
    makers = {"good": lambda run, config: kept, "bad": lambda run, config: lost}
    sinks = Sinks(Path(), {}, makers, notes.append)
    sinks.log(0, {"a": 1.0, "b": None})
    sinks.log(1, {"a": 2.0})
    sinks.close()
    assert kept.steps == {0: {"a": 1.0}, 1: {"a": 2.0}}
    assert (kept.closed, lost.closed) == (True, False)
    assert notes == ["'bad' takes no more metrics: the line is dead"]


def test_unknown_sinks_are_refused(small):
    with pytest.raises(ConfigurationError, match=r"logging\.sinks"):
        small("logging.sinks=[wandbb]")


def test_ray_shows_rounds_speed_and_scores(tmp_path, monkeypatch):
    seen = {}

    class Gauge:
        def __init__(self, name, description, tag_keys):
            self.name = name
            assert tag_keys == ("run",)

        def set(self, value, tags):
            seen[self.name] = (value, tags["run"])

    monkeypatch.setattr("ray.util.metrics.Gauge", Gauge)
    sink = RaySink(tmp_path / "patrol" / "one", {})
    sink.log(4, {"episode/success": 0.5, "clock/env_steps_per_s": 10.0, "other": 1.0})
    assert seen == {
        "qmarl_round": (5, "patrol/one"),
        "qmarl_success": (0.5, "patrol/one"),
        "qmarl_env_steps_per_s": (10.0, "patrol/one"),
    }
    assert set(GAUGES) >= {"round", "episode/success"}


def open_for_real(name, tmp_path, monkeypatch):
    """Opens the real package's sink twice, as a run and its resumption do."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"needs qmarl[{name}]")
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "patrol" / "20260101-120000-abcdef"
    run.mkdir(parents=True)
    notes = []
    for first in (0, 2):
        sinks = Sinks(run, CONFIG, {name: SINKS[name]}, notes.append)
        for number in (first, first + 1):
            sinks.log(number, {"episode/return": float(number), "nothing": None})
        sinks.close()
    assert not notes
    assert not list(run.rglob("*"))


@pytest.mark.filterwarnings("ignore")
def test_the_real_trackio_takes_the_rounds(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    open_for_real("trackio", tmp_path, monkeypatch)
    import sqlite3

    (base,) = (tmp_path / "trackio").rglob("patrol*.db")
    with sqlite3.connect(base) as database:
        steps = database.execute("select step, metrics from metrics order by step").fetchall()
    assert [step for step, _ in steps] == [0, 1, 2, 3]


@pytest.mark.filterwarnings("ignore")
def test_the_real_mlflow_takes_the_rounds(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/mlruns")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    open_for_real("mlflow", tmp_path, monkeypatch)
    from mlflow import MlflowClient

    client = MlflowClient()
    (home,) = [e for e in client.search_experiments() if e.name == "patrol"]
    (run,) = client.search_runs([home.experiment_id])
    history = client.get_metric_history(run.info.run_id, "episode/return")
    assert [(one.step, one.value) for one in history] == [(n, float(n)) for n in range(4)]
    assert run.data.params["env.id"] == "chsh"


@pytest.mark.filterwarnings("ignore")
def test_the_real_wandb_takes_the_rounds_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    open_for_real("wandb", tmp_path, monkeypatch)
    assert list((tmp_path / "runs" / "wandb").glob("offline-run-*/*.wandb"))
