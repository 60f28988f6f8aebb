"""The doctor finds what is wrong with a machine."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest

from trainers import cli, doctor


def test_a_cluster_that_answers_and_one_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert doctor.cluster(f"127.0.0.1:{port}").state == "ok"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    finding = doctor.cluster(f"127.0.0.1:{port}")
    assert finding.state == "bad"
    assert "RAY_AUTH_MODE is disabled" in finding.detail
    assert doctor.cluster(None).state == "ok"
    assert doctor.verdict([finding]) == 3


def test_a_package_that_is_missing() -> None:
    assert doctor.version("numpy").state == "ok"
    assert doctor.version("no-such-package").state == "bad"
    assert doctor.extra("no_such_module", "nothing").detail == "for nothing"


def test_disk_and_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.disk(tmp_path).state == "ok"
    assert doctor.shared_memory(tmp_path / "none").state == "note"
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("", (), {"free": 2**20}))
    assert doctor.disk(tmp_path).state == "bad"
    assert doctor.shared_memory(tmp_path).state == "note"
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    assert "cannot be written" in doctor.disk(tmp_path).detail


def test_json_for_machines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = [doctor.Finding("disk", "ok", "plenty"), doctor.Finding("ray", "note", "slow")]
    monkeypatch.setattr(doctor, "examine", lambda: findings)
    monkeypatch.setattr(sys, "argv", ["qmarl", "doctor", "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)[0] == {
        "name": "disk",
        "state": "ok",
        "detail": "plenty",
    }
