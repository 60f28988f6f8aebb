"""What the worlds with bodies have in common: their section, and how they are put together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import ValidationError, model_validator

from envs.backends.airsim_config import AirsimConfig, check_address
from envs.backends.bicycle import Bicycle, BicycleConfig
from envs.backends.mixed import MixedBackend
from envs.backends.point import PointBackend, PointConfig
from envs.backends.quad6dof import Quad6Dof, Quad6DofConfig
from envs.backends.randomisation import RandomisationConfig
from envs.backends.wind import WindConfig
from envs.batch import BatchWorld
from envs.section import WorldSection
from envs.sensing.config import SensorsConfig
from envs.sensing.suite import make_sensors
from qmarl.config import Misfits
from qmarl.errors import ConfigurationError

if TYPE_CHECKING:
    from envs.batch import Backend, Task
    from envs.world import World
    from qmarl.types import Array


_FIXED = ("id", "num_envs", "rollout_steps", "shards", "max_steps", "sites")


class MobilitySection(WorldSection):
    """Base of the sections of worlds with bodies.

    A rung of :attr:`LADDER` lies below what is written: a key that is given wins over its rung.
    """

    LADDER: ClassVar[Mapping[str, Mapping[str, Any]]] = {"easy": {}, "medium": {}, "hard": {}}
    """What each rung of ``difficulty`` sets."""

    difficulty: Literal["easy", "medium", "hard"] = "medium"
    """Rung of the task's ladder: it sets the keys that are not written."""
    actions: Literal["discrete", "continuous"] = "discrete"
    """Whether agents choose among commands, or command numbers within [-1, 1]."""
    backend: Literal["point", "quad6dof", "bicycle", "airsim"] = "point"
    """What moves the bodies: drones ``point`` or ``quad6dof``, vehicles ``bicycle``, all of them
    ``airsim``. Where there are both, it says what moves the drones."""
    address: str = ""
    """Where an AirSim simulator listens, ``host:port``; short for ``airsim.addresses`` with one."""
    airsim: AirsimConfig = AirsimConfig()
    """Simulators of AirSim's kind."""
    point: PointConfig = PointConfig()
    """Drones as point masses."""
    quad6dof: Quad6DofConfig = Quad6DofConfig()
    """Drones as quadrotors with attitude and rotors."""
    bicycle: BicycleConfig = BicycleConfig()
    """Vehicles."""
    wind: WindConfig = WindConfig()
    """The wind that drones fly in."""
    randomisation: RandomisationConfig = RandomisationConfig()
    """What differs from episode to episode."""
    sensors: SensorsConfig = SensorsConfig()
    """What agents perceive by."""
    sites: tuple[dict[str, Any], ...] = ()
    """Where fleets learn together, what differs at each one's site: keys of this section, such as
    ``[{wind: {speed: 0.5}}, {obstacles: 4}]``. Fleets beyond the list begin it again."""

    @model_validator(mode="before")
    @classmethod
    def _rung(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {**cls.LADDER.get(str(value.get("difficulty", "medium")), {}), **value}

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if self.address:
            check_address(self.address, self.airsim)
        return self

    @model_validator(mode="after")
    def _sites_fit(self) -> Self:
        problems = []
        for site in range(len(self.sites)):
            try:
                self.at_site(site)
            except ValueError as error:
                problems.append((f"sites.{site}", _said(error)))
        if problems:
            raise Misfits(problems)
        return self

    def at_site(self, site: int) -> Self:
        """The section that holds at a site; a rung of ``difficulty`` named there wins over it.

        Raises:
            ValueError: What differs there does not fit.
        """
        if not self.sites:
            return self
        given = self.sites[site % len(self.sites)]
        fixed = [name for name in _FIXED if name in given]
        if fixed:
            raise ValueError(f"{', '.join(fixed)}: must be the same at all sites")
        own = self.model_dump(exclude_unset=True, exclude={"sites"})
        rung = self.LADDER.get(str(given.get("difficulty")), {})
        return type(self).model_validate(_over(_over(own, rung), given))

    @property
    def dt(self) -> float:
        """Seconds per decision, of the backend."""
        own = {"point": self.point.dt, "quad6dof": self.quad6dof.dt, "bicycle": self.bicycle.dt}
        if self.backend == "airsim":
            return self.airsim.dt or own[type(self).model_fields["backend"].default]
        return own[self.backend]

    @property
    def simulators(self) -> AirsimConfig:
        """Where AirSim simulators are, ``address`` among them."""
        named = {"addresses": (self.address,)} if self.address else {}
        return self.airsim.model_copy(update=named)

    @property
    @abstractmethod
    def arena(self) -> Array:
        """``(2, 3)`` float32 lower and upper corner, m."""


def join(task: Task, config: MobilitySection, num_envs: int) -> World:
    """Joins a task with the backend and the sensors that its section names."""
    spec = task.spec
    shape = num_envs, len(spec.agents)
    sensors = make_sensors(config.sensors, shape, config.arena)
    if config.backend == "airsim":
        from envs.backends.airsim_crew import make_airsim

        flown = make_airsim(config, shape, spec.agents, spec.kinds)
        return BatchWorld(task, flown, num_envs, sensors, flown)
    backend = make_backend(config, shape, config.arena, spec.kinds)
    return BatchWorld(task, backend, num_envs, sensors)


def make_backend(
    config: MobilitySection, shape: tuple[int, int], arena: Array, kinds: Sequence[str]
) -> Backend:
    """Makes what moves the bodies of ``E`` worlds.

    Args:
        config: Which backend, and its settings.
        shape: ``(E, A)``.
        arena: ``(2, 3)`` lower and upper corner in metres.
        kinds: ``drone`` or ``vehicle`` for each of the ``A`` agents, drones first or vehicles
            first.

    Raises:
        ConfigurationError: The backend does not move such bodies.
    """
    if "drone" not in kinds and config.backend != "bicycle":
        raise ConfigurationError(
            f"env.backend: '{config.backend}' moves drones, and {config.id} has vehicles; "
            "allowed is 'bicycle'"
        )
    parts = [
        (_vehicles if kind == "vehicle" else _drones)(config, (shape[0], kinds.count(kind)), arena)
        for kind in dict.fromkeys(kinds)
    ]
    return parts[0] if len(parts) == 1 else MixedBackend(parts)


def _drones(config: MobilitySection, shape: tuple[int, int], arena: Array) -> Backend:
    wind, spread = config.wind, config.randomisation
    if config.backend == "quad6dof":
        return Quad6Dof(config.quad6dof, shape, arena, wind, spread)
    if config.backend == "point":
        return PointBackend(config.point, shape, arena, wind, spread)
    raise ConfigurationError(
        f"env.backend: '{config.backend}' moves vehicles, and {config.id} has drones; "
        "allowed are 'point' and 'quad6dof'"
    )


def _vehicles(config: MobilitySection, shape: tuple[int, int], arena: Array) -> Backend:
    return Bicycle(config.bicycle, shape, arena, config.randomisation)


def capacity(config: WorldSection) -> int | None:
    """How many copies of a world there can be at once; None where there is no such limit."""
    if isinstance(config, MobilitySection) and config.backend == "airsim":
        return config.simulators.simulators
    return None


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lays plain settings over others, section by section."""
    found = dict(below)
    for key, value in above.items():
        under = found.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            value = _over(under, value)
        found[key] = value
    return found


def _said(error: ValueError) -> str:
    """What was wrong at a site, in one line."""
    if not isinstance(error, ValidationError):
        return str(error)
    found = []
    for problem in error.errors():
        place = ".".join(str(step) for step in problem["loc"])
        found.append(f"{place}: {problem['msg']}" if place else problem["msg"])
    return "; ".join(found)
