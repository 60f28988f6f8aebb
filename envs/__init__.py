"""Worlds: tasks (what is rewarded) over backends (what moves), batched, with a PettingZoo view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from envs.check import check_env
    from envs.front import make

__all__ = ["check_env", "make"]


def __getattr__(name: str) -> Any:
    """Brings in ``make`` and ``check_env`` when they are asked for: most imports want neither."""
    if name == "make":
        from envs.front import make

        return make
    if name == "check_env":
        from envs.check import check_env

        return check_env
    raise AttributeError(f"module 'envs' has no attribute {name!r}")
