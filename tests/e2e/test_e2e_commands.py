"""The real command from configuration to report."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any


def test_train_evaluate_resume_and_report(
    qmarl: Any, here: Any, config: Any, latest: Any, bits: Any
) -> None:
    code, out, err = qmarl("train", config(), "--json")
    assert (code, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == ["start", *["round"] * 3, "finish"]
    assert math.isfinite(events[3]["metrics"]["episode/return"])
    report = Path(events[-1]["report"])
    assert report.read_text().startswith("<!DOCTYPE html>")
    run = latest()
    assert report == run.report

    before = bits(run)
    code, out, err = qmarl("evaluate", run.path, "--json", "--episodes", 5)
    assert (code, err) == (0, "")
    scores = json.loads(out)  # exactly one object, or this raises
    for name in ("return", "success", "collision"):
        assert scores[name]["low"] <= scores[name]["mean"] <= scores[name]["high"]
    assert json.loads((run.evaluations / "seed0-episodes5-greedy.json").read_text()) == scores

    report.unlink()
    code, out, err = here("resume", run.path)
    assert (code, out) == (0, "")
    assert f"report: {report}" in err
    assert bits(run) == before
    assert run.status.state == "finished"

    report.unlink()
    assert here("report", run.path) == (0, f"report: {report}\n", "")
    assert report.exists()


def test_the_run_can_be_repeated_from_what_it_kept(
    here: Any, config: Any, latest: Any, bits: Any
) -> None:
    assert here("train", config(), "seed=3")[0] == 0
    first = latest()
    assert here("train", first.resolved_config)[0] == 0
    assert latest() != first
    assert bits(latest()) == bits(first)
