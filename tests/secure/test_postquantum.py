from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import get_args

import pytest

from qmarl.errors import ConfigurationError, RunError
from qmarl.secure.postquantum import (
    Kem,
    combine,
    encapsulate,
    is_signed,
    new_kem_key,
    new_signing_key,
)

# ML-KEM: Wycheproof (the altered ones are rejected implicitly). Hybrid: the X-Wing draft's first
# vector. ML-DSA: github.com/post-quantum-cryptography/KAT, hedged, first of 65.
VECTORS = json.loads((Path(__file__).parent / "postquantum_vectors.json").read_text())
KEMS = get_args(Kem)


@pytest.mark.parametrize("name", [name for name in VECTORS if "kem" in name])
def test_known_answers_of_encapsulation(name: str) -> None:
    vector = VECTORS[name]
    key = new_kem_key(name.removesuffix(" altered"), bytes.fromhex(vector["seed"]))
    assert hashlib.sha256(key.public).hexdigest() == vector["public_sha256"]
    assert key.open(base64.b64decode(vector["ciphertext"])).hex() == vector["secret"]


def test_known_answer_of_signatures() -> None:
    vector = VECTORS["ml-dsa-65"]
    key = new_signing_key(bytes.fromhex(vector["seed"]))
    assert hashlib.sha256(key.public).hexdigest() == vector["public_sha256"]
    message, context = (bytes.fromhex(vector[part]) for part in ("message", "context"))
    assert is_signed(key.public, message, base64.b64decode(vector["signature"]), context)


@pytest.mark.parametrize("kind", KEMS)
def test_both_ends_agree_and_an_altered_ciphertext_does_not(kind: Kem) -> None:
    key, stranger = new_kem_key(kind), new_kem_key(kind)
    sent = encapsulate(kind, key.public)
    assert key.open(sent.ciphertext) == sent.secret
    assert stranger.open(sent.ciphertext) != sent.secret
    for place in (0, len(sent.ciphertext) - 1):
        altered = bytearray(sent.ciphertext)
        altered[place] ^= 1
        assert key.open(bytes(altered)) != sent.secret


@pytest.mark.parametrize("kind", KEMS)
def test_malformed_keys_and_ciphertexts_are_named(kind: Kem) -> None:
    key = new_kem_key(kind)
    with pytest.raises(RunError, match=f"{kind}: a ciphertext has"):
        key.open(b"short")
    with pytest.raises(RunError, match=f"{kind}: a public key has"):
        encapsulate(kind, key.public + b"x")
    with pytest.raises(RunError, match="malformed"):
        encapsulate(kind, b"\xff" * len(key.public))
    with pytest.raises(ConfigurationError, match="bytes, not 5"):
        new_kem_key(kind, b"short")


def test_a_point_that_gives_everybody_one_secret_is_refused() -> None:
    key = new_kem_key("x25519-ml-kem-768")
    sent = encapsulate("x25519-ml-kem-768", key.public)
    with pytest.raises(RunError, match="everybody"):
        key.open(sent.ciphertext[:-32] + bytes(32))
    with pytest.raises(RunError, match="everybody"):
        encapsulate("x25519-ml-kem-768", key.public[:-32] + bytes(32))


def test_a_signature_binds_message_context_and_signer() -> None:
    key, stranger = new_signing_key(), new_signing_key()
    signature = key.sign(b"hello", b"first contact")
    assert is_signed(key.public, b"hello", signature, b"first contact")
    assert not is_signed(stranger.public, b"hello", signature, b"first contact")
    assert not is_signed(key.public, b"hallo", signature, b"first contact")
    assert not is_signed(key.public, b"hello", signature)
    assert not is_signed(key.public[:-1], b"hello", signature, b"first contact")
    for place in range(0, len(signature), 331):
        altered = bytearray(signature)
        altered[place] ^= 4
        assert not is_signed(key.public, b"hello", bytes(altered), b"first contact")


def hkdf(salt: bytes, secret: bytes, info: bytes) -> bytes:
    """RFC 5869 with one block, from the standard library's HMAC alone."""
    extracted = hmac.digest(salt, secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def test_combining_is_hkdf_over_both_with_their_lengths() -> None:
    # The helper above meets RFC 5869, appendix A.1 (first 32 bytes).
    found = hkdf(bytes(range(13)), b"\x0b" * 22, bytes(range(0xF0, 0xFA)))
    assert found.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
    quantum, secret = b"q" * 32, b"p" * 32
    joined = b"\0\0\0\x20" + quantum + b"\0\0\0\x20" + secret
    expected = hkdf(b"qmarl combined key", joined, b"round 3")
    assert combine(quantum, secret, b"round 3") == expected


def test_either_half_decides_and_none_is_refused() -> None:
    q, p = b"q" * 32, b"p" * 32
    keys = [
        combine(q, p, b"a"),
        combine(p, q, b"a"),
        combine(q, p, b"b"),
        combine(b"Q" + q[1:], p, b"a"),
        combine(q, b"P" + p[1:], b"a"),
        combine(q, b"", b"a"),
        combine(b"", q, b"a"),
    ]
    assert len(set(keys)) == len(keys)
    with pytest.raises(RunError, match="of nothing"):
        combine(b"", b"", b"a")
    with pytest.raises(RunError, match="quantum key has 5 bytes"):
        combine(b"short", p, b"a")
    with pytest.raises(RunError, match="post-quantum secret has 1 bytes"):
        combine(q, b"p", b"a")


def test_secrets_do_not_show() -> None:
    key, signer = new_kem_key(seed=b"s" * 32), new_signing_key(b"s" * 32)
    shown = repr(key) + repr(signer) + repr(encapsulate(key.kind, key.public))
    assert "ssss" not in shown
    assert "secret" not in shown
    with pytest.raises(ConfigurationError, match="x25519-ml-kem-1024"):
        new_kem_key("rsa")  # type: ignore[arg-type] # a user may write anything
