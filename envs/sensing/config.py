"""Which sensors agents carry, and how good they are."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator

from qmarl.config import Section

Probability = Annotated[float, Field(ge=0, le=1)]
Range = Annotated[float, Field(gt=0, le=1000)]
Deviation = Annotated[float, Field(ge=0, le=100)]
Side = Annotated[int, Field(ge=1, le=64)]
Direction = Literal["forward", "left", "back", "right", "up", "down"]


class SensorSection(Section):
    """Base of the sensors' sections."""

    dropout: Probability = 0.0
    """Probability that an agent's sensor misses a step; its last value is held then."""


class NoiseConfig(SensorSection):
    """Errors of a measured quantity, normally distributed, the same on every axis."""

    noise: Deviation = 0.0
    """Standard deviation of the error that is new in every step."""
    bias: Deviation = 0.0
    """Standard deviation of the error that stays the same throughout an episode."""


class RangerConfig(SensorSection):
    """Range-finders: single rays."""

    directions: tuple[Direction, ...] = ("forward", "down")
    """Where they point, seen from a level body that looks along its heading."""
    range: Range = 4.0
    """Distance beyond which they see nothing, m."""

    @field_validator("directions")
    @classmethod
    def _some(cls, value: tuple[Direction, ...]) -> tuple[Direction, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError(f"must name each direction once and at least one, got {list(value)}")
        return value


class LidarConfig(SensorSection):
    """A lidar: layers of beams around the upright axis."""

    beams: Annotated[int, Field(ge=1, le=720)] = 36
    """Beams of each layer, counter-clockwise."""
    layers: Annotated[int, Field(ge=1, le=64)] = 1
    """Layers, from the lowest to the highest."""
    range: Range = 4.0
    """Distance beyond which it sees nothing, m."""
    field_of_view: Annotated[float, Field(gt=0, le=2 * math.pi)] = 2 * math.pi
    """Angle that a layer covers, radians. The first beam of a full circle looks ahead; the beams of
    less than a circle lie evenly around ahead, the first one on the right edge."""
    vertical_view: Annotated[float, Field(ge=0, le=math.pi)] = 0.5
    """Angle between the lowest and the highest layer, radians; a single layer is level."""


class CameraConfig(SensorSection):
    """A small pinhole camera that looks along the heading, held level."""

    image: Literal["depth", "semantic"] = "depth"
    """``depth``: nearness of what each pixel shows. ``semantic``: what it is, 0 for nothing, 1/3
    for the arena's border, 2/3 for an obstacle, 1 for a team mate."""
    width: Side = 8
    """Pixels in a row."""
    height: Side = 6
    """Rows."""
    field_of_view: Annotated[float, Field(gt=0, le=3.0)] = 1.5
    """Horizontal angle between the image's edges, radians; pixels are square."""
    pitch: Annotated[float, Field(ge=-math.pi / 2, le=math.pi / 2)] = 0.0
    """How far it looks up, radians; negative looks down."""
    range: Range = 10.0
    """Distance beyond which it sees nothing, m."""


class CommunicationConfig(Section):
    """Who hears whom: an agent knows of a team mate only by what that one tells."""

    range: Range | None = None
    """Distance over which agents hear each other, m; any when left out."""
    loss: Probability = 0.0
    """Probability that a pair of agents is cut off from each other in a step."""


class SensorsConfig(Section):
    """What agents perceive by; without any of it they know exactly what their task shows them.

    Readings follow the task's own observation in the order ranger, lidar, camera. Distances are
    from the agent's centre and are read as nearness ``1 - distance / range``: 1 in touch, 0 where
    nothing is within range.
    """

    position: NoiseConfig | None = None
    """Errors in m of where agents say that they are (GPS)."""
    velocity: NoiseConfig | None = None
    """Errors in m/s of how fast they say that they are (IMU)."""
    heading: NoiseConfig | None = None
    """Errors in radians of where they say that they look (compass)."""
    ranger: RangerConfig | None = None
    """Range-finders."""
    lidar: LidarConfig | None = None
    """A lidar."""
    camera: CameraConfig | None = None
    """A camera."""
    communication: CommunicationConfig | None = None
    """The radio; all hear all when left out."""
    border: bool = True
    """Whether rays end at the arena's walls, floor and ceiling."""
