"""Protected links together with what hides updates, and who sent them."""

from __future__ import annotations

import numpy as np
import pytest
from covered_worlds import EVE, final, interrupted_and_resumed, lines

from qmarl.checkpoint import load as load_checkpoint
from qmarl.errors import ConfigurationError
from qmarl.federated.messages import decode
from qmarl.federated.server import Server
from trainers.pseudonyms import Mix

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
    assert final(interrupted_and_resumed(coverage(*HIDDEN))) == final(whole)


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
