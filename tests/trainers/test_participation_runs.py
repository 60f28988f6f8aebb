"""Whole runs in which not everybody takes part, comes in time, or sends everything."""

import json

import numpy as np
import pytest
from test_runs import MODES

from qmarl import checkpoint
from qmarl.errors import ConfigurationError
from trainers.algorithms.adam import BETA_2, Packing
from trainers.build import build, make_rounds
from trainers.distributed import InlineExecutor
from trainers.information import information

FLEETS = MODES["fleets"]
NAMES = ("fleet_0", "fleet_1", "fleet_2")


def told(run):
    """What happened in each round to the group of all, and its metrics."""
    lines = [json.loads(line) for line in (run / "federation.jsonl").read_text().splitlines()]
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines] == [line["round"] for line in metrics]
    return [line["groups"]["all"] for line in lines], metrics


def rounds(run, step):
    return checkpoint.load(run / "checkpoints", step).arrays


def trace(**stays):
    return f"federation.participation={{kind: trace, clients: {json.dumps(stays)}}}"


def test_an_absent_fleet_stands_still_and_hears_nothing(small, train):
    run = train(small(*FLEETS, trace(fleet_1=[[0, 0], [2, None]]), "logging.keep=5"))
    happened, metrics = told(run)
    assert [each["asked"] for each in happened] == [
        list(NAMES),
        ["fleet_0", "fleet_2"],
        list(NAMES),
    ]
    assert [line["round_env_steps"] for line in metrics] == [144, 96, 144]
    down = [line["federation/all/bytes_down"] for line in metrics]
    assert down[1] * 3 == down[0] * 2
    before, after = rounds(run, 1), rounds(run, 2)
    for part in ("params.all", "moments.all"):
        for name, array in after[part].items():
            still = (array[1] == before[part][name][1]).all()
            # What is personal stays; what is shared is the server's, which moved.
            assert still == (part == "moments.all" or name.startswith("critic.")), name
            assert (array[0] != before[part][name][0]).any(), name


def test_an_absent_agent_flies_with_the_others_but_does_not_learn(small, train):
    run = train(small(trace(drone_1=[[0, 0]]), "logging.keep=5"))
    happened, metrics = told(run)
    assert [each["participants"] for each in happened] == [
        ["drone_0", "drone_1"],
        ["drone_0"],
        ["drone_0"],
    ]
    assert len({line["round_env_steps"] for line in metrics}) == 1
    assert len({line["federation/all/bytes_down"] for line in metrics}) == 1
    before, after = rounds(run, 1), rounds(run, 3)
    for name, array in after["moments.all"].items():
        assert (array[1] == before["moments.all"][name][1]).all(), name
        assert (array[0] != before["moments.all"][name][0]).any(), name
    for name, array in after["params.all"].items():
        alike = (array[1] == before["params.all"][name][1]).all()
        assert alike == name.startswith("critic."), name


def test_an_empty_round_keeps_everything(small, train):
    run = train(small(*FLEETS, trace(**{name: [[1, 1]] for name in NAMES}), "logging.keep=5"))
    happened, metrics = told(run)
    assert [bool(each["kept"]) for each in happened] == [True, False, True]
    assert [line["federation/all/kept"] for line in metrics] == [1, 0, 1]
    assert [line["round_env_steps"] for line in metrics] == [0, 144, 0]
    assert [line["federation/all/asked"] for line in metrics] == [0, 3, 0]
    before, after = rounds(run, 2), rounds(run, 3)
    for part, named in before.items():
        for name, array in named.items():
            if "calls" not in name:
                assert (array == after[part][name]).all(), (part, name)


def test_a_straggler_comes_late_and_counts_less(small, train):
    late = "federation.late={kind: discount, exponent: 1}"
    run = train(small(*FLEETS, "rounds=5", "federation.delays={fleet_2: 2}", late))
    happened, metrics = told(run)
    assert [each["asked"] for each in happened] == [
        list(NAMES),
        ["fleet_0", "fleet_1"],
        ["fleet_0", "fleet_1"],
        list(NAMES),
        ["fleet_0", "fleet_1"],
    ]
    assert [each["missing"] for each in happened] == [["fleet_2"], [], [], ["fleet_2"], []]
    stale = [one for each in happened for one in each["contributions"] if one["staleness"]]
    assert [(one["client"], one["staleness"]) for one in stale] == [("fleet_2", 2)]
    assert stale[0]["weight"] == pytest.approx(1 / 9)
    assert metrics[2]["federation/all/staleness"] == pytest.approx(2 / 3)
    assert [line["round_env_steps"] for line in metrics] == [144, 96, 96, 144, 96]


def test_under_drop_a_straggler_is_refused_by_name(small, train):
    happened, metrics = told(train(small(*FLEETS, "federation.delays={fleet_2: 1}")))
    assert [line["federation/all/rejected"] for line in metrics] == [0, 1, 0]
    (refused,) = happened[1]["rejected"]
    assert refused["client"] == "fleet_2"
    assert "of round 0, but this is round 1" in refused["reason"]


