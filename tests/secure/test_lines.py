"""Every line carries messages whole or not at all, and never in clear."""

from __future__ import annotations

import os

import pytest

from qmarl.errors import ConfigurationError, RunError, UndeliveredError
from qmarl.secure.certificates import Authority
from qmarl.secure.direct_line import DirectLine
from qmarl.secure.key_store import KeyStore
from qmarl.secure.keys import KeyManager
from qmarl.secure.lines import PlainLine
from qmarl.secure.links_config import LinkSection
from qmarl.secure.quantum_line import PostQuantumLine, QuantumLine, drawn
from qmarl.secure.secure_channel import SecureChannel
from qmarl.secure.sources import KeyBlock
from qmarl.secure.tls_line import TlsLine, tls_ends
from qmarl.secure.transport_config import LineConfig, TransportConfig
from qmarl.types import Link

UPDATE = b"the angles that a fleet has learned, " * 20
QUIET = KeyBlock(bits=bytes(128), qber=0.01)
ATTACKED = KeyBlock(
    aborted="error_rate", qber=0.25, leaked_bits=700.0, eavesdropper="eve", why="25 % differ"
)
DARK = KeyBlock(aborted="too_few_detections", why="3 sifted bits are too few")


class Wire:
    """Keeps what passes, and may change it."""

    def __init__(self, change=None):
        self.seen, self.change = [], change

    def transfer(self, payload, link):
        self.seen.append((link, payload))
        return self.change(payload, link) if self.change else payload


class Script:
    """Gives the blocks of rounds as they are written down; for further sessions, too."""

    def __init__(self, *blocks):
        self.blocks, self.asked = blocks, []

    def __call__(self, session):
        script = self

        class Source:
            def block(self, round_number, seconds):
                script.asked.append((round_number, session))
                return script.blocks[min(round_number, len(script.blocks) - 1)]

        return Source()


def quantum(script=None, **config):
    manager = KeyManager(KeyStore(bytearray(os.urandom(32))))
    manager.connect("a", "server")
    settings = LineConfig(**({"kind": "qkd"} | config))
    return QuantumLine(settings, script or Script(QUIET), manager, ("a", "server"))


def tls():
    return TlsLine(tls_ends(Authority(), "server", "a"))


LINES = {
    "tls": tls,
    "postquantum": lambda: PostQuantumLine(LineConfig(kind="postquantum")),
    "qkd": quantum,
    "qkd+postquantum": lambda: quantum(kind="qkd+postquantum"),
    "one_time_pad": lambda: quantum(Script(KeyBlock(bits=bytes(4000))), cipher="one_time_pad"),
}


def down(round_number):
    return Link("server", "a", round_number)


def up(round_number):
    return Link("a", "server", round_number)


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_messages_of_many_rounds_arrive_as_they_were_and_nothing_is_seen(line):
    wire = Wire()
    channel = SecureChannel(wire, {"a": line()})
    for number in range(3):
        assert channel.transfer(UPDATE, down(number)) == UPDATE
        for text in (UPDATE, b"", b"again"):
            assert channel.transfer(text, up(number)) == text
        report = channel.take(number)["a"]
        assert (report.messages, report.undelivered, report.why) == (4, 0, "")
    tapped = b"".join(payload for _, payload in wire.seen)
    assert b"angles" not in tapped
    assert b"again" not in tapped
    assert len({payload for _, payload in wire.seen}) == len(wire.seen)


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
@pytest.mark.parametrize("where", [0, 30, -1])
def test_a_message_that_was_changed_is_missing_and_the_run_goes_on(line, where):
    def change(payload, link):
        if link.round != 1:
            return payload
        raw = bytearray(payload)
        raw[where] ^= 1
        return bytes(raw)

    channel = SecureChannel(Wire(change), {"a": line()})
    assert channel.transfer(UPDATE, up(0)) == UPDATE
    with pytest.raises(UndeliveredError):
        channel.transfer(UPDATE, up(1))
    report = channel.take(1)["a"]
    assert (report.messages, report.undelivered) == (0, 1)
    assert report.why
    assert channel.transfer(UPDATE, up(2)) == UPDATE


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_replayed_message_is_refused(line):
    old: list[bytes] = []

    def replay(payload, link):
        if link.round == 0:
            old.append(payload)
            return payload
        return old.pop() if link.sender == "a" and old else payload

    channel = SecureChannel(Wire(replay), {"a": line()})
    channel.transfer(UPDATE, up(0))
    with pytest.raises(UndeliveredError):
        channel.transfer(UPDATE, up(1))


