"""Many runs of one experiment, and the table of what came out."""

import json

import pytest
from typer.testing import CliRunner

from qmarl.errors import ConfigurationError, RunError
from trainers import runs, sweep
from trainers.cli import app
from trainers.cli_sweep import text
from trainers.distributed import ExecutorConfig
from trainers.progress import SilentProgress
from trainers.rundir import RunDirectory

QUICK = ("rounds=1", "evaluation.every=0")


@pytest.fixture
def path(small, tmp_path):
    return tmp_path / "small.yaml"


@pytest.fixture
def quick(tmp_path):
    return [*QUICK, f"logging.directory={tmp_path / 'runs'}"]


def swept(path, overrides):
    made = sweep.cells(path, overrides)
    return made, sweep.sweep(made, ExecutorConfig(), SilentProgress())


def test_every_combination_is_a_run_of_its_own(path, quick):
    made, outcomes = swept(path, [*quick, "seed=[0,1]", "actor.kind=[vqc,mlp]"])
    assert [o.settings for o in outcomes] == [
        {"seed": seed, "actor.kind": kind} for seed in (0, 1) for kind in ("vqc", "mlp")
    ]
    assert len({o.run for o in outcomes}) == 4
    assert all(0 <= o.scores["success"] <= 1 for o in outcomes)
    rows = sweep.table(outcomes)
    assert [(row.settings, row.seeds) for row in rows] == [
        ({"actor.kind": "vqc"}, 2),
        ({"actor.kind": "mlp"}, 2),
    ]
    mean = (outcomes[0].scores["return"] + outcomes[2].scores["return"]) / 2
    assert rows[0].scores["return"]["mean"] == pytest.approx(mean)
    assert text(rows).splitlines()[1].startswith("actor.kind=vqc      2  ")
    assert made[0].home.parent == made[3].home.parent


def test_a_run_of_a_sweep_is_the_run_that_train_makes(path, quick, small):
    _, outcomes = swept(path, [*quick, "seed=[4]"])
    alone = runs.train(small(*QUICK, "seed=4"), source="", console=SilentProgress())
    final = json.loads((alone / "eval" / "final.json").read_text())
    assert outcomes[0].scores["return"] == final["return"]["mean"]


def test_what_is_finished_is_not_done_again_and_what_was_cut_goes_on(path, quick, monkeypatch):
    overrides = [*quick, "rounds=2", "seed=[0,1,2]"]
    made, whole = swept(path, overrides)
    RunDirectory.open(made[1].home).set_status("interrupted", 1)
    worked = []
    run_cell = sweep.run_cell
    monkeypatch.setattr(sweep, "run_cell", lambda cell: worked.append(cell.name) or run_cell(cell))
    again = swept(path, overrides)[1]
    assert worked == ["seed=1"]
    assert again == whole


def test_a_run_that_fails_is_named_and_the_others_go_on(path, quick, monkeypatch):
    train = runs.train

    def sometimes(config, **rest):
        if config.seed == 1:
            raise RunError("learning diverged")
        return train(config, **rest)

    monkeypatch.setattr(runs, "train", sometimes)
    result = CliRunner().invoke(app, ["sweep", str(path), *quick, "seed=[0,1,2]"])
    assert result.exit_code == 4
    assert "seed=1: failed: learning diverged" in result.stdout
    assert "all           2  " in result.stdout


def test_a_setting_that_is_a_list_takes_a_list_of_lists(path, quick):
    made = sweep.cells(path, [*quick, "federation.share=[['actor.*'],['actor.angles']]"])
    assert [cell.config.federation.share for cell in made] == [("actor.*",), ("actor.angles",)]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ([], "name a list of values for at least one setting"),
        (["seed=[]"], "names no value"),
        (["seed=[1,1]"], "one of them twice"),
        (["seed=[1]", "seed=[2]"], "'seed' is given twice"),
        (["executor.workers=[1,2]"], "changes no result"),
        (["actor.kind=[vqc,mlpp]"], "did you mean 'mlp'"),
        ([f"seed={list(range(10_001))}"], "more than 10000"),
    ],
)
def test_bad_sweeps_are_refused_before_anything_runs(path, overrides, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        sweep.cells(path, overrides)
