"""Runs the coverage-guided fuzzer for a while: ``pytest -m fuzz tests/federated``."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("fuzz_messages.py")


@pytest.mark.fuzz
@pytest.mark.skipif(find_spec("atheris") is None, reason="Atheris is not installed")
def test_guided_by_coverage_nothing_gets_through(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "-runs=50000", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(command, cwd=SCRIPT.parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
