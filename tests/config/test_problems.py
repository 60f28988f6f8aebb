"""Every problem of a configuration is told at its place, in words, all at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from experiment_sample import GOOD, Experiment, Inline

from qmarl.config import load
from qmarl.errors import ConfigurationError

# ruff: noqa: E501 - the sentences stand in whole lines, as people will see them


def test_all_problems_are_reported_at_once_with_their_places(problems: Any) -> None:
    text = GOOD.replace("drones: 4", "dornes: 4").replace("rate: 1e-3", "rate: fast")
    found = problems(text, "actor.qubits=40", "executor=rya", "seed=1.5")
    assert found == [
        "x.yaml:4:31: actor.rate: must be a number (got 'fast')",
        "x.yaml:7:3: env.dornes: unknown key 'dornes'; did you mean 'drones'?",
        "override 'seed=1.5': seed: must be a whole number (got 1.5)",
        "override 'executor=rya': executor.kind: must be one of inline, ray "
        "(got 'rya'; did you mean 'ray'?)",
        "override 'actor.qubits=40': actor.qubits: must be at most 20 (got 40)",
    ]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("seed: 3", "seed: '3'"), "x.yaml:2:1: seed: must be a whole number (got '3')"),
        (("seed: 3", "seed: 1_000"), "x.yaml:2:1: seed: must be a whole number (got '1_000')"),
        (("seed: 3", "seed: yes"), "x.yaml:2:1: seed: must be a whole number (got 'yes')"),
        (("seed: 3", "seed: true"), "x.yaml:2:1: seed: must be a whole number (got true)"),
        (("seed: 3", "seed:"), "x.yaml:2:1: seed: must be a whole number (got nothing)"),
        (("seed: 3", "seed: 1\nseed: 2"), "x.yaml:3:1: seed: this key is given twice"),
        (("name: demo", ""), "x.yaml:1:1: name: is required"),
        (("demo", "forbidden"), "x.yaml:1:1: this name is taken"),
        (("demo", "[a, b]"), "x.yaml:1:1: name: must be text (got a list of 2)"),
        (("1e-3", "0"), "x.yaml:4:31: actor.rate: must be greater than 0 (got 0)"),
        (("1e-3", ".inf"), "x.yaml:4:31: actor.rate: must be a finite number (got inf)"),
        (("qubits: 4", "layers: [1]"), "x.yaml:4:20: actor.layers: must be a whole number or 'auto' (got a list of 1)"),
        (("qubits: 4", "layers: atuo"), "x.yaml:4:20: actor.layers: must be a whole number or 'auto' (got 'atuo'; did you mean 'auto'?)"),
        (("kind: vqc", "kind: vcq"), "x.yaml:4:9: actor.kind: must be one of vqc, mlp (got 'vcq'; did you mean 'vqc'?)"),
        (("id: navigation", ""), "x.yaml:5:1: env.id: is required (allowed: navigation, external)"),
        (("kind: vqc", "kind: 3"), "x.yaml:4:9: actor.kind: must be one of vqc, mlp (got 3)"),
        (("id: navigation", "id: navigatoin"), "x.yaml:6:3: env.id: must be one of navigation, external (got 'navigatoin'; did you mean 'navigation'?)"),
        (("[0.5, 1]", "[0.5, x]"), "x.yaml:8:15: env.wind.1: must be a number (got 'x')"),
        (("[0.5, 1]", "soft"), "x.yaml:8:3: env.wind: must be a number or a list (got 'soft')"),
        (("drone_*", "3"), "x.yaml:10:3: agents.scouts: must be text (got 3)"),
        (("logging:", "logging: 3"), "x.yaml:11:1: logging: must be a section (got 3)"),
        (("logging:", "logging: {zzz: 1}"), "x.yaml:11:11: logging.zzz: unknown key 'zzz' (allowed: folder, verbose)"),
        (("seed: 3", "seed: !!python/name:os.system x"), "x.yaml:2:1: tag 'tag:yaml.org,2002:python/name:os.system' is not allowed"),
        (("seed: 3", "seed: [1"), "x.yaml:3:9: not valid YAML: expected ',' or ']', but got ':'"),
        (("seed: 3", "? [a]\n: 1"), "x.yaml:2:3: a key must be a single word"),
    ],
)  # fmt: skip
def test_a_problem_says_where_and_what(
    problems: Any, change: tuple[str, str], sentence: str
) -> None:
    assert change[0] in GOOD
    found = problems(GOOD.replace(*change))
    assert sentence in found
    assert len(found) == 1 or "!!" in change[1]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "the file is empty; it must hold key: value lines"),
        ("# only a comment\n", "the file is empty; it must hold key: value lines"),
        ("- a\n- b\n", "must hold key: value lines (got a list)"),
        ("just words", "must hold key: value lines (got the single value 'just words')"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "not a text file (UTF-8 expected)"),
        (b"name: a\x00b", "not a text file (it holds control characters)"),
        ("a: 1\n---\nb: 2\n", "not valid YAML: but found another document"),
        ("[" * 5000, "is nested too deeply"),
        ("x: " + "[" * 60 + "]" * 60, "expands to more than 40 levels"),
        ("a: &a [x, *a]", "expands to more than 40 levels"),
        (" " * (1 << 20) + "a", "larger than 1 MiB; this is no configuration file"),
        ("a: *nobody", "not valid YAML: found undefined alias 'nobody'"),
        ("\tname: x", "not valid YAML: found character '\\t' that cannot start any token"),
    ],
)
def test_files_that_are_no_configuration(
    problems: Any, content: str | bytes, sentence: str
) -> None:
    (found,) = problems(content)
    assert found.endswith(f": {sentence}")


def test_an_alias_bomb_is_defused(problems: Any) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
    )
    (found,) = problems(bomb)
    assert "expands to more than 20000 values" in found


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such file"):
        load(tmp_path / "none.yaml", (), Experiment, tmp_path)
    with pytest.raises(ConfigurationError, match="is a directory"):
        load(tmp_path, (), Experiment, tmp_path)
    with pytest.raises(ConfigurationError, match="no file can have this name"):
        load(Path("a\0b"), (), Experiment, tmp_path)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("seed", "override 'seed': must look like section.key=value"),
        ("=3", "override '=3': must look like section.key=value"),
        ("env..id=3", "override 'env..id=3': must look like section.key=value"),
        ("seed.deep=3", "override 'seed.deep=3': seed: must be a whole number (got a section)"),
        ("sede=3", "override 'sede=3': sede: unknown key 'sede'; did you mean 'seed'?"),
        ("name=[a", "override 'name=[a': not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("preset=debgu", "override 'preset=debgu': presets: unknown preset 'debgu'; did you mean 'debug'?"),
        ("preset=3", "override 'preset=3': presets: must be the name of a preset"),
        ("preset=broken", "broken.yaml:1:1: sead: unknown key 'sead'; did you mean 'seed'?"),
        ("executor.kind=inline", None),
        ("executor.workers=0", "override 'executor.workers=0': executor.workers: must be at least 1 (got 0)"),
    ],
)  # fmt: skip
def test_overrides(read: Any, problems: Any, override: str, sentence: str | None) -> None:
    if sentence is None:
        assert read(GOOD, override).executor == Inline()
    else:
        assert problems(GOOD, override) == [sentence]


def test_validators_of_sections_name_their_settings(problems: Any) -> None:
    found = problems(GOOD.replace("seed: 3", "seed: 13"), "env.drones=10")
    assert found == [
        "x.yaml:2:1: seed: is unlucky",
        "override 'env.drones=10': env.drones: too many for an unlucky seed",
    ]
