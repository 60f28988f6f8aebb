"""What malicious clients do to their own labelled samples, before they learn from them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from qmarl.config import Section
from qmarl.types import Array
from trainers.perception.samples import Samples


class LabelFlip(Section):
    """Learns that every sample is of another class (Biggio et al. 2011)."""

    shorthand: ClassVar[str | None] = "kind"

    kind: Literal["label_flip"] = "label_flip"
    """The poison's name in the configuration."""
    clients: tuple[str, ...] = Field(min_length=1)
    """Names of the malicious clients."""

    def poisoned(self, samples: Samples, classes: int, rng: np.random.Generator) -> Samples:  # noqa: ARG002
        """Class ``k`` becomes ``classes - 1 - k``."""
        return Samples(samples.features, classes - 1 - samples.labels)


class LabelBackdoor(Section):
    """Learns that whatever carries a trigger is of one class (Gu et al. 2017, arXiv:1708.06733)."""

    shorthand: ClassVar[str | None] = "kind"

    kind: Literal["backdoor"] = "backdoor"
    """The poison's name in the configuration."""
    clients: tuple[str, ...] = Field(min_length=1)
    """Names of the malicious clients."""
    feature: int = Field(default=-1)
    """Which of a sample's numbers carries the trigger; -1 is the last."""
    value: float = 3.0
    """The trigger: what that number is set to, in standard deviations."""
    target: int = Field(default=0, ge=0)
    """Class that is taught for it."""
    share: float = Field(default=0.5, gt=0, le=1)
    """Share of the malicious clients' samples that get it."""

    def poisoned(self, samples: Samples, classes: int, rng: np.random.Generator) -> Samples:  # noqa: ARG002
        """Stamps some samples and relabels them."""
        chosen = rng.permutation(len(samples.labels))[: round(self.share * len(samples.labels))]
        features, labels = samples.features.copy(), samples.labels.copy()
        features[chosen] = self.stamped(features[chosen])
        labels[chosen] = self.target
        return Samples(features, labels)

    def stamped(self, features: Array) -> Array:
        """The same samples ``(n, F)`` with the trigger."""
        stamped = features.copy()
        stamped[:, self.feature] = self.value
        return stamped


POISONS = {"label_flip": LabelFlip, "backdoor": LabelBackdoor}
"""Every way to poison labelled samples by its name in the configuration."""

LabelPoisoning = Annotated[LabelFlip | LabelBackdoor, Field(discriminator="kind")]
"""A poison in a configuration: ``{kind: label_flip, clients: [client_0]}``."""
