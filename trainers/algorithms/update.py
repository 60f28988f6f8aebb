"""One PPO update under way: tensors, optimisers and the flattened rollout of a stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qmarl.errors import ConfigurationError
from qmarl.types import Array, Layout, Params, Role
from trainers.algorithms.adam import Packing, RoleSettings, StackedAdam
from trainers.algorithms.advantages import generalised_advantages, normalised
from trainers.algorithms.judge import make_judge
from trainers.algorithms.layerwise import moving
from trainers.algorithms.learner import Learner, PPOConfig, prefixed, without_prefix
from trainers.algorithms.pilot import make_pilot

if TYPE_CHECKING:
    import torch

    from trainers.algorithms.batch import Experience
    from trainers.split.judge import Exchange

METRICS = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction", "grad_norm")
ACTOR_ROLES: tuple[Role, ...] = ("angles", "scales", "readout", "weights", "log_std")


class Update:
    """One update under way: tensors, optimisers and the flattened rollout."""

    def __init__(
        self,
        learner: Learner,
        params: Params,
        moments: Params,
        experience: Experience,
        progress: float,
        exchange: Exchange | None = None,
    ) -> None:
        import torch

        self._learner = learner
        self._config = learner.config
        self._device = found(learner.device)
        self._dtype = getattr(torch, learner.precision)
        self._entropy = _between(self._config.entropy, self._config.final_entropy, progress)
        rate = _between(1.0, self._config.final_rate, progress)
        self._actor = self._side("actor", learner.actor.layout, params, moments, rate)
        self._critic = self._side("critic", learner.critic.layout, params, moments, rate)
        self.judge = make_judge(learner.critic, self._critic.views, exchange, learner.precision)
        self.pilot = make_pilot(learner.actor, self._actor.views, exchange, learner.precision)
        self._actor.adam.freeze(moving(learner.actor, self._actor.packing, progress))
        self._flatten(experience)

    def _side(
        self, side: str, layout: Layout, params: Params, moments: Params, rate: float
    ) -> _Side:
        packing = Packing.of(layout)
        own = without_prefix(side, params)
        rows = self._tensor(packing.pack(own), self._dtype).requires_grad_()
        settings = _role_settings(self._config, side, rate)
        adam = StackedAdam(packing, rows, without_prefix(side, moments), settings)
        if self._learner.proximal.mu:
            adam.hold(self._learner.proximal.pull(side, packing))
        return _Side(packing, rows, adam)

    def _flatten(self, experience: Experience) -> None:
        advantages, returns = self._judge(experience)
        stacks, steps, streams = experience.alive.shape
        count = stacks * steps * streams

        def flat(array: Array) -> torch.Tensor:
            return self._tensor(array, self._dtype).reshape(count, -1)

        self._observations = flat(experience.observations)
        self._critic_inputs = (
            self._observations
            if experience.critic_inputs is experience.observations
            else flat(experience.critic_inputs)
        )
        self._actions = self._tensor(experience.actions).flatten(0, 2)
        self._log_probs = flat(experience.log_probs)[:, 0]
        self._advantages = flat(advantages)[:, 0]
        self._returns = flat(returns)[:, 0]
        mask = experience.action_mask
        self._forbidden = None if mask is None else self._tensor(~mask).reshape(count, -1)

    def _judge(self, experience: Experience) -> tuple[Array, Array]:
        """Advantages, normalised per learner over its living steps, and the critic's targets."""
        values = self._values(experience.critic_inputs)
        next_values = np.zeros_like(values)
        next_values[:, :-1] = values[:, 1:]
        _bootstrap(next_values, self._values(experience.cut_inputs), experience)
        next_values[experience.terminated] = 0.0
        ends = experience.terminated | experience.truncated | ~experience.alive
        parts = (experience.rewards, values, next_values, ends)
        rewards, now, after, stops = (np.moveaxis(part, 1, 0) for part in parts)
        advantages = generalised_advantages(
            rewards, now, after, stops, self._config.gamma, self._config.gae_lambda
        )
        advantages = np.moveaxis(advantages, 0, 1)
        return normalised(advantages, experience.alive), advantages + values

    def _values(self, inputs: Array) -> Array:
        """Values ``(S, ...)`` of critic inputs ``(S, ..., D)``."""
        import torch

        with torch.no_grad():
            critics = len(self._critic.rows)
            tensor = self._tensor(inputs, self._dtype).reshape(critics, -1, inputs.shape[-1])
            values = self.judge.values(tensor)
        return np.asarray(values.cpu().numpy()).reshape(inputs.shape[:-1])

    def step(self, index: Array, weight: Array) -> list[float]:
        """One gradient step of actors and critics on one minibatch; returns its metrics."""
        index_tensor = self._tensor(index)
        weight_tensor = self._tensor(weight, self._dtype)
        policy, entropy, kl, clipped = self._policy_loss(index_tensor, weight_tensor)
        (policy - self._entropy * entropy).sum().backward()  # type: ignore[no-untyped-call]
        self.pilot.finish()
        norms = self._actor.adam.step()
        value = self._value_loss(index_tensor, weight_tensor)
        value.sum().backward()  # type: ignore[no-untyped-call]
        self.judge.finish()
        self._critic.adam.step()
        parts = (policy, value, entropy, kl, clipped, norms)
        return [float(part.detach().mean()) for part in parts]

    def _policy_loss(self, index: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Clipped surrogate, entropy, divergence and clipped share, each ``(S,)``."""
        import torch

        views = self._actor.views()
        outputs = self.pilot.outputs(self._observations[index])
        forbidden = None if self._forbidden is None else self._forbidden[index]
        log_probs, entropy = self._learner.actor.head.score(
            views, outputs, self._actions[index], forbidden
        )
        log_ratio = log_probs - self._log_probs[index]
        ratio, advantages = log_ratio.exp(), self._advantages[index]
        limit = self._config.clip
        gain = torch.min(ratio * advantages, ratio.clamp(1 - limit, 1 + limit) * advantages)
        with torch.no_grad():
            divergence = ratio - 1 - log_ratio
            outside = ((ratio - 1).abs() > limit).to(weight.dtype)
        return tuple((part * weight).sum(1) for part in (-gain, entropy, divergence, outside))

    def _value_loss(self, index: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Weighted squared error of each critic, ``(C,)``."""
        critics = len(self._critic.rows)
        inputs = self._critic_inputs[index].reshape(critics, -1, self._critic_inputs.shape[1])
        errors = self.judge.values(inputs) - self._returns[index].reshape(critics, -1)
        share = weight.reshape(critics, -1) * (critics / len(weight))
        return (errors.square() * share).sum(1)

    def result(self) -> tuple[Params, Params]:
        """The new parameters and moments as NumPy."""
        sides = {"actor": self._actor, "critic": self._critic}
        params: Params = {}
        moments: Params = {}
        for name, side in sides.items():
            rows = side.rows.detach().cpu().numpy().astype(np.float64)
            params |= prefixed(name, side.packing.unpack(rows))
            moments |= prefixed(name, side.adam.moments())
        return params, moments

    def _tensor(self, array: Array, dtype: torch.dtype | None = None) -> torch.Tensor:
        """An array on the device where this learns."""
        import torch

        return torch.as_tensor(np.ascontiguousarray(array)).to(self._device, dtype)


@dataclass(frozen=True)
class _Side:
    """The actor's or the critic's parameters with their optimiser."""

    packing: Packing
    rows: torch.Tensor
    adam: StackedAdam

    def views(self) -> dict[str, torch.Tensor]:
        """Differentiable views of the parameters by name."""
        return self.packing.views(self.rows)


def found(device: str) -> torch.device:
    """The device of that name.

    Raises:
        ConfigurationError: This process has none.
    """
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigurationError(
            f"device: '{device}', but this process sees no GPU: it takes a GPU, a CUDA build of "
            "PyTorch (make setup TORCH=cuda), and on Ray executor.num_gpus; or device=cpu"
        )
    return torch.device(device)


def _bootstrap(next_values: Array, cut_values: Array, experience: Experience) -> None:
    """Puts the value of what would have come at each cut where its step looks for it."""
    learners = np.arange(len(next_values))[:, None, None]
    place = (learners, experience.cut_steps[None, :, None], experience.cut_streams)
    cut = experience.truncated[place]  # others of the same world may go on
    next_values[place] = np.where(cut, cut_values, next_values[place])


def _role_settings(config: PPOConfig, side: str, rate: float) -> RoleSettings:
    rates, norms = config.learning_rate, config.max_grad_norm
    by_role: dict[Role, float] = {role: getattr(rates, role) * rate for role in ACTOR_ROLES}
    largest: dict[Role, float] = {role: getattr(norms, role) for role in ACTOR_ROLES}
    if side == "critic":
        by_role["weights"], largest["weights"] = rates.critic * rate, norms.critic
    return RoleSettings(by_role, largest)


def _between(start: float, end: float, progress: float) -> float:
    return start + (end - start) * progress
