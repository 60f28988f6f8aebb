"""Whole runs over protected links: the same numbers, nothing in clear, and attacks by the book."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from qmarl.checkpoint import load as load_checkpoint
from qmarl.config import load
from qmarl.errors import ConfigurationError, RunError, UnreachableError
from qmarl.federated.transport import InMemoryChannel
from qmarl.secure import quantum_line
from qmarl.secure.certificates import Authority
from qmarl.secure.key_service import KeyServer, TlsFiles
from qmarl.secure.key_store import KeyStore
from qmarl.secure.keys import KeyManager
from qmarl.secure.secure_channel import SecureChannel
from trainers import secure_links
from trainers.build import build
from trainers.config import PRESETS, ExperimentConfig
from trainers.interrupt import RunInterruptedError
from trainers.logger import read_lines
from trainers.progress import SilentProgress
from trainers.report import write_report
from trainers.runs import resume
from trainers.runs import train as start

GLOSSARY = Path(__file__).parents[2] / "docs" / "metrics.md"
COVERAGE = """\
name: covered
rounds: 4
env: {id: drone_coverage, drones: 2, users: 6, max_steps: 6, num_envs: 2}
actor: {kind: vqc, circuit: {qubits: 6, layers: 1, encoding: {rotations: xyz}}}
critic: {kind: local, hidden: [8]}
algorithm: {epochs: 1, minibatches: 1}
federation: {sharing: federated, client: fleet, fleets: 3}
evaluation: {every: 0, episodes: 2, final_episodes: 2}
logging: {tensorboard: false, checkpoint_every: 1}
transport:
  kind: plain
  links:
    clients:
      fleet_0:
        link: {kind: satellite_drone}
        receiver: [0, 0, 100]
        satellite: {first: 0}
        session: {protocol: bb84, pulses: 8000000, source: single_photon}
      fleet_1:
        link: {kind: ground_drone}
        receiver: [300, 0, 60]
        session: {protocol: bb84, pulses: 200000, source: single_photon}
      fleet_2:
        link: {kind: drone_drone}
        sender: [0, 0, 50]
        receiver: [300, 0, 60]
        session: {protocol: bb84, pulses: 300000, source: single_photon}
"""
EVE = "transport.links.clients.fleet_2.eavesdropper={who: intercept_resend, rounds: [1, 2]}"


@pytest.fixture
def coverage(tmp_path):
    path = tmp_path / "coverage.yaml"
    path.write_text(COVERAGE)

    def make(*overrides):
        runs = f"logging.directory={tmp_path / 'runs'}"
        return load(path, [runs, *overrides], ExperimentConfig, PRESETS)[0]

    return make


def final(run):
    """All parameters of the last checkpoint, as bytes."""
    arrays = load_checkpoint(run / "checkpoints", "latest").arrays
    return {
        f"{part}/{name}": array.tobytes()
        for part, found in arrays.items()
        if not part.startswith("links.")
        for name, array in found.items()
        if not name.startswith("heard/")
    }


def lines(run, name="links"):
    return read_lines(run / f"{name}.jsonl")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What is learned without any protection."""
    directory = tmp_path_factory.mktemp("plain")
    (directory / "coverage.yaml").write_text(COVERAGE)
    runs = [f"logging.directory={directory / 'runs'}"]
    config = load(directory / "coverage.yaml", runs, ExperimentConfig, PRESETS)[0]
    return final(start(config, source="# a test\n", console=SilentProgress()))


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
    (tmp_path / "agents.yaml").write_text(
        AGENTS.replace("client: fleet, fleets: 3", "client: agent")
    )
    settings = [f"logging.directory={tmp_path / 'runs'}", "transport.kind=qkd"]
    config = load(tmp_path / "agents.yaml", settings, ExperimentConfig, PRESETS)[0]
    whole = train(config)
    told = [line["groups"]["all"] for line in lines(whole, "federation")]
    assert [one["kept"] != "" for one in told] == [False, False, True, False]
    assert sorted(told[2]["missing"]) == ["drone_0", "drone_1"]
    with pytest.raises(RunInterruptedError):  # right before the round that they miss
        start(config, source="# a test\n", console=_Stop())
    run = max(whole.parent.glob("2*"), key=lambda path: path.stat().st_mtime)
    resume(run, SilentProgress())
    assert final(run) == final(whole)


class _Stop(SilentProgress):
    """Ends a run in the middle, as a signal would."""

    def round(self, metrics):
        if metrics["round"] == 1:
            raise RunInterruptedError(signal.SIGTERM)


