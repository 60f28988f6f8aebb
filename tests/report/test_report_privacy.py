from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainers.report import write_report
from trainers.report_data import read
from trainers.report_privacy import accounts, hiding

Make = Callable[..., Path]

SPENT = {
    "epsilon": 6.573,
    "delta": 1e-5,
    "adjacency": "add_remove",
    "rounds": 2,
    "statement": "(6.573, 1e-05)-differential privacy",
    "outside": ["Metrics are in clear.", "<b>Worlds</b> are shared."],
    "accountant": "pld",
}


def private(run: Path, settings: dict[str, Any], account: Any = None) -> Path:
    resolved = run / "config.resolved.json"
    config = json.loads(resolved.read_text())
    config["federation"] |= settings
    resolved.write_text(json.dumps(config))
    if account is not None:
        (run / "privacy.json").write_text(json.dumps(account))
    return run


def test_the_report_says_what_is_guaranteed_and_what_is_not(make_run: Make) -> None:
    settings = {"privacy": {"mechanism": "gaussian", "noise_multiplier": 1.0, "noise": "server"}}
    account = {"round": 1, "groups": {"all": SPENT}}
    page = write_report(private(make_run(), settings, account)).read_text(encoding="utf-8")
    for part in ("What stays private", "(6.573, 1e-05)-differential", "unlimited", "pld"):
        assert part in page
    assert "gaussian, multiplier 1" in page
    assert "&lt;b&gt;Worlds&lt;/b&gt; are shared." in page


def test_a_lost_account_is_missed_and_a_run_without_one_is_not(make_run: Make) -> None:
    run = make_run()
    plain = read(run)
    assert accounts(plain) == []
    assert not any("privacy" in sentence for sentence in plain.missing)
    lost = read(private(run, {"privacy": {"noise": "server"}}))
    assert any("what its privacy has cost is not known" in sentence for sentence in lost.missing)


@pytest.mark.parametrize("account", [{"groups": {"all": 3}}, {"groups": []}, {"groups": {"a": {}}}])
def test_a_damaged_account_does_no_harm(make_run: Make, account: Any) -> None:
    run = private(make_run(), {"privacy": {"noise": "server"}}, account)
    assert "How to repeat it" in write_report(run).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "The server sees every update in clear"),
        ({"secagg": {"buckets": 1}}, "the sum of the updates, and no single one"),
        ({"secagg": {"buckets": 4}}, "of each bucket of clients"),
        ({"privacy": {"noise": "client"}}, "under noise of the client's own"),
        ({"privacy": {"noise": "server"}}, "The server sees every update in clear"),
    ],
)
def test_what_the_server_saw(make_run: Make, settings: dict[str, Any], sentence: str) -> None:
    assert sentence in hiding(read(private(make_run(), settings)))


def test_why_a_run_ended_early_stands_behind_its_state(make_run: Make) -> None:
    run = make_run()
    status = json.loads((run / "status.json").read_text()) | {"reason": "the budget is spent"}
    (run / "status.json").write_text(json.dumps(status))
    assert "rounds: the budget is spent" in write_report(run).read_text(encoding="utf-8")
