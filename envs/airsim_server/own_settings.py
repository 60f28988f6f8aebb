"""The key ``Qmarl`` of ``settings.json``: what only our simulator reads."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from envs.backends.bicycle import BicycleConfig
from envs.backends.point import PointConfig
from envs.backends.quad6dof import Quad6DofConfig
from qmarl.config import Section

_Metres = Annotated[float, Field(ge=-1e5, le=1e5)]
_Size = Annotated[float, Field(gt=0, le=1e4)]
_Corner = Annotated[tuple[_Metres, _Metres, _Metres], Field(strict=False)]


class ObstacleSettings(Section):
    """Something that stands in the world; its axes are the world's."""

    shape: Literal["box", "sphere", "cylinder"] = "box"
    """What it is; cylinders are upright."""
    position: _Corner
    """Its centre, m north, east and down."""
    size: Annotated[tuple[_Size, _Size, _Size], Field(strict=False)] = (1.0, 1.0, 1.0)
    """Its extents along north, east and down, m; a sphere's and a cylinder's diameter is the
    first."""


class OwnSettings(Section):
    """What our simulator is told beyond what AirSim knows; AirSim passes over it."""

    physics: Literal["point", "quad6dof"] = "quad6dof"
    """What moves multirotors."""
    point: PointConfig = PointConfig()
    """Multirotors as point masses."""
    quad6dof: Quad6DofConfig = Quad6DofConfig()
    """Multirotors with attitude and rotors."""
    bicycle: BicycleConfig = BicycleConfig()
    """Cars."""
    ground: _Metres = 0.0
    """Where the ground lies, m down of the world's origin."""
    arena: Annotated[tuple[_Corner, _Corner], Field(strict=False)] | None = None
    """Two opposite corners of walls that no vehicle passes, m north, east and down; no walls when
    left out. Its lowest face takes the place of ``ground``."""
    multirotor_radius: _Size = 0.1
    """Radius at which multirotors touch things, m."""
    car_radius: _Size = 1.0
    """The same of cars."""
    contact: Literal["stop", "pass"] = "stop"
    """What obstacles do to vehicles: ``stop`` them, or let them pass. Both count as collisions."""
    obstacles: dict[str, ObstacleSettings] = Field(default_factory=dict)
    """What stands in the world, by name."""

    @field_validator("arena")
    @classmethod
    def _spacious(cls, value: tuple[_Corner, _Corner] | None) -> tuple[_Corner, _Corner] | None:
        if value is not None and any(one == other for one, other in zip(*value, strict=True)):
            raise ValueError(f"its corners must differ on every axis, got {value}")
        return value
