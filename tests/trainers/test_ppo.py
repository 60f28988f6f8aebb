import numpy as np
import pytest
import torch

from agents.critic import Critic
from agents.mlp_actor import MLPActor
from qmarl.types import Trajectory
from trainers.algorithms.batch import experience
from trainers.algorithms.learner import Learner, PPOConfig
from trainers.algorithms.minibatches import minibatches
from trainers.algorithms.ppo import update
from trainers.algorithms.update import Update


def random_trajectory(seed=0, steps=12, envs=4, agents=3, state=5):
    rng = np.random.default_rng(seed)
    shape = (steps, envs, agents)
    terminated = rng.random(shape) < 0.1
    truncated = (rng.random(shape) < 0.05) & ~terminated
    truncated[-1] = ~terminated[-1]
    cuts = np.argwhere(truncated.any(2))
    return Trajectory(
        observations=rng.normal(size=(*shape, 6)).astype(np.float32),
        state=rng.normal(size=(steps, envs, state)).astype(np.float32),
        actions=rng.integers(4, size=shape),
        log_probs=np.full(shape, -np.log(4), np.float32),
        rewards=rng.normal(size=shape).astype(np.float32),
        terminated=terminated,
        truncated=truncated,
        alive=rng.random(shape) < 0.8,
        action_mask=rng.random((*shape, 4)) < 2,
        cut_steps=cuts[:, 0],
        cut_envs=cuts[:, 1],
        cut_observations=rng.normal(size=(len(cuts), agents, 6)).astype(np.float32),
        cut_state=rng.normal(size=(len(cuts), state)).astype(np.float32),
        episodes={},
    )


def learner(central=False, **settings):
    critic = Critic((6 + 5 * central, 8, 1), central)
    config = PPOConfig(epochs=2, minibatches=3, **settings)
    return Learner(MLPActor((6, 5, 4), "float64"), critic, config, "float64")


def drawn(one, stacks):
    rngs = [np.random.default_rng(seed) for seed in range(stacks)]
    each = [one.initial(rng, rng) for rng in rngs]
    return {name: np.stack([params[name] for params in each]) for name in each[0]}


def generators(*seeds):
    return [np.random.default_rng(seed) for seed in seeds]


def test_a_stacked_update_equals_a_loop_over_agents():
    one, trajectory = learner(), random_trajectory()
    params = drawn(one, 3)
    together = update(
        one,
        params,
        one.initial_moments(3, 3),
        experience(trajectory, (0, 1, 2), 3, "own"),
        generators(7, 8, 9),
        0.25,
    )
    for agent in range(3):
        alone = update(
            one,
            {name: array[agent : agent + 1] for name, array in params.items()},
            one.initial_moments(1, 1),
            experience(trajectory, (agent,), 1, "own"),
            generators(7 + agent),
            0.25,
        )
        assert together.examples[agent] == alone.examples[0]
        for name, array in alone.params.items():
            np.testing.assert_allclose(together.params[name][agent], array[0], atol=1e-6)
        for name, array in alone.moments.items():
            np.testing.assert_allclose(together.moments[name][agent], array[0], atol=1e-6)


def test_one_model_learns_from_all_agents():
    one, trajectory = learner(), random_trajectory()
    share = experience(trajectory, (0, 2), 1, "own")
    assert share.rewards.shape == (1, 12, 8)
    np.testing.assert_array_equal(share.rewards[0, :, 3], trajectory.rewards[:, 1, 2])
    learned = update(one, drawn(one, 1), one.initial_moments(1, 1), share, generators(1), 0.0)
    assert learned.examples.tolist() == [int(trajectory.alive[:, :, [0, 2]].sum())]


def test_a_central_critic_is_one_for_the_group_and_sees_the_state():
    one, trajectory = learner(central=True), random_trajectory()
    share = experience(trajectory, (0, 1, 2), 3, "state")
    np.testing.assert_array_equal(share.critic_inputs[1, 4, 2, 6:], trajectory.state[4, 2])
    params = {n: a if n.startswith("actor") else a[:1] for n, a in drawn(one, 3).items()}
    learned = update(one, params, one.initial_moments(3, 1), share, generators(1, 2, 3), 0.0)
    assert learned.params["critic.w0"].shape == (1, 11, 8)
    assert (learned.params["critic.w0"] != params["critic.w0"]).any()


