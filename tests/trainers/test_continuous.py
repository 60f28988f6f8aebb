import json

import numpy as np
import pytest
import torch
from continuous_worlds import Approach, install
from test_runs import StopAt, digest

from agents.heads import HALF_LOG_TWO_PI, LOG_STD
from agents.mlp_actor import MLPActor
from envs.world import View
from qmarl import checkpoint
from qmarl.errors import ConfigurationError
from trainers import rollout
from trainers.algorithms.batch import experience
from trainers.algorithms.update import Update
from trainers.build import build, make_rounds
from trainers.distributed import InlineExecutor
from trainers.evaluate import play
from trainers.groups import actor_params
from trainers.interrupt import RunInterruptedError
from trainers.rollout import Seat, Shard, Team, collect
from trainers.rundir import RunDirectory
from trainers.runs import evaluate, resume
from trainers.trainer import Trainer

SHORT = ("env.max_steps=8", "env.rollout_steps=8", "env.num_envs=16", "env.shards=2")


@pytest.fixture
def points(monkeypatch, small):
    """Makes an experiment's worlds small ones with continuous actions."""

    def experiment(*overrides, sizes=(2, 1), steps=4, gain=0.5):
        install(monkeypatch, sizes, steps, gain)
        return small(*SHORT, *overrides)

    return experiment


def outcome(config):
    """Scores of what an experiment starts and ends with, and its last parameters."""
    parts, states = build(config), []
    trainer = Trainer(
        rounds=make_rounds(parts, InlineExecutor()),
        federations=parts.federations,
        evaluate=lambda params: {"eval/return": 0.0},
        keep=lambda state: None,
        report=lambda number, metrics: None,
        total=config.rounds,
        evaluate_every=0,
        keep_every=config.rounds,
    )
    trainer.run(parts.start, states.append)
    first, last = (
        play(config.env, parts.seats, parts.sites(params), 50, 0, greedy=True)["return"].mean()
        for params in (parts.start.params, states[-1].params)
    )
    return first, last, states[-1].params["all"]


LEARNING = ("rounds=12", "algorithm.minibatches=8", "evaluation.every=0")
CIRCUIT = "actor.circuit={qubits: 2, layers: 2, encoding: {rotations: x, scales: true}}"


@pytest.mark.parametrize("sharing", ["federated", "shared"])
@pytest.mark.parametrize("kind", ["vqc", "mlp"])
def test_a_bandit_with_a_continuous_answer_is_learned(points, kind, sharing):
    names = (f"actor.kind={kind}", f"federation.sharing={sharing}", "env.rollout_steps=16")
    config = points(*LEARNING, CIRCUIT, *names, sizes=(2, 2), steps=1, gain=1.0)
    first, last, params = outcome(config)
    assert first < -0.15  # the mean square of what is asked for is 0.27
    assert last > -0.05
    assert params[f"actor.{LOG_STD}"].max() < -0.8  # and it became surer


@pytest.mark.parametrize("critic", ["local", "central"])
def test_a_regulator_is_learned_by_agents_with_different_numbers_of_actions(points, critic):
    first, last, _ = outcome(points(*LEARNING, "actor.kind=mlp", f"critic.kind={critic}"))
    assert first < -0.9
    assert last > -0.35


