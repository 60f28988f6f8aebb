"""Runs whose quantum keys come from a key service."""

from __future__ import annotations

import os
import threading

import pytest
from covered_worlds import final, lines

from qmarl.errors import UnreachableError
from qmarl.secure.certificates import Authority
from qmarl.secure.key_service import KeyServer, TlsFiles
from qmarl.secure.key_store import KeyStore
from qmarl.secure.keys import KeyManager


@pytest.fixture
def service(tmp_path):
    """A key service with keys for every fleet, and the settings that reach it."""
    authority, pki = Authority("test"), tmp_path / "pki"
    for name in ("kme", "server", "fleet_0", "fleet_1", "fleet_2"):
        authority.issue(name, ["127.0.0.1"] if name == "kme" else []).write(pki)
    (pki / "authority.pem").write_bytes(authority.certificate)
    manager = KeyManager(KeyStore(bytearray(range(32))))
    for place in range(3):
        manager.connect("server", f"fleet_{place}")
        manager.deliver("server", f"fleet_{place}", bytearray(os.urandom(32 * 2 * 4)))
    files = TlsFiles(pki / "authority.pem", pki / "kme.pem", pki / "kme.key")
    server = KeyServer(manager, files)
    thread = threading.Thread(target=server.serve)
    thread.start()
    host, port = server.address
    yield (
        f"transport.service={{address: {host}, port: {port}, "
        f"authority: '{pki}/authority.pem', credentials: '{pki}'}}"
    )
    server.close()
    thread.join()


def test_keys_of_a_service_serve_as_well_until_they_are_used_up(coverage, train, plain, service):
    run = train(coverage("transport.kind=qkd+postquantum", service))
    assert final(run) == plain
    told = [line["links"]["fleet_1"] for line in lines(run)]
    assert [(one["used"], one["left"], one["qber"]) for one in told] == [
        (512, left, None) for left in (1536, 1024, 512, 0)
    ]
    starving = ["transport.on_starvation=wait", "transport.wait_sessions=1", "rounds=1"]
    run = train(coverage("transport.kind=qkd", "transport.seconds=0.01", service, *starving))
    assert "0 are left, after 2 sessions" in lines(run)[0]["links"]["fleet_0"]["why"]


def test_a_service_that_is_not_there_ends_the_run_and_is_named(coverage, train, service):
    gone = service.replace("port: ", "port: 1 # ").split("#")[0] + "," + service.split(",", 2)[2]
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:1 does not answer"):
        train(coverage("transport.kind=qkd", gone))