def test_a_buffer_makes_a_step_when_it_is_full(small, train):
    chosen = "federation.participation={kind: fraction, fraction_fit: 0.4}"
    run = train(small(*FLEETS, "rounds=6", chosen, "federation.buffer=2"))
    happened, metrics = told(run)
    assert all(len(each["asked"]) == 1 for each in happened)
    moved = [not each["kept"] for each in happened]
    assert 1 <= sum(moved) <= 3
    for each, line in zip(happened, metrics, strict=True):
        assert len(each["participants"]) == (0 if each["kept"] else 2)
        assert (line["federation/all/update_norm"] > 0) is not bool(each["kept"])


def test_a_late_joiner_begins_where_it_is_told_to(small):
    parts = {
        how: build(
            small(
                *FLEETS,
                "federation.participation={kind: trace, clients: {fleet_1: [[1, null]]}, "
                f"late_join: {how}}}",
            )
        )
        for how in ("server", "average")
    }
    begun = {}
    for how, each in parts.items():
        layer, params = each.federations["all"], each.start.params["all"]
        layer.broadcast(params, 0)
        begun[how] = layer.broadcast(params, 1)
    own = parts["server"].start.params["all"]["actor.angles"]
    plain, joined = (begun[how]["actor.angles"] for how in ("server", "average"))
    assert (plain == plain[0]).all()
    assert (joined[[0, 2]] == plain[[0, 2]]).all()
    way = own[1] - own[0]
    way -= 2 * np.pi * np.round(way / (2 * np.pi))
    np.testing.assert_allclose(joined[1], own[0] + way / 2, atol=1e-12)
    # What it brings is measured from the broadcast: the server hears of its own parameters.
    layer, stay = parts["average"].federations["all"], begun["average"]
    report = layer.gather(stay, np.array([1, 1, 1]), 1)
    assert [one.norm > 0 for one in report.contributions] == [False, True, False]


@pytest.mark.parametrize(
    ("compression", "share"),
    [
        ("{kind: quantise, bits: 8}", 0.75),
        ("{kind: top_k, share: 0.1}", 0.75),
        ("{kind: random_mask, share: 0.2}", 0.75),
    ],
)
def test_compressed_updates_train_and_cost_fewer_bytes(small, train, compression, share):
    plain = told(train(small(*FLEETS)))[1]
    run = train(small(*FLEETS, f"federation.compression={compression}", "name=compressed"))
    happened, squeezed = told(run)
    for line, other in zip(squeezed, plain, strict=True):
        assert line["federation/all/bytes_up"] < share * other["federation/all/bytes_up"]
        assert line["federation/all/update_norm"] > 0
        assert line["federation/all/rejected"] == 0
    state = rounds(run, 3)["server.all"]
    assert any(name.startswith("memory/") for name in state) is ("top_k" in compression)
    assert all(-1 <= one["similarity"] <= 1 for each in happened for one in each["contributions"])


def test_fisher_averaging_gets_what_adam_knows(small, train):
    config = small(*FLEETS, "federation.strategy=fisher")
    parts = build(config)
    start = parts.federations["all"].broadcast(parts.start.params["all"], 0)
    played = make_rounds(parts, InlineExecutor()).play({"all": start}, parts.start.moments, 0, 0.0)
    learned, layout = played.learned["all"], parts.groups["all"].learner.layout
    known = information(layout, learned.moments)
    packing = Packing.of(parts.groups["all"].learner.actor.layout)
    packed = packing.pack({n[6:]: a for n, a in known.items() if n.startswith("actor.")})
    count = learned.moments["actor.count"][0]
    np.testing.assert_allclose(
        packed * (1 - BETA_2**count), learned.moments["actor.second"], rtol=1e-12
    )
    assert (packed > 0).any()
    happened, metrics = told(train(config))
    assert [each["participants"] for each in happened] == [list(NAMES)] * 3
    plain = told(train(small(*FLEETS, "name=plain")))[1]
    assert metrics[0]["federation/all/bytes_up"] > 1.5 * plain[0]["federation/all/bytes_up"]
    assert metrics[0]["federation/all/update_norm"] != plain[0]["federation/all/update_norm"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((*FLEETS, "federation.delays={fleet_9: 1}"), r"federation.delays: .*fleet_9"),
        ((trace(drone_7=[[0, 1]]),), r"federation.participation.clients: .*drone_7"),
        (("federation.buffer=3",), "buffer: 3 updates .* with 2 clients"),
        (("federation.round_timeout_s=1",), "belongs to 'client: fleet'"),
        (
            (*FLEETS, "federation.participation=fraction", "federation.min_fit_clients=2"),
            "1 of 3 clients take part in a round, but 2 updates are needed",
        ),
        (
            ("federation.strategy=fisher", "federation.compression=top_k"),
            "leaves no Fisher information",
        ),
        (("federation.sharing=shared", "federation.buffer=1"), "buffer: has no meaning"),
        (("federation.sharing=none", "federation.delays={drone_0: 1}"), "delays: has no meaning"),
        (("federation.participation={kind: poisson, rate: 2}",), "rate"),
    ],
)
def test_what_can_never_be_is_refused_before_round_0(small, train, overrides, message):
    with pytest.raises(ConfigurationError, match=message):
        train(small(*overrides))
