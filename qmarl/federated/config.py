"""What a configuration may say about federation, and which sayings contradict each other."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from qmarl.config import Section
from qmarl.errors import ConfigurationError
from qmarl.federated.aggregators import Aggregator, FedAvg, FedNova
from qmarl.federated.attacks import AttackConfig
from qmarl.federated.compression import CompressionConfig, Uncompressed
from qmarl.federated.fisher import FisherAvg
from qmarl.federated.participation import Everyone, ParticipationConfig, Trace
from qmarl.federated.privacy_config import PrivacyConfig
from qmarl.federated.schedule import ShareRule
from qmarl.federated.secagg import SecureAggregationConfig
from qmarl.federated.share import select
from qmarl.federated.staleness import Drop, LateConfig
from qmarl.federated.strategies import AggregatorConfig, Mixing, MultiKrum
from qmarl.federated.sum_rules import contradictions
from qmarl.types import Layout


class FederationConfig(Section):
    """Who shares what with whom, and how it is joined."""

    sharing: Literal["none", "shared", "federated"] = "federated"
    """``none``: everyone learns alone. ``shared``: one model for each group learns from the pooled
    experience of its agents. ``federated``: clients train their own copies, the server joins them
    by ``strategy``, which the other two do without."""
    client: Literal["agent", "fleet"] = "agent"
    """Each agent is a client, or each fleet: a site with its own worlds and one model."""
    fleets: int | None = Field(default=None, ge=1)
    """Number of fleets; only and always with ``client: fleet``."""
    strategy: AggregatorConfig = FedAvg()
    """The aggregator: ``{kind: fedadam, eta: 0.05}``, or the bare word ``fedadam``."""
    neighbour_mixing: int = Field(default=0, ge=0)
    """Malicious clients that nearest-neighbour mixing is to bear with, before the strategy joins
    the updates; 0 means no mixing."""
    attack: AttackConfig | None = None
    """What malicious clients send, to test a strategy."""
    max_update_norm: float = Field(default=1e6, gt=0)
    """Euclidean norm beyond which an update is refused."""
    share: tuple[str, ...] = Field(("actor.*",), min_length=1)
    """Patterns of the names of the parameters that travel; the rest are personal."""
    personal: tuple[str, ...] = ()
    """Patterns of names that stay at home though ``share`` names them, such as each site's own
    scales and readout, ``["actor.scales", "actor.readout.*"]``."""
    share_schedule: tuple[ShareRule, ...] = ()
    """When parts of them travel, such as deep layers later or in every other round; what no rule
    names travels in every round."""
    min_fit_clients: int = Field(default=1, ge=1)
    """Updates needed in a round; with fewer the old model stays."""
    min_completion_rate_fit: float = Field(default=0.0, ge=0, le=1)
    """Share of the clients that take part in a round whose updates have to come in it; with fewer
    the old model stays."""
    participation: ParticipationConfig = Everyone()
    """Who takes part in a round. The others neither learn nor submit: their personal parameters
    wait for them."""
    delays: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """By client: rounds after which its updates arrive, as a straggler's would. Until then it takes
    part in no other round."""
    late: LateConfig = Drop()
    """What is done with updates of earlier rounds: ``drop``, or ``discount``."""
    buffer: int = Field(default=0, ge=0)
    """Updates that the server collects, over rounds if need be, before each step; 0 means that it
    makes a step in every round."""
    round_timeout_s: float | None = Field(default=None, gt=0)
    """Seconds that the fleets have for a round on ``executor: ray``; what is not there by then
    counts as missing. The first round takes longer, as workers start and compile. Only with
    ``client: fleet``. With ``late: discount`` those who are not there work on, and their updates
    count in the round in which they come."""
    round_arrivals: int | None = Field(default=None, ge=1)
    """Fleets' results that end a round; the other fleets work on, and their updates count in the
    round in which they come. Only with ``client: fleet`` and ``late: discount``, whose
    ``max_staleness`` bounds how long: work that is as old as that is waited for."""
    replay: str | None = None
    """Run, or its ``participation.jsonl``, whose record of who came when is repeated, whatever the
    clock says now; the rest of the configuration has to be that run's. Only with
    ``client: fleet``."""
    compression: CompressionConfig = Uncompressed()
    """How clients squeeze what they send: ``none``, ``quantise``, ``top_k`` or ``random_mask``."""
    privacy: PrivacyConfig | None = None
    """Differential privacy of clients: what each adds to the shared model is clipped and hidden in
    noise, all weigh the same, and the epsilon of all rounds together is counted. Nothing is hidden
    when left out."""
    secagg: SecureAggregationConfig | None = None
    """Secure aggregation: the server learns the sum of the updates and no single one. In clear when
    left out."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        # Compared with the defaults, not with what was written, so that a resolved file loads too.
        if (self.client == "fleet") is not (self.fleets is not None):
            raise ValueError("fleets: belongs to 'client: fleet', and that needs it")
        if self.fleets is not None and self.min_fit_clients > self.fleets:
            raise ValueError(
                f"min_fit_clients: {self.min_fit_clients} of {self.fleets} fleets can never be"
            )
        for name in ("round_timeout_s", "round_arrivals", "replay"):
            if getattr(self, name) is not None and self.client != "fleet":
                raise ValueError(f"{name}: belongs to 'client: fleet'")
        if self.round_arrivals is not None and self.late.kind == "drop":
            raise ValueError(
                "round_arrivals: 'late: drop' has no use for who comes later; add 'late: discount'"
            )
        if self.informed and self.compression.kind != "none":
            raise ValueError(
                f"compression: '{self.compression.kind}' leaves no Fisher information for "
                "'strategy: fisher'; leave one of them out"
            )
        if self.share_schedule and (misfits := self._unscheduled()):
            raise ValueError(
                f"share_schedule: layers that travel at times need everybody in every round, and "
                f"plain updates; leave out {', '.join(misfits)}"
            )
        if contradiction := next(contradictions(self), ""):
            raise ValueError(contradiction)
        for name in _MEANINGLESS[self.sharing]:
            default = FederationConfig.model_fields[name].get_default(call_default_factory=True)
            if getattr(self, name) != default:
                raise ValueError(f"{name}: has no meaning with 'sharing: {self.sharing}'")
        return self

    def _unscheduled(self) -> list[str]:
        """Keys in use that do not go with a schedule."""
        fields = FederationConfig.model_fields
        return [
            name
            for name in _OF_WHOLE_ROUNDS
            if getattr(self, name) != fields[name].get_default(call_default_factory=True)
        ]

    @property
    def asynchronous(self) -> bool:
        """Whether fleets that are not there when a round ends work on."""
        timed = self.round_timeout_s is not None or self.round_arrivals is not None
        return timed and self.late.kind != "drop"

    def shared(self, layout: Layout) -> Layout:
        """Returns the declarations of the parameters that travel, in the layout's order.

        Raises:
            ConfigurationError: A pattern matches nothing, or nothing is left to travel.
        """
        travel = select(layout, self.share)
        home = select(travel, self.personal, "federation.personal")
        if len(home) == len(travel):
            raise ConfigurationError(
                f"federation.personal: {list(self.personal)} keeps all that "
                f"{list(self.share)} shares at home; use 'sharing: none'"
            )
        return {name: spec for name, spec in travel.items() if name not in home}

    @property
    def informed(self) -> bool:
        """Whether clients send Fisher information with their updates."""
        return isinstance(self.strategy, FisherAvg)

    @property
    def stepped(self) -> bool:
        """Whether clients say how many optimiser steps they took."""
        return isinstance(self.strategy, FedNova)

    @property
    def named(self) -> dict[str, tuple[str, ...]]:
        """Names of clients that stand in the section, by the key under which they do."""
        attack, chosen = self.attack, self.participation
        return {
            "attack.clients": attack.clients if attack is not None else (),
            "delays": tuple(self.delays),
            "participation.clients": tuple(chosen.clients) if isinstance(chosen, Trace) else (),
        }

    def shortfall(self, clients: int, strategy_least: int) -> str:
        """Why no round can ever bring enough updates; empty if rounds can.

        Args:
            clients: Number of clients.
            strategy_least: Fewest updates that the strategy can do with.
        """
        strategy = self.strategy
        if isinstance(strategy, MultiKrum) and (strategy.num_clients_to_keep or 0) > clients:
            return (
                f"federation.strategy.num_clients_to_keep: {strategy.num_clients_to_keep} of "
                f"{clients} clients can never be kept"
            )
        most = self.participation.most(clients)
        needed = max(self.min_fit_clients, strategy_least)
        if self.buffer or most >= min(needed, clients):  # more than there are is told elsewhere
            return ""
        return (
            f"federation.participation: {most} of {clients} clients take part in a round, but "
            f"{needed} updates are needed; raise fraction_fit, or collect updates by 'buffer'"
        )

    def aggregator(self) -> Aggregator:
        """The strategy, with mixing before it where that is asked for."""
        if not self.neighbour_mixing:
            return self.strategy
        return Mixing(self.strategy, self.neighbour_mixing)


_OF_WHOLE_ROUNDS = (
    "participation",
    "delays",
    "late",
    "buffer",
    "round_timeout_s",
    "round_arrivals",
    "compression",
    "privacy",
    "secagg",
)
_OF_MANY = (
    "client",
    "min_fit_clients",
    "min_completion_rate_fit",
    "neighbour_mixing",
    "attack",
    "participation",
    "delays",
    "late",
    "buffer",
    "share_schedule",
    "privacy",
    "secagg",
)
_MEANINGLESS: dict[str, tuple[str, ...]] = {
    "none": (*_OF_MANY, "share", "personal", "compression"),
    "shared": _OF_MANY,
    "federated": (),
}