def test_a_line_of_one_client_does_not_open_messages_of_another():
    lines = {"a": PostQuantumLine(LineConfig(kind="postquantum"))}
    lines["b"] = PostQuantumLine(LineConfig(kind="postquantum"))
    swapped: list[bytes] = []

    def swap(payload, link):
        if link.sender == "b" and len(payload) > 1000 and swapped:
            return swapped[-1]
        swapped.append(payload)
        return payload

    channel = SecureChannel(Wire(swap), lines)
    channel.transfer(UPDATE, up(0))
    with pytest.raises(UndeliveredError, match="signature does not fit"):
        channel.transfer(UPDATE, Link("b", "server", 0))


def test_plain_lines_are_plain_and_unknown_clients_have_none():
    wire = Wire()
    channel = SecureChannel(wire, {"a": PlainLine()})
    assert channel.transfer(UPDATE, up(0)) == UPDATE
    assert wire.seen == [(up(0), UPDATE)]
    with pytest.raises(RunError, match="no line to client 'b'"):
        channel.transfer(UPDATE, Link("server", "b", 0))


def test_an_aborted_session_is_a_missed_round_and_its_reason_is_told():
    wire = Wire()
    channel = SecureChannel(wire, {"a": quantum(Script(QUIET, ATTACKED, QUIET))})
    channel.transfer(UPDATE, down(0))
    channel.transfer(UPDATE, up(0))
    before = len(wire.seen)
    for link in (down(1), up(1)):
        with pytest.raises(UndeliveredError, match="25 % differ"):
            channel.transfer(UPDATE, link)
    assert len(wire.seen) == before  # nothing went out
    report = channel.take(1)["a"]
    assert (report.aborted, report.qber, report.eavesdropper) == ("error_rate", 0.25, "eve")
    assert (report.leaked, report.made, report.used, report.undelivered) == (700.0, 0, 0, 2)
    assert channel.transfer(UPDATE, down(2)) == UPDATE


def test_at_an_abort_post_quantum_keys_stand_in_if_so_configured():
    line = quantum(Script(QUIET, ATTACKED, QUIET), on_abort="postquantum")
    channel = SecureChannel(Wire(), {"a": line})
    for number, fallback in enumerate(("", "postquantum", "")):
        assert channel.transfer(UPDATE, down(number)) == UPDATE
        assert channel.transfer(UPDATE, up(number)) == UPDATE
        report = channel.take(number)["a"]
        assert (report.fallback, report.used) == (fallback, 0 if fallback else 512)


def test_at_an_abort_stored_keys_serve_while_they_last():
    line = quantum(Script(QUIET, ATTACKED), on_abort="stored", on_starvation="skip")
    channel = SecureChannel(Wire(), {"a": line})
    for number in (0, 1):  # 1024 bits are two rounds
        channel.transfer(UPDATE, down(number))
        channel.transfer(UPDATE, up(number))
    with pytest.raises(UndeliveredError, match=r"256 bits .* 0 are left .*error_rate"):
        channel.transfer(UPDATE, down(2))


def test_at_an_abort_the_run_ends_if_so_configured():
    channel = SecureChannel(Wire(), {"a": quantum(Script(ATTACKED), on_abort="stop")})
    with pytest.raises(RunError, match=r"client 'a' in round 0: .*25 % differ") as error:
        channel.transfer(UPDATE, down(0))
    assert not isinstance(error.value, UndeliveredError)
    with pytest.raises(RunError, match="25 % differ"):  # whoever caught it comes to know here
        channel.take(0)


def test_a_starving_line_waits_for_further_sessions():
    script = Script(KeyBlock(bits=bytes(24)))  # 192 bits, a key needs 256
    channel = SecureChannel(Wire(), {"a": quantum(script)})
    channel.transfer(UPDATE, down(0))
    channel.transfer(UPDATE, up(0))
    assert script.asked == [(0, 0), (0, 1), (0, 2)]
    report = channel.take(0)["a"]
    assert (report.sessions, report.made, report.used, report.left) == (3, 576, 512, 64)


@pytest.mark.parametrize(
    ("way", "sessions", "fallback"),
    [("wait", 3, ""), ("skip", 1, ""), ("postquantum", 1, "postquantum"), ("stop", 1, "")],
)
def test_a_line_in_the_dark_does_what_is_configured(way, sessions, fallback):
    line = quantum(Script(DARK), on_starvation=way, wait_sessions=2)
    channel = SecureChannel(Wire(), {"a": line})
    if way == "postquantum":
        assert channel.transfer(UPDATE, down(0)) == UPDATE
    else:
        with pytest.raises(RunError, match="256 bits of key are needed, and 0 are left"):
            channel.transfer(UPDATE, down(0))
    if way == "stop":
        return
    report = channel.take(0)["a"]
    assert (report.sessions, report.fallback) == (sessions, fallback)
    assert report.aborted == "too_few_detections"


