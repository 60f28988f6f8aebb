"""What every world's configuration has in common."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from qmarl.config import Misfits, Section


class WorldSection(Section):
    """Base of the worlds' sections: how many copies there are and how long a rollout is."""

    shorthand: ClassVar[str | None] = "id"

    id: str
    """Name of the world."""
    num_envs: Annotated[int, Field(ge=1)] = 64
    """Copies of the world."""
    rollout_steps: Annotated[int, Field(ge=1)] | None = None
    """Steps per round in each copy; the task's ``max_steps`` when left out, never fewer."""
    shards: Annotated[int, Field(ge=1)] = 1
    """Parts that the copies are collected in; part of the job, not of the machine."""

    @field_validator("id", mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        """Refuses another name where the class is of one world."""
        own = cls.model_fields["id"].default
        if not isinstance(own, str) or value == own:
            return value
        raise ValueError(
            f"got {value!r}; the nearest world is {own!r}, "
            "and PettingZoo worlds are written 'module:factory'"
        )

    @model_validator(mode="after")
    def _shards_divide(self) -> Self:
        if self.num_envs % self.shards:
            text = f"must divide num_envs {self.num_envs}, got {self.shards}"
            raise Misfits([("shards", text)])
        return self

    def check_rollout(self, max_steps: int) -> None:
        """Raises ``ValueError`` when a rollout could never hold a whole episode."""
        if self.rollout_steps is not None and self.rollout_steps < max_steps:
            text = (
                f"must be at least the task's max_steps {max_steps}, got {self.rollout_steps}: "
                "worlds start anew every round, so the end of an episode would never be seen"
            )
            raise Misfits([("rollout_steps", text)])
