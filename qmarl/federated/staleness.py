"""What becomes of updates that come in a later round than that of the model they began from."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Protocol

from pydantic import Field

from qmarl.config import Section


class Late(Protocol):
    """A policy towards late updates."""

    @property
    def max_staleness(self) -> int:
        """Greatest number of rounds that an update may be late."""
        ...

    def weight(self, staleness: int) -> float:
        """Factor of an update that began ``staleness`` steps of the server ago; 1 for none."""
        ...


class Drop(Section):
    """An update counts in its own round or not at all."""

    shorthand: ClassVar[str | None] = "kind"

    kind: Literal["drop"] = "drop"
    """What is done with late updates."""

    @property
    def max_staleness(self) -> int:
        """0: none may be late."""
        return 0

    def weight(self, staleness: int) -> float:  # noqa: ARG002 - what is left is fresh
        """1."""
        return 1.0


class Discount(Section):
    """A late update counts less (FedAsync's polynomial, Xie et al. 2019, arXiv:1903.03934)."""

    shorthand: ClassVar[str | None] = "kind"

    kind: Literal["discount"] = "discount"
    """What is done with late updates."""
    exponent: float = Field(default=0.5, ge=0)
    """``a`` in the factor ``(1 + s)^-a`` of an update's delta, where ``s`` is the number of steps
    that the server made since it sent the model; 0 means no discount."""
    max_staleness: int = Field(default=10, ge=1)
    """Rounds that an update may be late; later ones are refused."""

    def weight(self, staleness: int) -> float:
        """``(1 + staleness)^-exponent``.

        >>> Discount().weight(3)
        0.5
        """
        return float((1.0 + staleness) ** -self.exponent)


LATE = {"drop": Drop, "discount": Discount}
"""Every policy towards late updates by its name in the configuration."""

LateConfig = Annotated[Drop | Discount, Field(discriminator="kind")]
"""A policy in a configuration: ``{kind: discount, exponent: 1}``, or the bare word."""
