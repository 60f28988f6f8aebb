"""Sealed envelopes open for their owner, whole, and about the same thing alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmarl.secure.cipher import CipherError
from qmarl.secure.envelopes import OVERHEAD, put_in, take_out
from qmarl.secure.postquantum import new_kem_key

KEY = new_kem_key(seed=bytes(32))
PUBLIC = KEY.public


@given(payload=st.binary(max_size=200), where=st.integers(0, 10**9))
def test_what_goes_in_comes_out_and_a_flipped_bit_is_refused(payload, where):
    envelope = put_in(PUBLIC, payload, b"all/3")
    assert len(envelope) == len(payload) + OVERHEAD
    assert take_out(KEY, envelope, b"all/3") == payload
    changed = bytearray(envelope)
    changed[where % len(changed)] ^= 1 << where % 8
    with pytest.raises(CipherError):
        take_out(KEY, bytes(changed), b"all/3")


def test_nobody_else_opens_it_nor_about_something_else():
    envelope = put_in(PUBLIC, b"an update", b"all/3")
    for key, about in ((new_kem_key(), b"all/3"), (KEY, b"all/4")):
        with pytest.raises(CipherError, match="not as it was sealed"):
            take_out(key, envelope, about)
    with pytest.raises(CipherError, match="too few"):
        take_out(KEY, envelope[:100], b"all/3")


def test_equal_payloads_make_unequal_envelopes():
    assert put_in(PUBLIC, b"x", b"") != put_in(PUBLIC, b"x", b"")
