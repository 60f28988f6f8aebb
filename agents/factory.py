"""Makes actors, quantum and classical, from their section."""

from __future__ import annotations

from agents.actor import Actor, ActorConfig
from agents.baseline import twin_widths
from agents.circuit_actor import circuit_actor
from agents.mlp_actor import MLPActor
from agents.networks import parameter_count
from qmarl.circuits.noise import SILENT, NoiseConfig
from qmarl.errors import ConfigurationError


def make_actor(
    config: ActorConfig, n_observations: int, n_actions: int, noise: NoiseConfig = SILENT
) -> Actor:
    """Builds the actor that ``config`` describes.

    Args:
        config: The actor's section.
        n_observations: Numbers ``D`` that the widest agent sees.
        n_actions: Largest number ``N`` of actions.
        noise: Noise of the circuit.

    Raises:
        ConfigurationError: The circuit cannot hold that many inputs, cannot be built, or there is
            none for the noise to act on.
    """
    if config.kind == "vqc":
        return circuit_actor(config, n_observations, n_actions, noise)
    if not noise.silent:
        raise ConfigurationError("noise: an actor of kind 'mlp' has no circuit for it to act on")
    hidden = config.hidden
    if hidden is None:
        twin = circuit_actor(config.model_copy(update={"kind": "vqc"}), n_observations, n_actions)
        hidden = twin_widths(n_observations, n_actions, parameter_count(twin.layout))
    return MLPActor((n_observations, *hidden, n_actions), config.precision)


def twin_parameter_count(config: ActorConfig, n_observations: int, n_actions: int) -> int:
    """Parameter count of the actor of the other kind, for the report."""
    other = "mlp" if config.kind == "vqc" else "vqc"
    update = {"kind": other, "hidden": None}
    twin = make_actor(config.model_copy(update=update), n_observations, n_actions)
    return parameter_count(twin.layout)
