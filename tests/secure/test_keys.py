"""Keys are given out once at each end, to whom they belong, and leave nothing behind."""

from __future__ import annotations

import base64
import json
import logging
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmarl.errors import ConfigurationError, RunError
from qmarl.secure.key_store import KeyStore
from qmarl.secure.keys import (
    ExhaustedError,
    KeyLimits,
    KeyManager,
    KeyRequestError,
    contained,
    container,
)

SECRET = bytes((7 * i + 3) % 251 for i in range(128))


def manager(directory=None, store_key: bytes = bytes(range(32)), **limits: int) -> KeyManager:
    store = KeyStore(bytearray(store_key), directory)
    made = KeyManager(store, KeyLimits(**limits))
    made.connect("server", "fleet_0")
    made.connect("server", "fleet_1")
    return made


def filled(directory=None, **limits: int) -> KeyManager:
    made = manager(directory, **limits)
    made.deliver("fleet_0", "server", bytearray(SECRET))
    return made


def test_both_ends_get_the_same_key_once():
    made = filled()
    ours = made.enc_keys("fleet_0", "server", number=2)
    theirs = made.dec_keys("server", "fleet_0", [key.key_id for key in ours])
    assert [key.value for key in ours] == [key.value for key in theirs]
    assert bytes(ours[0].value + ours[1].value) == SECRET[:64]
    assert made.stored("server", "fleet_0") == 8 * 64
    with pytest.raises(KeyRequestError, match="unknown or was given out before") as refusal:
        made.dec_keys("server", "fleet_0", [ours[0].key_id])
    assert refusal.value.status == 400


def test_status_has_every_field_of_the_interface():
    made = filled(key_size=128, min_key_size=128, max_key_count=500)
    assert made.status("fleet_0", "server") == {
        "source_KME_ID": "kme-1",
        "target_KME_ID": "kme-2",
        "master_SAE_ID": "fleet_0",
        "slave_SAE_ID": "server",
        "key_size": 128,
        "stored_key_count": 8,
        "max_key_count": 500,
        "max_key_per_request": 128,
        "max_key_size": 4_194_304,
        "min_key_size": 128,
        "max_SAE_ID_count": 0,
    }


@given(sizes=st.lists(st.integers(1, 40), max_size=12), blocks=st.lists(st.binary(max_size=60)))
def test_no_bit_is_ever_given_out_twice_and_none_is_lost(sizes, blocks):
    made = manager(min_key_size=8)
    for block in blocks:
        made.deliver("server", "fleet_0", bytearray(block))
    whole, given_out = b"".join(blocks), b""
    for size in sizes:
        if size > len(whole) - len(given_out):
            with pytest.raises(ExhaustedError):
                made.enc_keys("server", "fleet_0", size=8 * size)
        else:
            given_out += made.enc_keys("server", "fleet_0", size=8 * size)[0].value
    assert given_out == whole[: len(given_out)]
    assert made.stored("fleet_0", "server") == 8 * (len(whole) - len(given_out))


def test_an_exhausted_store_says_how_much_is_left_and_loses_nothing():
    made = filled()
    with pytest.raises(ExhaustedError, match=r"1280 bits .* 1024 are left") as refusal:
        made.enc_keys("fleet_0", "server", number=5)
    assert refusal.value.status == 503
    assert made.stored("fleet_0", "server") == 1024


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        (lambda m: m.enc_keys("fleet_0", "server", size=255), 400, "keys of 255 bits"),
        (lambda m: m.enc_keys("fleet_0", "server", size=8), 400, "from 64 to"),
        (lambda m: m.enc_keys("fleet_0", "server", number=0), 400, "1 to 128"),
        (lambda m: m.enc_keys("fleet_O", "server"), 401, "did you mean 'fleet_"),
        (lambda m: m.status("fleet_0", "fleet_1"), 401, "share no quantum link"),
        (lambda m: m.dec_keys("server", "fleet_0", ["key-1"]), 400, "not a UUID"),
        (lambda m: m.dec_keys("server", "fleet_0", [str(uuid4())]), 400, "unknown"),
        (lambda m: m.dec_keys("server", "fleet_0", []), 400, "no key_ID"),
        (lambda m: m.dec_keys("server", "fleet_0", [UUID(int=1)] * 2), 400, "named twice"),
        (lambda m: m.deliver("fleet_9", "server", bytearray(4)), 401, "unknown SAE"),
    ],
)
def test_a_bad_request_is_refused_and_named(request_, status, reason):
    with pytest.raises(KeyRequestError, match=reason) as refusal:
        request_(filled())
    assert refusal.value.status == status


