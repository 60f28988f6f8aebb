"""What malicious clients send: crafted updates, to test what a strategy is worth.

The attackers know the honest updates of the round and act together, as the literature assumes.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Annotated, ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field

from qmarl.config import Section
from qmarl.types import Array


class Attack(Protocol):
    """Turns what malicious clients learned into what they send."""

    @property
    def clients(self) -> tuple[str, ...]:
        """Names of the malicious clients."""
        ...

    def craft(self, honest: Array, own: Array, rng: np.random.Generator) -> Array:
        """Returns the updates of the malicious clients.

        Args:
            honest: ``(h, d)`` updates of the honest clients, ``h`` at least 1.
            own: ``(f, d)`` what the malicious clients would have sent.
            rng: Source of randomness, named after run and round.

        Returns:
            ``(f, d)`` what they send.
        """
        ...

    def claim(self, examples: Array) -> Array:
        """Returns the numbers of examples ``(f,)`` that they claim."""
        ...


class _Attack(Section):
    """What all attacks have in common."""

    shorthand: ClassVar[str | None] = "kind"

    clients: tuple[str, ...] = Field(min_length=1)
    """Names of the malicious clients."""

    def claim(self, examples: Array) -> Array:
        """The truth."""
        return examples


class SignFlip(_Attack):
    """Sends the opposite of what was learned."""

    kind: Literal["sign_flip"] = "sign_flip"
    """The attack's name in the configuration."""
    scale: float = Field(default=1.0, gt=0)
    """Length of what is sent, in lengths of what was learned."""

    def craft(self, honest: Array, own: Array, rng: np.random.Generator) -> Array:  # noqa: ARG002
        """``-scale * own``."""
        return -self.scale * own


class InnerProduct(_Attack):
    """Inner-product manipulation: turns the mean around (Xie et al. 2019, arXiv:1903.03936)."""

    kind: Literal["inner_product"] = "inner_product"
    """The attack's name in the configuration."""
    scale: float = Field(default=2.0, gt=0)
    """Length of what is sent, in lengths of the honest mean."""

    def craft(self, honest: Array, own: Array, rng: np.random.Generator) -> Array:  # noqa: ARG002
        """``-scale * mean(honest)``."""
        return np.repeat(-self.scale * honest.mean(0, keepdims=True), len(own), 0)


class ALittle(_Attack):
    """A little is enough: hides in the spread (Baruch et al. 2019, arXiv:1902.06156)."""

    kind: Literal["a_little"] = "a_little"
    """The attack's name in the configuration."""
    deviations: float | None = Field(default=None, gt=0)
    """Standard deviations away from the mean; the most that a majority would still support, as in
    the paper, when left out."""

    def craft(self, honest: Array, own: Array, rng: np.random.Generator) -> Array:  # noqa: ARG002
        """``mean(honest) - deviations * std(honest)``, the sample's standard deviation."""
        far = self.deviations or unsuspicious(len(honest), len(own))
        spread = honest.std(0, ddof=1) if len(honest) > 1 else np.zeros_like(honest[0])
        return np.repeat((honest.mean(0) - far * spread)[None], len(own), 0)


class Mimic(_Attack):
    """Copies one honest client, so that it counts for many (Karimireddy et al. 2022)."""

    kind: Literal["mimic"] = "mimic"
    """The attack's name in the configuration."""

    def craft(self, honest: Array, own: Array, rng: np.random.Generator) -> Array:  # noqa: ARG002
        """The first honest update, from everyone."""
        return np.repeat(honest[:1], len(own), 0)


class Gaussian(_Attack):
    """Sends noise."""

    kind: Literal["gaussian"] = "gaussian"
    """The attack's name in the configuration."""
    deviation: float = Field(default=10.0, gt=0)
    """Standard deviation of each number."""

    def craft(self, honest: Array, own: Array, rng: np.random.Generator) -> Array:  # noqa: ARG002
        """Independent noise from each client."""
        return rng.normal(0, self.deviation, own.shape)


class NotANumber(_Attack):
    """Sends what is no finite number."""

    kind: Literal["not_a_number"] = "not_a_number"
    """The attack's name in the configuration."""
    value: Literal["nan", "inf"] = "nan"
    """Which."""

    def craft(self, honest: Array, own: Array, rng: np.random.Generator) -> Array:  # noqa: ARG002
        """The same value everywhere."""
        return np.full_like(own, float(self.value))


class Inflation(_Attack):
    """Sends the opposite of what was learned and claims many examples behind it."""

    kind: Literal["inflation"] = "inflation"
    """The attack's name in the configuration."""
    factor: float = Field(default=1000.0, gt=1)
    """Claimed examples over true ones."""

    def craft(self, honest: Array, own: Array, rng: np.random.Generator) -> Array:  # noqa: ARG002
        """``-own``."""
        return -own

    def claim(self, examples: Array) -> Array:
        """``factor`` times the truth."""
        return (examples * self.factor).astype(np.int64)


ATTACKS = {
    "sign_flip": SignFlip,
    "inner_product": InnerProduct,
    "a_little": ALittle,
    "mimic": Mimic,
    "gaussian": Gaussian,
    "not_a_number": NotANumber,
    "inflation": Inflation,
}
"""Every attack on updates by its name in the configuration."""

AttackConfig = Annotated[
    SignFlip | InnerProduct | ALittle | Mimic | Gaussian | NotANumber | Inflation,
    Field(discriminator="kind"),
]
"""An attack in a configuration: ``{kind: sign_flip, clients: [drone_0]}``."""


def unsuspicious(honest: int, malicious: int) -> float:
    """Most standard deviations at which enough honest clients lie farther out than the attackers.

    With ``n`` clients and ``f`` attackers, ``s = floor(n / 2 + 1) - f`` honest ones have to take
    their side: ``z = quantile((n - f - s) / (n - f))`` of the normal distribution.

    >>> round(unsuspicious(38, 12), 2)
    0.34
    """
    supporters = (honest + malicious) // 2 + 1 - malicious
    share = min(max((honest - supporters) / honest, 0.5), 0.999)
    return max(NormalDist().inv_cdf(share), 1e-3)


def attacked(
    attack: Attack,
    clients: Sequence[str],
    rows: Array,
    examples: Array,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Replaces what the malicious clients send.

    Args:
        attack: What they do.
        clients: Names of all clients.
        rows: ``(n, d)`` what each learned.
        examples: ``(n,)`` behind each.
        rng: Source of randomness.

    Returns:
        What is sent, and the numbers of examples that are claimed. Nothing changes in a round
        without honest clients or without malicious ones.
    """
    bad = np.isin(clients, attack.clients)
    if not bad.any() or bad.all():
        return rows, examples
    sent, claims = rows.copy(), examples.copy()
    sent[bad] = attack.craft(rows[~bad], rows[bad], rng)
    claims[bad] = attack.claim(examples[bad])
    return sent, claims
