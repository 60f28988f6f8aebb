"""Makes actors, quantum and classical, from their section."""

from __future__ import annotations

from agents.actor import Actor, ActorConfig
from agents.baseline import twin_widths
from agents.branches import make_body, make_branch
from agents.circuit_actor import circuit_actor
from agents.heads import CATEGORICAL, GaussianHead, Head
from agents.mlp_actor import MLPActor
from agents.networks import parameter_count
from agents.split_actor import SplitActor
from qmarl.circuits.noise import SILENT, NoiseConfig
from qmarl.errors import ConfigurationError
from qmarl.federated.split import Guard


def make_actor(
    config: ActorConfig,
    n_observations: int,
    n_actions: int,
    noise: NoiseConfig = SILENT,
    continuous: bool = False,
) -> Actor:
    """Builds the actor that ``config`` describes.

    Args:
        config: The actor's section.
        n_observations: Numbers ``D`` that the widest agent sees.
        n_actions: Largest number ``N`` of choices, or of numbers in a continuous action.
        noise: Noise of the circuit.
        continuous: Whether actions are numbers in [-1, 1] rather than choices.

    Raises:
        ConfigurationError: The circuit cannot hold that many inputs, cannot be built, has a
            readout that does not fit the actions, or there is none for the noise to act on.
    """
    head = _head(config, n_actions, continuous)
    if config.kind == "vqc":
        return circuit_actor(config, n_observations, n_actions, noise, head)
    if not noise.silent:
        raise ConfigurationError(f"noise: it does not act on an actor of kind '{config.kind}'")
    if config.kind == "split":
        return _split_actor(config, n_observations, n_actions, head)
    hidden = config.hidden
    if hidden is None:  # what a head adds is the same for both
        twin = circuit_actor(config.model_copy(update={"kind": "vqc"}), n_observations, n_actions)
        hidden = twin_widths(n_observations, n_actions, parameter_count(twin.layout))
    return MLPActor((n_observations, *hidden, n_actions), config.precision, head)


def _split_actor(config: ActorConfig, n_observations: int, n_actions: int, head: Head) -> Actor:
    split = config.split
    branch = make_branch(split, n_observations, "actor.split")
    return SplitActor(
        branch,
        make_body(split, branch.features),
        n_actions,
        config.precision,
        split.last_layer == "agent",
        Guard(split.clipping_norm, split.noise_multiplier),
        head,
    )


def twin_parameter_count(
    config: ActorConfig, n_observations: int, n_actions: int, continuous: bool = False
) -> int:
    """Parameter count of the actor of the other kind, for the report."""
    other = "mlp" if config.kind == "vqc" else "vqc"
    update = {"kind": other, "hidden": None}
    twin = make_actor(
        config.model_copy(update=update), n_observations, n_actions, continuous=continuous
    )
    return parameter_count(twin.layout)


def _head(config: ActorConfig, n_actions: int, continuous: bool) -> Head:
    if not continuous:
        return CATEGORICAL
    circuit = config.kind == "vqc" or (config.kind == "mlp" and config.hidden is None)
    if circuit and config.circuit.readout.kind == "probabilities":
        raise ConfigurationError(
            "actor.circuit.readout: 'probabilities' are those of outcomes to choose from, but this "
            "world's actions are continuous, and their means are expectation values; use 'z' or "
            "'z_pairs'"
        )
    return GaussianHead(n_actions, config.log_std)
