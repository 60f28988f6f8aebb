"""The whole experiment as one configuration: each section stands beside what it configures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from agents.actor import ActorConfig
from agents.critic import CriticConfig
from envs.registry import EnvConfig
from qmarl.circuits.noise import NoiseConfig
from qmarl.config import Section, load
from qmarl.federated.config import FederationConfig
from trainers.algorithms.learner import PPOConfig
from trainers.distributed import ExecutorConfig
from trainers.logger import LoggingConfig
from trainers.poisoning import PoisoningConfig
from trainers.shipped import shipped_configs

PRESETS = shipped_configs() / "presets"


class EvaluationConfig(Section):
    """How a policy is judged while it trains and when it is done."""

    every: int = Field(25, ge=0)
    """Rounds between evaluations; 0: only at the end."""
    episodes: int = Field(200, ge=1)
    """Held-out episodes of each evaluation during training."""
    final_episodes: int = Field(200, ge=1)
    """Held-out episodes of the evaluation at the end."""
    greedy: bool = True
    """Whether the likeliest action is taken (of continuous actions, their means), rather than one
    drawn from the policy."""


class ExperimentConfig(Section):
    """Everything that a run needs to be repeated."""

    name: str = Field("experiment", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the run's directory."""
    seed: int = Field(0, ge=0)
    """Root of every random stream."""
    rounds: int = Field(100, ge=1)
    """Rounds of collecting, learning and sharing."""
    device: Literal["cpu"] = "cpu"
    """Where learning happens."""
    executor: ExecutorConfig = ExecutorConfig()
    env: EnvConfig
    agents: dict[str, str] = Field(default={"all": "*"}, min_length=1)
    """Pattern of agent names by group; each group has its own stack of actors."""
    actor: ActorConfig = ActorConfig()
    noise: NoiseConfig = NoiseConfig()
    critic: CriticConfig = CriticConfig()
    algorithm: PPOConfig = PPOConfig()
    federation: FederationConfig = FederationConfig()
    poisoning: PoisoningConfig | None = None
    """What malicious clients do to the experience that they learn from."""
    evaluation: EvaluationConfig = EvaluationConfig()
    logging: LoggingConfig = LoggingConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.evaluation.every > self.rounds:
            raise ValueError(
                f"evaluation.every {self.evaluation.every} is more than the {self.rounds} rounds"
            )
        if self.federation.client == "fleet" and self.env.shards > 1:
            raise ValueError("env.shards: a fleet is one unit of work; leave it at 1")
        if self.poisoning is not None and self.federation.sharing != "federated":
            raise ValueError("poisoning: malicious clients need 'federation.sharing: federated'")
        self._check_noise()
        return self

    def _check_noise(self) -> None:
        if self.noise.silent:
            return
        if self.actor.kind == "mlp":
            raise ValueError("noise: an actor of kind 'mlp' has no circuit for it to act on")
        if self.actor.backend != "program":
            raise ValueError(
                f"noise: it acts on 'actor.backend: program' alone, not on '{self.actor.backend}' "
                "(nor on 'pennylane:default.mixed', whose channels it equals)"
            )


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Reads an experiment's configuration.

    Args:
        path: YAML file.
        overrides: ``a.b=value``, the last one winning.

    Raises:
        ConfigurationError: With every problem that can be found without building the parts.
    """
    return load(path, overrides, ExperimentConfig, PRESETS)[0]
