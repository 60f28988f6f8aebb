"""A description of what is trained, for people: parameter counts, twins and the circuit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from agents.actor import ActorConfig
from agents.circuit_actor import CircuitActor
from agents.factory import twin_parameter_count
from agents.networks import parameter_count
from qmarl.types import Layout
from trainers.config import ExperimentConfig
from trainers.groups import Group


def describe(groups: Mapping[str, Group], actor: ActorConfig) -> dict[str, Any]:
    """Describes every group's actor and critic as plain data.

    Args:
        groups: The groups by name.
        actor: The actors' section.
    """
    return {name: _group(group, actor) for name, group in groups.items()}


def _group(group: Group, config: ActorConfig) -> dict[str, Any]:
    learner = group.learner
    actor, (inputs, actions) = learner.actor, group.shape
    described: dict[str, Any] = {
        "agents": list(group.agents),
        "models": group.stacks,
        "actor": {
            "kind": config.kind,
            "backend": config.backend if config.kind == "vqc" else "numpy",
            "parameters": parameter_count(actor.layout),
            "by_role": by_role(actor.layout),
        },
        "twin": _twin(config, group),
        "critic": {
            "kind": learner.critic.kind,
            "sizes": list(learner.critic.sizes),
            "parameters": parameter_count(learner.critic.layout),
        },
        "inputs": inputs,
        "actions": actions,
        "continuous": group.continuous,
    }
    if isinstance(actor, CircuitActor):
        described["measurement"] = actor.measurement
        described["circuit"] = {**asdict(actor.circuit.describe()), "drawing": actor.circuit.draw()}
    return described


def _twin(config: ActorConfig, group: Group) -> dict[str, Any] | None:
    if config.kind == "split" or (config.kind == "mlp" and config.hidden is not None):
        return None  # widths of one's own match no circuit; none need even fit this world
    kind = "mlp" if config.kind == "vqc" else "vqc"
    count = twin_parameter_count(config, *group.shape, group.continuous)
    return {"kind": kind, "parameters": count}


def headline(config: ExperimentConfig, model: Mapping[str, Any]) -> dict[str, str]:
    """Short facts by label, to show before training.

    Args:
        config: The experiment.
        model: As :func:`describe` returns it.
    """
    federation = config.federation
    facts = {"world": f"{config.env.id}, {config.env.num_envs} copies"}
    for name, group in model.items():
        actor, twin, critic = group["actor"], group["twin"], group["critic"]
        beside = f" ({twin['kind']} twin: {twin['parameters']})" if twin else ""
        facts[f"{name}: actor"] = (
            f"{len(group['agents'])} agents, {group['models']} x {actor['kind']} with "
            f"{actor['parameters']} parameters{beside}"
        )
        facts[f"{name}: critic"] = f"{critic['kind']}, {critic['parameters']} parameters"
    joined = f", {federation.strategy.kind} of {', '.join(federation.share)}"
    facts["sharing"] = federation.sharing + (joined if federation.sharing == "federated" else "")
    facts["executor"] = config.executor.kind
    return facts


def by_role(layout: Layout) -> dict[str, int]:
    """Number of parameters of each role."""
    roles = {spec.role for spec in layout.values()}
    return {
        role: parameter_count({n: s for n, s in layout.items() if s.role == role})
        for role in sorted(roles)
    }
