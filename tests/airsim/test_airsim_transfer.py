"""The recipe: what is learned on point masses holds on quadrotors behind the wire; minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.backends.airsim_fleet import fleet_of
from trainers import runs
from trainers.config import load_experiment
from trainers.progress import make_progress
from trainers.shipped import shipped_configs

RECIPE = shipped_configs() / "airsim" / "transfer.yaml"


@pytest.mark.slow
def test_nine_tenths_of_the_success_are_kept(tmp_path: Path):
    config = load_experiment(RECIPE, [f"logging.directory={tmp_path}", "logging.tensorboard=false"])
    run = runs.train(config, source="", console=make_progress(as_json=True))
    there = ["env.backend=airsim", "env.airsim.launch.command=[qmarl]"]
    told = runs.evaluate(run, episodes=200, overrides=there)
    fleet_of.cache_clear()
    home = told["gap"]["measures"]["success"]["home"]["mean"]
    assert home >= 0.9
    assert told["lost"]["mean"] == 0
    assert told["gap"]["kept"] >= 0.9