def test_a_key_is_for_its_slave_alone():
    made = filled()
    key = made.enc_keys("fleet_0", "server")[0]
    for caller, master in (("fleet_1", "server"), ("fleet_0", "server"), ("server", "fleet_1")):
        with pytest.raises(KeyRequestError, match="not for") as refusal:
            made.dec_keys(caller, master, [key.key_id])
        assert refusal.value.status == 401
    assert made.dec_keys("server", "fleet_0", [key.key_id])[0].value == key.value


def test_what_does_not_fit_into_the_store_is_thrown_away():
    made = manager(max_key_count=2)
    assert made.deliver("server", "fleet_0", bytearray(SECRET)) == 512
    assert made.deliver("server", "fleet_0", bytearray(SECRET)) == 0
    assert made.stored("server", "fleet_0") == 512


def test_secrets_are_overwritten_where_they_came_from():
    made, secret = manager(), bytearray(SECRET)
    made.deliver("server", "fleet_0", secret)
    assert secret == bytes(len(SECRET))
    key = made.enc_keys("server", "fleet_0")[0]
    key.wipe()
    assert key.value == bytes(32)


def test_a_store_on_the_disk_is_unreadable_and_goes_on_where_it_was(tmp_path):
    made = filled(tmp_path / "keys")
    key = made.enc_keys("fleet_0", "server")[0]
    lying = b"".join(path.read_bytes() for path in (tmp_path / "keys").iterdir())
    assert not _traces(SECRET, lying)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "keys").iterdir())
    again = KeyManager(KeyStore(bytearray(range(32)), tmp_path / "keys"))
    assert again.stored("server", "fleet_0") == 768
    assert again.dec_keys("server", "fleet_0", [key.key_id])[0].value == key.value
    assert bytes(again.enc_keys("server", "fleet_0", size=768)[0].value) == SECRET[32:]
    again.dec_keys("fleet_0", "server", list(again._waiting))
    assert list((tmp_path / "keys").iterdir()) == []


def test_a_store_with_another_key_or_a_changed_file_is_refused(tmp_path):
    filled(tmp_path)
    with pytest.raises(RunError, match="it was changed there"):
        manager(tmp_path, store_key=bytes(32))
    path = next(tmp_path.glob("*.key"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(RunError, match="it was changed there"):
        manager(tmp_path)
    with pytest.raises(ConfigurationError, match="32 bytes, this one has 5"):
        manager(store_key=b"short")


def test_no_name_is_used_twice_in_a_store():
    store = KeyStore(bytearray(32))
    store.put("a", bytearray(SECRET))
    with pytest.raises(RunError, match="no identifier is used twice"):
        store.put("a", bytearray(SECRET))
    assert bytes(store.take("a")) == SECRET
    with pytest.raises(RunError, match="has no 'a'"):
        store.take("a")


def test_containers_are_the_interfaces_json_and_read_back():
    keys = filled().enc_keys("fleet_0", "server", number=2)
    text = json.dumps(container(keys))
    assert json.loads(text)["keys"][0] == {
        "key_ID": str(keys[0].key_id),
        "key": base64.b64encode(SECRET[:32]).decode(),
    }
    assert contained(json.loads(text)) == keys
    for bad in ({}, [], {"keys": [{"key_ID": "x"}]}, {"keys": [{"key_ID": "x", "key": "%"}]}, None):
        with pytest.raises(KeyRequestError):
            contained(bad)


def test_no_text_of_the_manager_shows_a_key(caplog):
    caplog.set_level(logging.DEBUG)
    made = filled()
    key = made.enc_keys("fleet_0", "server")[0]
    said = [repr(made), repr(key), str(made.status("fleet_0", "server")), caplog.text]
    for bad in (lambda: made.dec_keys("fleet_1", "server", [key.key_id]), lambda: contained("x")):
        with pytest.raises(KeyRequestError) as refusal:
            bad()
        said.append(repr(refusal.value))
    assert not _traces(SECRET, "\n".join(said).encode())


def _traces(secret: bytes, text: bytes) -> list[bytes]:
    """Pieces of eight secret bytes, raw, in hex or in base64, that stand in a text."""
    pieces = [secret[start : start + 8] for start in range(len(secret) - 8)]
    forms = [
        form
        for piece in pieces
        for form in (piece, piece.hex().encode(), base64.b64encode(piece)[:10])
    ]
    return [form for form in forms if form in text]
