import numpy as np
import pytest

from envs.registry import make
from qmarl.errors import ConfigurationError
from trainers.build import build
from trainers.groups import actor_params, assign, make_groups

DRONES = ("drone_0", "drone_1", "drone_2")


def test_every_agent_gets_one_group_in_the_worlds_order():
    assert assign({"all": "*"}, DRONES) == {"all": (0, 1, 2)}
    assert assign({"b": "drone_[12]", "a": "drone_0"}, DRONES) == {"b": (1, 2), "a": (0,)}
    assert assign({"odd": "*_1", "even": "*[!1]"}, DRONES) == {"odd": (1,), "even": (0, 2)}


def test_patterns_know_capital_letters():
    with pytest.raises(ConfigurationError, match="matches no agent"):
        assign({"all": "DRONE*"}, DRONES)


@pytest.mark.parametrize(
    ("patterns", "words"),
    [
        ({"a": "drone_0"}, r"'drone_1' must be in exactly one group, but is in none"),
        ({"a": "*", "b": "drone_2"}, r"'drone_2' must be .* but is in \['a', 'b'\]"),
        ({"a": "*", "b": "dron_1"}, r"agents.b: 'dron_1' .* did you mean 'drone_1'\?"),
        ({"a": "*", "b": "%"}, r"agents.b: '%' matches no agent of \['drone_0', .*\]$"),
    ],
)
def test_a_wrong_assignment_is_one_clear_sentence(patterns, words):
    with pytest.raises(ConfigurationError, match=words):
        assign(patterns, DRONES)


@pytest.mark.parametrize(
    ("overrides", "stacks", "critics", "clients"),
    [
        ((), 2, 2, ("drone_0", "drone_1")),
        (("critic.kind=central",), 2, 1, ("drone_0", "drone_1")),
        (("federation.sharing=shared",), 1, 1, ("all",)),
        (("federation.sharing=none",), 2, 2, ("drone_0", "drone_1")),
        (
            ("federation.client=fleet", "federation.fleets=3", "env.shards=1"),
            3,
            3,
            ("fleet_0", "fleet_1", "fleet_2"),
        ),
    ],
)
def test_stacks_critics_and_clients_follow_from_the_sharing(
    small, overrides, stacks, critics, clients
):
    parts = build(small("actor.kind=mlp", "actor.hidden=[3]", *overrides))
    group = parts.groups["all"]
    assert (group.stacks, group.critics, group.clients) == (stacks, critics, clients)
    assert group.agents == ("drone_0", "drone_1")
    assert group.shape == (12, 7)
    for name, array in parts.start.params["all"].items():
        assert len(array) == (critics if name.startswith("critic.") else stacks)


def test_learners_start_from_streams_of_their_own(small):
    groups = "agents={a: drone_0, b: drone_1}"
    start = build(small("actor.kind=mlp", "actor.hidden=[3]", groups)).start
    again = build(small("actor.kind=mlp", "actor.hidden=[3]", groups)).start
    other = build(small("actor.kind=mlp", "actor.hidden=[3]", groups, "seed=1")).start
    one, two = start.params["a"]["actor.w0"], start.params["b"]["actor.w0"]
    assert (one != two).all()
    assert (one == again.params["a"]["actor.w0"]).all()
    assert (one != other.params["a"]["actor.w0"]).all()


def test_a_central_critic_needs_a_joint_state(small):
    config = small("critic.kind=central")
    spec = make(config.env, 1).spec
    blind = spec.__class__(**{**vars(spec), "state_size": 0})
    sections = (config.actor, config.critic, config.algorithm, False)
    with pytest.raises(ConfigurationError, match="'central' needs a joint state"):
        make_groups(config.agents, blind, *sections)


def test_actor_params_are_the_actors_alone():
    params = {"actor.angles": np.ones(2), "critic.w0": np.ones(3)}
    assert list(actor_params(params)) == ["angles"]
