"""A small configuration with everything that a section can have, to load in tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from qmarl.config import Misfits, Section


class Inline(Section):
    shorthand: ClassVar[str | None] = "kind"
    kind: Literal["inline"] = "inline"


class Cluster(Section):
    kind: Literal["ray"]
    workers: int = Field(2, ge=1)
    """Processes that do
    the work."""
    address: str | None = None


class Quantum(Section):
    kind: Literal["vqc"] = "vqc"
    qubits: int = Field(4, ge=1, le=20)
    layers: int | Literal["auto"] = 2
    rate: float = Field(0.01, gt=0)


class Classical(Section):
    shorthand: ClassVar[str | None] = "kind"
    kind: Literal["mlp"]
    hidden: tuple[int, ...] = (8,)
    rate: float = Field(0.01, gt=0)


class Builtin(Section):
    shorthand: ClassVar[str | None] = "id"
    id: Literal["navigation"]
    drones: int = 3
    wind: float | tuple[float, float] = 0.0


class External(Section):
    id: str
    arguments: dict[str, tuple[str, ...]] = Field(default={})


def world_tag(value: Any) -> str | None:
    name = value.get("id") if isinstance(value, dict) else getattr(value, "id", None)
    if not isinstance(name, str):
        return None
    return "external" if ":" in name else name


class Logging(Section):
    folder: Path = Path("runs")
    verbose: bool = False


class Experiment(Section):
    name: str
    seed: int = 0
    executor: Annotated[Inline | Cluster, Field(discriminator="kind")] = Inline()
    actor: Annotated[Quantum | Classical, Field(discriminator="kind")] = Quantum()
    env: Annotated[
        Annotated[Builtin, Tag("navigation")] | Annotated[External, Tag("external")],
        Discriminator(world_tag),
    ]
    agents: dict[str, str] = Field(default={"all": "*"})
    logging: Logging = Logging()

    @model_validator(mode="after")
    def fits(self) -> Experiment:
        if isinstance(self.env, Builtin) and self.env.drones > 9 and self.seed == 13:
            raise Misfits([("env.drones", "too many for an unlucky seed"), ("seed", "is unlucky")])
        if self.name == "forbidden":
            raise ValueError("this name is taken")
        return self


GOOD = """\
name: demo
seed: 3
executor: ray
actor: {kind: vqc, qubits: 4, rate: 1e-3}
env:
  id: navigation
  drones: 4
  wind: [0.5, 1]
agents:
  scouts: drone_*
logging:
"""
