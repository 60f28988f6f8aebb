"""What a configuration may say about federation, and which sayings contradict each other."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from qmarl.config import Section
from qmarl.federated.aggregators import Aggregator, FedAvg
from qmarl.federated.attacks import AttackConfig
from qmarl.federated.compression import CompressionConfig, Uncompressed
from qmarl.federated.fisher import FisherAvg
from qmarl.federated.participation import Everyone, ParticipationConfig, Trace
from qmarl.federated.staleness import Drop, LateConfig
from qmarl.federated.strategies import AggregatorConfig, Mixing


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
    ``client: fleet``."""
    compression: CompressionConfig = Uncompressed()
    """How clients squeeze what they send: ``none``, ``quantise``, ``top_k`` or ``random_mask``."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        # Compared with the defaults, not with what was written, so that a resolved file loads too.
        if (self.client == "fleet") is not (self.fleets is not None):
            raise ValueError("fleets: belongs to 'client: fleet', and that needs it")
        if self.fleets is not None and self.min_fit_clients > self.fleets:
            raise ValueError(
                f"min_fit_clients: {self.min_fit_clients} of {self.fleets} fleets can never be"
            )
        if self.round_timeout_s is not None and self.client != "fleet":
            raise ValueError("round_timeout_s: belongs to 'client: fleet'")
        if self.informed and self.compression.kind != "none":
            raise ValueError(
                f"compression: '{self.compression.kind}' leaves no Fisher information for "
                "'strategy: fisher'; leave one of them out"
            )
        for name in _MEANINGLESS[self.sharing]:
            default = FederationConfig.model_fields[name].get_default(call_default_factory=True)
            if getattr(self, name) != default:
                raise ValueError(f"{name}: has no meaning with 'sharing: {self.sharing}'")
        return self

    @property
    def informed(self) -> bool:
        """Whether clients send Fisher information with their updates."""
        return isinstance(self.strategy, FisherAvg)

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
)
_MEANINGLESS: dict[str, tuple[str, ...]] = {
    "none": (*_OF_MANY, "share", "compression"),
    "shared": _OF_MANY,
    "federated": (),
}
