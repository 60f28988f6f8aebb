"""What the configuration file of a federated classifier says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from qmarl.circuits import CircuitConfig
from qmarl.circuits.ansatz import AnsatzConfig
from qmarl.circuits.builtin import MAX_QUBITS
from qmarl.circuits.encoding import EncodingConfig
from qmarl.config import Section, load, unknown
from qmarl.federated.config import FederationConfig
from trainers.config import PRESETS
from trainers.perception.attack_section import AttackTableConfig
from trainers.perception.poisoning import LabelBackdoor, LabelPoisoning
from trainers.perception.samples import CLASSES


class IidSplit(Section):
    """Samples are dealt out at random, to every client as many."""

    shorthand: ClassVar[str | None] = "kind"

    kind: Literal["iid"] = "iid"
    """The split's name in the configuration."""


class DirichletSplit(Section):
    """Every client has its own mixture of classes (Hsu et al. 2019, arXiv:1909.06335)."""

    shorthand: ClassVar[str | None] = "kind"

    kind: Literal["dirichlet"] = "dirichlet"
    """The split's name in the configuration."""
    alpha: float = Field(default=0.5, gt=0)
    """Evenness of each class over the clients: 0.1 is very uneven, 100 nearly i.i.d."""


SplitConfig = Annotated[IidSplit | DirichletSplit, Field(discriminator="kind")]
"""How samples are divided among clients: a bare word, or a map with the split's keys."""


class DataConfig(Section):
    """Which samples there are, and who has them."""

    kind: Literal["wdbc"] = "wdbc"
    """Wisconsin's diagnostic breast cancer data, as scikit-learn ships it: 569 samples of 30
    numbers, two classes."""
    test_share: float = Field(default=0.25, gt=0, lt=1)
    """Share of the samples that nobody learns from; the same ones whatever the seed."""
    split: SplitConfig = IidSplit()
    """How the others are divided among the clients: ``iid``, or ``{kind: dirichlet, alpha: 0.5}``
    for clients that differ."""


class ClassifierConfig(Section):
    """The circuit, and how a client trains it on its own samples (with Adam, anew each round)."""

    qubits: int = Field(default=4, ge=2, le=MAX_QUBITS)
    """Qubits, and principal components of the data, one on each, as two angles."""
    layers: int = Field(default=2, ge=1)
    """Number of ansatz layers."""
    reupload: bool = False
    """Whether the data enter again with every layer."""
    ansatz: AnsatzConfig = AnsatzConfig()
    """The trainable layers."""
    logit_scale: float = Field(default=4.0, gt=0)
    """Factor from expectation values to logits."""
    learning_rate: float = Field(default=0.05, gt=0)
    """Learning rate of the angles."""
    epochs: int = Field(default=1, ge=1)
    """Passes over a client's samples in a round."""
    minibatches: int = Field(default=6, ge=1)
    """Parts of a pass, one optimiser step each; every client takes as many."""

    @property
    def circuit(self) -> CircuitConfig:
        """The circuit as the actors' section would describe it."""
        return CircuitConfig(
            qubits=self.qubits,
            layers=self.layers,
            reupload=self.reupload,
            encoding=EncodingConfig(rotations="yz"),
            ansatz=self.ansatz,
        )


class ClassificationConfig(Section):
    """A federated classifier, for ``qmarl federated classify`` and ``attack-table``."""

    name: str = Field("classifier", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the experiment."""
    seeds: tuple[int, ...] = Field((0, 1, 2, 3, 4), min_length=1)
    """Roots of the random streams; every seed is a run of its own."""
    rounds: int = Field(15, ge=1)
    """Rounds of learning and sharing."""
    clients: int = Field(10, ge=1)
    """Number of clients, called ``client_0`` and so on."""
    data: DataConfig = DataConfig()
    classifier: ClassifierConfig = ClassifierConfig()
    federation: FederationConfig = FederationConfig()
    """As in any experiment; ``sharing``, ``client`` and ``share`` have no meaning here, since all
    of the classifier is shared by clients that each have their own samples."""
    poisoning: LabelPoisoning | None = None
    """What malicious clients do to their own samples."""
    attack_table: AttackTableConfig = AttackTableConfig()

    @property
    def client_names(self) -> tuple[str, ...]:
        """Names of the clients."""
        return tuple(f"client_{number}" for number in range(self.clients))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"seeds: must be different and not negative, got {list(self.seeds)}")
        for key in ("sharing", "client", "fleets", "share", "personal", "share_schedule"):
            if getattr(self.federation, key) != FederationConfig.model_fields[key].default:
                raise ValueError(f"federation.{key}: has no meaning for a classifier")
        self._refuse_fisher()
        for place, names in self.federation.named.items():
            self._check_names(f"federation.{place}", names)
        self._check_names("poisoning.clients", self.poisoning.clients if self.poisoning else ())
        for poison in (self.poisoning, *self.attack_table.attacks):
            if isinstance(poison, LabelBackdoor):
                self._check_backdoor(poison)
        if self.attack_table.malicious >= self.clients:
            raise ValueError(
                f"attack_table.malicious: {self.attack_table.malicious} of {self.clients} clients "
                "leave none that is honest"
            )
        return self

    def _refuse_fisher(self) -> None:
        tried = [("federation.strategy", self.federation.strategy)]
        tried += [("attack_table.strategies", each) for each in self.attack_table.strategies]
        for place, strategy in tried:
            if strategy.kind == "fisher":
                raise ValueError(
                    f"{place}: 'fisher' takes Fisher information from an optimiser's moments, and "
                    "a classifier's clients keep none; use it in experiments ('qmarl train'), and "
                    "'fedavg' here"
                )

    def _check_backdoor(self, backdoor: LabelBackdoor) -> None:
        features = self.classifier.qubits
        if not -features <= backdoor.feature < features:
            raise ValueError(
                f"feature: a backdoor's is within -{features} and {features - 1}, got "
                f"{backdoor.feature}"
            )
        if backdoor.target >= CLASSES:
            raise ValueError(
                f"target: a backdoor's is within 0 and {CLASSES - 1}, got {backdoor.target}"
            )

    def _check_names(self, place: str, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.client_names:
                raise ValueError(f"{place}: {unknown('client', name, self.client_names)}")


def load_classification(path: Path, overrides: Sequence[str] = ()) -> ClassificationConfig:
    """Reads a classifier's configuration.

    Args:
        path: YAML file.
        overrides: ``a.b=value``, the last one winning.

    Raises:
        ConfigurationError: With every problem of the file.
    """
    return load(path, overrides, ClassificationConfig, PRESETS)[0]