MODES = {
    "federated": (),
    "shared": ("federation.sharing=shared",),
    "fleets": ("federation.client=fleet", "federation.fleets=2", "env.shards=1"),
    "groups": ("agents={two: point_0, one: point_1}", "actor.kind=mlp"),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_resumed_run_ends_with_the_same_bits(points, train, mode, tmp_path):
    from trainers.runs import train as start

    config = points(*MODES[mode], "logging.checkpoint_every=10")
    whole = digest(train(config))
    with pytest.raises(RunInterruptedError):
        start(config, source="", console=StopAt(2))
    interrupted = max((tmp_path / "runs" / "small").glob("2*"), key=lambda p: p.stat().st_mtime_ns)
    resume(interrupted, StopAt(99))
    assert digest(interrupted) == whole


def test_deviations_are_described_and_shared_like_any_parameter_of_an_actor(points, train):
    directory = train(points())
    model = json.loads(RunDirectory.open(directory).model.read_text())["all"]
    assert model["actor"]["by_role"][LOG_STD] == model["actions"] == 2
    assert model["actor"]["parameters"] == sum(model["actor"]["by_role"].values())
    assert model["continuous"] is True
    stack = checkpoint.load(directory / "checkpoints").arrays["params.all"][f"actor.{LOG_STD}"]
    assert (stack[0] == stack[1]).all()
    assert (stack != -0.5).all()
    lonely = train(points("federation.share=[actor.readout.*]"))
    stack = checkpoint.load(lonely / "checkpoints").arrays["params.all"][f"actor.{LOG_STD}"]
    assert (stack[0] != stack[1]).any()


def test_greedy_evaluation_plays_the_means_and_repeats_itself(points, train):
    run = train(points())
    once, again = (evaluate(run, episodes=6, seed=5, greedy=True) for _ in range(2))
    assert once == again
    drawn, redrawn = (evaluate(run, episodes=6, seed=5, greedy=False) for _ in range(2))
    assert drawn == redrawn
    assert drawn["return"] != once["return"]


def test_a_team_acts_with_its_means_clipped():
    actor = MLPActor((2, 2), "float32")
    params = {"w0": np.full((1, 2, 2), 1.0), "b0": np.zeros((1, 2)), LOG_STD: np.zeros((1, 2))}
    team = Team({"all": Seat((0, 1), actor.policy, 2, 2, (2, 1))}, {"all": params})
    seen = np.array([[[0.2, 0.3], [2.0, -0.5]]], np.float32)
    view = View(seen, np.zeros((1, 0)), np.ones((1, 2), bool), np.ones((1, 2, 0), bool))
    np.testing.assert_allclose(team.act(view), [[[0.5, 0.5], [1.0, 0.0]]])
    drawn = [team.act(view, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != drawn[2]).any()
    assert np.abs(drawn).max() <= 1


def test_a_rollout_keeps_what_was_drawn_and_gives_the_world_what_it_can_take(points, monkeypatch):
    parts, world = build(points("actor.log_std=0.5")), Approach(8, (2, 1), 4, 0.5)
    monkeypatch.setattr(rollout, "_world", lambda env, num_envs: world)
    actors = actor_params(parts.start.params["all"])
    trajectory = collect(Shard(parts.config.env, 8, 0, 8, parts.seats, 0, 3), {"all": actors})
    actions = trajectory.actions
    assert (actions.shape, actions.dtype) == ((8, 8, 2, 2), np.float32)
    assert trajectory.continuous
    assert (actions[:, :, 1, 1] == 0).all()  # padding
    assert np.abs(actions).max() > 1
    np.testing.assert_array_equal(np.stack(world.given), np.clip(actions, -1, 1))
    assert trajectory.action_mask[0, 0].tolist() == [[True, True], [True, False]]
    act = parts.seats["all"].policy.bind(actors)
    for agent, size in enumerate((2, 1)):
        seen = trajectory.observations[:, :, agent].reshape(1, -1, 2).repeat(2, 0)
        means, log_std = act(seen)[agent, :, :size], actors[LOG_STD][agent, :size]
        own = actions[:, :, agent, :size].reshape(-1, size)
        each = -0.5 * ((own - means) / np.exp(log_std)) ** 2 - log_std - HALF_LOG_TWO_PI
        got = trajectory.log_probs[:, :, agent].reshape(-1)
        np.testing.assert_allclose(got, each.sum(-1), atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_learning_starts_from_the_log_probabilities_of_acting(points, mode):
    """Nothing has changed yet: all ratios are 1, whatever is padding and whoever shares a model."""
    parts = build(points(*MODES[mode]))
    sites = parts.sites(parts.start.params)
    for name, group in parts.groups.items():
        stacks = 1 if len(sites) > 1 else group.stacks
        shard = Shard(parts.config.env, 8, 0, 8, parts.seats, 0, 3)
        share = experience(collect(shard, sites[0]), group.members, stacks, "own", group.shape)
        params = {n: array[:stacks] for n, array in parts.start.params[name].items()}
        moments = group.learner.initial_moments(stacks, stacks)
        under_way = Update(group.learner, params, moments, share, 0.0)
        index = torch.arange(share.alive.size).reshape(stacks, -1)
        weight = torch.full(index.shape, 1 / index.shape[1])
        _, entropy, divergence, clipped = under_way._policy_loss(index, weight)
        assert divergence.abs().max() < 1e-6
        assert clipped.sum() == 0
        # The logarithm starts at -0.5, where the entropy of each number is this one.
        numbers = {"two": [2], "one": [1]}.get(name, [1.5] if stacks == 1 else [2, 1])
        expected = HALF_LOG_TWO_PI * np.array(numbers)
        np.testing.assert_allclose(entropy.detach(), expected, atol=1e-5)


def test_what_is_padding_teaches_nothing(points):
    parts = build(points("federation.sharing=none"))
    group, params = parts.groups["all"], parts.start.params["all"]
    shard = Shard(parts.config.env, 8, 0, 8, parts.seats, 0, 3)
    trajectory = collect(shard, parts.sites(parts.start.params)[0])
    share = experience(trajectory, group.members, 2, "own", group.shape)
    under_way = Update(group.learner, params, group.learner.initial_moments(2, 2), share, 0.0)
    index = np.arange(share.alive.size).reshape(2, -1)
    under_way.step(index, np.full(index.shape, 1 / index.shape[1]))
    learned, _ = under_way.result()
    moved = learned[f"actor.{LOG_STD}"] != params[f"actor.{LOG_STD}"]
    assert moved.tolist() == [[True, True], [True, False]]
    before, after = (each["actor.readout.weight"][1] for each in (params, learned))
    np.testing.assert_array_equal(after[:, 1], before[:, 1].astype(np.float32))
    assert (after[:, 0] != before[:, 0].astype(np.float32)).all()


def test_probabilities_are_refused_before_round_0(points, train):
    with pytest.raises(ConfigurationError, match="this world's actions are continuous"):
        train(points("actor.circuit.readout={kind: probabilities}"))
