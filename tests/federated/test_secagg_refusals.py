from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from secure_people import (
    ACTIVE,
    ACTIVE_STAGES,
    CONFIG,
    NAMES,
    PEOPLE,
    SIZE,
    VECTORS,
    exact,
    round_of,
    session_of,
    upto,
)

from qmarl.federated import secagg_client
from qmarl.federated.secagg import (
    SecureAggregationConfig,
    SecureAggregationError,
    SecureSession,
    open_session,
)
from qmarl.federated.secagg_client import SecureClient
from qmarl.federated.secagg_dealing import Shares
from qmarl.federated.secagg_round import SecureRound
from qmarl.federated.secagg_server import SecureServer
from qmarl.federated.secagg_wire import pack, unpack
from qmarl.federated.shamir import PRIME, split


def test_a_client_never_reveals_both_shares_of_anybody() -> None:
    play = round_of(session_of())
    upto(play, "masked")
    play.exchange(VECTORS, "e")
    client, message = play.clients["a"], play.inbox["a"]
    pieces = unpack(client.reveal(message), "reveal", play.server.session, "a").body
    assert {name: piece[:1] for name, piece in pieces.items()} == {
        **dict.fromkeys("abcd", b"s"),
        "e": b"k",
    }
    everyone = pack("survivors", play.server.session, "a", dict.fromkeys(NAMES, b""))
    for again in (message, everyone):
        with pytest.raises(SecureAggregationError, match="it is at stage 'over'"):
            client.reveal(again)
    assert not client._peers.shares


def test_a_refused_message_ends_the_round_for_the_client() -> None:
    play = round_of(session_of())
    upto(play, "reveal")
    few = pack("survivors", play.server.session, "a", dict.fromkeys("ab", b""))
    with pytest.raises(SecureAggregationError, match="name 2 clients, 3 are needed"):
        play.clients["a"].reveal(few)
    with pytest.raises(SecureAggregationError, match="it is at stage 'over'"):
        play.speak("a", VECTORS)


def test_an_active_server_cannot_tell_two_stories() -> None:
    play = round_of(session_of(ACTIVE))
    upto(play, "confirm")
    stories = {"a": "abcd", "b": "abcde", "c": "abcd", "d": "abcde"}
    signed = {
        name: play.clients[name].confirm(
            pack("survivors", play.server.session, name, dict.fromkeys(story, b""))
        )
        for name, story in stories.items()
    }
    message = pack("confirmations", play.server.session, "a", signed)
    with pytest.raises(SecureAggregationError, match="client 'b': it was told of another sum"):
        play.clients["a"].reveal(message)
    assert "it signed another list" in str(play.server.receive(signed["a"], "a"))
    few = pack("confirmations", play.server.session, "b", {name: signed[name] for name in "bd"})
    with pytest.raises(SecureAggregationError, match="name 2 clients, 4 are needed"):
        play.clients["b"].reveal(few)


def test_public_keys_of_another_round_are_refused_everywhere() -> None:
    old = round_of(session_of())
    sent = upto(old, "shares")
    now = round_of(session_of(round_number=1))
    refused = now.server.receive(sent["advert"]["b"], "b")
    assert refused is not None
    assert refused.client == "b"
    assert "it is of round 0, this is round 1" in refused.reason
    # A server that passes them on nevertheless is not believed either.
    adverts = {name: client.advertise() for name, client in now.clients.items()}
    roster = pack("roster", now.server.session, "a", adverts | {"b": sent["advert"]["b"]})
    with pytest.raises(SecureAggregationError, match=r"client 'b': .* it is of round 0"):
        now.clients["a"].share(roster)


Forge = Callable[[SecureSession, dict[str, bytes]], bytes]


def advert_of(session: SecureSession, adverts: dict[str, bytes], name: str) -> dict[str, bytes]:
    return unpack(adverts[name], "advert", session, name).body


def forged(session: SecureSession, adverts: dict[str, bytes]) -> bytes:
    return pack("advert", session, "b", advert_of(session, adverts, "b"), PEOPLE["c"])


def another_name(session: SecureSession, adverts: dict[str, bytes]) -> bytes:
    return adverts["c"]


def short_key(session: SecureSession, adverts: dict[str, bytes]) -> bytes:
    body = advert_of(session, adverts, "b") | {"cipher": b"short"}
    return pack("advert", session, "b", body, PEOPLE["b"])


def weak_key(session: SecureSession, adverts: dict[str, bytes]) -> bytes:
    body = advert_of(session, adverts, "b") | {"cipher": bytes(32)}
    return pack("advert", session, "b", body, PEOPLE["b"])