def test_the_value_of_what_would_have_come_stands_at_each_cut_and_nothing_after_an_end():
    one, trajectory = learner(gamma=0.5, gae_lambda=0.0), random_trajectory()
    share = experience(trajectory, (0, 1, 2), 3, "own")
    under_way = Update(one, drawn(one, 3), one.initial_moments(3, 3), share, 0.0)
    values = under_way._values(share.critic_inputs)
    _, returns = under_way._judge(share)
    cut_values = under_way._values(share.cut_inputs)
    for learner_index in range(3):
        for cut, (step, env) in enumerate(
            zip(trajectory.cut_steps, trajectory.cut_envs, strict=True)
        ):
            if trajectory.truncated[step, env, learner_index]:
                expected = (
                    share.rewards[learner_index, step, env]
                    + 0.5 * (cut_values[learner_index, cut, 0])
                )
                assert returns[learner_index, step, env] == pytest.approx(expected, abs=1e-6)
    ended = share.terminated
    np.testing.assert_allclose(returns[ended], share.rewards[ended], atol=1e-6)
    middle = ~(share.terminated | share.truncated)[:, :-1]
    expected = share.rewards[:, :-1] + 0.5 * values[:, 1:]
    np.testing.assert_allclose(returns[:, :-1][middle], expected[middle], atol=1e-6)


def test_the_policy_loss_is_the_clipped_surrogate_computed_by_hand():
    one, trajectory = learner(clip=0.1), random_trajectory()
    params = drawn(one, 1)
    share = experience(trajectory, (0,), 1, "own")
    under_way = Update(one, params, one.initial_moments(1, 1), share, 0.0)
    index, weight = np.arange(5)[None], np.full((1, 5), 0.2)
    loss, entropy, _, clipped = under_way._policy_loss(
        torch.as_tensor(index), torch.as_tensor(weight)
    )
    actor = {n[6:]: torch.as_tensor(a) for n, a in params.items() if n.startswith("actor.")}
    flat = torch.as_tensor(share.observations.reshape(1, -1, 6)[:, :5].astype(np.float64))
    probabilities = torch.softmax(one.actor.outputs(actor, flat)[0], -1).numpy()
    chosen = probabilities[np.arange(5), share.actions.reshape(-1)[:5]]
    ratio = chosen / np.exp(share.log_probs.reshape(-1)[:5].astype(np.float64))
    advantage = under_way._advantages.numpy()[:5]
    by_hand = -np.minimum(ratio * advantage, np.clip(ratio, 0.9, 1.1) * advantage).mean()
    assert loss.item() == pytest.approx(by_hand, abs=1e-10)
    spread = -(probabilities * np.log(probabilities)).sum(1).mean()
    assert entropy.item() == pytest.approx(spread, abs=1e-10)
    assert clipped.item() == pytest.approx((np.abs(ratio - 1) > 0.1).mean())


def test_minibatches_hold_every_living_step_once_per_epoch():
    alive = np.random.default_rng(0).random((2, 10, 3)) < 0.7
    plan = minibatches(alive, 2, 4, generators(0, 1))
    assert len(plan) == 8
    for learner_index in range(2):
        for epoch in range(2):
            seen = np.concatenate(
                [i[learner_index][w[learner_index] > 0] for i, w in plan[4 * epoch : 4 * epoch + 4]]
            )
            living = np.flatnonzero(alive[learner_index].reshape(-1)) + learner_index * 30
            np.testing.assert_array_equal(np.sort(seen), living)
    assert all(weight.sum(1) == pytest.approx([1.0, 1.0]) for _, weight in plan)


def test_a_learner_without_any_living_step_stays_finite():
    one, trajectory = learner(), random_trajectory()
    trajectory.alive[:, :, 1] = False
    share = experience(trajectory, (0, 1, 2), 3, "own")
    learned = update(one, drawn(one, 3), one.initial_moments(3, 3), share, generators(1, 2, 3), 0)
    assert all(np.isfinite(array).all() for array in learned.params.values())


def test_a_bandit_is_learned():
    """Action 2 pays: after a few updates it is almost certain."""
    one = learner(learning_rate={"weights": 0.05})
    params, moments = drawn(one, 2), one.initial_moments(2, 2)
    rng = np.random.default_rng(0)
    actor_names = [name for name in params if name.startswith("actor.")]
    for number in range(30):
        trajectory = random_trajectory(number, agents=2)
        bound = one.actor.policy.bind({name[6:]: params[name] for name in actor_names})
        logits = bound(np.moveaxis(trajectory.observations, 2, 0).reshape(2, -1, 6))
        logits = np.moveaxis(logits.reshape(2, 12, 4, 4), 0, 2)
        actions = (logits + rng.gumbel(size=logits.shape)).argmax(-1)
        log_probs = np.take_along_axis(
            logits - np.log(np.exp(logits).sum(-1, keepdims=True)), actions[..., None], -1
        )[..., 0]
        trajectory.actions[:], trajectory.log_probs[:] = actions, log_probs
        trajectory.rewards[:] = actions == 2
        share = experience(trajectory, (0, 1), 2, "own")
        learned = update(one, params, moments, share, generators(number, number + 99), 0.0)
        params, moments = learned.params, learned.moments
    assert (actions == 2).mean() > 0.9
