"""Poisoned experience: what is changed, whose, and that nobody else learns otherwise."""

from dataclasses import fields, replace

import numpy as np
import pytest

from qmarl.errors import ConfigurationError
from trainers.arrivals import Together
from trainers.build import build
from trainers.distributed import InlineExecutor
from trainers.poisoning import POISONS, Backdoor, Poison, RewardPoisoning, poison_of
from trainers.rollout import Shard, collect
from trainers.rounds import AgentRounds, FleetRounds

FLEETS = ("federation.client=fleet", "federation.fleets=3", "env.shards=1", "env.num_envs=2")


@pytest.fixture
def trajectory(small):
    parts = build(small())
    shard = Shard(parts.config.env, 4, 0, parts.rollout_steps, parts.seats, 0, 0)
    return collect(shard, parts.sites(parts.start.params)[0])


def changed(before, after):
    names = [field.name for field in fields(before) if field.name != "episodes"]
    return {name for name in names if (getattr(before, name) != getattr(after, name)).any()}


def test_poisoned_rewards_are_turned_around_for_the_malicious_alone(trajectory):
    poison = Poison(RewardPoisoning(clients=("drone_1",), scale=2.0), (1,), 0)
    poisoned = poison(trajectory)
    np.testing.assert_array_equal(poisoned.rewards[:, :, 1], -2 * trajectory.rewards[:, :, 1])
    np.testing.assert_array_equal(poisoned.rewards[:, :, 0], trajectory.rewards[:, :, 0])
    assert changed(trajectory, poisoned) == {"rewards"}
    assert poisoned.rewards.dtype == trajectory.rewards.dtype


def test_a_backdoor_rewards_its_action_where_its_trigger_is(trajectory):
    backdoor = Backdoor(clients=("drone_0",), number=3, value=0.77, action=2, reward=4.0, share=0.5)
    poisoned = Poison(backdoor, (0,), 0)(trajectory)
    assert changed(trajectory, poisoned) == {"observations", "rewards"}
    stamped = poisoned.observations[..., 3] == np.float32(0.77)
    assert not stamped[:, :, 1].any()
    assert not (stamped & ~trajectory.alive).any()
    share = stamped[:, :, 0].sum() / trajectory.alive[:, :, 0].sum()
    assert 0.3 < share < 0.7
    expected = np.where(trajectory.actions[stamped] == 2, 4.0, -4.0)
    np.testing.assert_array_equal(poisoned.rewards[stamped], expected)
    np.testing.assert_array_equal(poisoned.rewards[~stamped], trajectory.rewards[~stamped])
    rest = [0, 1, 2, *range(4, trajectory.observations.shape[-1])]
    np.testing.assert_array_equal(
        poisoned.observations[..., rest], trajectory.observations[..., rest]
    )


@pytest.mark.parametrize(
    ("backdoor", "complaint"),
    [
        (Backdoor(clients=("a",), number=12), r"poisoning.number: 12, but the world has 12"),
        (Backdoor(clients=("a",), action=7), r"poisoning.action: 7, but the world has 7: 0 to 6"),
    ],
)
def test_a_backdoor_that_the_world_has_no_room_for_is_refused(trajectory, backdoor, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        Poison(backdoor, (0,), 0)(trajectory)


def test_a_backdoor_needs_choices(trajectory):
    numbers = replace(trajectory, actions=np.zeros(trajectory.action_mask.shape, np.float32))
    with pytest.raises(ConfigurationError, match="about choices"):
        Poison(Backdoor(clients=("a",)), (0,), 0)(numbers)


def test_the_same_seed_stamps_the_same_steps(trajectory):
    backdoor = Backdoor(clients=("drone_0",), share=0.2)
    first, again, other = (Poison(backdoor, (0, 1), seed)(trajectory) for seed in (1, 1, 2))
    assert (first.rewards == again.rewards).all()
    assert (first.rewards != other.rewards).any()


def test_only_clients_that_are_named_are_poisoned():
    owned = {"fleet_0": (0, 1), "fleet_1": (0, 1)}
    config = RewardPoisoning(clients=("fleet_1", "fleet_7"))
    assert poison_of(None, owned, 0) is None
    assert poison_of(config, {"fleet_0": (0, 1)}, 0) is None
    assert poison_of(config, owned, 5) == Poison(config, (0, 1), 5)


@pytest.mark.parametrize("kind", list(POISONS))
def test_malicious_fleets_learn_otherwise_and_honest_ones_as_before(small, kind):
    parts = build(small(*FLEETS))
    arrivals = Together(InlineExecutor())
    common = (parts.config.env, parts.groups, arrivals, 0, parts.rollout_steps, 3)
    poisoning = POISONS[kind](clients=("fleet_1",))
    state = (parts.start.params, parts.start.moments, 0, 0.0)
    clean = FleetRounds(*common).play(*state)
    poisoned = FleetRounds(*common, poisoning=poisoning).play(*state)
    assert different(clean, poisoned) == [1]
    assert (poisoned.episodes["return"] == clean.episodes["return"]).all()  # what really happened


def test_malicious_agents_learn_otherwise_and_honest_ones_as_before(small):
    parts = build(small())
    common = (parts.config.env, parts.groups, InlineExecutor(), 0, parts.rollout_steps)
    poisoning = RewardPoisoning(clients=("drone_0",))
    state = (parts.start.params, parts.start.moments, 0, 0.0)
    clean = AgentRounds(*common).play(*state)
    poisoned = AgentRounds(*common, poisoning=poisoning).play(*state)
    assert different(clean, poisoned) == [0]


def different(one, other):
    """Places of the stack whose actors are not the same."""
    pairs = [
        (one.learned["all"].params[name], other.learned["all"].params[name])
        for name in one.learned["all"].params
        if name.startswith("actor.")
    ]
    places = range(len(pairs[0][0]))
    return [place for place in places if any((a[place] != b[place]).any() for a, b in pairs)]
