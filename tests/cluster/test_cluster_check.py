"""``qmarl cluster check``: every node's versions and bits, and a sentence where there is none."""

from __future__ import annotations

import json
import socket
import sys
import time
from dataclasses import replace
from typing import Any

import pytest

from qmarl.errors import ConfigurationError, UnreachableError
from trainers import cli
from trainers.cluster_check import Answer, compared, examine, sample
from trainers.distributed import ExecutorConfig
from trainers.distributed_connection import connect

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

OWN = Answer({"python": "3.11.7", "ray": "2.60.0"}, 2, 0.1, "abc")


def command(monkeypatch: Any, capsys: Any, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["qmarl", "cluster", "check", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0), *capsys.readouterr()


def test_every_node_does_a_unit_of_work(cluster: Any, monkeypatch: Any, capsys: Any) -> None:
    code, out, _ = command(monkeypatch, capsys, cluster.address, "--json")
    reports = json.loads(out)
    assert (code, len(reports)) == (0, 3)
    assert {report["state"] for report in reports} == {"ok"}
    assert sorted(report["resources"].get("CPU", 0) for report in reports) == [0, 1, 1]
    assert all(report["detail"].endswith("bits as here") for report in reports)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense"])
def test_a_dead_cluster_is_told_in_one_sentence(
    address: str, monkeypatch: Any, capsys: Any
) -> None:
    code, out, err = command(monkeypatch, capsys, address)
    assert (code, out) == (3, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_who_listens_but_is_no_ray_is_told(monkeypatch: Any) -> None:
    started = time.monotonic()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(UnreachableError, match="does not answer as the head of a Ray cluster"),
    ):
        connect(ExecutorConfig(kind="ray", address=f"127.0.0.1:{server.getsockname()[1]}"))
    assert time.monotonic() - started < 60


def test_a_cluster_that_wants_a_token_is_told(monkeypatch: Any) -> None:
    import ray

    def refuse(address: str) -> None:
        raise ray.exceptions.AuthenticationError("InvalidAuthToken: missing or incorrect")

    monkeypatch.setattr("ray._raylet.GcsClient", refuse)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(UnreachableError, match=r"asks for a token: set RAY_AUTH_MODE=token"),
    ):
        connect(ExecutorConfig(kind="ray", address=f"127.0.0.1:{server.getsockname()[1]}"))


def test_code_that_cannot_be_sent_is_told(tmp_path: Any) -> None:
    path = tmp_path / "qmarl.whl"
    path.write_text("no wheel")
    with pytest.raises(ConfigurationError, match="neither a directory nor a wheel"):
        connect(ExecutorConfig(kind="ray", working_dir=str(path)))


def test_what_an_answer_means() -> None:
    assert compared(OWN, OWN) == ("ok", "2 cores, a unit of work took 0.10 s, bits as here")
    assert compared(replace(OWN, digest="other"), OWN)[0] == "note"
    older = replace(OWN, versions=OWN.versions | {"ray": "2.59.0"})
    assert compared(older, OWN) == ("bad", "other versions than here: ray 2.59.0 (here 2.60.0)")


def test_the_sample_is_the_same_work_every_time() -> None:
    assert examine(sample()).digest == examine(sample()).digest
