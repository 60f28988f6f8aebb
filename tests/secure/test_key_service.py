"""The key service answers applications that it knows, by the interface's paths and words."""

from __future__ import annotations

import base64
import http.client
import json
import logging
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest

from qmarl.errors import ConfigurationError, UnreachableError
from qmarl.secure.certificates import Authority
from qmarl.secure.key_client import KeyClient
from qmarl.secure.key_service import KeyServer, TlsFiles
from qmarl.secure.key_store import KeyStore
from qmarl.secure.keys import ExhaustedError, KeyManager, KeyRequestError

SECRET = bytes((11 * i + 5) % 256 for i in range(96))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Credentials of a service and of three applications, all from one authority."""
    directory = tmp_path_factory.mktemp("tls")
    authority = Authority("test authority")
    root = directory / "authority.pem"
    root.write_bytes(authority.certificate)
    made = {}
    for name, hosts in (("kme", ["127.0.0.1"]), ("alpha", []), ("beta", []), ("gamma", [])):
        certificate, key = authority.issue(name, hosts).write(directory)
        made[name] = TlsFiles(root, certificate, key)
    return made


@contextmanager
def service(files, **settings):
    manager = KeyManager(KeyStore(bytearray(range(32))))
    manager.connect("alpha", "beta")
    manager.deliver("alpha", "beta", bytearray(SECRET))
    server = KeyServer(manager, files["kme"], **settings)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server.address
    finally:
        server.close()
        thread.join()


def test_two_applications_share_keys_over_mutual_tls(files):
    with service(files) as where:
        alpha, beta = (KeyClient(*where, files[name]) for name in ("alpha", "beta"))
        assert alpha.status("beta")["stored_key_count"] == 3
        ours = alpha.enc_keys("beta", number=2, size=128)
        theirs = beta.dec_keys("alpha", [key.key_id for key in ours])
        assert [key.value for key in ours] == [key.value for key in theirs]
        assert bytes(ours[0].value + ours[1].value) == SECRET[:32]
        with pytest.raises(KeyRequestError, match="given out before") as refusal:
            beta.dec_keys("alpha", [ours[0].key_id])
        assert refusal.value.status == 400


def test_what_the_manager_refuses_the_service_refuses_with_its_status(files):
    with service(files) as where:
        alpha = KeyClient(*where, files["alpha"])
        gamma = KeyClient(*where, files["gamma"])
        for ask, status, reason in (
            (lambda: alpha.enc_keys("beta", size=12), 400, "keys of 12 bits"),
            (lambda: alpha.enc_keys("beta", number=9), 503, "768 are left"),
            (lambda: gamma.status("alpha"), 401, "unknown SAE 'gamma'"),
            (lambda: alpha.dec_keys("beta", ["no"]), 400, "not a UUID"),
        ):
            with pytest.raises(KeyRequestError, match=reason) as refusal:
                ask()
            assert refusal.value.status == status
        assert not isinstance(refusal.value, ExhaustedError)


def raw(where, files, method, path, body=None, headers=None):
    connection = http.client.HTTPSConnection(*where, context=files["alpha"].context(False))
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


@pytest.mark.parametrize(
    ("method", "path", "body", "reason"),
    [
        ("GET", "/api/v1/keys/beta/keys", None, "no such path"),
        ("GET", "/metrics", None, "no such path"),
        ("POST", "/api/v1/keys/beta/enc_keys", "[1]", "not a JSON object"),
        ("POST", "/api/v1/keys/beta/enc_keys", "{", "not JSON"),
        ("POST", "/api/v1/keys/beta/enc_keys", '{"number": true}', "a whole number"),
        ("POST", "/api/v1/keys/beta/enc_keys", '{"extension_mandatory": [{}]}', "no extension"),
        ("POST", "/api/v1/keys/beta/enc_keys", '{"additional_slave_SAE_IDs": ["x"]}', "two ends"),
        ("POST", "/api/v1/keys/beta/enc_keys", '{"keys": 1}', "unknown fields"),
        ("POST", "/api/v1/keys/beta/dec_keys", '{"key_IDs": ["x"]}', "a list of"),
        ("POST", "/api/v1/keys/beta/dec_keys", " " * 70_000, "at most 65536 bytes"),
    ],
)
def test_a_malformed_request_gets_the_interfaces_error(files, method, path, body, reason):
    with service(files) as where:
        status, answer = raw(where, files, method, path, body)
    assert status == 400
    assert set(answer) == {"message", "details"}
    assert reason in answer["message"]


def test_plain_requests_of_the_interface_are_understood(files):
    with service(files) as where:
        status, answer = raw(where, files, "GET", "/api/v1/keys/beta/enc_keys?number=1&size=64")
        assert status == 200
        key = answer["keys"][0]
        assert base64.b64decode(key["key"]) == SECRET[:8]
        beta = KeyClient(*where, files["beta"])
        assert bytes(beta.dec_keys("alpha", [key["key_ID"]])[0].value) == SECRET[:8]


def test_clock_skew_is_refused_and_named(files):
    with service(files, max_clock_skew_s=30) as where:
        path = "/api/v1/keys/beta/status"
        late = {"Date": formatdate(time() - 90, usegmt=True)}
        status, answer = raw(where, files, "GET", path, headers=late)
        assert status == 400
        assert "clock skew" in answer["message"]
        assert raw(where, files, "GET", path, headers={"Date": "noon"})[0] == 400
        assert raw(where, files, "GET", path)[0] == 200


def test_who_has_no_certificate_of_the_authority_is_not_heard(files, tmp_path):
    stranger = Authority("someone else")
    certificate, key = stranger.issue("alpha").write(tmp_path)
    theirs = TlsFiles(files["kme"].authority, certificate, key)
    nobody = ssl.create_default_context(cafile=str(files["kme"].authority))
    with service(files) as where:
        with pytest.raises(UnreachableError, match=r"do not agree|does not answer"):
            KeyClient(*where, theirs).status("beta")
        with pytest.raises((OSError, http.client.HTTPException)):
            _status(http.client.HTTPSConnection(*where, context=nobody))


def _status(connection):
    try:
        connection.request("GET", "/api/v1/keys/beta/status")
        connection.getresponse()
    finally:
        connection.close()


def test_an_application_does_not_believe_another_service(files, tmp_path):
    root = tmp_path / "other.pem"
    root.write_bytes(Authority("someone else").certificate)
    misled = TlsFiles(root, files["alpha"].certificate, files["alpha"].key)
    with service(files) as where, pytest.raises(UnreachableError, match="do not agree"):
        KeyClient(*where, misled).status("beta")


def test_a_service_that_is_not_there_is_named(files):
    with service(files) as where:
        pass
    with pytest.raises(UnreachableError, match=f"{where[0]}:{where[1]} does not answer"):
        KeyClient(*where, files["alpha"]).status("beta")


def test_malformed_certificates_are_refused_before_anything_starts(files, tmp_path):
    good = files["alpha"]
    junk, key = tmp_path / "junk.pem", tmp_path / "other.key"
    junk.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    key.write_bytes(files["beta"].key.read_bytes())
    old = Authority("old", days=1, start=datetime.now(UTC) - timedelta(days=3))
    early = Authority("early", start=datetime.now(UTC) + timedelta(days=3))
    for which, name in ((old, "old"), (early, "early")):
        (tmp_path / f"{name}.pem").write_bytes(which.certificate)
    missing = tmp_path / "missing.pem"
    for files_, reason in (
        (TlsFiles(good.authority, junk, good.key), "junk.pem' is not a certificate"),
        (TlsFiles(good.authority, good.certificate, junk), "not an unencrypted private key"),
        (TlsFiles(good.authority, good.certificate, key), "is not the key of"),
        (TlsFiles(missing, good.certificate, good.key), "cannot be read"),
        (TlsFiles(tmp_path / "old.pem", good.certificate, good.key), "renew it, or set the clock"),
        (TlsFiles(tmp_path / "early.pem", good.certificate, good.key), "is valid from"),
    ):
        with pytest.raises(ConfigurationError, match=reason):
            files_.context(server=True)


def test_the_service_logs_who_asked_and_nothing_of_a_key(files, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    with service(files) as where:
        alpha, beta = (KeyClient(*where, files[name]) for name in ("alpha", "beta"))
        key = alpha.enc_keys("beta", size=512)[0]
        beta.dec_keys("alpha", [key.key_id])
        with pytest.raises(KeyRequestError):
            beta.dec_keys("alpha", [key.key_id])
    said = caplog.text + "".join(capsys.readouterr())
    assert "alpha POST: 200" in said
    assert "beta POST: 400" in said
    value = bytes(key.value)
    for form in (value.hex(), base64.b64encode(value).decode(), repr(value)[2:-1]):
        pieces = [form[start : start + 12] for start in range(len(form) - 12)]
        assert not [piece for piece in pieces if piece in said]


def test_private_keys_are_written_for_their_owner_alone(files):
    assert all(Path(one.key).stat().st_mode & 0o077 == 0 for one in files.values())
