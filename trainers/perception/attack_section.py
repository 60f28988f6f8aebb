"""The section that says which strategies an attack table compares, and under which attacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from qmarl.config import Section
from qmarl.federated.attacks import (
    ALittle,
    Gaussian,
    Inflation,
    InnerProduct,
    Mimic,
    NotANumber,
    SignFlip,
)
from qmarl.federated.strategies import AggregatorConfig
from trainers.perception.poisoning import LabelBackdoor, LabelFlip

AnyAttack = Annotated[
    SignFlip
    | InnerProduct
    | ALittle
    | Mimic
    | Gaussian
    | NotANumber
    | Inflation
    | LabelFlip
    | LabelBackdoor,
    Field(discriminator="kind"),
]
"""What malicious clients do to updates or to their own samples; never both."""


class AttackTableConfig(Section):
    """Strategies and attacks, each tried with each."""

    malicious: int = Field(default=3, ge=1)
    """Malicious clients: the first ones, whatever ``clients`` an attack names."""
    strategies: tuple[AggregatorConfig, ...] = ()
    """Strategies, one in each row; when left out, averaging and every robust strategy, told how
    many are malicious."""
    mixing: bool = False
    """Whether each strategy is also shown with nearest-neighbour mixing before it."""
    attacks: tuple[AnyAttack, ...] = ()
    """Attacks on updates or samples, one in each column; all with their usual settings when left
    out."""

    @model_validator(mode="before")
    @classmethod
    def _name_clients(cls, data: Any) -> Any:
        """Lets an attack be a bare word: who is malicious is said by ``malicious``."""
        if not isinstance(data, Mapping) or not isinstance(data.get("attacks"), list | tuple):
            return data
        return {**data, "attacks": tuple(_named(entry) for entry in data["attacks"])}


def _named(entry: Any) -> Any:
    entry = {"kind": entry} if isinstance(entry, str) else entry
    return {"clients": ("client_0",), **entry} if isinstance(entry, Mapping) else entry
