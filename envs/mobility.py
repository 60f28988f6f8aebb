"""What the worlds with bodies have in common: their section, and how they are put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import model_validator

from envs.backends.point import PointBackend, PointConfig
from envs.batch import BatchWorld
from envs.section import WorldSection

if TYPE_CHECKING:
    from envs.batch import Task
    from envs.world import World
    from qmarl.types import Array


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
    backend: Literal["point"] = "point"
    """What moves the bodies."""
    point: PointConfig = PointConfig()
    """Settings of the point-mass backend."""

    @model_validator(mode="before")
    @classmethod
    def _rung(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {**cls.LADDER.get(str(value.get("difficulty", "medium")), {}), **value}

    @property
    def dt(self) -> float:
        """Seconds per decision, of the backend."""
        return self.point.dt

    @property
    def arena(self) -> Array:
        """``(2, 3)`` float32 lower and upper corner, m."""
        raise NotImplementedError


def join(task: Task, config: MobilitySection, num_envs: int) -> World:
    """Joins a task with the backend and the sensors that its section names."""
    backend = PointBackend(config.point, (num_envs, len(task.spec.agents)), config.arena)
    return BatchWorld(task, backend, num_envs)
