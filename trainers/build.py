"""From a configuration to parts that fit together, before round 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from envs.registry import make
from qmarl.config import unknown
from qmarl.errors import ConfigurationError
from qmarl.federated.aggregators import FedAvg, FedProx
from qmarl.federated.config import FederationConfig
from qmarl.federated.share import select
from qmarl.federated.transport import InMemoryChannel
from qmarl.types import Params
from trainers.algorithms.proximal import Proximal
from trainers.config import ExperimentConfig
from trainers.distributed import Executor
from trainers.federation import Federation
from trainers.groups import Group, actor_params, make_groups
from trainers.rollout import Seat
from trainers.rounds import AgentRounds, FleetRounds, Rounds
from trainers.state import TrainingState, initial_state


@dataclass(frozen=True)
class Parts:
    """What a configuration turns into before round 0.

    Attributes:
        config: The experiment.
        groups: The groups of agents by name.
        start: Parameters and moments before round 0.
        federations: The federated layer of each group, empty with ``sharing: none``.
        rollout_steps: Length of a rollout.
    """

    config: ExperimentConfig
    groups: dict[str, Group]
    start: TrainingState
    federations: dict[str, Federation]
    rollout_steps: int

    @property
    def seats(self) -> dict[str, Seat]:
        """The acting half of every group."""
        return {name: group.seat for name, group in self.groups.items()}

    def sites(self, params: Mapping[str, Params]) -> list[dict[str, Params]]:
        """The actors' parameters of each team: one, or one for every fleet.

        Args:
            params: All parameters of every group, ``(S, ...)``.
        """
        actors = {name: actor_params(arrays) for name, arrays in params.items()}
        fleets = self.config.federation.fleets
        if fleets is None:
            return [actors]
        return [
            {
                name: {array: values[fleet : fleet + 1] for array, values in arrays.items()}
                for name, arrays in actors.items()
            }
            for fleet in range(fleets)
        ]


def build(config: ExperimentConfig) -> Parts:
    """Builds world, actors, critics and federation once, so that what does not fit shows now.

    Raises:
        ConfigurationError: Parts of the configuration do not fit together.
    """
    world = make(config.env, 1)
    spec = world.spec
    world.close()
    groups = make_groups(
        config.agents,
        spec,
        config.actor,
        config.critic,
        config.algorithm,
        one_model(config),
        config.noise,
    )
    groups = {name: _held(group, config.federation) for name, group in groups.items()}
    fleets = config.federation.fleets
    if fleets is not None:
        groups = {name: group.per_fleet(fleets) for name, group in groups.items()}
    start = initial_state(groups, config.seed)
    federations = _federations(config, groups, start)
    steps = config.env.rollout_steps or spec.max_steps
    if steps < spec.max_steps:
        raise ConfigurationError(
            f"env.rollout_steps: {steps} is below the {spec.max_steps} steps of an episode of "
            f"'{spec.name}'; worlds start anew every round, so its end would never be seen"
        )
    return Parts(config, groups, start, federations, steps)


def _held(group: Group, federation: FederationConfig) -> Group:
    """Under FedProx, a group whose learners are held near the broadcast."""
    strategy = federation.strategy
    if federation.sharing != "federated" or not isinstance(strategy, FedProx):
        return group
    proximal = Proximal(strategy.proximal_mu, federation.share)
    return replace(group, learner=replace(group.learner, proximal=proximal))


def one_model(config: ExperimentConfig) -> bool:
    """Whether all agents of a group learn one model together."""
    return config.federation.sharing == "shared" or config.federation.client == "fleet"


def _federations(
    config: ExperimentConfig, groups: Mapping[str, Group], start: TrainingState
) -> dict[str, Federation]:
    if config.federation.sharing == "none":
        return {}
    federation, channel = config.federation, InMemoryChannel()
    if federation.sharing == "shared":  # one client: its update is taken as it is
        federation = federation.model_copy(update={"strategy": FedAvg()})
    federations = {}
    _check_named(config, groups)
    for name, group in groups.items():
        _refuse_central(config, group)
        federations[name] = Federation(
            name,
            group.clients,
            group.learner.layout,
            start.params[name],
            federation,
            channel,
            config.seed,
        )
    return federations


def _check_named(config: ExperimentConfig, groups: Mapping[str, Group]) -> None:
    """Refuses settings about someone who is no client of any group."""
    clients = [name for group in groups.values() for name in group.clients]
    named = {f"federation.{where}": names for where, names in config.federation.named.items()}
    if config.poisoning is not None:
        named["poisoning.clients"] = config.poisoning.clients
    for where, names in named.items():
        for name in names:
            if name not in clients:
                raise ConfigurationError(f"{where}: {unknown('client', name, clients)}")


def _refuse_central(config: ExperimentConfig, group: Group) -> None:
    shared = select(group.learner.layout, config.federation.share)
    if group.critics != group.stacks and any(name.startswith("critic.") for name in shared):
        raise ConfigurationError(
            f"federation.share: {list(config.federation.share)} would share the critic, but a "
            f"{config.critic.kind} critic stands apart from the clients; share 'actor.*'"
        )


def make_rounds(parts: Parts, executor: Executor) -> Rounds:
    """Builds what plays the rounds: agents in one set of worlds, or a fleet at each site."""
    config, groups = parts.config, parts.groups
    common = (config.env, groups, executor, config.seed, parts.rollout_steps)
    if config.federation.fleets is not None:
        return FleetRounds(
            *common,
            config.federation.fleets,
            timeout_s=config.federation.round_timeout_s,
            poisoning=config.poisoning,
        )
    return AgentRounds(*common, poisoning=config.poisoning)
