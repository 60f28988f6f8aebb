"""What a run on Ray leaves behind: its results, and no process."""

from __future__ import annotations

import subprocess
from typing import Any

import psutil


def family(process: subprocess.Popen[str]) -> set[psutil.Process]:
    """Everything that a process has started so far, and what that has started."""
    try:
        return set(psutil.Process(process.pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


def test_no_process_outlives_a_run_on_ray(start: Any, config: Any, latest: Any) -> None:
    process = start("train", config(), "executor.kind=ray", "executor.workers=1", "rounds=2")
    seen: set[psutil.Process] = set()
    while process.poll() is None:
        seen |= family(process)
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
    out, err = process.communicate()
    assert (process.returncode, out) == (0, ""), err
    assert latest().status.state == "finished"
    assert len(seen) > 3  # a cluster was there
    _, alive = psutil.wait_procs(seen, timeout=10)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