def copied_key(session: SecureSession, adverts: dict[str, bytes]) -> bytes:
    body = advert_of(session, adverts, "b")
    return pack("advert", session, "b", body | {"cipher": body["mask"]}, PEOPLE["b"])


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (forged, "client 'b': .*its signature is not that of the client"),
        (another_name, "client 'b': .*sent in the name of 'c'"),
        (short_key, "client 'b': .*must have 32 bytes"),
        (weak_key, "client 'b': .*key is not usable"),
        (copied_key, "the same public key"),
    ],
)
def test_false_public_keys_are_refused(forge: Forge, reason: str) -> None:
    play = round_of(session_of())
    adverts = upto(play, "shares")["advert"]
    roster = adverts | {"b": forge(play.server.session, adverts)}
    with pytest.raises(SecureAggregationError, match=reason):
        play.clients["a"].share(pack("roster", play.server.session, "a", roster))


def test_a_mask_key_that_everyone_could_know_is_refused() -> None:
    play = round_of(session_of())
    upto(play, "masked")
    play.clients["a"]._peers.mask["b"] = bytes(32)
    with pytest.raises(SecureAggregationError, match="client 'b': its mask key is not usable"):
        play.speak("a", VECTORS)


def test_rosters_name_enough_clients_and_no_strangers() -> None:
    play = round_of(session_of())
    adverts = upto(play, "shares")["advert"]
    for names, reason in (("ab", "name 2 clients"), ("bcde", "not meant for 'a'")):
        client = SecureClient(play.server.session, "a", PEOPLE["a"])
        client.advertise()
        roster = pack("roster", play.server.session, "a", {name: adverts[name] for name in names})
        with pytest.raises(SecureAggregationError, match=reason):
            client.share(roster)
    client = SecureClient(play.server.session, "a", PEOPLE["a"])
    client.advertise()
    with pytest.raises(SecureAggregationError, match="'x' does not take part"):
        client.share(pack("roster", play.server.session, "a", adverts | {"x": b""}))


def test_a_false_share_has_a_name_and_the_sum_is_made_without_it() -> None:
    play = round_of(session_of())
    upto(play, "reveal")
    held = play.clients["b"]._peers.shares
    held["d"] = Shares((held["d"].seed + 1) % PRIME, held["d"].key)
    for name in NAMES:
        refused = play.server.receive(play.speak(name, VECTORS), name)
        assert (refused is not None) is (name == "b")
    assert play.server.rejected[0].client == "b"
    assert "share of 'd' is not the one that was dealt" in play.server.rejected[0].reason
    play.server.close()
    np.testing.assert_array_equal(play.server.total().words, exact(play.server.session, NAMES))


@pytest.mark.parametrize(
    ("gone", "reason"),
    [
        ((), "client 'c': .*(do not fit together|another seed)"),
        (("c",), "client 'c': .*(do not fit together|another mask key)"),
    ],
)
def test_shares_that_make_no_secret_have_their_dealers_name(
    monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...], reason: str
) -> None:
    play = round_of(session_of())
    sent = upto(play, "shares")

    def deceitful(secret: int, threshold: int, points: list[int]) -> dict[int, int]:
        return split(secret ^ 1, threshold, points)

    sent = {}
    for name in NAMES:
        with monkeypatch.context() as patch:
            if name == "c":
                patch.setattr(secagg_client, "split", deceitful)
            sent[name] = play.speak(name, VECTORS)
        assert play.server.receive(sent[name], name) is None
    play.inbox = play.server.close()
    play.exchange(VECTORS, gone)
    play.exchange(VECTORS)
    with pytest.raises(SecureAggregationError, match=reason) as caught:
        play.server.total()
    assert caught.value.client == "c"


def test_a_parcel_that_was_changed_on_its_way_has_its_dealers_name() -> None:
    play = round_of(session_of())
    upto(play, "masked")
    parcels = unpack(play.inbox["a"], "deliveries", play.server.session, None).body
    for at in (0, 40, 70, len(parcels["d"]) - 1):
        broken = bytearray(parcels["d"])
        broken[at] ^= 1
        message = pack("deliveries", play.server.session, "a", parcels | {"d": bytes(broken)})
        client = round_of(play.server.session).clients["a"]
        client.__dict__.update(play.clients["a"].__dict__)
        with pytest.raises(SecureAggregationError, match=r"client 'd': the shares .* cannot be"):
            client.mask(message, VECTORS["a"])
    # One client's parcel is no use to another.
    other = unpack(play.inbox["b"], "deliveries", play.server.session, None).body
    message = pack("deliveries", play.server.session, "a", parcels | {"d": other["d"]})
    with pytest.raises(SecureAggregationError, match="client 'd'"):
        play.clients["a"].mask(message, VECTORS["a"])


