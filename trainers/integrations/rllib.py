"""RLlib: trained actors as its modules, to act in its worlds or to learn on (extra ``rllib``)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qmarl.errors import ConfigurationError
from qmarl.types import Array, Params

if TYPE_CHECKING:
    from trainers.build import Parts
    from trainers.groups import Group


def export(run: Path, fleet: int = 0) -> dict[str, Any]:
    """Makes an ``RLModule`` of every agent's best actor.

    Its forward passes give RLlib's ``action_dist_inputs``: logits of choices, or means and
    logarithms of standard deviations. Its parameters are torch parameters, so RLlib's algorithms
    can go on learning with it. The critic stays behind; algorithms that need one bring their own.
    Parameters that all agents of a group share are copied into the module of each.

    Args:
        run: The run's directory.
        fleet: Which fleet's parameters, where fleets are the clients.

    Returns:
        Modules by agent, ``ray.rllib.core.rl_module.torch.TorchRLModule``.

    Raises:
        RunError: The directory is not a run, or has no usable checkpoint.
        ConfigurationError: There is no such fleet.
    """
    from qmarl import checkpoint as checkpoints
    from trainers.build import build
    from trainers.config import ExperimentConfig
    from trainers.rundir import RunDirectory
    from trainers.state import TrainingState

    directory = RunDirectory.open(run)
    parts = build(directory.config(ExperimentConfig))
    state = TrainingState.from_checkpoint(checkpoints.load(directory.checkpoints, "best"))
    teams = parts.sites(state.params)
    if not 0 <= fleet < len(teams):
        raise ConfigurationError(f"rllib: the run has fleets 0 to {len(teams) - 1}, not {fleet}")
    return {
        agent: _module(parts, group, place, teams[fleet][group.name])
        for group in parts.groups.values()
        for place, agent in enumerate(group.agents)
    }


def _module(parts: Parts, group: Group, place: int, params: Params) -> Any:
    from envs.registry import make

    world = make(parts.config.env, 1)
    index = group.members[place]
    counts = world.spec.action_sizes if group.continuous else world.spec.action_counts
    sees = world.spec.observation_sizes[index]
    world.close()
    row = place if len(next(iter(params.values()))) > 1 else 0
    observations, actions = _spaces(sees, counts[index], group.continuous)
    module = module_class()(
        observation_space=observations,
        action_space=actions,
        model_config={
            "actor": parts.config.actor.model_dump_json(),
            "noise": parts.config.noise.model_dump_json(),
            "shape": list(group.shape),
            "continuous": group.continuous,
        },
    )
    module.take({name: array[row] for name, array in params.items()})
    return module


def _spaces(sees: int, actions: int, continuous: bool) -> tuple[Any, Any]:
    from gymnasium.spaces import Box, Discrete

    observations = Box(-np.inf, np.inf, (sees,), np.float32)
    acts = Box(-1.0, 1.0, (actions,), np.float32) if continuous else Discrete(actions)
    return observations, acts


@lru_cache(maxsize=1)
def module_class() -> Any:
    """Returns the class of the modules; made here, because its base is RLlib's."""
    import torch
    from ray.rllib.core.columns import Columns
    from ray.rllib.core.rl_module.torch import TorchRLModule

    from agents.actor import ActorConfig
    from agents.factory import make_actor
    from agents.heads import LOG_STD
    from qmarl.circuits.noise import NoiseConfig

    class ActorModule(TorchRLModule):
        """An actor behind RLlib's interface."""

        def setup(self) -> None:
            """Builds the actor from plain data, with parameters to be overwritten."""
            told: Any = self.model_config
            space: Any = self.action_space
            actor = ActorConfig.model_validate_json(told["actor"])
            noise = NoiseConfig.model_validate_json(told["noise"])
            self._width, widest = told["shape"]
            self._actor = make_actor(actor, self._width, widest, noise, told["continuous"])
            self._acts = int(space.shape[0] if told["continuous"] else space.n)
            self._dtype = getattr(torch, actor.precision)
            first = self._actor.initial(np.random.default_rng(0))
            self.weights = torch.nn.ParameterDict(
                {
                    _key(name): torch.as_tensor(array).to(self._dtype)
                    for name, array in first.items()
                }
            )

        def take(self, params: Mapping[str, Array]) -> None:
            """Overwrites the parameters."""
            with torch.no_grad():
                for name, array in params.items():
                    self.weights[_key(name)].copy_(torch.as_tensor(array))

        def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
            seen = batch[Columns.OBS].to(self._dtype)
            seen = torch.nn.functional.pad(seen, (0, self._width - seen.shape[-1]))
            params = {n: self.weights[_key(n)].unsqueeze(0) for n in self._actor.layout}
            outputs = self._actor.outputs(params, seen.unsqueeze(0))[0, :, : self._acts]
            if LOG_STD in self._actor.layout:
                spread = self.weights[_key(LOG_STD)][: self._acts].expand_as(outputs)
                outputs = torch.cat([outputs, spread], -1)
            return {Columns.ACTION_DIST_INPUTS: outputs}

    return ActorModule


def _key(name: str) -> str:
    """Torch allows no dots in the names of parameters."""
    return name.replace(".", "__")
