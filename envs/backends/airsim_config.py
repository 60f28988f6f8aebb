"""The section of the AirSim backend: where simulators are, or how they are started."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from envs.airsim_wire.address import DEFAULT_PORT, Address
from qmarl.config import Misfits, Section

_Seconds = Annotated[float, Field(gt=0, le=3600)]


class AirsimLaunchConfig(Section):
    """Simulators that we start, watch, start again and end."""

    command: tuple[str, ...] = ()
    """Words of the command that starts one; ``{settings}`` and ``{port}`` are filled in. Such as
    ``[/opt/Blocks.sh, "-settings={settings}", -RenderOffScreen, -windowed]``. Nothing is started
    when left out; ``[qmarl]`` starts our own simulator."""
    simulators: Annotated[int, Field(ge=1, le=256)] = 1
    """How many may run at once."""
    port: Annotated[int, Field(ge=1024, le=65535)] = DEFAULT_PORT
    """First port to give; ports that are taken are passed over."""
    settings: str = ""
    """A settings.json to start from; its port and vehicles are filled in."""
    physics: Literal["point", "quad6dof"] = "quad6dof"
    """What drones are in our own simulator."""
    start_s: _Seconds = 120.0
    """Seconds within which a simulator must answer."""


class AirsimConfig(Section):
    """AirSim or Cosys-AirSim, or our own simulator behind the same protocol.

    One simulator is one copy of the world.
    """

    addresses: tuple[str, ...] = ()
    """Where simulators listen, ``host:port`` each; ``127.0.0.1:41451`` when none is given and none
    is started. A process takes the first ones that no other process uses."""
    launch: AirsimLaunchConfig = AirsimLaunchConfig()
    """How simulators are started, in place of addresses."""
    client: Literal["wire", "airsim", "cosysairsim"] = "wire"
    """Our own connection, or that of an installed package."""
    timeout_s: _Seconds = 5.0
    """Seconds that a call may take."""
    patience_s: _Seconds = 30.0
    """Seconds for which a simulator that is gone is waited for before the run ends."""
    dt: Annotated[float, Field(gt=0, le=1)] | None = None
    """Seconds per decision; the ``dt`` of ``point`` or, for vehicles, of ``bicycle`` when left
    out."""
    frames: Annotated[int, Field(ge=0, le=1000)] = 0
    """Rendered frames per decision, in place of time; 0 goes by time."""
    vehicles: tuple[str, ...] = ()
    """Names of the vehicles in the simulator, agent by agent; the agents' own when left out."""
    origin: Annotated[tuple[float, float, float], Field(strict=False)] = (0.0, 0.0, 0.0)
    """Where the arena's origin lies in the simulator's world: north, east and down, m."""

    @field_validator("addresses")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(str(Address.parse(text)) for text in value)
        if len(set(found)) < len(found):
            raise ValueError(f"must name each simulator once, got {list(value)}")
        return found

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.addresses and self.launch.command:
            raise ValueError("addresses and launch.command: name simulators or start them")
        return self

    @property
    def simulators(self) -> int:
        """How many copies of a world there can be at once."""
        return self.launch.simulators if self.launch.command else max(1, len(self.addresses))


def check_address(address: str, config: AirsimConfig) -> None:
    """Raises ``ValueError`` where a single address does not fit beside a section."""
    try:
        Address.parse(address)
    except ValueError as error:
        raise Misfits([("address", str(error))]) from None
    if config.addresses or config.launch.command:
        text = "airsim.addresses and airsim.launch: say in one place where the simulator is"
        raise Misfits([("address", text)])
