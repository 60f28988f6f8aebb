import json
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from test_ppo import drawn, generators, random_trajectory
from test_runs import StopAt, digest

from agents.critic import CriticConfig, make_critic
from agents.mlp_actor import MLPActor
from qmarl import checkpoint
from qmarl.circuits import build_circuit
from qmarl.circuits.builtin import CircuitConfig
from qmarl.errors import ConfigurationError, RunError
from qmarl.federated.messages import MessageError, decode
from qmarl.federated.split import Cut, Guard
from qmarl.federated.transport import SERVER, InMemoryChannel
from qmarl.types import Link
from trainers.algorithms.adam import Packing, RoleSettings, StackedAdam, initial_moments
from trainers.algorithms.batch import experience
from trainers.algorithms.learner import Learner, PPOConfig
from trainers.algorithms.ppo import update
from trainers.interrupt import RunInterruptedError
from trainers.logger import read_metrics
from trainers.progress import SilentProgress
from trainers.report import write_report
from trainers.rundir import RunDirectory
from trainers.runs import resume
from trainers.split.judge import Exchange
from trainers.split.passes import SplitPass, split_forward

AGENTS = ("drone_0", "drone_1", "drone_2")
CIRCUIT = {"qubits": 3, "layers": 2, "encoding": {"rotations": "xy", "scales": True}}
CUTS = [(branch, last) for branch in ("mlp", "vqc") for last in ("server", "agent")]


@dataclass
class Recording:
    """Delivers, and remembers who was sent what."""

    seen: list[tuple[Link, bytes]] = field(default_factory=list)

    def transfer(self, payload: bytes, link: Link) -> bytes:
        self.seen.append((link, payload))
        return payload


@dataclass(frozen=True)
class Flipping:
    """Turns a bit in what one sender says."""

    sender: str

    def transfer(self, payload: bytes, link: Link) -> bytes:
        return payload[:-1] + bytes([payload[-1] ^ 1]) if link.sender == self.sender else payload


def critic(branch="mlp", last_layer="server", **split):
    split = {"branch": branch, "last_layer": last_layer, "hidden": [5], "features": 3} | split
    section = {"kind": "split", "hidden": [7], "split": {"circuit": CIRCUIT} | split}
    return make_critic(CriticConfig.model_validate(section), 6, 0, 3)


def learner(one, **settings):
    config = PPOConfig(epochs=2, minibatches=3, **settings)
    return Learner(MLPActor((6, 5, 4), "float64"), one, config, "float64")


def lesson(one, stacks=3):
    """First parameters and moments, and the experience of three agents."""
    params = {n: a[:1] if n.startswith("critic.") else a for n, a in drawn(one, stacks).items()}
    share = experience(random_trajectory(), (0, 1, 2), stacks, one.critic.sees)
    return params, one.initial_moments(stacks, 1), share


def learned(one, exchange, stacks=3):
    return update(one, *lesson(one, stacks), generators(*range(stacks)), 0.25, exchange)


@pytest.mark.parametrize("stacks", [1, 3])
@pytest.mark.parametrize(("branch", "last_layer"), CUTS)
def test_learning_over_the_cut_is_learning_in_one_piece(branch, last_layer, stacks):
    one = learner(critic(branch, last_layer))
    whole = learned(one, None, stacks)
    cut = learned(one, Exchange("all", AGENTS, 0, 0), stacks)
    assert any(cut.traffic)
    assert not any(whole.traffic)
    for name, array in whole.params.items():
        np.testing.assert_allclose(cut.params[name], array, atol=1e-12, rtol=0, err_msg=name)
    for name, array in whole.moments.items():
        np.testing.assert_allclose(cut.moments[name], array, atol=1e-12, rtol=0, err_msg=name)
    assert cut.metrics == pytest.approx(whole.metrics, abs=1e-12)
    start = lesson(one, stacks)[0]
    assert all((cut.params[name] != array).any() for name, array in start.items())