def test_a_pad_uses_as_many_bits_as_the_message_and_its_tag():
    line = quantum(Script(KeyBlock(bits=bytes(600))), cipher="one_time_pad", on_starvation="skip")
    channel = SecureChannel(Wire(), {"a": line})
    channel.transfer(bytes(100), down(0))
    channel.transfer(bytes(200), up(0))
    with pytest.raises(UndeliveredError, match="2656 bits of key are needed, and 1888 are left"):
        channel.transfer(bytes(300), up(0))
    report = channel.take(0)["a"]
    assert report.used == 8 * (100 + 32 + 200 + 32)
    assert report.left == 8 * 600 - report.used


def test_a_resumed_channel_has_as_much_key_and_none_of_the_old():
    line = quantum()
    channel = SecureChannel(Wire(), {"a": line})
    channel.transfer(UPDATE, down(0))
    channel.take(0)
    left = channel.left()
    again = quantum()
    resumed = SecureChannel(Wire(), {"a": again})
    resumed.restore(left)
    assert resumed.left() == left == {"a": 768}
    ours, theirs = (each.manager.enc_keys("a", "server", 1, 768)[0].value for each in (line, again))
    assert ours != theirs


def test_a_key_is_drawn_from_the_system_and_as_long_as_the_session_says():
    assert len(drawn(b"")) == 0
    first, second = drawn(bytes(64)), drawn(bytes(64))
    assert len(first) == len(second) == 64
    assert first != second


def test_a_rounds_keys_are_overwritten_at_its_end():
    line = quantum(kind="qkd+postquantum")
    channel = SecureChannel(Wire(), {"a": line})
    channel.transfer(UPDATE, down(0))
    sealing = channel._begun["a"].line._carrier
    ends = [*sealing._senders.values(), *sealing._receivers.values()]
    assert all(end._key != bytes(32) for end in ends)
    channel.take(0)
    assert all(end._key == bytes(32) for end in ends)
    assert sealing._keys.agreed._client == bytes(32)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"kind": "qkd+postquantum", "cipher": "one_time_pad"}, "one_time_pad needs 'kind: qkd'"),
        ({"kind": "qsdc", "on_abort": "stored"}, "makes none"),
        ({"limits": {"max_key_size": 128, "key_size": 64}}, "keys of 256 bits"),
        ({"limits": {"min_key_size": 512, "key_size": 512}}, "keys of 256 bits"),
        ({"limits": {"key_size": 32}}, "from min_key_size to max_key_size"),
    ],
)
def test_sections_that_contradict_themselves_are_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        TransportConfig.model_validate(settings)


def direct(eavesdropper=None, pairs=None, **config):
    section = LinkSection.model_validate(
        {
            "link": "fibre",
            "receiver": [500, 0, 0],
            "direct": {"protocol": "one_step", "pairs": pairs},
            "eavesdropper": eavesdropper,
        }
    )
    return DirectLine(LineConfig(**({"kind": "qsdc"} | config)), section, seed=1)


def test_direct_communication_carries_messages_and_puts_nothing_on_the_wire():
    wire = Wire()
    channel = SecureChannel(wire, {"a": direct()})
    assert channel.transfer(UPDATE[:60], up(0)) == UPDATE[:60]
    assert channel.transfer(b"", down(0)) == b""
    assert wire.seen == []
    report = channel.take(0)["a"]
    assert (report.transport, report.sessions, report.messages) == ("qsdc", 1, 2)
    assert 0 < report.qber < 0.05


@pytest.mark.parametrize("way", ["skip", "postquantum", "stop"])
def test_direct_communication_under_attack_does_what_is_configured(way):
    eve = {"who": {"kind": "intercept_resend", "fraction": 1.0}}
    channel = SecureChannel(Wire(), {"a": direct(eve, on_abort=way)})
    if way == "postquantum":
        assert channel.transfer(UPDATE, up(0)) == UPDATE
    else:
        with pytest.raises(RunError, match="direct communication aborted"):
            channel.transfer(UPDATE, up(0))
    if way == "stop":
        return
    report = channel.take(0)["a"]
    assert (report.aborted, report.eavesdropper) == ("error_rate", "intercept_resend")


def test_direct_communication_with_too_few_pairs_is_tried_again_and_then_missed():
    channel = SecureChannel(Wire(), {"a": direct(pairs=300, wait_sessions=2)})
    with pytest.raises(UndeliveredError, match="aborted 3 times: too_few_detections"):
        channel.transfer(UPDATE, up(0))
    assert channel.take(0)["a"].sessions == 3


def test_direct_communication_has_no_pulses_to_split():
    with pytest.raises(ConfigurationError, match="nothing for photon_number_splitting"):
        direct({"who": "photon_number_splitting"})
