"""The key service as a process of its own: certificates, serving, asking, and stopping."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading

import pytest
from typer.testing import CliRunner

from qmarl.errors import ConfigurationError, QmarlError
from qmarl.secure.key_client import KeyClient
from qmarl.secure.key_service import TlsFiles
from trainers.cli import app
from trainers.key_hosting import fill, load_service, make_manager
from trainers.shipped import shipped_configs

SERVICE = """\
port: 0
authority: {pki}/authority.pem
certificate: {pki}/kme-1.pem
key: {pki}/kme-1.key
store: {pki}/../store
store_key: {pki}/../secret/store.key
limits: {{max_key_count: 8}}
pairs:
  - saes: [server, fleet_0]
    link:
      link: fibre
      receiver: [1000, 0, 0]
      session: {{protocol: bb84, pulses: 200000, source: single_photon}}
"""


@pytest.fixture
def service(tmp_path):
    """A configuration with certificates, made by the command line."""
    names = ["kme-1", "server", "fleet_0"]
    made = CliRunner().invoke(app, ["keys", "certificates", str(tmp_path / "pki"), *names])
    assert made.exit_code == 0, made.output
    path = tmp_path / "service.yaml"
    path.write_text(SERVICE.format(pki=tmp_path / "pki"))
    return path


def test_a_process_serves_keys_of_a_link_and_stops_at_a_signal(service, tmp_path):
    pki = tmp_path / "pki"
    process = subprocess.Popen(
        [sys.executable, "-m", "trainers.cli", "keys", "serve", str(service)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        told = process.stdout.readline()
        where = re.fullmatch(r"keys are served at https://127\.0\.0\.1:(\d+)\n", told)
        assert where, told
        port = int(where[1])
        ends = {}
        for name in ("server", "fleet_0"):
            files = TlsFiles(pki / "authority.pem", pki / f"{name}.pem", pki / f"{name}.key")
            ends[name] = KeyClient("127.0.0.1", port, files, timeout_s=60)
        ours = _taken(ends["fleet_0"])
        theirs = ends["server"].dec_keys("fleet_0", [ours.key_id])
        assert [ours] == theirs
        asked = ["status", str(service), "server", f"port={port}", "--json"]
        asked += ["--certificate", str(pki / "fleet_0.pem"), "--key", str(pki / "fleet_0.key")]
        answer = CliRunner().invoke(app, ["keys", *asked])
        assert json.loads(answer.output)["max_key_count"] == 8, answer.output
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    lying = b"".join(path.read_bytes() for path in (tmp_path / "store").iterdir())
    value = bytes(ours.value)
    assert value not in lying
    assert value.hex() not in out + err + told


def _taken(client):
    """The first key, as soon as the link has made one."""
    pause = threading.Event()
    for _ in range(200):
        if client.status("server")["stored_key_count"]:
            return client.enc_keys("server")[0]
        pause.wait(0.1)
    raise AssertionError("the link has made no key in 20 s")


def test_a_store_is_filled_once_and_found_again_after_a_restart(service, tmp_path):
    config = load_service(service)
    manager, stop = make_manager(config), threading.Event()
    thread = threading.Thread(target=fill, args=(config, manager, stop))
    thread.start()
    pause = threading.Event()
    while thread.is_alive() and manager.stored("server", "fleet_0") < 8 * 256:
        pause.wait(0.05)
    stop.set()
    thread.join()
    assert manager.stored("server", "fleet_0") == 8 * 256
    key = manager.enc_keys("server", "fleet_0")[0]
    again = make_manager(config)
    assert again.stored("server", "fleet_0") == 7 * 256
    assert again.dec_keys("fleet_0", "server", [key.key_id])[0].value == key.value
    assert (tmp_path / "secret" / "store.key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["store_key=null"], "a directory needs 'store_key'"),
        (["pairs=[{saes: [a, a]}]"], "needs no keys with itself"),
        (["pairs=[]"], "pairs"),
        (["limits.key_size=100"], "limits.key_size"),
    ],
)
def test_services_that_cannot_be_are_refused(service, overrides, reason):
    with pytest.raises(ConfigurationError, match=reason):
        load_service(service, overrides)


def test_the_shipped_service_is_one():
    config = load_service(shipped_configs() / "secure" / "key_service.yaml")
    assert [pair.saes for pair in config.pairs] == [("server", "fleet_0"), ("server", "fleet_1")]


def test_names_that_no_file_can_have_get_no_certificate(tmp_path):
    asked = ["keys", "certificates", str(tmp_path), "../kme"]
    answer = CliRunner().invoke(app, asked)
    assert isinstance(answer.exception, QmarlError)
    assert "'../kme' must be" in str(answer.exception)
