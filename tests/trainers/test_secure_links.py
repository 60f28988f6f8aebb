"""Whole runs over protected links: the same numbers, nothing in clear, and attacks by the book."""

from __future__ import annotations

import base64
import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
from covered_worlds import COVERAGE, EVE, covered, final, interrupted_and_resumed, lines

from qmarl.checkpoint import load as load_checkpoint
from qmarl.errors import ConfigurationError, RunError
from qmarl.federated.transport import InMemoryChannel
from qmarl.secure import quantum_line
from qmarl.secure.secure_channel import SecureChannel
from trainers import secure_links
from trainers.build import build
from trainers.report import write_report

GLOSSARY = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.mark.parametrize(
    "overrides",
    [
        ["transport.kind=tls"],
        ["transport.kind=postquantum"],
        ["transport.kind=qkd+postquantum"],
        [
            "transport={kind: qkd, overrides: {fleet_0: plain, fleet_1: {kind: qkd, "
            "cipher: one_time_pad, wait_sessions: 40}, fleet_2: tls}}",
        ],
        pytest.param(["transport.overrides={fleet_1: qsdc}"], marks=pytest.mark.slow),
    ],
    ids=["tls", "postquantum", "qkd+postquantum", "by name", "qsdc"],
)
def test_quiet_links_change_no_bit_of_what_is_learned(coverage, train, plain, overrides):
    run = train(coverage(*overrides))
    assert final(run) == plain
    told = [line["links"] for line in lines(run)]
    assert len(told) == 4
    assert all(one["undelivered"] == 0 for line in told for one in line.values())
    metrics = lines(run, "metrics")[-1]
    assert metrics["links/down"] == 0
    assert metrics["links/bytes_up"] != metrics["federation/all/bytes_up"]


def test_an_eavesdropper_makes_a_fleet_miss_rounds_and_learns_no_message(
    coverage, train, plain, monkeypatch
):
    tapped, said = [], []

    class Spy(InMemoryChannel):
        def transfer(self, payload, link):
            tapped.append(payload)
            return super().transfer(payload, link)

    transfer = SecureChannel.transfer

    def told(self, payload, link):
        said.append(payload)
        return transfer(self, payload, link)

    monkeypatch.setattr(secure_links, "InMemoryChannel", Spy)
    monkeypatch.setattr(SecureChannel, "transfer", told)
    run = train(coverage("transport.kind=qkd+postquantum", EVE))
    told_of = [line["links"]["fleet_2"] for line in lines(run)]
    assert [one["aborted"] for one in told_of] == ["", "error_rate", "error_rate", ""]
    assert [one["eavesdropper"] for one in told_of] == [""] + ["intercept_resend"] * 2 + [""]
    assert all((one["leaked"] > 0) == (one["qber"] > 0.2) for one in told_of)
    missing = [line["groups"]["all"]["missing"] for line in lines(run, "federation")]
    assert missing == [[], ["fleet_2"], ["fleet_2"], []]
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
    assert final(run) != plain
    wire = b"".join(tapped)
    assert len(said) > 20
    for message in said:  # of every message, pieces from its middle
        for at in range(30, len(message) - 12, 97):
            assert message[at : at + 12] not in wire
    page = write_report(run).read_text()
    assert "<strong>fleet_2</strong>, rounds 1 to 2: session aborted: error rate too" in page
    assert "on the line: intercept resend" in page


def test_with_post_quantum_keys_standing_in_nobody_misses_a_round(coverage, train, plain):
    run = train(coverage("transport.kind=qkd", "transport.on_abort=postquantum", EVE))
    told = [line["links"]["fleet_2"] for line in lines(run)]
    assert [one["fallback"] for one in told] == ["", "postquantum", "postquantum", ""]
    metrics = lines(run, "metrics")
    assert [line["links/fallbacks"] for line in metrics] == [0, 1, 1, 0]
    glossary = set(re.findall(r"^- `(links/\w+)`", GLOSSARY.read_text(), re.MULTILINE))
    assert {name for line in metrics for name in line if name.startswith("links/")} == glossary
    assert final(run) == plain


def test_the_run_ends_at_an_abort_if_so_configured(coverage, train):
    config = coverage("transport.kind=qkd", "transport.on_abort=stop", EVE)
    with pytest.raises(RunError, match=r"link of client 'fleet_2' in round 1: .*bits differ"):
        train(config)