@pytest.mark.parametrize("stage", ACTIVE_STAGES)
def test_every_message_is_guarded_against_change(stage: str) -> None:
    play = round_of(session_of(ACTIVE))
    upto(play, stage)
    good = play.speak("b", VECTORS)
    rng = np.random.default_rng(0)
    for bit in rng.integers(0, 8 * len(good), 40):
        broken = bytearray(good)
        broken[bit // 8] ^= 1 << int(bit % 8)
        refused = play.server.receive(bytes(broken), "b")
        assert refused is not None
        assert refused.client == "b"
    for length in (0, 1, 18, 19, len(good) // 2, len(good) - 1):
        assert play.server.receive(good[:length], "b") is not None
    assert "sent in the name of 'b'" in str(play.server.receive(good, "a"))
    assert play.server.receive(good, "b") is None
    assert "a second message" in str(play.server.receive(good, "b"))
    assert "takes no part" in str(play.server.receive(good, "x"))


@given(st.binary(max_size=300))
def test_noise_is_refused_without_harm(payload: bytes) -> None:
    server = SecureServer(session_of())
    assert server.receive(payload, "a") is not None
    assert server.rejected[0].client == "a"


def test_a_message_that_is_too_long_is_not_read() -> None:
    assert "at most" in str(SecureServer(session_of()).receive(bytes(2**20), "a"))


WRONG_BODIES: list[tuple[str, Callable[[SecureRound], dict[str, bytes]], str]] = [
    ("advert", lambda play: {}, "two keys and a commitment"),
    ("shares", lambda play: dict.fromkeys("abcd", b""), "did not deal to everyone"),
    ("shares", lambda play: dict.fromkeys(NAMES, b""), "a parcel must have"),
    ("shares", lambda play: dict.fromkeys("abcdx", b""), "'x' does not take part"),
    ("masked", lambda play: {"words": bytes(47)}, "47 bytes are not 6 words"),
    ("reveal", lambda play: dict.fromkeys("abcd", b""), "did not reveal one share of each"),
    ("reveal", lambda play: dict.fromkeys(NAMES, b"k" + bytes(66)), "is not one of the seed"),
    ("reveal", lambda play: dict.fromkeys(NAMES, b"s" + b"\xff" * 66), "is not the one that was"),
]


@pytest.mark.parametrize(("stage", "make", "reason"), WRONG_BODIES)
def test_signed_nonsense_is_refused(
    stage: str, make: Callable[[SecureRound], dict[str, bytes]], reason: str
) -> None:
    play = round_of(session_of())
    upto(play, stage)
    message = pack(stage, play.server.session, "a", make(play), PEOPLE["a"])  # type: ignore[arg-type]
    refused = play.server.receive(message, "a")
    assert refused is not None
    assert reason in refused.reason


def test_messages_of_another_stage_or_session_are_refused() -> None:
    play = round_of(session_of())
    sent = upto(play, "shares")
    assert "it is 'advert'" in str(play.server.receive(sent["advert"]["a"], "a"))
    public = {name: identity.public for name, identity in PEOPLE.items()}
    other = open_session(CONFIG, "another run/all", 0, public, SIZE)
    message = pack("shares", other, "a", {}, PEOPLE["a"])
    assert "another session" in str(play.server.receive(message, "a"))
    coarse = SecureAggregationConfig(threshold=3, range=2.0, signatures="ed25519")
    message = pack("shares", session_of(coarse), "a", {}, PEOPLE["a"])
    assert "other settings" in str(play.server.receive(message, "a"))


def test_there_is_no_sum_before_the_end_and_nothing_after_it() -> None:
    play = round_of(session_of())
    upto(play, "masked")
    with pytest.raises(SecureAggregationError, match="no sum at stage 'masked'"):
        play.server.total()
    got = play.run(VECTORS)
    assert got.clients == NAMES
    np.testing.assert_allclose(got.values, sum(VECTORS.values()), atol=1e-12)
    assert "the round is over" in str(play.server.receive(b"", "a"))
    with pytest.raises(SecureAggregationError, match="the round is over"):
        play.server.close()


def test_a_client_needs_the_identity_that_is_known() -> None:
    with pytest.raises(SecureAggregationError, match=r"client 'a': .*another identity"):
        SecureClient(session_of(), "a", PEOPLE["b"])
