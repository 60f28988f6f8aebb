"""The whole experiment as one configuration: each section stands beside what it configures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from agents.actor import ActorConfig
from agents.critic import CriticConfig
from envs.registry import EnvConfig
from qmarl.circuits.noise import NoiseConfig
from qmarl.config import Section, load
from qmarl.federated.config import FederationConfig
from qmarl.secure.transport_config import TransportConfig
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
    shards: int = Field(1, ge=1)
    """Units of work that the episodes of a team, or of each fleet, are cut into. Like
    ``env.shards`` they belong to what is computed: with another number it is another evaluation."""


class ExperimentConfig(Section):
    """Everything that a run needs to be repeated."""

    name: str = Field("experiment", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the run's directory."""
    seed: int = Field(0, ge=0)
    """Root of every random stream."""
    rounds: int = Field(100, ge=1)
    """Rounds of collecting, learning and sharing."""
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    """Where actors and critics learn: ``cpu``, ``cuda``, or ``cuda:<number>``; they act on the
    processor. On Ray give the workers ``executor.num_gpus``."""
    executor: ExecutorConfig = ExecutorConfig()
    env: EnvConfig
    agents: dict[str, str] = Field(default={"all": "*"}, min_length=1)
    """Pattern of agent names by group; each group has its own stack of actors."""
    actor: ActorConfig = ActorConfig()
    noise: NoiseConfig = NoiseConfig()
    critic: CriticConfig = CriticConfig()
    algorithm: PPOConfig = PPOConfig()
    federation: FederationConfig = FederationConfig()
    transport: TransportConfig = TransportConfig()
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
        if self.device != "cpu" and (misfit := self._beside_processor()):
            raise ValueError(f"device: {misfit} runs on the processor alone; use 'cpu'")
        if self.poisoning is not None and self.federation.sharing != "federated":
            raise ValueError("poisoning: malicious clients need 'federation.sharing: federated'")
        privacy = self.federation.privacy
        secret = privacy is not None and privacy.noise_seed == "system"
        if secret and self.logging.checkpoint_every != 1:
            raise ValueError(
                "logging.checkpoint_every: the system's noise cannot be drawn again, so "
                "'federation.privacy.noise_seed: system' needs a checkpoint in every round; "
                "set it to 1"
            )
        self._check_noise()
        self._check_transport()
        return self

    def _check_transport(self) -> None:
        if self.transport.plain:
            return
        if self.federation.sharing == "none":
            raise ValueError("transport: has no meaning with 'federation.sharing: none'")
        for part, kind in (("critic", self.critic.kind), ("actor", self.actor.kind)):
            if kind == "split":
                raise ValueError(
                    f"transport: messages over a split {part}'s cut would travel in clear; "
                    f"take another '{part}.kind', or 'transport: plain'"
                )
        if self.transport.hide_clients and (named := self._named_in_federation()):
            raise ValueError(
                f"transport.hide_clients: the server has to know clients from round to round for "
                f"'federation.{named}'; leave one of them out"
            )
        lines = (self.transport, *self.transport.overrides.values())
        if self.federation.share_schedule and any(line.quantum for line in lines):
            raise ValueError(
                "transport: over quantum links a client may miss a round, and "
                "'federation.share_schedule' needs everybody in every round"
            )

    def _named_in_federation(self) -> str:
        """The first setting that needs the server to know its clients; empty without one."""
        found = self.federation
        needing = {
            "sharing: shared": found.sharing == "shared",
            "secagg": found.secagg is not None,
            "privacy": found.privacy is not None,
            "delays": bool(found.delays),
            "late: discount": found.late.kind != "drop",
            "buffer": found.buffer > 0,
            "round_arrivals": found.asynchronous,
            "replay": found.replay is not None,
            "compression: random_mask": found.compression.kind == "random_mask",
        }
        return next((name for name, there in needing.items() if there), "")

    def _beside_processor(self) -> str:
        """What is asked for that no GPU can do; empty if nothing is."""
        if "split" in (self.critic.kind, self.actor.kind):
            return "split learning"
        if self.actor.backend != "program" or self.actor.sampling != ActorConfig().sampling:
            return "a circuit on a PennyLane device, or with shots,"
        return "" if self.noise.silent else "a circuit with noise"

    def _check_noise(self) -> None:
        if self.noise.silent:
            return
        if self.actor.kind != "vqc":
            raise ValueError(
                f"noise: it acts on 'actor.kind: vqc' alone, not on '{self.actor.kind}'"
            )
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