AGENTS = (
    COVERAGE.partition("    clients:")[0]
    + """\
    default:
      link: fibre
      receiver: [1000, 0, 0]
      session: {protocol: bb84, pulses: 200000, source: single_photon}
      eavesdropper: {who: intercept_resend, rounds: [2, 2]}
"""
)


def test_agents_that_miss_a_broadcast_fly_on_with_what_they_heard(tmp_path, train):
    text = AGENTS.replace("client: fleet, fleets: 3", "client: agent")
    config = covered(tmp_path, "transport.kind=qkd", text=text)
    whole = train(config)
    told = [line["groups"]["all"] for line in lines(whole, "federation")]
    assert [one["kept"] != "" for one in told] == [False, False, True, False]
    assert sorted(told[2]["missing"]) == ["drone_0", "drone_1"]
    # Interrupted right before the round that they miss.
    assert final(interrupted_and_resumed(config)) == final(whole)


def test_a_resumed_run_ends_with_the_same_bits_and_uses_no_key_twice(coverage, train, monkeypatch):
    drawn, kept = quantum_line.drawn, []

    def recording(bits):
        key = drawn(bits)
        kept.append(bytes(key))
        return key

    monkeypatch.setattr(quantum_line, "drawn", recording)
    config = coverage("transport.kind=qkd", "transport.on_abort=stored", EVE)
    whole = train(config)
    run = interrupted_and_resumed(config)
    assert final(run) == final(whole)
    assert lines(run) == lines(whole)
    pieces = [key[at : at + 32] for key in kept for at in range(0, len(key) - 31, 32)]
    assert len(pieces) == len(set(pieces)) > 100


def test_no_file_and_no_word_of_a_run_holds_a_piece_of_a_key(
    coverage, train, monkeypatch, caplog, capfd
):
    caplog.set_level(logging.DEBUG)
    drawn, keys = quantum_line.drawn, []

    def recording(bits):
        key = drawn(bits)
        keys.append(bytes(key))
        return key

    monkeypatch.setattr(quantum_line, "drawn", recording)
    run = train(coverage("transport.kind=qkd", EVE))
    out, err = capfd.readouterr()
    texts = [path.read_bytes() for path in run.rglob("*") if path.is_file()]
    haystack = b"".join([*texts, caplog.text.encode(), out.encode(), err.encode()])
    assert len(keys) == 10
    for key in keys:
        for at in range(0, min(len(key), 64) - 8, 8):
            piece = key[at : at + 8]
            for form in (piece, piece.hex().encode(), base64.b64encode(key[at : at + 9])):
                assert form not in haystack


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["transport.kind=quantum"], "transport.kind"),
        (["transport={kind: qkd, overrides: {fleet_7: tls}}"], "did you mean 'fleet_"),
        (["transport.kind=qkd", "transport.links.clients.flet_0={}"], "did you mean 'fleet_0'"),
        (
            [
                "transport.kind=qsdc",
                "transport.links.clients.fleet_2.eavesdropper={who: photon_number_splitting}",
            ],
            "nothing for photon_number_splitting",
        ),
        (
            ["transport.kind=tls", "federation={sharing: none, client: agent, fleets: null}"],
            "transport: has no meaning with 'federation.sharing: none'",
        ),
        (["transport.kind=tls", "critic.kind=split"], "would travel in clear"),
        (["transport={kind: tls, cipher: one_time_pad}"], "one_time_pad needs 'kind: qkd'"),
    ],
)
def test_what_cannot_be_is_refused_before_round_0(coverage, overrides, reason):
    with pytest.raises(ConfigurationError, match=reason):
        build(coverage(*overrides))


def test_a_checkpoint_holds_how_much_key_is_left_and_nothing_of_it(coverage, train):
    run = train(coverage("transport.kind=qkd", "rounds=1"))
    state = load_checkpoint(run / "checkpoints", "latest").arrays
    left = {
        name.removeprefix("links."): int(kept["left_bits"])
        for name, kept in state.items()
        if name.startswith("links.")
    }
    assert left == {name: one["left"] for name, one in lines(run)[0]["links"].items()}
    assert all(np.asarray(bits).shape == () for bits in left.values())
