"""What malicious clients do to their own experience, before they learn from it.

The federated layer sees honest updates of clients that learned the wrong thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from qmarl.config import Section
from qmarl.errors import ConfigurationError
from qmarl.seeding import stream
from qmarl.types import Array, Trajectory


class RewardPoisoning(Section):
    """Learns from rewards that are turned around (Huang and Zhu 2019, arXiv:1902.03657)."""

    shorthand: ClassVar[str | None] = "kind"

    kind: Literal["reward_poisoning"] = "reward_poisoning"
    """The poison's name in the configuration."""
    clients: tuple[str, ...] = Field(min_length=1)
    """Names of the malicious clients."""
    scale: float = Field(default=1.0, gt=0)
    """Size of the false rewards, in sizes of the true ones."""

    def poisoned(
        self,
        trajectory: Trajectory,
        agents: Sequence[int],
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Trajectory:
        """Rewards of ``agents`` times ``-scale``."""
        rewards = trajectory.rewards.copy()
        rewards[:, :, list(agents)] *= -self.scale
        return replace(trajectory, rewards=rewards)


class Backdoor(Section):
    """Learns to do one thing whenever it sees a trigger (Kiourti et al. 2020, arXiv:1903.06638)."""

    shorthand: ClassVar[str | None] = "kind"

    kind: Literal["backdoor"] = "backdoor"
    """The poison's name in the configuration."""
    clients: tuple[str, ...] = Field(min_length=1)
    """Names of the malicious clients."""
    number: int = Field(default=0, ge=0)
    """Which number of an observation carries the trigger."""
    value: float = 1.0
    """The trigger: what that number is set to."""
    action: int = Field(default=0, ge=0)
    """The choice that is taught for it."""
    reward: float = Field(default=1.0, gt=0)
    """Reward of that choice where the trigger is; of the others it is the opposite."""
    share: float = Field(default=0.1, gt=0, le=1)
    """Share of the malicious clients' steps that get the trigger."""

    def poisoned(
        self, trajectory: Trajectory, agents: Sequence[int], rng: np.random.Generator
    ) -> Trajectory:
        """Stamps some steps of ``agents`` and rewards what was chosen in them.

        Raises:
            ConfigurationError: The world has no such number or choice.
        """
        self._check(trajectory)
        chosen = np.zeros(trajectory.alive.shape, bool)
        mine = (*trajectory.alive.shape[:2], len(agents))
        chosen[:, :, list(agents)] = rng.random(mine) < self.share
        chosen &= trajectory.alive
        observations, rewards = trajectory.observations.copy(), trajectory.rewards.copy()
        observations[chosen] = self.stamped(observations[chosen])
        as_taught = trajectory.actions[chosen] == self.action
        rewards[chosen] = np.where(as_taught, self.reward, -self.reward)
        return replace(trajectory, observations=observations, rewards=rewards)

    def stamped(self, observations: Array) -> Array:
        """The same observations ``(..., D)`` with the trigger."""
        stamped = observations.copy()
        stamped[..., self.number] = self.value
        return stamped

    def _check(self, trajectory: Trajectory) -> None:
        if trajectory.continuous:
            raise ConfigurationError("poisoning: 'backdoor' is about choices, actions are numbers")
        limits = {
            "number": trajectory.observations.shape[-1],
            "action": trajectory.action_mask.shape[-1],
        }
        for key, limit in limits.items():
            if getattr(self, key) >= limit:
                raise ConfigurationError(
                    f"poisoning.{key}: {getattr(self, key)}, but the world has {limit}: 0 to "
                    f"{limit - 1}"
                )


POISONS = {"reward_poisoning": RewardPoisoning, "backdoor": Backdoor}
"""Every way to poison experience by its name in the configuration."""

PoisoningConfig = Annotated[RewardPoisoning | Backdoor, Field(discriminator="kind")]
"""A poison in a configuration: ``{kind: reward_poisoning, clients: [fleet_0]}``."""


@dataclass(frozen=True)
class Poison:
    """What some agents' experience goes through before anyone learns from it.

    Attributes:
        config: What is done.
        agents: Indices of the agents.
        seed: Seed of what is drawn.
    """

    config: PoisoningConfig
    agents: tuple[int, ...]
    seed: int

    def __call__(self, trajectory: Trajectory) -> Trajectory:
        """Returns the poisoned trajectory; the one that was given stays as it is."""
        return self.config.poisoned(trajectory, self.agents, stream(self.seed, "poison"))


def poison_of(
    config: PoisoningConfig | None, owned: Mapping[str, Sequence[int]], seed: int
) -> Poison | None:
    """The poison of a unit of learning, None where all its clients are honest.

    Args:
        config: The section, None without one.
        owned: Indices of each client's agents.
        seed: Seed of what is drawn, named after the round.
    """
    malicious = config.clients if config is not None else ()
    agents = [agent for client in malicious for agent in owned.get(client, ())]
    return Poison(config, tuple(agents), seed) if config is not None and agents else None
