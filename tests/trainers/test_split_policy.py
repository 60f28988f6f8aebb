"""Policies that are cut between drone and server, and learn over the cut as if they were whole."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_ppo import drawn, generators, random_trajectory
from test_runs import FLEETS, StopAt, digest
from test_split_learning import AGENTS, CIRCUIT, Flipping, Recording

from agents.actor import ActorConfig
from agents.critic import CriticConfig, make_critic
from agents.factory import make_actor
from qmarl import checkpoint
from qmarl.errors import ConfigurationError, RunError
from qmarl.federated.messages import MessageError, decode
from qmarl.federated.transport import SERVER
from trainers.algorithms.batch import experience
from trainers.algorithms.learner import Learner, PPOConfig
from trainers.algorithms.pilot import make_pilot
from trainers.algorithms.ppo import update
from trainers.interrupt import RunInterruptedError
from trainers.logger import read_metrics
from trainers.progress import SilentProgress
from trainers.report import write_report
from trainers.rundir import RunDirectory
from trainers.runs import resume
from trainers.split.judge import Exchange

CUTS = [
    (head, body, last)
    for head in ("mlp", "vqc")
    for body in ("mlp", "vqc")
    for last in ("server", "agent")
]
EXCHANGE = Exchange("all", AGENTS, 0, 0, learners=AGENTS)


def actor(branch="mlp", body="mlp", last_layer="server", continuous=False, **split):
    section = {
        "branch": branch,
        "body": body,
        "last_layer": last_layer,
        "hidden": [5],
        "features": 3,
        "circuit": CIRCUIT,
        "body_hidden": [7],
        "body_circuit": CIRCUIT,
    } | split
    config = ActorConfig.model_validate({"kind": "split", "precision": "float64", "split": section})
    return make_actor(config, 6, 4, continuous=continuous)


def learner(one, kind="local"):
    split = {"hidden": [5], "features": 3}
    section = {"kind": kind, "hidden": [7], "split": split}
    critic = make_critic(CriticConfig.model_validate(section), 6, 0, 3)
    return Learner(one, critic, PPOConfig(epochs=2, minibatches=3), "float64")


def learned(brain, exchange, stacks=3):
    critics = 1 if brain.critic.kind == "split" else stacks
    params = drawn(brain, stacks)
    params = {n: a[:critics] if n.startswith("critic.") else a for n, a in params.items()}
    share = experience(random_trajectory(), (0, 1, 2), stacks, brain.critic.sees)
    moments = brain.initial_moments(stacks, critics)
    return update(brain, params, moments, share, generators(*range(stacks)), 0.25, exchange), params


@pytest.mark.parametrize("stacks", [1, 3])
@pytest.mark.parametrize(("branch", "body", "last"), CUTS)
def test_learning_over_the_cut_is_learning_in_one_piece(branch, body, last, stacks):
    brain = learner(actor(branch, body, last, clipping_norm=0.7))
    whole, start = learned(brain, None, stacks)
    cut, _ = learned(brain, replace(EXCHANGE, learners=AGENTS[:stacks]), stacks)
    assert any(cut.traffic)
    assert not any(whole.traffic)
    for part in ("params", "moments"):
        for name, array in getattr(whole, part).items():
            other = getattr(cut, part)[name]
            np.testing.assert_allclose(other, array, atol=1e-12, rtol=0, err_msg=name)
    assert cut.metrics == pytest.approx(whole.metrics, abs=1e-12)
    assert all((cut.params[name] != array).any() for name, array in start.items())


@pytest.mark.parametrize(("branch", "body", "last"), CUTS)
def test_gradients_are_those_of_the_whole(branch, body, last):
    one = actor(branch, body, last, clipping_norm=0.7)
    rng = np.random.default_rng(0)
    observations = torch.as_tensor(rng.normal(size=(3, 10, 6)))
    weights = torch.as_tensor(rng.normal(size=(3, 10, 4)))
    found = []
    for exchange in (None, EXCHANGE):
        each = [one.initial(np.random.default_rng(seed)) for seed in range(3)]
        tensors = {
            n: torch.as_tensor(np.stack([e[n] for e in each])).requires_grad_() for n in each[0]
        }
        pilot = make_pilot(one, lambda tensors=tensors: tensors, exchange, "float64")
        (pilot.outputs(observations) * weights).tanh().sum().backward()
        pilot.finish()
        found.append({name: tensor.grad for name, tensor in tensors.items()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-10, rtol=0)
        assert gradient.abs().max() > 0


@pytest.mark.parametrize(("branch", "body", "last"), CUTS)
def test_what_acts_is_what_learns(branch, body, last):
    one = actor(branch, body, last, clipping_norm=0.7)
    each = [one.initial(np.random.default_rng(seed)) for seed in range(2)]
    params = {name: np.stack([e[name] for e in each]) for name in each[0]}
    seen = np.random.default_rng(5).normal(size=(2, 9, 6))
    tensors = {name: torch.as_tensor(array) for name, array in params.items()}
    whole = one.outputs(tensors, torch.as_tensor(seen)).numpy()
    np.testing.assert_allclose(one.policy.bind(params)(seen), whole, atol=1e-12)
    assert whole.shape == (2, 9, 4)


@pytest.mark.parametrize(("last", "width"), [("server", 4), ("agent", 7)])
def test_only_activations_served_features_and_gradients_cross(last, width):
    channel = Recording()
    learned(learner(actor(last_layer=last)), replace(EXCHANGE, round=4, channel=channel))
    counts: dict[tuple[str, bool], int] = {}
    for link, payload in channel.seen:
        envelope = decode(payload)
        ((flow, array),) = envelope.arrays.items()
        assert link.round == envelope.round == 4
        assert (link.sender if link.receiver == SERVER else link.receiver) == envelope.client
        assert array.shape[1] == {"activations": 3, "activation_gradients": 3}.get(flow, width)
        key = (flow, link.receiver == SERVER)
        counts[key] = counts.get(key, 0) + 1
    batches = 3 * 2 * 3
    assert counts == {
        ("activations", True): batches,
        ("outputs", False): batches,
        ("output_gradients", True): batches,
        ("activation_gradients", False): batches,
    }


def test_policy_and_critic_may_both_be_cut_and_their_messages_differ():
    channel = Recording()
    brain = learner(actor(), kind="split")
    whole, _ = learned(brain, None)
    cut, _ = learned(brain, replace(EXCHANGE, channel=channel))
    for name, array in whole.params.items():
        np.testing.assert_allclose(cut.params[name], array, atol=1e-12, rtol=0, err_msg=name)
    heads = [decode(payload) for _, payload in channel.seen]
    names = [(e.group, e.client, e.metrics["batch"], *e.arrays) for e in heads]
    assert len(set(names)) == len(names)
    assert {e.group for e in heads} == {"all", "all/actor"}
    total = sum(cut.traffic)
    assert total == sum(len(payload) for _, payload in channel.seen)


def test_a_damaged_message_ends_the_learning_and_names_the_drone():
    flipped = replace(EXCHANGE, channel=Flipping("drone_1"))
    with pytest.raises(MessageError, match="activations of client 'drone_1' refused"):
        learned(learner(actor()), flipped)
    with pytest.raises(RunError, match="outputs of client 'drone_0' refused"):
        learned(learner(actor()), replace(EXCHANGE, channel=Flipping(SERVER)))


def test_noise_changes_what_is_learned_but_not_from_repeat_to_repeat():
    noisy = learner(actor(clipping_norm=1.0, noise_multiplier=0.5))
    quiet = learner(actor(clipping_norm=1.0))

    def weights(brain, exchange=EXCHANGE):
        return learned(brain, exchange)[0].params["actor.server.w0"]

    assert (weights(noisy) == weights(noisy)).all()
    assert (weights(noisy) != weights(quiet)).any()
    assert (weights(noisy) != weights(noisy, replace(EXCHANGE, round=1))).any()


SPLIT = "actor={kind: split, split: {hidden: [8], features: 4, body_hidden: [8]}}"
QUANTUM = (
    "actor={kind: split, split: {branch: vqc, last_layer: agent, clipping_norm: 1,"
    " noise_multiplier: 0.1, circuit: {qubits: 4, layers: 1, encoding: {rotations: xyz}},"
    " body: vqc, body_circuit: {qubits: 4, layers: 1}}}"
)
MODES = {
    "agents": (SPLIT,),
    "quantum": (QUANTUM,),
    "shared": (SPLIT, "federation.sharing=shared"),
    "fleets": (SPLIT, *FLEETS),
    "heads at home": (SPLIT, "federation.personal=['actor.agent.*']"),
    "both": (SPLIT, "critic={kind: split, hidden: [8], split: {hidden: [8], features: 4}}"),
    "continuous": (QUANTUM, "env.actions=continuous"),
}


@pytest.mark.parametrize("mode", MODES)
def test_runs_count_what_crossed_and_resume_to_the_same_bits(small, train, mode, tmp_path):
    config = small("logging.checkpoint_every=10", *MODES[mode])
    whole = train(config)
    for line in read_metrics(RunDirectory.open(whole)):
        assert line["split/all/bytes_up"] > line["split/all/bytes_down"] / 4 > 0
    model = json.loads(RunDirectory.open(whole).model.read_text())
    assert model["all"]["actor"]["kind"] == "split"
    from trainers.runs import train as start

    with pytest.raises(RunInterruptedError):
        start(config, source="", console=StopAt(1))
    interrupted = max((tmp_path / "runs" / "small").glob("2*"), key=lambda p: p.stat().st_mtime_ns)
    resume(interrupted, SilentProgress())
    assert digest(interrupted) == digest(whole)


def test_heads_stay_at_the_drones_and_bodies_are_joined(small, train):
    params = checkpoint.load(train(small(*MODES["heads at home"])) / "checkpoints").arrays[
        "params.all"
    ]
    for name, array in params.items():
        alike = bool((array[0] == array[1]).all())
        assert alike is name.startswith("actor.server."), name


def test_the_report_says_what_the_server_saw(small, train):
    run = train(small(SPLIT, "rounds=1", "evaluation.every=1"))
    page = write_report(run).read_text()
    assert "saw activations that every drone made" in page
    assert "split network" in page


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((QUANTUM, "actor.split.circuit.qubits=2"), "actor.split.circuit: .* do not fit"),
        ((QUANTUM, "actor.split.body_circuit.qubits=2"), "actor.split.body_circuit: .* do not fit"),
        ((SPLIT, "actor.split.noise_multiplier=1"), "clipping_norm"),
        ((SPLIT, "actor.split.body_hidden=[]"), "body_hidden"),
        ((SPLIT, "actor.shots=100"), "not for 'split'"),
        ((SPLIT, "noise={depolarizing: 0.1}"), "noise"),
    ],
)
def test_cuts_that_cannot_be_are_refused_before_round_0(small, train, overrides, message):
    with pytest.raises(ConfigurationError, match=message):
        train(small(*overrides))
