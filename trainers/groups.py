"""Groups of agents: who belongs where, and the learner and the seat of each group."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from agents.actor import ActorConfig
from agents.critic import CriticConfig, make_critic
from agents.factory import make_actor
from envs.world import WorldSpec
from qmarl.circuits.noise import SILENT, NoiseConfig
from qmarl.errors import ConfigurationError
from trainers.algorithms.learner import Learner, PPOConfig
from trainers.rollout import Seat

if TYPE_CHECKING:
    from qmarl.types import Params


@dataclass(frozen=True)
class Group:
    """Agents with one kind of actor, one stack of learners and one aggregation.

    Attributes:
        name: The group's name in the configuration.
        members: Indices of its agents on the world's agent axis.
        agents: Their names.
        learner: How they learn.
        stacks: Number of actors that learn, one for each agent or one for all.
        critics: Number of critics: one for each actor, or a central or split one.
        shape: Numbers that the widest agent sees, and the largest number of choices or of numbers
            in an action.
        clients: Name of the federation's client behind each place of the stack.
        sizes: Numbers in each agent's continuous action; empty where actions are choices.
    """

    name: str
    members: tuple[int, ...]
    agents: tuple[str, ...]
    learner: Learner
    stacks: int
    critics: int
    shape: tuple[int, int]
    clients: tuple[str, ...]
    sizes: tuple[int, ...] = ()

    def per_fleet(self, fleets: int) -> Group:
        """The same group with one model for each of ``fleets`` sites."""
        names = tuple(f"fleet_{fleet}" for fleet in range(fleets))
        return replace(self, stacks=fleets, critics=fleets, clients=names)

    @property
    def continuous(self) -> bool:
        """Whether actions are numbers rather than choices."""
        return bool(self.sizes)

    @property
    def seat(self) -> Seat:
        """The acting half of the group."""
        return Seat(self.members, self.learner.actor.policy, *self.shape, self.sizes)


def assign(patterns: Mapping[str, str], agents: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Gives every agent to exactly one group.

    Args:
        patterns: Shell-style pattern of agent names by group name.
        agents: Names of the world's agents.

    Raises:
        ConfigurationError: A group is empty, or an agent is in none or in several groups.

    Example:
        >>> assign({"scouts": "drone_[01]", "rest": "drone_2"}, ("drone_0", "drone_1", "drone_2"))
        {'scouts': (0, 1), 'rest': (2,)}
    """
    groups = {
        group: tuple(i for i, agent in enumerate(agents) if fnmatchcase(agent, pattern))
        for group, pattern in patterns.items()
    }
    for group, members in groups.items():
        if not members:
            raise ConfigurationError(_nobody(group, patterns[group], agents))
    for index, agent in enumerate(agents):
        homes = [group for group, members in groups.items() if index in members]
        if len(homes) != 1:
            raise ConfigurationError(
                f"agents: '{agent}' must be in exactly one group, but is in {homes or 'none'}"
            )
    return groups


def make_groups(
    patterns: Mapping[str, str],
    spec: WorldSpec,
    actor: ActorConfig,
    critic: CriticConfig,
    algorithm: PPOConfig,
    one_model: bool,
    noise: NoiseConfig = SILENT,
) -> dict[str, Group]:
    """Builds every group's learner.

    Args:
        patterns: As in :func:`assign`.
        spec: What is fixed about the world.
        actor: The actors' section.
        critic: The critics' section.
        algorithm: How to learn.
        one_model: Whether a group's agents share one model, rather than each having its own.
        noise: Noise of the actors' circuits.

    Raises:
        ConfigurationError: Agents and groups do not match, or a central critic has no state.
    """
    if critic.kind == "central" and spec.state_size == 0:
        raise ConfigurationError(
            f"critic.kind: 'central' needs a joint state, but the world '{spec.name}' has none; "
            "use 'local'"
        )
    groups = {}
    for name, members in assign(patterns, spec.agents).items():
        observations = max(spec.observation_sizes[i] for i in members)
        sizes = tuple(spec.action_sizes[i] for i in members) if spec.continuous else ()
        actions = max(sizes or [spec.action_counts[i] for i in members])
        learner = Learner(
            make_actor(actor, observations, actions, noise, spec.continuous),
            make_critic(critic, observations, spec.state_size, len(members)),
            algorithm,
            actor.precision,
        )
        names = tuple(spec.agents[i] for i in members)
        clients = (name,) if one_model else names
        groups[name] = Group(
            name=name,
            members=members,
            agents=names,
            learner=learner,
            stacks=len(clients),
            critics=len(clients) if critic.kind == "local" else 1,
            shape=(observations, actions),
            clients=clients,
            sizes=sizes,
        )
    return groups


def actor_params(params: Params) -> Params:
    """The actor's share of a learner's parameters, without the prefix."""
    return {name[6:]: array for name, array in params.items() if name.startswith("actor.")}


def _nobody(group: str, pattern: str, agents: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(pattern, agents, 1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"agents.{group}: '{pattern}' matches no agent of {list(agents)}{hint}"