def test_the_u_shaped_critic_is_the_same_function():
    at_server, at_agents = critic(), critic(last_layer="agent")
    params = at_server.initial(np.random.default_rng(0))
    params["server.b1"] = np.array([0.1, -0.2, 0.3])
    last = {"server.w1", "server.b1"}
    moved = {name: array for name, array in params.items() if name not in last}
    for place in range(3):
        moved[f"agent_{place}.last_weight"] = params["server.w1"][:, place]
        moved[f"agent_{place}.last_bias"] = params["server.b1"][place : place + 1]
    shapes = {name: spec.shape for name, spec in at_agents.layout.items()}
    assert {name: array.shape for name, array in moved.items()} == shapes
    pairs = ((at_server, params), (at_agents, moved))
    values = [one.values(tensors(own), random_inputs()) for one, own in pairs]
    torch.testing.assert_close(*values, atol=1e-12, rtol=0)
    assert values[0].std() > 0.01


def tensors(params):
    return {name: torch.as_tensor(array)[None] for name, array in params.items()}


def random_inputs(count=20):
    rng = np.random.default_rng(1)
    return torch.as_tensor(
        np.concatenate([rng.normal(size=(1, count, 18)), rng.integers(3, size=(1, count, 1))], -1)
    )


@pytest.mark.parametrize("last_layer", ["server", "agent"])
def test_only_activations_outputs_and_their_gradients_cross(last_layer):
    channel = Recording()
    one = learner(critic(last_layer=last_layer))
    learned(one, Exchange("all", AGENTS, 4, 0, channel))
    batches, judged = 2 * 3, 2  # of learning, and of values before it
    counts: dict[tuple[str, bool], int] = {}
    for link, payload in channel.seen:
        envelope = decode(payload)
        ((flow, array),) = envelope.arrays.items()
        assert link.round == envelope.round == 4
        assert (link.sender if link.receiver == SERVER else link.receiver) == envelope.client
        width = {"activations": 3, "activation_gradients": 3}.get(flow)
        assert array.shape[1] == (width or (7 if last_layer == "agent" else 1))
        counts[flow, link.receiver == SERVER] = counts.get((flow, link.receiver == SERVER), 0) + 1
    assert counts == {
        ("activations", True): 3 * (batches + judged),
        ("outputs", False): 3 * (batches + judged),
        ("output_gradients", True): 3 * batches,
        ("activation_gradients", False): 3 * batches,
    }


def test_an_observation_moves_its_own_agents_activations_alone():
    one = critic()
    params = tensors(one.initial(np.random.default_rng(0)))
    observed, _ = one.observed(random_inputs()[0])
    before = one.encode(params, observed)
    observed[1] += 1.0
    moved = (one.encode(params, observed) != before).any(-1).any(-1)
    assert moved.tolist() == [False, True, False]


def test_a_damaged_message_ends_the_learning_and_names_the_agent():
    exchange = Exchange("all", AGENTS, 0, 0, Flipping("drone_1"))
    with pytest.raises(MessageError, match="activations of client 'drone_1' refused"):
        learned(learner(critic()), exchange)
    with pytest.raises(RunError, match="outputs of client 'drone_0' refused"):
        learned(learner(critic()), replace(exchange, channel=Flipping(SERVER)))


def test_every_owner_clips_what_is_its_own():
    """One agent's large gradient takes nothing from the others' steps."""
    packing = Packing.of(critic("vqc", "agent").layout)
    owners = [
        {name.partition(".")[0] for name in names_in(packing, columns)}
        for _, columns in packing.blocks()
    ]
    assert all(len(names) == 1 for names in owners)
    assert len(owners) == 3 * 3 + 1  # angles, scales and weights of each agent; the server's
    settings = RoleSettings(
        dict.fromkeys(("angles", "scales", "weights"), 0.1),
        dict.fromkeys(("angles", "scales", "weights"), 1.0),
    )
    moved = []
    for factor in (1.0, 1e6):
        rows = torch.zeros(1, sum(spec.size for spec in packing.layout.values())).requires_grad_()
        adam = StackedAdam(packing, rows, initial_moments(1, packing.layout), settings)
        rows.grad = torch.full_like(rows, 1e-4)
        views = packing.views(rows.grad)
        views["agent_0.angles"].mul_(factor)
        adam.step()
        moved.append(packing.unpack(rows.detach().numpy()))
    small, large = moved
    for name in packing.layout:
        assert (small[name] == large[name]).all() is np.bool_(name != "agent_0.angles")


