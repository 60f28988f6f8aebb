"""Configuration: strict sections, YAML that means what it says, and errors that say where."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base of every configuration model: strict, frozen, unknown keys forbidden."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )
