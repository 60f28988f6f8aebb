"""Sealed messages open once, whole, and where they belong; nowhere else."""

from __future__ import annotations

import os
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmarl.secure import one_time_pad
from qmarl.secure.cipher import Address, CipherError, Receiver, Sender, decrypt, encrypt

KEY = bytes(range(32))
KEY_ID = UUID("00000000-0000-4000-8000-000000000001")
HERE = Address(bytes(16), 3, "fleet_0", "up")


def ends(address: Address = HERE, key: bytes = KEY) -> tuple[Sender, Receiver]:
    return (
        Sender(bytearray(key), KEY_ID, address),
        Receiver(bytearray(key), KEY_ID, address),
    )


def test_aes_256_gcm_gives_the_known_answer():
    # McGrew and Viega, The Galois/Counter Mode of Operation (GCM), 2005, test case 16.
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
    text = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    associated = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    nonce = bytes.fromhex("cafebabefacedbaddecaf888")
    sealed = bytes.fromhex(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        "76fc6ece0f4e1768cddf8853bb2d551b"
    )
    assert encrypt(key, nonce, text, associated) == sealed
    assert decrypt(key, nonce, sealed, associated) == text


def test_a_sealed_message_of_our_own_format_never_changes():
    sealed = Sender(bytearray(KEY), KEY_ID, HERE).seal(b"an update")
    assert sealed.hex() == (
        "515301010000000000004000800000000000000100000000"
        "6fd295abc548e2c96d2ff0aeafe32d0eb61d0915c0629b0b4b"
    )


def test_a_one_time_pad_gives_the_known_answer():
    pad = bytearray(range(1, 10)) + bytearray(KEY)
    sealed = one_time_pad.seal(pad, KEY_ID, HERE, bytes(9))
    assert sealed[:24].hex() == "515301020000000000004000800000000000000100000000"
    assert sealed[24:33] == bytes(range(1, 10))
    assert sealed[33:].hex() == "19d9e79dbf936547537a9bbfc64358c2"


@given(payloads=st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_what_is_sealed_is_what_is_opened(payloads):
    sender, receiver = ends()
    sealed = [sender.seal(payload) for payload in payloads]
    assert [receiver.open(message) for message in sealed] == payloads
    assert len(set(sealed)) == len(sealed)


@given(payload=st.binary(max_size=120), where=st.integers(0, 10**9))
def test_a_flipped_bit_anywhere_is_refused(payload, where):
    pad = bytearray(os.urandom(one_time_pad.key_bytes(len(payload))))
    sender, receiver = ends()
    messages = (sender.seal(payload), one_time_pad.seal(pad, KEY_ID, HERE, payload))
    bit = where % (8 * len(messages[0]))
    changed = [bytearray(message) for message in messages]
    for message in changed:
        message[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CipherError):
        receiver.open(bytes(changed[0]))
    with pytest.raises(CipherError):
        one_time_pad.unseal(pad, KEY_ID, HERE, bytes(changed[1]))
    assert receiver.open(messages[0]) == payload  # what was refused left no trace
    assert one_time_pad.unseal(pad, KEY_ID, HERE, messages[1]) == payload


@pytest.mark.parametrize(
    "elsewhere",
    [
        Address(bytes(15) + b"1", 3, "fleet_0", "up"),
        Address(bytes(16), 4, "fleet_0", "up"),
        Address(bytes(16), 3, "fleet_1", "up"),
        Address(bytes(16), 3, "fleet_0", "down"),
    ],
)
def test_a_message_opens_only_where_it_belongs(elsewhere):
    sealed, _ = ends()[0].seal(b"an update"), None
    with pytest.raises(CipherError, match="not as it was sealed"):
        ends(elsewhere)[1].open(sealed)
    pad = bytearray(os.urandom(one_time_pad.key_bytes(9)))
    padded = one_time_pad.seal(pad, KEY_ID, HERE, b"an update")
    with pytest.raises(CipherError, match="not as it was sealed"):
        one_time_pad.unseal(pad, KEY_ID, elsewhere, padded)


def test_a_replay_is_refused_and_a_gap_is_not():
    sender, receiver = ends()
    first, second, third = (sender.seal(text) for text in (b"1", b"2", b"3"))
    assert receiver.open(first) == b"1"
    assert receiver.open(third) == b"3"
    for old in (first, second, third):
        with pytest.raises(CipherError, match="replay"):
            receiver.open(old)


def test_another_key_or_another_suite_is_refused():
    sender, receiver = ends()
    with pytest.raises(CipherError, match="another key"):
        receiver.open(Sender(bytearray(KEY), uuid4(), HERE).seal(b"x"))
    pad = bytearray(os.urandom(one_time_pad.key_bytes(1)))
    with pytest.raises(CipherError, match="another key"):
        receiver.open(one_time_pad.seal(pad, KEY_ID, HERE, b"x"))
    with pytest.raises(CipherError, match="another key"):
        one_time_pad.unseal(pad, KEY_ID, HERE, sender.seal(b"x"))
    with pytest.raises(CipherError, match="does not begin"):
        receiver.open(bytes(60))


def test_a_key_of_the_wrong_length_is_refused_by_its_length():
    with pytest.raises(CipherError, match="32 bytes, this one has 16"):
        Sender(bytearray(16), KEY_ID, HERE)
    with pytest.raises(CipherError, match="pad of 41 bytes, this one has 40"):
        one_time_pad.seal(bytearray(40), KEY_ID, HERE, bytes(9))
    with pytest.raises(CipherError, match="16 bytes, not 3"):
        Sender(bytearray(KEY), KEY_ID, Address(b"123", 0, "a", "up")).seal(b"")


def test_a_closed_end_has_overwritten_its_key():
    key = bytearray(KEY)
    sender = Sender(key, KEY_ID, HERE)
    sender.close()
    assert key == bytes(32)
    with pytest.raises(CipherError, match="closed"):
        sender.seal(b"x")
    assert KEY.hex() not in repr(sender)


@given(message=st.binary(max_size=90))
def test_whatever_a_stranger_sends_is_refused(message):
    receiver = ends()[1]
    with pytest.raises(CipherError):
        receiver.open(message)
