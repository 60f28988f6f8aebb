"""Layers that travel at times, and small parameters that every site keeps for itself."""

import json

import numpy as np
import pytest
from test_federation_stack import CLIENTS, Wiretap, federation, stack
from test_runs import FLEETS, StopAt, digest

from qmarl import checkpoint
from qmarl.errors import ConfigurationError
from qmarl.federated.messages import decode
from trainers.interrupt import RunInterruptedError
from trainers.progress import SilentProgress
from trainers.runs import resume

DEEP = "actor.angles.layer_1"
EVERY_SECOND = [{"names": [DEEP], "first": 1, "every": 2}]


def learned(params, seed):
    """The stack after everybody learned something of its own."""
    rng = np.random.default_rng(seed)
    return {name: array + rng.normal(size=array.shape) for name, array in params.items()}


@pytest.mark.parametrize("strategy", ["fedavg", {"kind": "fedavgm", "server_momentum": 0.5}])
def test_what_is_learned_between_two_journeys_of_a_layer_is_not_lost(strategy):
    channel = Wiretap()
    layer = federation(channel, share_schedule=EVERY_SECOND, strategy=strategy)
    params = stack(0)
    start = params["actor.angles"][0, 1]
    moved = []
    for number in range(4):
        params = layer.broadcast(params, number)
        params = learned(params, number)
        before = params["actor.angles"][:, 1]
        layer.gather(params, np.ones(3, int), number)
        params = layer.joined(params)
        after = params["actor.angles"][:, 1]
        if number % 2:  # it travelled: all are alike again, moved by the mean of all they learned
            assert (after == after[:1]).all()
            momentum = 0.5 * moved[-1] if moved and strategy != "fedavg" else 0.0
            moved.append(after[0] - start)
            np.testing.assert_allclose(moved[-1], (before - start).mean(0) + momentum)
            start = after[0]
        else:
            assert (after == before).all()
            assert (after[0] != after[1]).all()
        assert (params["actor.angles"][:, 0] == params["actor.angles"][:1, 0]).all()


def test_layers_that_stay_cost_no_bytes():
    channel = Wiretap()
    keep, seen = channel.change, []
    channel.change = lambda payload, link: (seen.append(decode(payload)), keep(payload, link))[1]
    layer = federation(channel, share_schedule=EVERY_SECOND)
    params = stack(0)
    for number in range(3):
        params = layer.broadcast(params, number)
        layer.gather(params, np.ones(3, int), number)
        params = layer.joined(params)
    carried = [
        (one.round, one.kind, DEEP in one.arrays) for one in seen if one.client == CLIENTS[0]
    ]
    assert carried == [
        (0, "broadcast", True),  # so that all begin alike
        (0, "update", False),
        (1, "broadcast", False),
        (1, "update", True),
        (2, "broadcast", True),
        (2, "update", False),
    ]


def test_a_round_in_which_nothing_travels_keeps_the_model_and_says_so():
    layer = federation(share_schedule=[{"names": ["*"], "first": 1}])
    params = layer.broadcast(stack(0), 0)
    report = layer.gather(learned(params, 1), np.ones(3, int), 0)
    assert report.kept == "nothing was to travel in this round"
    assert not report.rejected


def test_who_sends_a_layer_that_is_not_due_is_refused():
    layer = federation(share_schedule=EVERY_SECOND)
    layer.broadcast(stack(0), 0)
    client = layer.server.clients[0]
    whole = {name: np.zeros(spec.shape) for name, spec in layer.server.layout.items()}
    from qmarl.federated.client import Client

    rejection = layer.server.receive(
        Client(client, "all", layer.server.layout).send(0, whole, 1), 0, client
    )
    assert rejection is not None
    assert "are shared" in rejection.reason


SCHEDULE = 'federation.share_schedule=[{"names": ["actor.angles.layer_1"], "first": 1, "every": 2}]'
LAYERS = "actor.circuit.layers=2"


@pytest.mark.parametrize("mode", [(), FLEETS])
def test_runs_with_layers_at_times_resume_to_the_same_bits(small, train, mode, tmp_path):
    config = small(SCHEDULE, LAYERS, *mode, "rounds=4", "logging.checkpoint_every=10")
    whole = train(config)
    from trainers.runs import train as start

    with pytest.raises(RunInterruptedError):
        start(config, source="", console=StopAt(3))
    interrupted = max((tmp_path / "runs" / "small").glob("2*"), key=lambda p: p.stat().st_mtime_ns)
    resume(interrupted, SilentProgress())
    assert digest(interrupted) == digest(whole)
    lines = [json.loads(line) for line in (whole / "federation.jsonl").read_text().splitlines()]
    ups = [line["groups"]["all"]["bytes_up"] for line in lines]
    assert ups[0] == ups[2] < ups[1] == ups[3]


def test_every_site_has_scales_and_a_readout_of_its_own_beside_one_circuit(small, train):
    """An affine adapter before and behind the shared circuit: QM2ARL's poles, site by site."""
    scales = "actor.circuit.encoding.scales=true"
    own = "federation.personal=['actor.scales', 'actor.readout.*']"
    run = train(small(*FLEETS, scales, own))
    params = checkpoint.load(run / "checkpoints").arrays["params.all"]
    alike = {name: bool((array[0] == array[1]).all()) for name, array in params.items()}
    assert {name for name, same in alike.items() if same} == {"actor.angles"}
    assert {"actor.scales", "actor.readout.weight", "actor.readout.bias"} <= alike.keys()
    final = json.loads((run / "eval" / "final.json").read_text())
    assert final["episodes"] == 6  # each fleet flies with its own


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("federation.personal=['actor.nothing']", "federation.personal: 'actor.nothing' matches"),
        (
            "federation.share_schedule=[{names: ['actor.layer_9']}]",
            "share_schedule: 'actor.layer_9'",
        ),
        ("federation.share_schedule=[{names: []}]", "share_schedule"),
    ],
)
def test_patterns_for_nothing_are_refused_before_round_0(small, train, override, message):
    with pytest.raises(ConfigurationError, match=message.replace(".", r"\.").replace("[", r"\[")):
        train(small(override))
