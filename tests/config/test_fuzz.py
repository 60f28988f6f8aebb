"""Whatever is written into a file, it loads or is refused in words; what we write loads again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from experiment_sample import Classical, Experiment, External
from hypothesis import given
from hypothesis import strategies as st

from qmarl.config import load, to_yaml
from qmarl.errors import ConfigurationError

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
KEYS = ["name", "seed", "executor", "actor", "env", "agents", "logging", "kind", "id", "presets"]


def mutate(data: Any, draw: st.DrawFn) -> Any:
    """Drops, renames, replaces or adds one thing somewhere in the tree."""
    if not isinstance(data, dict) or not data or draw(st.integers(0, 3)) == 0:
        return draw(JUNK)
    key = draw(st.sampled_from(sorted(data)))
    rest = {name: value for name, value in data.items() if name != key}
    action = draw(st.sampled_from(["drop", "rename", "deeper", "add"]))
    if action == "drop":
        return rest
    if action == "rename":
        return {**rest, draw(st.text(max_size=5)): data[key]}
    if action == "add":
        return {**data, draw(st.sampled_from(KEYS)): draw(JUNK)}
    return {**rest, key: mutate(data[key], draw)}


@st.composite
def mutants(draw: st.DrawFn) -> Any:
    data: Any = {
        "name": "a",
        "seed": 1,
        "executor": {"kind": "ray", "workers": 2},
        "actor": {"kind": "mlp", "hidden": [1]},
        "env": {"id": "navigation", "wind": [1.0, 2.0]},
        "agents": {"all": "*"},
    }
    for _ in range(draw(st.integers(1, 4))):
        data = mutate(data, draw)
    return data


@given(
    name=st.text(st.characters(blacklist_categories=["Cs", "Cc"])),
    rate=st.floats(1e-30, 1e30),
    seed=st.integers(-(2**62), 2**62),
    hidden=st.lists(st.integers(1, 99)),
)
def test_what_is_written_loads_to_the_same(
    tmp_path_factory: pytest.TempPathFactory, name: str, rate: float, seed: int, hidden: list[int]
) -> None:
    actor = Classical(kind="mlp", hidden=tuple(hidden), rate=rate)
    config = Experiment(name=name, seed=seed, actor=actor, env=External(id="a:b"))
    folder = tmp_path_factory.getbasetemp()
    (folder / "y.yaml").write_text(to_yaml(config))
    assert load(folder / "y.yaml", (), Experiment, folder)[0] == config


@given(data=mutants(), override=st.text(max_size=12), use=st.booleans())
def test_a_mutated_file_loads_or_is_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, data: Any, override: str, use: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "z.yaml").write_text(json.dumps(data))
    try:
        config, _ = load(folder / "z.yaml", [override] if use else [], Experiment, folder)
    except ConfigurationError:
        return  # said in words; any other exception would fail this test
    assert isinstance(config, Experiment)


@given(text=st.text(max_size=60))
def test_any_text_loads_or_is_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "t.yaml").write_text(text, newline="")
    with pytest.raises(ConfigurationError):
        load(folder / "t.yaml", (), Experiment, folder)