def names_in(packing, columns):
    marks = np.zeros((1, sum(spec.size for spec in packing.layout.values())))
    marks[:, columns] = 1
    return [name for name, array in packing.unpack(marks).items() if array.any()]


def circuit_head():
    config = CircuitConfig.model_validate(CIRCUIT)
    circuit = build_circuit(config, 6)
    weights = circuit.initial(np.random.default_rng(0))
    tensors = {n: torch.as_tensor(a)[None].requires_grad_() for n, a in weights.items()}
    return lambda inputs: circuit(inputs[None], tensors)[0], list(tensors.values())


def layer(inputs, outputs, seed):
    weight = np.random.default_rng(seed).normal(size=(inputs, outputs))
    tensor = torch.as_tensor(weight).requires_grad_()
    return lambda x: (x @ tensor).tanh(), [tensor]


@pytest.mark.parametrize("quantum", [False, True])
def test_a_policy_in_a_u_has_the_gradients_of_the_whole(quantum):
    """Head and tail at the drone, body at the server; actions and advantages stay at the drone."""
    head, own = circuit_head() if quantum else layer(6, 3, 0)
    body, theirs = layer(3, 8, 1)
    tail, last = layer(8, 4, 2)
    rng = np.random.default_rng(3)
    seen = torch.as_tensor(rng.normal(size=(10, 6)))
    actions, advantages = rng.integers(4, size=10), torch.as_tensor(rng.normal(size=10))

    def loss(logits):
        chosen = torch.log_softmax(logits, -1)[torch.arange(10), torch.as_tensor(actions)]
        return -(chosen * advantages).mean()

    parameters = [*own, *theirs, *last]
    whole = torch.autograd.grad(loss(tail(body(head(seen)))), parameters)
    channel = Recording()
    cut = Cut(channel, "all", "drone_0", 0, "float64")
    logits, under_way = split_forward(head, body, tail, seen, (cut, 0))
    loss(logits).backward()
    assert all(tensor.grad is None for tensor in [*own, *theirs])  # no graph crosses the cut
    under_way.backward()
    for tensor, gradient in zip(parameters, whole, strict=True):
        torch.testing.assert_close(tensor.grad, gradient, atol=1e-12, rtol=0)
    assert len(channel.seen) == 4


def test_clipping_is_part_of_what_is_learned():
    head, own = layer(6, 3, 0)
    body, theirs = layer(3, 8, 1)
    seen = torch.as_tensor(np.random.default_rng(3).normal(size=(10, 6)))
    sent = head(seen)
    norms = sent.norm(dim=1, keepdim=True)
    assert 0 < (norms > 1.2).sum() < 10
    whole = torch.autograd.grad(body(sent * (1.2 / norms).clamp(max=1)).sum(), [*own, *theirs])
    cut = Cut(InMemoryChannel(), "all", "drone_0", 0, "float64")
    under_way = SplitPass([cut], 0, Guard(1.2))
    home = under_way.forward(head(seen)[None], lambda joined: body(joined[0]), np.zeros(10))
    home.sum().backward()
    under_way.backward()
    for tensor, gradient in zip([*own, *theirs], whole, strict=True):
        torch.testing.assert_close(tensor.grad, gradient, atol=1e-12, rtol=0)


def test_noise_changes_what_is_learned_but_not_from_repeat_to_repeat():
    private = learner(critic(clipping_norm=1.0, noise_multiplier=0.5))
    exchange = Exchange("all", AGENTS, 0, 0)
    one, again = (learned(private, exchange).params["critic.server.w0"] for _ in range(2))
    quiet = learned(learner(critic(clipping_norm=1.0)), exchange).params["critic.server.w0"]
    later = learned(private, replace(exchange, round=1)).params["critic.server.w0"]
    assert (one == again).all()
    assert (one != quiet).any()
    assert (one != later).any()


