"""The page of all settings says what the sections say."""

from __future__ import annotations

import doctest
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "generate_configuration.py"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_configuration", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page(generator: ModuleType) -> str:
    return str(generator.document())


def test_the_page_is_what_the_sections_say_now(page: str) -> None:
    written = (SCRIPT.parent / "configuration.md").read_text(encoding="utf-8")
    assert written == page, "run: .venv/bin/python docs/generate_configuration.py"


def test_every_setting_is_explained(page: str) -> None:
    bare = [line for line in page.splitlines() if line.endswith("|  |")]
    assert not bare


def test_the_generators_own_examples_hold(generator: ModuleType) -> None:
    done = doctest.testmod(generator)
    assert done.attempted > 0
    assert done.failed == 0
