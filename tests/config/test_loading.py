"""What a configuration file means: YAML 1.2, layers, kinds, and what comes out again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from experiment_sample import (
    GOOD,
    Builtin,
    Classical,
    Cluster,
    Experiment,
    External,
    Inline,
    Logging,
    Quantum,
)
from pydantic import ValidationError

from qmarl.config import json_schema, load
from qmarl.yaml_source import scalar


def test_a_file_becomes_a_frozen_configuration(read: Any) -> None:
    config = read()
    assert config.executor == Cluster(kind="ray")
    assert config.actor == Quantum(qubits=4, rate=0.001)
    assert config.env == Builtin(id="navigation", drones=4, wind=(0.5, 1.0))
    assert config.logging == Logging()
    with pytest.raises(ValidationError):
        config.seed = 4


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E3", 1000.0),
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("y", "y"),
        ("true", True),
        ("TRUE", True),
        ("0o17", 15),
        ("0x1F", 31),
        ("010", 10),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.inf", float("-inf")),
        ("~", None),
        ("", None),
        ("+12", 12),
        ("1" * 30, float("inf")),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_quoted_numbers_and_tagged_text_stay_text(read: Any) -> None:
    assert read(GOOD.replace("demo", "'1e-3'")).name == "1e-3"
    assert read(GOOD.replace("demo", "!!str 12")).name == "12"
    assert read(GOOD.replace("demo", "off")).name == "off"


def test_layers_lie_in_order(read: Any) -> None:
    assert read("presets: [debug, tiny]\nname: a\nenv: navigation\n").seed == 99
    below = read("presets: debug\n" + GOOD)
    assert (below.seed, below.actor.qubits) == (3, 4)
    above = read(GOOD, "preset=debug")
    assert (above.seed, above.actor.qubits, above.actor.rate) == (99, 2, 0.001)
    assert read(GOOD, "preset=debug", "seed=1", "seed=2").seed == 2
    assert read(GOOD, "presets=[debug, tiny]").env.drones == 2


def test_changing_the_kind_forgets_what_only_the_former_kind_knows(
    read: Any, problems: Any
) -> None:
    assert read(GOOD, "actor.kind=mlp").actor == Classical(kind="mlp", rate=0.001)
    assert read(GOOD, "actor=mlp", "actor.hidden=[4, 4]").actor.hidden == (4, 4)
    assert read(GOOD, "executor.workers=1", "executor=inline").executor == Inline()
    assert read(GOOD, "env.id=pkg:make").env == External(id="pkg:make")
    (sentence,) = problems(GOOD, "actor.kind=mlp", "actor.qubits=3")
    assert "actor.qubits: unknown key 'qubits'" in sentence


def test_a_section_without_its_kind_has_the_default_one(read: Any, problems: Any) -> None:
    assert read(GOOD.replace("kind: vqc, ", "")).actor == Quantum(rate=0.001)
    assert read(GOOD.replace("kind: vqc, ", ""), "actor.kind=mlp").actor.rate == 0.001
    (sentence,) = problems(GOOD.replace("executor: ray", "executor: {workers: 2}"))
    assert sentence == "x.yaml:3:12: executor.workers: unknown key 'workers' (allowed: kind)"


def test_raw_holds_what_was_written_and_no_defaults(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("name: a\nenv: navigation\nexecutor: ray\n")
    _, raw = load(file, ["executor.workers=1"], Experiment, tmp_path)
    assert raw == {"name": "a", "env": "navigation", "executor": {"kind": "ray", "workers": 1}}


def test_python_and_json_take_the_same_shapes() -> None:
    data = {"name": "a", "env": "navigation", "executor": "ray", "logging": {"folder": "x"}}
    assert Experiment.model_validate(data).logging.folder == Path("x")
    config = Experiment.model_validate_json(json.dumps({**data, "env": {"id": "a:b"}}))
    assert Experiment.model_validate_json(config.model_dump_json()) == config


def test_the_json_schema_knows_bare_words_presets_and_docstrings() -> None:
    schema = json_schema(Experiment, ["debug"])
    assert schema["properties"]["presets"]["anyOf"][0] == {"type": "string", "enum": ["debug"]}
    bare = [option.get("const") for option in schema["$defs"]["Classical"]["anyOf"]]
    assert bare == [None, "mlp"]
    assert schema["additionalProperties"] is False
    workers = schema["$defs"]["Cluster"]["properties"]["workers"]
    assert workers["description"] == "Processes that do\nthe work."
    json.dumps(schema)
