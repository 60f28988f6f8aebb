"""Whatever is written into a file, it loads or is refused in words; what we write loads again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from experiment_sample import Experiment
from hypothesis import given
from hypothesis import strategies as st
from mutation import mutants

from qmarl.config import load
from qmarl.errors import ConfigurationError

GOOD = {
    "name": "a",
    "seed": 1,
    "executor": {"kind": "ray", "workers": 2},
    "actor": {"kind": "mlp", "hidden": [1]},
    "env": {"id": "navigation", "wind": [1.0, 2.0]},
    "agents": {"all": "*"},
}


@given(data=mutants(GOOD), override=st.text(max_size=12), use=st.booleans())
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
