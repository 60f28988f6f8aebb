"""Runs of every format that was released load, and go on, for good."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from qmarl import checkpoint
from qmarl.types import Params
from trainers.config import ExperimentConfig
from trainers.logger import read_metrics
from trainers.progress import SilentProgress
from trainers.rundir import RunDirectory
from trainers.runs import evaluate, resume
from trainers.state import TrainingState

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("run-*"))
"""Each made once by its own version, see ``make_fixture.py`` there."""


def summary(params: Params) -> str:
    hashed = hashlib.sha256()
    for name, array in sorted(params.items()):
        hashed.update(f"{name} {array.dtype} {array.shape}".encode())
        hashed.update(array.tobytes())
    return hashed.hexdigest()


def test_there_is_a_fixture_of_the_format_that_is_written_now() -> None:
    manifests = [json.loads(p.read_text()) for f in FIXTURES for p in f.rglob("manifest.json")]
    assert checkpoint.FORMAT in {manifest["format"] for manifest in manifests}


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.name)
def test_an_old_checkpoint_gives_the_very_arrays(fixture: Path) -> None:
    expected = json.loads((fixture / "expected.json").read_text())
    loaded = checkpoint.load(fixture / "checkpoints")
    assert (loaded.step, loaded.meta, loaded.skipped) == (expected["step"], expected["meta"], ())
    assert {name: summary(params) for name, params in loaded.arrays.items()} == expected["arrays"]


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.name)
def test_an_old_run_is_evaluated_and_goes_on(fixture: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(fixture, run)
    for name in ("eval", "media"):
        (run / name).mkdir()
    assert evaluate(run, episodes=3)["episodes"] == 3
    settings = json.loads((run / "config.resolved.json").read_text())
    settings["rounds"] = 5
    (run / "config.resolved.json").write_text(json.dumps(settings))
    before = TrainingState.from_checkpoint(checkpoint.load(run / "checkpoints"))
    resume(run, SilentProgress())
    after = TrainingState.from_checkpoint(checkpoint.load(run / "checkpoints"))
    assert (before.round, after.round) == (3, 5)
    moved = after.params["all"]["actor.angles"], before.params["all"]["actor.angles"]
    assert not np.array_equal(*moved)
    assert [line["round"] for line in read_metrics(RunDirectory.open(run))] == [0, 1, 2, 3, 4]
    assert RunDirectory.open(run).config(ExperimentConfig).rounds == 5
