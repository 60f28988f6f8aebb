"""The configuration files that ship with qmarl, read as what they are for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from mutation import mutants

from qmarl.config import preset_names, to_yaml
from qmarl.errors import ConfigurationError
from trainers.config import ExperimentConfig, load_experiment
from trainers.shipped import shipped_configs

CONFIGS = shipped_configs()
SHIPPED = sorted(
    path
    for path in CONFIGS.rglob("*.yaml")
    if path.parent.name != "presets" and "env" in yaml.safe_load(path.read_text())
)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_shipped_file_loads_with_every_preset(path: Path, tmp_path: Path) -> None:
    config = load_experiment(path)
    for name in preset_names(CONFIGS / "presets"):
        load_experiment(path, [f"preset={name}"])
    (tmp_path / "resolved.yaml").write_text(to_yaml(config))
    assert load_experiment(tmp_path / "resolved.yaml") == config
    assert ExperimentConfig.model_validate_json(config.model_dump_json()) == config


def test_debug_is_small() -> None:
    config = load_experiment(CONFIGS / "quickstart.yaml", ["preset=debug"])
    assert (config.rounds, config.env.num_envs) == (2, 8)


def test_quickstart_runs_with_the_classical_twin_and_on_ray() -> None:
    config = load_experiment(CONFIGS / "quickstart.yaml", ["actor.kind=mlp", "executor=ray"])
    assert (config.actor.kind, config.executor.kind) == ("mlp", "ray")


@given(data=mutants(yaml.safe_load((CONFIGS / "quickstart.yaml").read_text())))
def test_a_mutated_quickstart_loads_or_is_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutant.yaml"
    path.write_text(json.dumps(data))
    try:
        config = load_experiment(path)
    except ConfigurationError:
        return  # said in words; any other exception would fail this test
    assert isinstance(config, ExperimentConfig)