@pytest.mark.parametrize("branch", ["mlp", "vqc"])
def test_agents_judge_by_what_only_another_sees(branch):
    """Agent i is paid what agent i + 1 sees: no local critic can know, a split one does."""

    def error(one, exchange):
        config = {"weights": 0.005, "angles": 0.05, "scales": 0.02, "critic": 0.03}
        brain = learner(one, gamma=0.0, learning_rate=config)
        critics = 1 if exchange else 3
        params, moments = drawn(brain, 3), brain.initial_moments(3, critics)
        params = {n: a[:critics] if n.startswith("critic.") else a for n, a in params.items()}
        for number in range(25):
            trajectory = random_trajectory(number, steps=12, envs=8)
            pay = np.sin(np.roll(trajectory.observations[..., 0], -1, 2))
            told = replace(trajectory, rewards=pay.astype(np.float32))
            share = experience(told, (0, 1, 2), 3, one.sees)
            brought = update(brain, params, moments, share, generators(1, 2, 3), 0, exchange)
            params, moments = brought.params, brought.moments
        return brought.metrics["value_loss"]

    alone = make_critic(CriticConfig(hidden=(7,)), 6, 0)
    together = critic(branch, features=4)
    assert error(alone, None) > 0.35
    assert error(together, Exchange("all", AGENTS, 0, 0)) < 0.15


SPLIT = "critic={kind: split, hidden: [8], split: {hidden: [8], features: 4}}"
QUANTUM = (
    "critic={kind: split, hidden: [8], split: {branch: vqc, last_layer: agent, clipping_norm: 1,"
    " noise_multiplier: 0.1, circuit: {qubits: 4, layers: 1, encoding: {rotations: xyz}}}}"
)
FLEETS = ("federation.client=fleet", "federation.fleets=2", "env.shards=1")
MODES = {
    "agents": (SPLIT,),
    "quantum": (QUANTUM,),
    "shared": (SPLIT, "federation.sharing=shared"),
    "groups": (SPLIT, "agents={one: drone_0, rest: drone_1}"),
    "fleets": (SPLIT, *FLEETS, "federation.share=['actor.*', 'critic.*']"),
}


@pytest.mark.parametrize("mode", MODES)
def test_runs_count_what_crossed_and_resume_to_the_same_bits(small, train, mode, tmp_path):
    config = small("actor.kind=mlp", "logging.checkpoint_every=10", *MODES[mode])
    whole = train(config)
    for line in read_metrics(RunDirectory.open(whole)):
        for group in config.agents:
            assert line[f"split/{group}/bytes_up"] > line[f"split/{group}/bytes_down"] / 4 > 0
    model = json.loads(RunDirectory.open(whole).model.read_text())
    assert {group["critic"]["kind"] for group in model.values()} == {"split"}
    from trainers.runs import train as start

    with pytest.raises(RunInterruptedError):
        start(config, source="", console=StopAt(1))
    interrupted = max((tmp_path / "runs" / "small").glob("2*"), key=lambda p: p.stat().st_mtime_ns)
    resume(interrupted, SilentProgress())
    assert digest(interrupted) == digest(whole)


def test_fleets_can_federate_their_split_critics(small, train):
    run = train(small("actor.kind=mlp", *MODES["fleets"]))
    params = checkpoint.load(run / "checkpoints").arrays["params.all"]
    names = [name for name in params if name.startswith("critic.")]
    assert {name.split(".")[1] for name in names} == {"agent_0", "agent_1", "server"}
    assert all((params[name][0] == params[name][1]).all() for name in names)


def test_the_report_says_what_the_server_saw(small, train):
    run = train(small("actor.kind=mlp", SPLIT, "rounds=1", "evaluation.every=1"))
    assert "saw activations that every agent made" in write_report(run).read_text()


@pytest.mark.slow
def test_ray_and_inline_agree_to_the_last_bit(small, train):
    inline = train(small("actor.kind=mlp", QUANTUM))
    ray = train(small("actor.kind=mlp", QUANTUM, "executor=ray", "executor.workers=2"))
    assert digest(inline) == digest(ray)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((SPLIT, "federation.share=['actor.*', 'critic.*']"), "split critic stands apart"),
        ((SPLIT, "critic.hidden=[]", "critic.split.last_layer=agent"), "each other's activations"),
        ((SPLIT, "critic.split.noise_multiplier=1"), "clipping_norm"),
        ((QUANTUM, "critic.split.circuit.qubits=2"), "critic.split.circuit.* inputs do not fit"),
        ((SPLIT, "critic.split.last_layer=drone"), "server, agent"),
    ],
)
def test_cuts_that_cannot_be_are_refused_before_round_0(small, train, overrides, message):
    with pytest.raises(ConfigurationError, match=message):
        train(small(*overrides))