def test_a_resumed_run_ends_with_the_same_bits_and_uses_no_key_twice(coverage, train, monkeypatch):
    drawn, kept = quantum_line.drawn, []

    def recording(bits):
        key = drawn(bits)
        kept.append(bytes(key))
        return key

    monkeypatch.setattr(quantum_line, "drawn", recording)
    config = coverage("transport.kind=qkd", "transport.on_abort=stored", EVE)
    whole = train(config)
    with pytest.raises(RunInterruptedError):
        start(config, source="# a test\n", console=_Stop())
    run = max(whole.parent.glob("2*"), key=lambda path: path.stat().st_mtime)
    resume(run, SilentProgress())
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


SECRET = "federation.secagg={threshold: 2}"


def test_secure_sums_travel_over_protected_links_and_bear_with_one_that_is_down(coverage, train):
    sums = final(train(coverage(SECRET, "rounds=2")))
    assert final(train(coverage(SECRET, "rounds=2", "transport.kind=qkd"))) == sums
    run = train(coverage(SECRET, "rounds=2", "transport.kind=qkd", EVE))
    told = [line["groups"]["all"] for line in lines(run, "federation")]
    assert [one["missing"] for one in told] == [[], ["fleet_2"]]
    assert told[1]["participants"] == ["fleet_0", "fleet_1"]


def test_where_nobody_is_to_know_who_took_part_no_link_is_told_of(coverage, train):
    hidden = ["federation.privacy={}", "federation.participation={kind: poisson, rate: 0.6}"]
    run = train(coverage(*hidden, "transport.kind=postquantum", "rounds=2"))
    assert lines(run) == []
    assert not any("links/" in name for line in lines(run, "metrics") for name in line)


HIDDEN = ["transport.kind=postquantum", "transport.hide_clients=true"]


def test_behind_the_mix_the_server_hears_new_names_in_every_round(coverage, train, monkeypatch):
    from qmarl.federated.messages import decode
    from qmarl.federated.server import Server
    from trainers.pseudonyms import Mix

    heard, handed = [], []
    receive, opened = Server.receive, Mix.opened

    def listening(self, payload, round_number, sender=None):
        heard.append((round_number, sender, decode(payload).client, payload))
        return receive(self, payload, round_number, sender)

    def passing(self, envelope, round_number):
        handed.append(envelope)
        return opened(self, envelope, round_number)

    monkeypatch.setattr(Server, "receive", listening)
    monkeypatch.setattr(Mix, "opened", passing)
    run = train(coverage(*HIDDEN))
    assert len(heard) == 12
    for number in range(4):
        senders = [sender for at, sender, _, _ in heard if at == number]
        assert senders == ["anonymous_0", "anonymous_1", "anonymous_2"]
    assert all(sender == inside for _, sender, inside, _ in heard)
    assert not any(b"fleet_" in payload for *_, payload in heard)
    for envelope in handed:  # the mix does not see what is in it
        assert not any(payload[40:60] in envelope for *_, payload in heard)
    told = lines(run, "federation")
    assert told[-1]["groups"]["all"]["participants"] == list(Mix(["a", "b", "c"], "all", 0).names)


def test_names_are_dealt_anew_and_everybody_is_someone():
    from trainers.pseudonyms import Mix

    mix = Mix([f"fleet_{place}" for place in range(4)], "all", 3)
    dealt = [
        tuple(mix.name(f"fleet_{place}", number) for place in range(4)) for number in range(40)
    ]
    assert all(sorted(names) == sorted(mix.names) for names in dealt)
    assert len(set(dealt)) > 10


def test_behind_the_mix_all_that_is_learned_is_what_is_learned_without(coverage, train, plain):
    found = load_checkpoint(train(coverage(*HIDDEN)) / "checkpoints", "latest").arrays
    for name, array in found["params.all"].items():
        clear = np.frombuffer(plain[f"params.all/{name}"], array.dtype).reshape(array.shape)
        # The sum runs in the order of the dealt names, so the last bits may differ.
        np.testing.assert_allclose(array, clear, rtol=0, atol=1e-5)


def test_a_run_behind_the_mix_resumes_to_the_same_bits(coverage, train):
    whole = train(coverage(*HIDDEN))
    with pytest.raises(RunInterruptedError):
        start(coverage(*HIDDEN), source="# a test\n", console=_Stop())
    run = max(whole.parent.glob("2*"), key=lambda path: path.stat().st_mtime)
    resume(run, SilentProgress())
    assert final(run) == final(whole)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["transport.hide_clients=true"], "over a plain line everybody sees who sends"),
        ([*HIDDEN, "federation.buffer=2"], "hide_clients.*federation.buffer"),
        ([*HIDDEN, "federation.delays={fleet_0: 1}"], "hide_clients.*federation.delays"),
        ([*HIDDEN, "federation.compression=random_mask"], "hide_clients.*compression: random_mask"),
    ],
)
def test_what_needs_names_is_refused_with_the_mix(coverage, overrides, reason):
    with pytest.raises(ConfigurationError, match=reason):
        coverage(*overrides)
