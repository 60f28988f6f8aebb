"""From a configuration to parts that fit together, before round 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from envs.registry import make
from qmarl.config import unknown
from qmarl.errors import ConfigurationError
from qmarl.federated.aggregators import FedAvg, FedProx
from qmarl.federated.config import FederationConfig
from qmarl.federated.transport import InMemoryChannel
from qmarl.types import Params
from trainers.algorithms.proximal import Proximal
from trainers.algorithms.update import found
from trainers.arrivals import Arrivals, AsTheyCome, Replayed, Together
from trainers.config import ExperimentConfig
from trainers.distributed import Executor
from trainers.federation import Federation
from trainers.groups import Group, actor_params, make_groups
from trainers.origin import Origin
from trainers.participation_log import read_script
from trainers.pseudonyms import Mix
from trainers.rollout import Seat
from trainers.rounds import AgentRounds, FleetRounds, Rounds
from trainers.secure_links import Links, make_links
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
        links: What protects the messages of the federations; none where they travel in clear.
    """

    config: ExperimentConfig
    groups: dict[str, Group]
    start: TrainingState
    federations: dict[str, Federation]
    rollout_steps: int
    links: Links | None = None

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


def build(config: ExperimentConfig, origin: Origin | None = None) -> Parts:
    """Builds world, actors, critics and federation once, so that what does not fit shows now.

    Args:
        config: The experiment.
        origin: Parameters to begin with, rather than random ones.

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
    if config.device != "cpu":
        groups = {name: _moved(group, config) for name, group in groups.items()}
    fleets = config.federation.fleets
    if fleets is not None:
        groups = {name: group.per_fleet(fleets) for name, group in groups.items()}
    start = initial_state(groups, config.seed)
    if origin is not None:
        start = origin.begin(start)
    _check_named(config, groups)
    links = _links(config, groups)
    federations = _federations(config, groups, start, links)
    steps = config.env.rollout_steps or spec.max_steps
    if steps < spec.max_steps:
        raise ConfigurationError(
            f"env.rollout_steps: {steps} is below the {spec.max_steps} steps of an episode of "
            f"'{spec.name}'; worlds start anew every round, so its end would never be seen"
        )
    return Parts(config, groups, start, federations, steps, links)


def _held(group: Group, federation: FederationConfig) -> Group:
    """Under FedProx, a group whose learners are held near the broadcast."""
    strategy = federation.strategy
    if federation.sharing != "federated" or not isinstance(strategy, FedProx):
        return group
    proximal = Proximal(strategy.proximal_mu, tuple(federation.shared(group.learner.layout)))
    return replace(group, learner=replace(group.learner, proximal=proximal))


def _moved(group: Group, config: ExperimentConfig) -> Group:
    """A group that learns on another device, which has to be here if it learns here."""
    if config.executor.kind == "inline":
        found(config.device)
    return replace(group, learner=replace(group.learner, device=config.device))


def one_model(config: ExperimentConfig) -> bool:
    """Whether all agents of a group learn one model together."""
    return config.federation.sharing == "shared" or config.federation.client == "fleet"


def _links(config: ExperimentConfig, groups: Mapping[str, Group]) -> Links | None:
    if config.transport.plain:
        return None
    clients = sorted({name for group in groups.values() for name in group.clients})
    return make_links(config.transport, clients, config.seed)


def _mix(config: ExperimentConfig, group: Group) -> Mix | None:
    if not config.transport.hide_clients:
        return None
    return Mix(group.clients, group.name, config.seed)


def _federations(
    config: ExperimentConfig,
    groups: Mapping[str, Group],
    start: TrainingState,
    links: Links | None,
) -> dict[str, Federation]:
    if config.federation.sharing == "none":
        return {}
    federation, channel = config.federation, links.channel if links else InMemoryChannel()
    if federation.sharing == "shared":  # one client: its update is taken as it is
        federation = federation.model_copy(update={"strategy": FedAvg()})
    federations = {}
    privacy = federation.privacy
    source = privacy.source(config.seed) if privacy is not None else None
    models = len(groups) if federation.client == "fleet" else 1
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
            source,
            models,
            lossy=links is not None,
            mix=_mix(config, group),
        )
    return federations


def _check_named(config: ExperimentConfig, groups: Mapping[str, Group]) -> None:
    """Refuses settings about someone who is no client of any group."""
    clients = [name for group in groups.values() for name in group.clients]
    named = {f"federation.{where}": names for where, names in config.federation.named.items()}
    named["transport.overrides"] = tuple(config.transport.overrides)
    if config.poisoning is not None:
        named["poisoning.clients"] = config.poisoning.clients
    for where, names in named.items():
        for name in names:
            if name not in clients:
                raise ConfigurationError(f"{where}: {unknown('client', name, clients)}")


def _refuse_central(config: ExperimentConfig, group: Group) -> None:
    shared = config.federation.shared(group.learner.layout)
    if group.critics != group.stacks and any(name.startswith("critic.") for name in shared):
        raise ConfigurationError(
            f"federation.share: {list(config.federation.share)} would share the critic, but a "
            f"{config.critic.kind} critic stands apart from the clients; share 'actor.*'"
        )


def make_rounds(parts: Parts, executor: Executor) -> Rounds:
    """Builds what plays the rounds: agents in one set of worlds, or a fleet at each site."""
    config, groups = parts.config, parts.groups
    seed, steps = config.seed, parts.rollout_steps
    if config.federation.fleets is not None:
        return FleetRounds(
            config.env,
            groups,
            make_arrivals(config.federation, executor, config.rounds),
            seed,
            steps,
            config.federation.fleets,
            config.rounds,
            poisoning=config.poisoning,
        )
    return AgentRounds(config.env, groups, executor, seed, steps, poisoning=config.poisoning)


def make_arrivals(federation: FederationConfig, executor: Executor, rounds: int) -> Arrivals:
    """Chooses when the fleets' results come.

    Args:
        federation: The section.
        executor: Where the work is done.
        rounds: Rounds of the whole training.

    Raises:
        ConfigurationError: ``replay`` names no record, or one that is too short.
    """
    if federation.replay is not None:
        return Replayed(executor, read_script(Path(federation.replay), rounds))
    if not federation.asynchronous:
        return Together(executor, federation.round_timeout_s)
    return AsTheyCome(
        executor,
        federation.round_arrivals,
        federation.round_timeout_s,
        federation.late.max_staleness,
    )
