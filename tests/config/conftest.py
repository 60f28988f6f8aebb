"""Fixtures that write a configuration with presets beside it, and load it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from experiment_sample import GOOD, Experiment

from qmarl.config import load
from qmarl.errors import ConfigurationError

Read = Callable[..., Experiment]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    presets = tmp_path / "presets"
    presets.mkdir()
    (presets / "debug.yaml").write_text("seed: 99\nactor: {qubits: 2}\n")
    (presets / "tiny.yaml").write_text("env: {drones: 2}\n")
    (presets / "broken.yaml").write_text("sead: 1\n")

    def run(text: str | bytes = GOOD, *overrides: str) -> Experiment:
        file = tmp_path / "x.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(file, overrides, Experiment, presets)[0]

    return run


@pytest.fixture
def problems(read: Read) -> Callable[..., list[str]]:
    """Returns the problems of a text, with the directories taken off."""

    def run(text: str | bytes, *overrides: str) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            read(text, *overrides)
        title, *lines = str(caught.value).split("\n  ")
        assert title.split(" problem")[0] == str(len(lines))
        return [re.sub(r"^/.*/(?=\w+\.yaml)", "", line) for line in lines]

    return run
