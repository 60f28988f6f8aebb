"""What a configuration may say about federation, and which sayings contradict each other."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from qmarl.config import Section
from qmarl.federated.aggregators import Aggregator, FedAvg
from qmarl.federated.attacks import AttackConfig
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

    @model_validator(mode="after")
    def _possible(self) -> Self:
        # Compared with the defaults, not with what was written, so that a resolved file loads too.
        if (self.client == "fleet") is not (self.fleets is not None):
            raise ValueError("fleets: belongs to 'client: fleet', and that needs it")
        if self.fleets is not None and self.min_fit_clients > self.fleets:
            raise ValueError(
                f"min_fit_clients: {self.min_fit_clients} of {self.fleets} fleets can never be"
            )
        for name in _MEANINGLESS[self.sharing]:
            if getattr(self, name) != FederationConfig.model_fields[name].default:
                raise ValueError(f"{name}: has no meaning with 'sharing: {self.sharing}'")
        return self

    def aggregator(self) -> Aggregator:
        """The strategy, with mixing before it where that is asked for."""
        if not self.neighbour_mixing:
            return self.strategy
        return Mixing(self.strategy, self.neighbour_mixing)


_MEANINGLESS: dict[str, tuple[str, ...]] = {
    "none": ("client", "share", "min_fit_clients", "neighbour_mixing", "attack"),
    "shared": ("client", "min_fit_clients", "neighbour_mixing", "attack"),
    "federated": (),
}
